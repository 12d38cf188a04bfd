package compare

import (
	"slices"
	"time"
)

// How two things differ, seen from the old side.
const (
	Missing   = "missing"   // the old side has it, the new one does not
	Extra     = "extra"     // the new side has it, the old one does not
	Different = "different" // both have it, and not alike
	Unsteady  = "unsteady"  // fingerprints differed, and a moment later the rows did not: it is being written to
)

// Result is the outcome of one comparison: evidence, to be kept as JSON.
type Result struct {
	Begun time.Time     `json:"begun"`
	Took  time.Duration `json:"took"` // nanoseconds
	Pairs []Outcome     `json:"pairs"`
}

// Outcome is what became of one pair.
type Outcome struct {
	Name    string    `json:"name"`
	What    string    `json:"what,omitempty"` // postgres, mysql, redis, files
	Old     Tally     `json:"old"`
	New     Tally     `json:"new"`
	Differs []Differs `json:"differs,omitempty"` // the first ones; sorted as the objects are
	More    int64     `json:"more,omitempty"`    // differences that are counted and not named
	AtLeast bool      `json:"at_least,omitempty"`
	Ignored []Ignored `json:"ignored,omitempty"`
	Notes   []string  `json:"notes,omitempty"`
	Errs    []string  `json:"errs,omitempty"` // what could not be compared, and why
}

// Tally is how much of a store was looked at.
type Tally struct {
	Objects int64  `json:"objects"`
	Tables  int64  `json:"tables"` // objects with rows
	Rows    int64  `json:"rows"`
	Kind    string `json:"kind,omitempty"` // of the objects with rows; "" when there are several
	Said    string `json:"said,omitempty"` // in the words that the plan asked for: "29 projects, 5 users"
}

// Differs is one thing that is not the same on both sides.
type Differs struct {
	How    string `json:"how"`
	Kind   string `json:"kind"`
	Object string `json:"object"`
	Key    string `json:"key,omitempty"` // of a row; empty for the object itself
	Times  int64  `json:"times,omitempty"`
	Old    string `json:"old,omitempty"` // in words, where there are some
	New    string `json:"new,omitempty"`
}

// Ignored is something that differs and does not count, by the plan's word.
type Ignored struct {
	Object string `json:"object"`
	Why    string `json:"why"`
}

// Equal tells whether all of the pair was compared and nothing differs.
func (o Outcome) Equal() bool { return len(o.Errs) == 0 && len(o.Differs) == 0 && o.More == 0 }

// Known tells whether all of the pair could be compared.
func (o Outcome) Known() bool { return len(o.Errs) == 0 }

// Equal tells whether every pair is. A Result without pairs proves nothing.
func (r Result) Equal() bool {
	return len(r.Pairs) > 0 && !slices.ContainsFunc(r.Pairs, func(o Outcome) bool { return !o.Equal() })
}

// Ended is the moment that the Result speaks of.
func (r Result) Ended() time.Time { return r.Begun.Add(r.Took) }

func (o *Outcome) count() int64 { return int64(len(o.Differs)) + o.More }
