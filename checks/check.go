package checks

import (
	"context"
	"fmt"
	"maps"
	"reflect"

	"belay/remote"
	"belay/remote/secret"
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

	// Awaits is what is not there yet, of an Unknown or a Warn that is so for want of it:
	// "port 5432 of db". A step of the plan may bring it (steps.Bringer).
	Awaits string

	Took float64 // what a good look measured, for a soak to compare; 0: this check measures nothing
	Unit string  // of Took: "" is milliseconds
}

// ID names what was judged, the same over re-checks: "port/chat/8088". Judge
// makes sure that no two findings of one list share it.
func (f Finding) ID() string { return f.Check + "/" + f.Host + "/" + f.Key }

// World is what a check may look at. A host that was not reached has no facts;
// a check that needs them says Unknown.
type World struct {
	Hosts remote.Hosts
	Facts map[string]*Facts
	// Unreached says why a host has no facts (the second map of GatherAll).
	// Every check but "reachable" leaves such a host alone and says Unknown.
	Unreached map[string]error
	// Secret resolves a secret.Ref; nil where a plan's secrets are not at hand.
	Secret func(ctx context.Context, name string) (secret.Value, error)
	// Prove proves again what a step of the run has proved; nil where there is no
	// run.
	Prove func(ctx context.Context, step string) Finding
	// Memory is what a probe of a soak keeps from look to look; nil elsewhere. The
	// check may change it, and finds it again after a resume.
	Memory map[string]string
}

// Check judges. An error means that it could not: the caller records it as
// Unknown. Assess changes nothing: the hosts it gets are read-only. The checks
// of a plan give exactly one finding a host, in the order of `on`.
type Check interface {
	Assess(ctx context.Context, w World) ([]Finding, error)
}

// FactReader is a check that says whether it looks at World.Facts. Who asks it
// again and again (a wait, a soak) gathers anew each time if so; a check that
// is no FactReader, or says false, looks for itself and needs no facts.
type FactReader interface{ NeedsFacts() bool }

// Marker is a check that looks at what has come since the cutover. Mark is asked
// right before that and puts into w.Memory from where on to look; Marks says
// whether this one wants it.
type Marker interface {
	Marks() bool
	Mark(ctx context.Context, w World) error
}

// Validator is a check that can refuse its parameters before any host is
// contacted; errors made with Field point at one of them.
type Validator interface{ Validate() error }

// Hoster is a check that names hosts in its parameters.
type Hoster interface{ HostNames() []string }

// Namer is a check that no plan can write, such as what a step needs; its
// findings are called by that name: "postgres".
type Namer interface{ CheckName() string }

// Kind is one kind of check that a plan may use under assess, wait or watch.
type Kind struct {
	Name    string // as the plan writes it: "port"
	Summary string // one sentence
	Example string // a YAML list item under assess; help, schema and test at once
	New     func() Check
}

var (
	kinds     = map[string]Kind{}
	kindNames = map[reflect.Type]string{}
)

func register(k Kind) {
	if _, twice := kinds[k.Name]; twice {
		panic(fmt.Sprintf("check kind %q registered twice", k.Name))
	}
	kinds[k.Name] = k
	kindNames[reflect.TypeOf(k.New())] = k.Name
}

// Name is what a check's findings call it: its kind, "disk-space" and the like
// for a standing check, else its Go type.
func Name(c Check) string {
	switch c := c.(type) {
	case standing:
		return c.name
	case reachable:
		return reachableName
	case sameMachine:
		return sameName
	}
	if n := kindNames[reflect.TypeOf(c)]; n != "" {
		return n
	}
	if n, ok := c.(Namer); ok {
		return n.CheckName()
	}
	return fmt.Sprintf("%T", c)
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
