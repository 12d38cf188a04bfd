package checks

import (
	"context"
	"fmt"
	"maps"

	"belay/remote"
)

// Level is how bad a finding is. The zero Level is Unknown, so that a
// forgotten verdict never passes.
type Level int

// The levels. Block stops the run; Warn needs a word of reason; Unknown must
// be cleared up or accepted with a reason, and never counts as Pass.
const (
	Unknown Level = iota
	Pass
	Warn
	Block
)

func (l Level) String() string { return [...]string{"unknown", "pass", "warn", "block"}[l] }

// Finding is one verdict.
type Finding struct {
	Check  string // the check's kind: "port"
	Key    string // what was judged, stable over re-checks: "8088"
	Host   string // "" when it is about several
	Level  Level
	Text   string // one sentence: "port 8088 is held by stoatchat (pid 412)"
	Fix    string // what to do about it; empty for Pass
	Detail string // lines of evidence, for the detail card
}

// World is what a check may look at. A host that was not reached has no facts;
// a check that needs them says Unknown.
type World struct {
	Hosts remote.Hosts
	Facts map[string]*Facts
}

// Check judges. An error means that it could not: the caller records it as
// Unknown. Assess changes nothing: the hosts it gets are read-only.
type Check interface {
	Assess(ctx context.Context, w World) ([]Finding, error)
}

// Validator is a check that can refuse its parameters before any host is
// contacted; errors made with Field point at one of them.
type Validator interface{ Validate() error }

// Hoster is a check that names hosts in its parameters.
type Hoster interface{ HostNames() []string }

// Kind is one kind of check that a plan may use under assess, wait or watch.
type Kind struct {
	Name    string // as the plan writes it: "port"
	Summary string // one sentence
	Example string // a YAML list item under assess; help, schema and test at once
	New     func() Check
}

var kinds = map[string]Kind{}

func register(k Kind) {
	if _, twice := kinds[k.Name]; twice {
		panic(fmt.Sprintf("check kind %q registered twice", k.Name))
	}
	kinds[k.Name] = k
}

// All returns every kind of check by name, in a fresh map.
func All() map[string]Kind { return maps.Clone(kinds) }

// FieldError is the refusal of one parameter of a step or a check.
type FieldError struct {
	Field string // its name in the plan; dots go down: "set.PORT"
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *FieldError) Unwrap() error { return e.Err }

// Field makes a FieldError.
func Field(name, format string, args ...any) error {
	return &FieldError{name, fmt.Errorf(format, args...)}
}
