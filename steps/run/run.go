package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"belay/remote"
	"belay/remote/hold"
	"belay/remote/secret"
	"belay/steps"
	"belay/steps/engine"
	"belay/steps/journal"
	"belay/steps/journal/pg"
	"belay/steps/plan"
)

// Run is a run directory that this process holds the lock of. It is what the
// engine writes to and asks, and it is a Session for screens.
type Run struct {
	logs
	dir     string
	plan    *plan.Plan
	journal Journal
	lock    *os.File
	red     *secret.Redactor
	engine  *engine.Engine

	mu      sync.Mutex
	live    Live
	writers map[string]*output
	answers map[string]chan journal.Answer
	prompts []*Prompt
	nextID  int
}

var (
	_ Session         = (*Run)(nil)
	_ engine.Operator = (*Run)(nil)
)

// Create makes the directory of a new run under root and opens its journal.
func Create(root, id string, p *plan.Plan, red *secret.Redactor, by journal.Author) (*Run, error) {
	return CreateIn(nil, root, id, p, red, by)
}

// CreateIn is Create with the journal in a database; nil is the directory.
func CreateIn(store *pg.Store, root, id string, p *plan.Plan, red *secret.Redactor, by journal.Author) (*Run, error) {
	dir := filepath.Join(root, id)
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o700); err != nil {
		return nil, err
	}
	l, err := lock(dir, by, "run")
	if err != nil {
		return nil, err
	}
	if err := save(dir, p); err != nil {
		l.Close()
		return nil, err
	}
	j, err := beginJournal(store, dir, p, by)
	if err != nil {
		l.Close()
		if store != nil { // an empty shell: the database was not reached
			os.RemoveAll(dir)
		}
		return nil, err
	}
	return newRun(dir, p, j, l, red), nil
}

// Open takes up a run that has ended or broken off. kinds are needed to read
// its copy of the plan. *LockedError when another belay works on it.
func Open(dir string, kinds plan.Kinds, red *secret.Redactor, by journal.Author, why string) (*Run, error) {
	l, err := lock(dir, by, why)
	if err != nil {
		return nil, err
	}
	p, err := saved(dir, kinds)
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("run %s: its copy of the plan cannot be read: %w", filepath.Base(dir), err)
	}
	j, err := takeJournal(dir, by, why)
	if err != nil {
		l.Close()
		return nil, err
	}
	return newRun(dir, p, j, l, red), nil
}

func newRun(dir string, p *plan.Plan, j Journal, l *os.File, red *secret.Redactor) *Run {
	public := string(p.Source)
	for _, o := range p.Overlays {
		public += "\n" + string(o.Source)
	}
	red.Public(public)
	return &Run{
		logs: newLogs(dir, p), dir: dir, plan: p, journal: j, lock: l, red: red,
		live:    Live{Progress: map[string]map[string]steps.Progress{}, Lights: map[string]Light{}},
		writers: map[string]*output{},
		answers: map[string]chan journal.Answer{},
	}
}

// ID is the name of the run.
func (r *Run) ID() string { return filepath.Base(r.dir) }

// Spec is what a run needs from outside to have its engine.
type Spec struct {
	Version string
	Dir     string // where it was begun; relative paths of the plan start there
	Hosts   remote.Hosts
	Secret  func(ctx context.Context, name string) (secret.Value, error)
	Author  journal.Author

	Hold      *hold.Record // what the locks on the hosts say of this run; nil: none are taken
	BreakLock string       // why other runs' locks may be broken
	Way       string       // back, named beforehand; "": the operator is asked

	Practice    bool                                          // the run is a rehearsal
	Rehearsed   func(map[string]journal.Size) journal.Finding // see engine.Engine; nil: nobody wants to know
	Unrehearsed string                                        // why it may run without a rehearsal

	LastSafe func(*journal.State) time.Time // see engine.Engine
	Copies   []string                       // steps whose size the assessment looks at

	Estimates json.RawMessage // see estimate.Estimates.Document; nil: none are recorded

	GoingBack func(*journal.State) string // how long a rollback takes from there; nil: nobody knows
}

// Engine makes the run's engine. It must be called before the run is shown.
func (r *Run) Engine(s Spec) *engine.Engine {
	r.engine = &engine.Engine{
		Run: r.ID(), Version: s.Version, Dir: s.Dir, Plan: r.plan, Log: redacting{r.journal, r.red},
		Hosts: s.Hosts, Operator: r, Author: s.Author, Secret: s.Secret,
		Hold: s.Hold, BreakLock: s.BreakLock, Way: s.Way, Practice: s.Practice, Rehearsed: s.Rehearsed, Unrehearsed: s.Unrehearsed,
		LastSafe: s.LastSafe, Copies: s.Copies, Estimates: s.Estimates,
		GoingBack: s.GoingBack, Output: r.output, Tail: r.logTail, Say: r.say,
		Looking: func(on bool) { r.mu.Lock(); r.live.Assessing = on; r.mu.Unlock() },
	}
	return r.engine
}

// Ended tells the screens that the engine has returned, and with what.
func (r *Run) Ended(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live.Ended, r.live.Err = true, err
}

// Close ends the logs, closes the journal and gives the lock back.
func (r *Run) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, w := range r.writers {
		errs = append(errs, w.Close())
	}
	r.writers = map[string]*output{}
	return errors.Join(append(errs, r.journal.Close(), r.lock.Close())...)
}

// output is one step's log on one host: redacted, cleaned, indexed.
type output struct {
	io.WriteCloser
	lines *lineWriter
	red   *secret.Redactor
}

var _ steps.Rewinder = (*output)(nil)

func (o *output) Close() error { return errors.Join(o.WriteCloser.Close(), o.lines.Close()) }

// Mark tells how far the log has come: steps.Rewinder.
func (o *output) Mark() (lines int, whole bool) {
	lines, whole = o.lines.mark()
	held, ok := o.WriteCloser.(interface{ Held() int })
	return lines, whole && ok && held.Held() == 0
}

// Rewind goes back to an earlier mark.
func (o *output) Rewind(lines int) (left int, err error) {
	o.WriteCloser = o.red.Writer(o.lines)
	return o.lines.rewind(lines)
}

func (r *Run) output(step, host string) io.Writer {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := logName(step, host)
	if w := r.writers[name]; w != nil {
		return w
	}
	lines, err := openLineWriter(filepath.Join(r.dir, "logs", name))
	if err != nil {
		return io.Discard // the disk is full or gone: the next append to the journal says so and stops the run
	}
	w := &output{r.red.Writer(lines), lines, r.red}
	r.writers[name] = w
	return w
}

func (r *Run) say(step, host string, p steps.Progress) {
	p.Text = r.red.String(p.Text)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live.Progress[step] == nil {
		r.live.Progress[step] = map[string]steps.Progress{}
	}
	r.live.Progress[step][host] = p
}

// hintLines is how far from its end a failed step's log is read for hints.
const hintLines = 400

func (r *Run) logTail(step, host string) []string {
	l := r.Log(step, host)
	var last []string
	for _, line := range l.Lines(max(0, l.Len()-hintLines), hintLines) {
		last = append(last, line.Text)
	}
	return last
}

// Light records how the connection to a host is doing.
func (r *Run) Light(host string, l remote.Light, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.live.Lights[host]; old.Light != l || old.Reason != reason {
		r.live.Lights[host] = Light{l, r.red.String(reason), time.Now()}
	}
}
