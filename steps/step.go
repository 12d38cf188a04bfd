package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"
)

// Step is one thing to do. For a step on several hosts the engine calls each
// method once a host, at the same time, with Env.Host set; so methods must not
// write to the step's own fields.
type Step interface {
	// Pending says what is still to change; none means already done. It is
	// read-only: its hosts refuse commands that do not promise to be Pure.
	Pending(ctx context.Context, e Env) ([]Change, error)
	// Apply makes the changes. It may be called again after a crash.
	Apply(ctx context.Context, e Env) error
	// Verify proves the outcome by another road than Apply took. Read-only.
	Verify(ctx context.Context, e Env) error
}

// Undoer is a step with a way back. Undo may be called again after a crash,
// after an Apply that stopped half way, and on a host where nothing was done.
// A kind whose way back depends on its parameters (a run with or without an
// undo script) is a WayBacker too.
type Undoer interface {
	Undo(ctx context.Context, e Env) error
}

// WayBacker is an Undoer that has a way back only with some parameters. Where
// WayBack is false, Undo returns ErrNoWayBack.
type WayBacker interface{ WayBack() bool }

// Resumer is a step that takes up after a crash what it had begun, rather than
// doing it again. Underway tells whether an earlier Apply on e.Host began
// something and never told how it ended: calling Apply then does nothing
// twice, so it needs no person. When false, ask Pending, and then a person.
// It looks at e.Memory only: the host need not be reachable.
type Resumer interface {
	Underway(e Env) (bool, error)
}

// Validator is a step that can refuse its parameters offline. Errors made with
// Field point at the parameter; errors.Join carries several.
type Validator interface{ Validate() error }

// Hoster is a step that names hosts in its parameters, besides `on`.
type Hoster interface{ HostNames() []string }

// Needer is a step that relies on conditions which the assessment can judge
// before anything has changed. on is the host the step will run on ("" for a
// step without one).
type Needer interface {
	Needs(on string) []checks.Check
}

// Bringer is a step that brings what later steps need, and an assessment cannot
// see yet: "port 5432 of db", in the words of checks.Finding.Awaits. on is as for
// Needer.
type Bringer interface {
	Brings(on string) []string
}

// Repeater is a step that may be tried again by itself (retry), because doing
// it twice equals doing it once.
type Repeater interface{ Repeatable() bool }

// Hinter is a step that knows what lines of its log, or of its error, mean when
// it fails. The plan's own hints come first.
type Hinter interface{ Hints() []Hint }

// Hint explains a line of a failed step's log.
type Hint struct {
	Match string // regular expression on one line
	Cause string // what it means
	Fix   string // what to do about it
}

// ErrDetach is the cause of a context that ends because belay goes away: work
// that can go on by itself shall go on. Any other cause means that the work
// shall be ended.
var ErrDetach = errors.New("belay is leaving; detached work goes on")

// Asker is a step that a person carries out: the engine asks and calls Apply
// with the answer in Env.Answer.
type Asker interface {
	Instruction() (text string, evidence string) // evidence: what must be typed as proof; "" for none
}

// Env is what a step is given to work with.
type Env struct {
	ID     string       // run, step and host: the same on every attempt; [A-Za-z0-9._-]; names jobs and temporary files
	Host   remote.Host  // the host of `on`; zero for a step without one
	Hosts  remote.Hosts // all the plan's hosts; read-only during Pending and Verify
	Secret func(ctx context.Context, name string) (secret.Value, error)
	Memory Memory // what Undo will need; kept per step and host
	// Recall is what any step of the run, on any host, remembers under a key: a
	// copy finds the last pass of its switch by that. nil: there are no others.
	Recall func(key string) []json.RawMessage
	Log    io.Writer      // the step's log; already redacted and cleaned behind it
	Say    func(Progress) // for the screen only; may be lost; never nil
	Link   func(string)   // what happens to the connection, in words; never nil
	Answer string         // of an Asker
}

// Rewinder is a Log that can go back, so that output which is followed again
// from an earlier place is told once and not twice.
type Rewinder interface {
	// Mark is how many lines the log has; whole is false while a part of what
	// was written is not among them yet.
	Mark() (lines int, whole bool)
	// Rewind forgets all but the first lines. It returns how many there are
	// then: fewer, if the end of the log was lost.
	Rewind(lines int) (left int, err error)
}

// Memory outlives the process: Put returns when the value is on the disk.
type Memory interface {
	Put(key string, v any) error
	Get(key string, v any) (found bool, err error)
}

// Change is one thing still to do, for the dry run and the step card.
type Change struct {
	Text  string // one line: "write /etc/nginx/site.conf (3 lines differ)"
	Cmd   string // the exact command, where there is one
	Diff  string // unified diff, where a text file changes
	Bytes int64  // to copy; 0 when not known
	Rows  int64
}

// Progress is how far a step has come on one host.
type Progress struct {
	Done, Total int64  // Total 0: not known
	Unit        string // "B" for bytes, else a plural noun: "rows"
	Text        string // what is being done: "table messages"
}

// Kind is one kind of step.
type Kind struct {
	Name     string // as the plan writes it: "files.edit"
	Summary  string // one sentence
	Example  string // YAML of one whole step; help, schema and first test
	NoHost   bool   // runs nowhere: `on` is refused
	Close    bool   // stands in close only: what it does cannot be taken back
	Optional bool   // `on` may be absent even in a plan of several hosts (the step names its own hosts)
	New      func() Step
}

var kinds = map[string]Kind{}

func register(k Kind) {
	if _, twice := kinds[k.Name]; twice {
		panic(fmt.Sprintf("kind of step %q registered twice", k.Name))
	}
	kinds[k.Name] = k
}

// All returns every kind of step by name, in a fresh map.
func All() map[string]Kind { return maps.Clone(kinds) }

// Field makes the refusal of one parameter; see checks.FieldError.
func Field(name, format string, args ...any) error { return checks.Field(name, format, args...) }

// ErrNoWayBack is returned by Undo when what was done cannot be undone.
var ErrNoWayBack = errors.New("no way back")

// MapMemory is a Memory for tests.
type MapMemory map[string]json.RawMessage

// Put stores v.
func (m MapMemory) Put(key string, v any) error {
	b, err := json.Marshal(v)
	m[key] = b
	return err
}

// Get reads v.
func (m MapMemory) Get(key string, v any) (bool, error) {
	b, ok := m[key]
	if !ok {
		return false, nil
	}
	return true, json.Unmarshal(b, v)
}
