package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name:    "dns.wait",
		Summary: "Waits until every server with authority over a name gives the new records, and then until nobody can have the old ones from a cache.",
		Example: `- step: Wait until everybody sees the new address
  dns.wait:
    name: chat.example.org
    type: A
    expect: [203.0.113.10]
    old_ttl: 5m
`,
		Optional: true,
		New:      func() Step { return &dnsWait{} },
	})
}

// dnsWait looks until it likes what it sees, and changes nothing.
type dnsWait struct {
	Query   checks.DNSQuery  `yaml:",inline"`
	OldTTL  *remote.Duration `yaml:"old_ttl" doc:"how long caches may keep what the servers said before the change; the longest time that was seen when left out, so give it where the change comes before this step"`
	Timeout remote.Duration  `yaml:"timeout" default:"1h" doc:"how long the servers may take to give the new records; waiting for caches comes on top"`
	Every   remote.Duration  `yaml:"every" default:"5s" doc:"time between two looks"`
}

// dnsTrace outlives the process, so that a resumed wait goes on where it was.
type dnsTrace struct {
	Old   time.Duration // the longest that a wrong answer may be kept
	New   time.Duration // the longest that a right one may be
	Since time.Time     // when all were right, and stayed so; zero: they are not
}

const dnsKey = "dns"

func (d *dnsWait) Validate() error {
	errs := []error{d.Query.Validate()}
	if len(d.Query.Expect) == 0 && d.Query.TTLMax == 0 {
		errs = append(errs, Field("expect", "give the records to wait for, or a ttl_max"))
	}
	if d.OldTTL != nil && *d.OldTTL < 0 {
		errs = append(errs, Field("old_ttl", "%v is less than nothing", *d.OldTTL))
	}
	if d.Timeout <= 0 {
		errs = append(errs, Field("timeout", "it must be more than 0"))
	}
	if d.Every < remote.Duration(100*time.Millisecond) {
		errs = append(errs, Field("every", "%v is less than 100ms", d.Every))
	}
	return errors.Join(errs...)
}

// Repeatable: looking can be done any number of times.
func (d *dnsWait) Repeatable() bool { return true }

// Underway is always so: a wait is taken up without a question.
func (d *dnsWait) Underway(Env) (bool, error) { return true, nil }

// Needs that the servers can be asked at all, whatever they say yet.
func (d *dnsWait) Needs(on string) []checks.Check {
	return []checks.Check{&dnsReach{On: on, Query: d.Query}}
}

// dnsReach is the assessment that dns.wait relies on.
type dnsReach struct {
	On    string
	Query checks.DNSQuery
}

func (d *dnsReach) CheckName() string { return "dns" }

// Assess gives one finding.
func (d *dnsReach) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	f := checks.Finding{Check: "dns", Host: d.On, Key: d.Query.String() + " servers", Level: checks.Pass}
	if d.On != "" && w.Unreached[d.On] != nil {
		f.Level, f.Text, f.Fix = checks.Unknown, "not judged: host "+d.On+" was not reached", "reach the host first, then re-check"
		return []checks.Finding{f}, nil
	}
	all, err := d.Query.Ask(ctx, w.Hosts[d.On])
	if err != nil {
		return nil, err
	}
	var lines, bad []string
	for _, a := range all {
		lines = append(lines, a.String())
		if a.Err != nil {
			bad = append(bad, a.String())
		}
	}
	f.Detail = checks.OneLine(strings.Join(lines, "; "), 2000)
	f.Text = fmt.Sprintf("%d servers answer for %s", len(all), d.Query)
	if len(bad) > 0 {
		f.Level, f.Text, f.Fix = checks.Block, checks.OneLine(strings.Join(bad, "; "), 300), "see why, or the wait for "+d.Query.Name+" would never end"
	}
	return []checks.Finding{f}, nil
}

// look asks all once. wrong is the first answer that is not as it shall be, in
// words; a look that could not be taken is wrong too.
func (d *dnsWait) look(ctx context.Context, e Env, t *dnsTrace) (wrong string, err error) {
	all, err := d.Query.Ask(ctx, e.Host)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return err.Error(), nil
	}
	fresh := time.Duration(0)
	for _, a := range all {
		why := d.Query.Wrong(a)
		switch {
		case why == "":
			fresh = max(fresh, a.TTL)
		case a.Err == nil: // silence proves nothing, a wrong answer does
			t.Old, t.Since = max(t.Old, a.TTL), time.Time{}
		}
		if why != "" && wrong == "" {
			wrong = why
		}
	}
	if wrong == "" && t.Since.IsZero() {
		t.Since, t.New = time.Now(), fresh
	}
	return wrong, nil
}

// old is how long a cache may keep an answer from before the change. One of
// the same length as the new answer's is likely where no old one was seen.
func (d *dnsWait) old(t dnsTrace) time.Duration {
	switch {
	case d.OldTTL != nil:
		return time.Duration(*d.OldTTL)
	case t.Old > 0:
		return t.Old
	}
	return t.New
}

func (d *dnsWait) trace(e Env) (t dnsTrace, err error) {
	_, err = e.Memory.Get(dnsKey, &t)
	return t, err
}

// Pending says what is not so yet.
func (d *dnsWait) Pending(ctx context.Context, e Env) ([]Change, error) {
	t, err := d.trace(e)
	if err != nil {
		return nil, err
	}
	wrong, err := d.look(ctx, e, &t)
	if err != nil {
		return nil, err
	}
	if wrong != "" {
		return []Change{{Text: fmt.Sprintf("wait until all servers of %s give %s (now: %s), and then until caches have it", d.Query.Name, d.wanted(), checks.OneLine(wrong, 150))}}, nil
	}
	if left := time.Until(t.Since.Add(d.old(t))); left > 0 {
		return []Change{{Text: fmt.Sprintf("wait %s, until no cache can have the old %s any more; all servers give %s", checks.Span(left.Round(time.Second)), d.Query, d.wanted())}}, nil
	}
	return nil, nil
}

func (d *dnsWait) wanted() string {
	if len(d.Query.Expect) == 0 {
		return "a time to live of at most " + checks.Span(time.Duration(d.Query.TTLMax))
	}
	return strings.Join(d.Query.Expect, ", ")
}

// Apply looks again and again: first until all servers are right, then for as
// long as caches may keep what they said before. A server that falls back to
// the old answer begins the wait anew.
func (d *dnsWait) Apply(ctx context.Context, e Env) error {
	t, err := d.trace(e)
	if err != nil {
		return err
	}
	begun, last, stored := time.Now(), "", t
	for {
		wrong, err := d.look(ctx, e, &t)
		if err != nil {
			return err
		}
		if t != stored {
			if err := e.Memory.Put(dnsKey, t); err != nil {
				return err
			}
			stored = t
		}
		left := time.Until(t.Since.Add(d.old(t)))
		switch {
		case wrong != "":
			begun = d.since(begun, last, wrong)
			if d.tell(e, &last, wrong); time.Since(begun) > time.Duration(d.Timeout) {
				return fmt.Errorf("not so on all servers within %v: %s; nothing was changed", d.Timeout, checks.OneLine(wrong, 200))
			}
			e.Say(Progress{Text: checks.OneLine(wrong, 100)})
			left = 0
		case left <= 0:
			d.tell(e, &last, "all servers give "+d.wanted()+", and no cache can have the old one any more")
			return nil
		default:
			d.tell(e, &last, fmt.Sprintf("all servers give %s; caches may keep the old one until %s", d.wanted(), t.Since.Add(d.old(t)).UTC().Format("2006-01-02 15:04:05 UTC")))
			whole := int64(d.old(t).Seconds())
			e.Say(Progress{Done: whole - int64(left.Seconds()), Total: whole, Unit: "seconds", Text: "until no cache can have the old " + d.Query.String()})
		}
		if err := pause(ctx, d.next(left)); err != nil {
			return err
		}
	}
}

// since begins the clock of the servers anew when one has fallen back.
func (d *dnsWait) since(begun time.Time, last, wrong string) time.Time {
	if strings.HasPrefix(last, "all servers ") && wrong != "" {
		return time.Now()
	}
	return begun
}

// next is how long until the next look: rarely where caches take hours, and
// no longer than is left.
func (d *dnsWait) next(left time.Duration) time.Duration {
	every := time.Duration(d.Every)
	if left <= 0 {
		return every
	}
	return min(max(every, min(left/20, 5*time.Minute)), left)
}

func (d *dnsWait) tell(e Env, last *string, text string) {
	if text != *last {
		fmt.Fprintf(e.Log, "-- %s\n", checks.OneLine(text, 300))
		*last = text
	}
}

// Verify looks once more.
func (d *dnsWait) Verify(ctx context.Context, e Env) error {
	t, err := d.trace(e)
	if err != nil {
		return err
	}
	wrong, err := d.look(ctx, e, &t)
	if err == nil && wrong != "" {
		err = fmt.Errorf("no longer so: %s", checks.OneLine(wrong, 200))
	}
	return err
}

// Undo has nothing to take back.
func (d *dnsWait) Undo(context.Context, Env) error { return nil }

var _ interface {
	Undoer
	Resumer
	Repeater
	Validator
	Needer
} = &dnsWait{}
