package hold

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Record says which run holds a machine, and for whom.
type Record struct {
	Run     string    `json:"run"` // stands first: the far side compares how a record begins
	Plan    string    `json:"plan"`
	Login   string    `json:"login"`
	From    string    `json:"from,omitempty"` // SSH origin of that login; empty on the console
	Bastion string    `json:"bastion"`        // host name of where belay runs
	Since   time.Time `json:"since"`
	Why     string    `json:"why"` // "run", "resume", "rollback"
}

// maxField keeps a record well within the 4 KiB that the far side reads.
const maxField = 200

// line is the record as it is written. Times are whole seconds of UTC.
func (r Record) line() (string, error) {
	for _, f := range []*string{&r.Plan, &r.Login, &r.From, &r.Bastion, &r.Why} {
		*f = clean(*f, maxField)
	}
	r.Since = r.Since.UTC().Truncate(time.Second)
	b, err := json.Marshal(r)
	return string(b), err
}

// begin is how every record of that run begins, and of no other.
func begin(run string) (string, error) {
	if run == "" || len(run) > maxField {
		return "", fmt.Errorf("run id %q: a lock needs one of 1 to %d bytes", run, maxField)
	}
	b, err := json.Marshal(run)
	return `{"run":` + string(b) + ",", err
}

// Holder is who holds a machine, as the machine tells it: nothing here is to
// be trusted, but it is clean to show.
type Holder struct {
	Record               // zero when it is not known
	Raw    string        // the beginning of what stands there, when it is no record
	Owner  string        // account on the machine that the lock belongs to
	Age    time.Duration // since the last sign of life, by the machine's clock; negative: not known

	is string // how that lock begins, as break must find it
}

// Known tells whether the lock says which run has it.
func (h Holder) Known() bool { return h.Run != "" }

// Dead is after how long without a sign of life a run is probably dead: a
// belay that is at work gives one every minute or so.
const Dead = 24 * time.Hour

// String says who, from where, since when, which run and plan, and when they
// were last heard of.
func (h Holder) String() string {
	if !h.Known() {
		what := "nobody knows whom"
		if h.Raw != "" {
			what += fmt.Sprintf(" (its lock reads %q)", h.Raw)
		}
		if h.Owner != "" {
			what += ", account " + h.Owner
		}
		return what + "; " + h.life()
	}
	who := h.Login
	if h.From != "" {
		who += " from " + h.From
	}
	return fmt.Sprintf("run %s of plan %q: %s on %s (belay %s), since %s; %s",
		h.Run, h.Plan, who, h.Bastion, h.Why, h.Since.Local().Format("2006-01-02 15:04:05"), h.life())
}

func (h Holder) life() string {
	switch {
	case h.Age < 0:
		return "when it last gave a sign of life is not known"
	case h.Age < 5*time.Minute:
		return "last sign of life " + ago(h.Age)
	case h.Age < Dead:
		return "last sign of life " + ago(h.Age) + " (it is stopped, or cut off from this host)"
	}
	return "last sign of life " + ago(h.Age) + " (that run is probably dead)"
}

func ago(d time.Duration) string {
	for _, u := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if n := int(d / u.of); n == 1 {
			return "1 " + u.name + " ago"
		} else if n > 1 {
			return fmt.Sprintf("%d %ss ago", n, u.name)
		}
	}
	return "just now"
}

// read makes a Holder of the first bytes of a lock.
func read(b []byte) Holder {
	first, _, _ := bytes.Cut(b, []byte("\n"))
	h := Holder{Age: -1, is: strings.ReplaceAll(string(first), "\x00", "")} // as a shell reads it
	var r Record
	if json.Unmarshal(first, &r) != nil || r.Run == "" {
		h.Raw = clean(string(first), 80)
		return h
	}
	if is, err := begin(r.Run); err == nil && strings.HasPrefix(h.is, is) {
		h.is = is
	}
	for _, f := range []*string{&r.Run, &r.Plan, &r.Login, &r.From, &r.Bastion, &r.Why} {
		*f = clean(*f, maxField)
	}
	h.Record = r
	return h
}

// clean makes text from elsewhere fit to be shown on one line.
func clean(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r == '\uFFFD' || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}
