package steps

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/steps/compare"
)

func init() {
	register(Kind{
		Name:    "compare",
		Summary: "Puts old and new side by side, names what is missing, extra or different, and passes only when all is equal. It changes nothing.",
		Example: `- step: Prove old and new equal
  compare:
    pairs:
      - name: gitlab
        postgres:
          old: {host: old, addr: 127.0.0.1:5432, user: postgres, database: gitlab}
          new: {host: new, addr: 127.0.0.1:5435, user: postgres, database: gitlab}
        tell: [projects, users]
        ignore:
          - {name: public.sessions, why: everybody logs in again anyway}
      - name: uploads
        files: {old: {host: old, path: /srv/uploads}, new: {host: new, path: /srv/uploads}}
`,
		NoHost: true,
		New:    func() Step { return &compareStep{} },
	})
}

type compareStep struct {
	Pairs []comparePair   `yaml:"pairs" required:"" doc:"what is compared, all at the same time"`
	Jobs  int             `yaml:"jobs" default:"4" doc:"tables that are read at a time, of all pairs together"`
	Keys  int             `yaml:"keys" default:"10" doc:"how many differences of a table are named; the others are counted"`
	Again remote.Duration `yaml:"again" default:"15m" doc:"compare again by itself when the answer is that old, while the run is held at a gate that a sign-off item of this step guards; 0s never"`
}

// comparePair is one line of the table.
type comparePair struct {
	Name     string           `yaml:"name" required:"" doc:"how the table calls it"`
	Postgres *comparePostgres `yaml:"postgres" doc:"two PostgreSQL databases"`
	MySQL    *compareMySQL    `yaml:"mysql" doc:"two MySQL or MariaDB servers, by all their databases or some"`
	Redis    *compareRedis    `yaml:"redis" doc:"two Redis or Valkey servers; keys that expire within five minutes are left out"`
	Files    *compareFiles    `yaml:"files" doc:"two directories, by path, type, mode, owner, size and SHA-256 of every entry"`
	Tell     []string         `yaml:"tell" doc:"tables whose rows the table of results tells, as users would count: projects, users; left out, the sum of all"`
	Ignore   []compareIgnore  `yaml:"ignore" doc:"what does not count, each with the reason"`
}

// compareIgnore leaves objects out.
type compareIgnore struct {
	Kind string `yaml:"kind" doc:"kind of object as the result calls it: table, sequence, role, extension; left out, any"`
	Name string `yaml:"name" doc:"its name, or a pattern: public.session*; left out, any"`
	Why  string `yaml:"why" required:"" doc:"the reason, which the result shows"`
}

// compareStore is one kind of store: how its two sides are opened.
type compareStore interface {
	what() string
	check(field string) error
	hosts() []string
	// open opens both sides. It returns what is open even with an error. quick
	// is for a brief second look.
	open(ctx context.Context, e Env, quick bool) (old, new compare.Side, err error)
}

// stores are those that the pair names; there must be exactly one.
func (p comparePair) stores() (all []compareStore) {
	if p.Postgres != nil {
		all = append(all, p.Postgres)
	}
	if p.MySQL != nil {
		all = append(all, p.MySQL)
	}
	if p.Redis != nil {
		all = append(all, p.Redis)
	}
	if p.Files != nil {
		all = append(all, p.Files)
	}
	return all
}

func (c *compareStep) Validate() error {
	var errs []error
	names := map[string]bool{}
	for i, p := range c.Pairs {
		field := func(name string) string { return fmt.Sprintf("pairs.%d.%s", i, name) }
		if names[p.Name] {
			errs = append(errs, Field(field("name"), "two pairs are called %q", p.Name))
		}
		names[p.Name] = true
		switch all := p.stores(); len(all) {
		case 1:
			errs = append(errs, all[0].check(field(all[0].what())))
		default:
			errs = append(errs, Field(field("name"), "pair %q names %d kinds of store; exactly one is needed, such as postgres or files", p.Name, len(all)))
		}
		for j, x := range p.Ignore {
			if x.Kind == "" && x.Name == "" {
				errs = append(errs, Field(field(fmt.Sprintf("ignore.%d.why", j)), "a kind or a name is needed, or everything would be left out"))
			}
			if _, err := path.Match(x.Name, ""); err != nil {
				errs = append(errs, Field(field(fmt.Sprintf("ignore.%d.name", j)), "%q is not a pattern", x.Name))
			}
		}
	}
	if len(c.Pairs) == 0 {
		errs = append(errs, Field("pairs", "nothing is compared"))
	}
	for name, n := range map[string]int{"jobs": c.Jobs, "keys": c.Keys} {
		if n < 1 || n > 1000 {
			errs = append(errs, Field(name, "%d is not a number from 1 to 1000", n))
		}
	}
	if a := time.Duration(c.Again); a != 0 && a < time.Second {
		errs = append(errs, Field("again", "%v is too often", a))
	}
	return errors.Join(errs...)
}

// HostNames are those of all pairs.
func (c *compareStep) HostNames() []string {
	var all []string
	for _, p := range c.Pairs {
		for _, s := range p.stores() {
			for _, h := range s.hosts() {
				if h != "" && !slices.Contains(all, h) {
					all = append(all, h)
				}
			}
		}
	}
	return all
}

// Repeatable: it changes nothing.
func (c *compareStep) Repeatable() bool { return true }

// Underway is always true: a proof that broke off is simply begun again.
func (c *compareStep) Underway(Env) (bool, error) { return true, nil }

// Pending is never empty: a proof is of the moment at which it is asked for.
func (c *compareStep) Pending(context.Context, Env) ([]Change, error) {
	var names []string
	for _, p := range c.Pairs {
		for _, s := range p.stores() {
			names = append(names, p.Name+" ("+s.what()+")")
		}
	}
	what := "pairs"
	if len(names) == 1 {
		what = "pair"
	}
	return []Change{{Text: fmt.Sprintf("compare %d %s: %s", len(names), what, fileSome(names, 8))}}, nil
}

// compareKey is where the latest Result is remembered, for the report too.
const compareKey = "compare"

const compareWidth = 80

// run opens all pairs and compares them. It looks only, be the hosts read-only
// or not.
func (c *compareStep) run(ctx context.Context, e Env, quick bool) compare.Result {
	e.Hosts = compareLook(e.Hosts)
	pairs := make([]compare.Pair, len(c.Pairs))
	var wg sync.WaitGroup
	for i, p := range c.Pairs {
		pairs[i] = p.pair()
		wg.Go(func() {
			var err error
			pairs[i].Old, pairs[i].New, err = p.stores()[0].open(ctx, e, quick)
			if err != nil {
				pairs[i].Err = err
			}
		})
	}
	wg.Wait()
	defer func() {
		for _, p := range pairs {
			for _, s := range []compare.Side{p.Old, p.New} {
				if s != nil {
					_ = s.Close() // it was only read from
				}
			}
		}
	}()
	o := compare.Options{Jobs: c.Jobs, Named: c.Keys, Quick: quick}
	if e.Say != nil {
		o.Say = func(f compare.Far) {
			e.Say(Progress{Done: int64(f.Done), Total: int64(f.Total), Unit: "tables", Text: f.Text})
		}
	}
	return compare.Run(ctx, pairs, o)
}

func (p comparePair) pair() compare.Pair {
	out := compare.Pair{Name: p.Name, What: p.stores()[0].what(), Tell: p.Tell}
	for _, x := range p.Ignore {
		out.Ignore = append(out.Ignore, compare.Ignore{Kind: x.Kind, Name: x.Name, Why: x.Why})
	}
	return out
}

func compareLook(hosts remote.Hosts) remote.Hosts {
	out := make(remote.Hosts, len(hosts))
	for name, h := range hosts {
		out[name] = remote.ReadOnly(h)
	}
	return out
}

// Apply compares, keeps the result as evidence, and fails on a mismatch.
func (c *compareStep) Apply(ctx context.Context, e Env) error {
	r := c.run(ctx, e, false)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err := e.Memory.Put(compareKey, r); err != nil {
		return err
	}
	fmt.Fprint(e.Log, r.Table(compareWidth), r.Detail(compareWidth))
	return compareVerdict(r)
}

// compareVerdict is nil when all is equal.
func compareVerdict(r compare.Result) error {
	if r.Equal() {
		return nil
	}
	text := r.Table(compareWidth) + r.Detail(compareWidth)
	if lines := strings.SplitAfter(text, "\n"); len(lines) > compareLines {
		text = strings.Join(lines[:compareLines], "") + "(all of it is in the step's log)\n"
	}
	text = "old and new are not equal: " + r.FirstDiffer() + "\n" + strings.TrimRight(text, "\n")
	if slices.ContainsFunc(r.Pairs, func(o compare.Outcome) bool { return !o.Known() }) &&
		!slices.ContainsFunc(r.Pairs, func(o compare.Outcome) bool { return len(o.Differs) > 0 }) {
		return errors.New(strings.Replace(text, "are not equal", "were not all compared", 1))
	}
	return &Disproof{text}
}

// compareLines is how much of a result an error carries.
const compareLines = 60

// Verify takes a second, brief look: all definitions, and the rows of what is
// small; and it wants the proof itself to be there.
func (c *compareStep) Verify(ctx context.Context, e Env) error {
	var r compare.Result
	found, err := e.Memory.Get(compareKey, &r)
	if err != nil {
		return err
	}
	if !found || !r.Equal() {
		return errors.New("there is no proof that old and new are equal: compare them")
	}
	return compareVerdict(c.run(ctx, e, true))
}

// Prove compares all again.
func (c *compareStep) Prove(ctx context.Context, e Env) (string, error) {
	r := c.run(ctx, e, false)
	if cause := context.Cause(ctx); cause != nil {
		return "", cause
	}
	var before compare.Result
	if found, err := e.Memory.Get(compareKey, &before); err != nil {
		return "", err
	} else if !found || before.Equal() != r.Equal() {
		fmt.Fprint(e.Log, r.Table(compareWidth), r.Detail(compareWidth))
	}
	if err := e.Memory.Put(compareKey, r); err != nil {
		return "", err
	}
	if err := compareVerdict(r); err != nil {
		return "", err
	}
	return r.Summary(), nil
}

// Proof is the result that is remembered, in a line.
func (c *compareStep) Proof(e Env) (text string, ok bool, at time.Time, found bool, err error) {
	var r compare.Result
	if found, err = e.Memory.Get(compareKey, &r); err != nil || !found {
		return "", false, at, false, err
	}
	if text = r.Brief(); text == "" {
		text = r.Summary()
	}
	return text, r.Equal(), r.Ended(), true, nil
}

// ProofFor is how old the answer may grow.
func (c *compareStep) ProofFor() time.Duration { return time.Duration(c.Again) }

// Undo has nothing to take back.
func (c *compareStep) Undo(context.Context, Env) error { return nil }

// Needs asks, before anything changes, whether both sides of every pair can be
// opened.
func (c *compareStep) Needs(string) []checks.Check {
	var all []checks.Check
	for _, p := range c.Pairs {
		all = append(all, &compareCheck{p})
	}
	return all
}
