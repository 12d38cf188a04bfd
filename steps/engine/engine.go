package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/remote/hold"
	"belay/remote/secret"
	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// Log is where an engine writes what it does. Append returns when the event is
// on the disk; after an error the engine starts nothing more.
type Log interface {
	Append(journal.Event) error
	State() *journal.State
}

// Operator answers questions. Ask waits for one answer to q, which is open in
// the journal; it returns the cause of ctx when that ends first. The answer
// has passed Question.Check and Engine.Judge.
type Operator interface {
	Ask(ctx context.Context, q journal.Question) (journal.Answer, error)
}

// Engine walks one plan. All fields must be set but Tail, Say, Looking,
// Now, Judging, Rehearsed, LastSafe, Copies and what has a zero that says no.
type Engine struct {
	Run      string // the run's id
	Version  string // of belay
	Dir      string // where the run was begun
	Plan     *plan.Plan
	Log      Log
	Hosts    remote.Hosts
	Operator Operator
	Author   journal.Author
	Secret   func(ctx context.Context, name string) (secret.Value, error)
	Output   func(step, host string) io.Writer // a step's log; cleans and redacts
	Tail     func(step, host string) []string  // the last lines of that log, for hints; nil: none
	Say      func(step, host string, p steps.Progress)
	// Hold is what the locks on the hosts say of this run; Since is filled in.
	// nil: no locks are taken, looked at or released.
	Hold *hold.Record
	// BreakLock is why other runs' locks on the hosts may be broken, once, at
	// the beginning; empty: the operator is asked.
	BreakLock string
	// Way is the way back that the operator has named beforehand, one of the
	// plan's; only this one is offered then, where it is open.
	Way string
	// Practice says that the run is a rehearsal: its close asks to try the way back.
	Practice bool
	// Rehearsed says, in every assessment, whether the plan was rehearsed or, in
	// a rehearsal, whether it keeps away from the plan's own hosts; nil where
	// nobody wants to know. With Unrehearsed, the reason to do without, a
	// finding that would block is a warning that is accepted for that reason.
	// It is given what Copies would move here.
	Rehearsed   func(map[string]journal.Size) journal.Finding
	Unrehearsed string
	// GoingBack says how long a rollback takes from here and how that is known;
	// "" or nil: it is not.
	GoingBack func(*journal.State) string
	// LastSafe is when, from that state on, a rollback must begin to fit into the
	// window, or before the cutover has begun, when that must; zero: nobody knows.
	// nil: nobody ever knows.
	LastSafe func(*journal.State) time.Time
	// Copies are the ids of steps whose size the assessment looks at.
	Copies []string
	// Estimates, as a document, are recorded where the journal has none yet.
	Estimates json.RawMessage
	Looking   func(bool) // an assessment begins or ends
	Now       func() time.Time
	// Judging gathers facts and judges them; tests put their own findings here.
	Judging func(context.Context, []checks.Check) []checks.Finding

	begin   sync.Once
	halts   halting
	running cancels // the attempts that run now
	marks   sync.Mutex
	holding holding
	filling sync.Mutex  // of the checklist
	anew    func(error) // has the cutover's question asked anew; nil while it is not asked; under filling

	deciding sync.Mutex // whether a step may begin after the last safe moment

	measured func() // ends the measuring of the old server

	signEvery  time.Duration // for tests; 0: signEvery
	proveEvery time.Duration // for tests; 0: what the step says
}

// Why an engine ends before the plan does. Each is the cause of halt.
var (
	errStop     = errors.New("stopped by the operator")
	errNoGo     = errors.New("no-go")
	errRollback = errors.New("rollback asked for")
	// ErrCancelled ends a running attempt because the operator said so.
	ErrCancelled = errors.New("cancelled by the operator")
)

func (e *Engine) init() {
	e.begin.Do(func() {
		e.halts.reset()
		if e.Say == nil {
			e.Say = func(string, string, steps.Progress) {}
		}
		if e.Looking == nil {
			e.Looking = func(bool) {}
		}
		if e.Judging == nil {
			e.Judging = e.judge
		}
		if e.Now == nil {
			e.Now = time.Now
		}
	})
}

// Stop lets the running steps end and begins no other; open questions stay
// open, and the run can be resumed.
func (e *Engine) Stop() { e.init(); e.halts.now(errStop) }

// WantRollback lets the running steps end and then asks to roll back.
func (e *Engine) WantRollback() { e.init(); e.halts.now(errRollback) }

// Cancel ends the running attempts; the operator is then asked what next.
func (e *Engine) Cancel() { e.running.all(ErrCancelled) }

// Walk takes the run from wherever its journal left off to an end: closed,
// rolled back, no-go or stopped. When ctx ends (belay is leaving), detached
// work goes on, nothing is recorded as ended, and the run can be resumed. An
// error means that the journal could not be written or ctx has ended.
func (e *Engine) Walk(ctx context.Context) (journal.Status, error) { return e.take(ctx, e.forward) }

// Rollback takes up a rollback: of a run that had ended, or the debts of one.
func (e *Engine) Rollback(ctx context.Context) (journal.Status, error) {
	return e.take(ctx, func(ctx context.Context) error {
		err := e.rollback(ctx)
		if errors.Is(err, errBack) {
			err = errStop
		}
		return err
	})
}

// take opens the run, walks it, and records how that ended.
func (e *Engine) take(ctx context.Context, walk func(context.Context) error) (journal.Status, error) {
	e.init()
	ctx, stop := e.leaving(ctx)
	defer stop()
	defer e.rest()
	if err := e.open(); err != nil {
		return "", err
	}
	return e.end(walk(ctx))
}

// forward goes through the stages, and back when that is asked for.
func (e *Engine) forward(ctx context.Context) error {
	err := e.stages(ctx)
	for errors.Is(err, errRollback) {
		e.halts.reset()
		if ctx.Err() != nil {
			return steps.ErrDetach
		}
		if err = e.rollback(ctx); errors.Is(err, errBack) {
			err = e.stages(ctx)
		}
	}
	return err
}

// leaving returns a context whose cause, when ctx ends, is ErrDetach.
func (e *Engine) leaving(ctx context.Context) (context.Context, func()) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		cancel(steps.ErrDetach)
		e.halts.now(steps.ErrDetach)
	})
	return work, func() { stop(); cancel(nil) }
}

func (e *Engine) open() error {
	if s := e.Log.State(); s.Run == "" {
		var names []string
		for _, h := range e.Plan.Hosts {
			names = append(names, h.Name)
		}
		opened := journal.Opened{
			Run: e.Run, Plan: e.Plan.Name, PlanHash: e.Plan.Hash, Version: e.Version, Dir: e.Dir,
			Environment: e.Plan.Environment, Hosts: names, By: e.Author,
		}
		if e.Practice {
			opened.Rehearsal = e.Plan.Parts
		}
		if err := e.append(journal.Event{Type: journal.RunOpened}, opened); err != nil {
			return err
		}
		return errors.Join(e.estimated(), e.locate())
	} else if s.PlanHash != e.Plan.Hash {
		return fmt.Errorf("run %s was opened with another plan (hash %.12s, this one has %.12s); nothing was done: resume with the plan of the run directory",
			s.Run, s.PlanHash, e.Plan.Hash)
	}
	if err := e.append(journal.Event{Type: journal.RunResumed}, e.Author); err != nil {
		return err
	}
	return errors.Join(e.estimated(), e.locate())
}

// estimated records once how long the steps are expected to take, so that
// whoever reads this journal, wherever, counts on the same.
func (e *Engine) estimated() error {
	if len(e.Estimates) == 0 || e.Log.State().Estimates != nil {
		return nil
	}
	return e.Log.Append(journal.Event{Type: journal.Estimated, Data: e.Estimates})
}

// locate records where the hosts are, when that is not what is on record: what
// people sign is about those machines.
func (e *Engine) locate() error {
	places := map[string]string{}
	for _, name := range e.hostNames() {
		places[name] = e.Hosts[name].Addr
	}
	if maps.Equal(places, e.Log.State().Places) {
		return nil
	}
	return e.append(journal.Event{Type: journal.Located}, places)
}

// stages goes through the stages that are not done yet.
func (e *Engine) stages(ctx context.Context) error {
	s := e.Log.State()
	if _, asked := s.Open(journal.AskRollback, ""); s.Rollback != nil || s.Turning != nil || asked {
		return errRollback // also where belay ended before it was carried out, or confirmed
	}
	walks := map[journal.Stage]func(context.Context) error{
		journal.Assess:  e.assess,
		journal.Prepare: func(ctx context.Context) error { return e.groups(ctx, e.Plan.Prepare) },
		journal.Signoff: e.signoff,
		journal.Cutover: e.cutover,
		journal.Soak:    e.soak,
		journal.Close:   e.close,
	}
	e.measured = func() {}
	defer func() { e.measured() }()
	for _, stage := range journal.Stages {
		if !e.Log.State().Done[stage].IsZero() {
			continue
		}
		if s := e.Log.State(); s.Stage != stage || s.Reached[stage].IsZero() {
			if err := e.append(journal.Event{Type: journal.StageEntered, Key: string(stage)}, nil); err != nil {
				return err
			}
		}
		if stage != journal.Assess {
			if err := e.hold(ctx); err != nil {
				return err
			}
		}
		if stage == journal.Prepare || stage == journal.Signoff || stage == journal.Cutover {
			e.measured()
			e.measured = e.measure(ctx)
		}
		if err := walks[stage](ctx); err != nil {
			return err
		}
		if err := e.append(journal.Event{Type: journal.StageDone, Key: string(stage)}, nil); err != nil {
			return err
		}
	}
	return nil
}

// end records how the run ended, unless belay is leaving.
func (e *Engine) end(err error) (journal.Status, error) {
	var status journal.Status
	switch {
	case err == nil && e.Log.State().Rollback != nil:
		status = journal.RolledBack
	case err == nil:
		status = journal.Closed
	case errors.Is(err, errNoGo):
		status = journal.NoGo
	case errors.Is(err, errStop):
		status = journal.Stopped
	default:
		return e.Log.State().Status, err
	}
	if err := e.letGo(status); err != nil {
		return e.Log.State().Status, err
	}
	return status, e.append(journal.Event{Type: journal.RunEnded, Key: string(status)}, nil)
}

// append writes an event with data.
func (e *Engine) append(ev journal.Event, data any) error {
	if data != nil {
		b, err := json.Marshal(data)
		if err != nil {
			return fmt.Errorf("journal event %s: %w", ev.Type, err)
		}
		ev.Data = b
	}
	return e.Log.Append(ev)
}

// halting says that no further step may begin, and why. While a rollback runs
// after a halt it starts anew.
type halting struct {
	mu     sync.Mutex
	halt   context.Context
	cancel context.CancelCauseFunc
}

func (h *halting) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.halt, h.cancel = context.WithCancelCause(context.Background())
}

func (h *halting) now(cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cancel(cause)
}

func (h *halting) ctx() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.halt
}

// cause is nil while steps may begin.
func (h *halting) cause() error { return context.Cause(h.ctx()) }

// cancels are the ways to end the attempts that run.
type cancels struct {
	mu   sync.Mutex
	next int
	by   map[int]context.CancelCauseFunc
}

// begin returns a context for one attempt and the func that ends it.
func (c *cancels) begin(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[int]context.CancelCauseFunc{}
	}
	id := c.next
	c.next++
	c.by[id] = cancel
	return ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.by, id)
		cancel(nil)
	}
}

func (c *cancels) all(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cancel := range c.by {
		cancel(cause)
	}
}
