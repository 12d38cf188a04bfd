package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"belay/remote"
	"belay/remote/job"
)

// runTrace is what is remembered of a script's newest execution. It is on the
// disk before the execution begins, so that whoever comes after a crash finds
// the same execution, and before its end is told, so that whoever is told of a
// failure and tries again gets a new one:
//
//	no trace, or told  a further execution begins, with the next number
//	not told           the execution of this number is taken up: begun if it
//	                   never was, followed if it runs, asked if it has ended
type runTrace struct {
	N        int    `json:"n"`
	Attached bool   `json:"attached,omitempty"` // on the open connection: it cannot be taken up
	Told     bool   `json:"told,omitempty"`     // how it ended is known, and was said
	How      string `json:"how,omitempty"`      // the end in words
	OK       bool   `json:"ok,omitempty"`       // it ended with 0
	Orphan   bool   `json:"orphan,omitempty"`   // told as unknown, while it still ran
	Undone   bool   `json:"undone,omitempty"`   // taken back since
	Of       int    `json:"of,omitempty"`       // of an undo: the execution that it takes back
	Offset   int64  `json:"offset,omitempty"`   // of its log, what the first lines of the step's log hold
	Lines    int    `json:"lines,omitempty"`    // how many lines of the step's log; 0 when it cannot go back
	Counted  int64  `json:"counted,omitempty"`  // for LogProgress
}

// The keys of the two traces in a step's memory.
const (
	runKey  = "job"
	undoKey = "undo"
)

func traceOf(e Env, key string) (t runTrace, found bool, err error) {
	found, err = e.Memory.Get(key, &t)
	return t, found, err
}

// id names the execution on the host.
func (t runTrace) id(e Env, key string) string {
	if key == undoKey {
		return fmt.Sprintf("%s.undo.%d", e.ID, t.N)
	}
	return fmt.Sprintf("%s.%d", e.ID, t.N)
}

// next is the trace to go on with: the open one, or a new one, remembered.
func nextTrace(ctx context.Context, e Env, key string, fresh runTrace) (runTrace, error) {
	t, found, err := traceOf(e, key)
	if err != nil || found && !t.Told && !t.Attached {
		return t, err
	}
	if t.Orphan {
		rep, err := job.Look(ctx, e.Host, t.id(e, key))
		if err != nil {
			return t, err
		}
		if rep.State == job.Orphaned {
			return t, fmt.Errorf("the earlier execution (job %s) still runs, and nobody can tell how it will end: end it on %s, then try again; nothing was started now", t.id(e, key), e.Host.Name)
		}
	}
	fresh.N = t.N + 1
	if log, ok := e.Log.(Rewinder); ok {
		fresh.Lines, _ = log.Mark()
	}
	return fresh, e.Memory.Put(key, fresh)
}

// execute runs s once a trace: as a job, or attached if fresh says so.
// Without its secrets nothing is begun, and no trace says that something was.
func execute(ctx context.Context, e Env, key string, fresh runTrace, s runScript, p *LogProgress) error {
	if t, found, err := traceOf(e, key); err == nil && (!found || t.Told || t.Attached) {
		if _, err := s.stdin(ctx, e); err != nil {
			return fmt.Errorf("%w; it was not started", err)
		}
	}
	if fresh.Attached {
		return runAttached(ctx, e, key, fresh, s, p)
	}
	return runJob(ctx, e, key, fresh, s, p)
}

// undoOnce executes a way back unless the one of the same number ended well.
// A host that is not reached at once is an error at once: a rollback lists it
// and goes on to the others.
func undoOnce(ctx context.Context, e Env, fresh runTrace, s runScript) error {
	if _, err := job.Look(ctx, e.Host, fresh.id(e, undoKey)); err != nil {
		return err
	}
	for {
		t, _, err := traceOf(e, undoKey)
		if err != nil || t.OK && t.Of == fresh.Of {
			return err
		}
		// The open one may be of an earlier round: then it is only followed to
		// its end, and the next turn begins ours.
		if err := execute(ctx, e, undoKey, fresh, s, nil); err != nil {
			return err
		}
	}
}

// runAttached executes s on the open connection.
func runAttached(ctx context.Context, e Env, key string, fresh runTrace, s runScript, p *LogProgress) error {
	t, err := nextTrace(ctx, e, key, fresh)
	if err != nil {
		return err
	}
	c, err := s.command(ctx, e)
	if err != nil {
		return err
	}
	f := &runFollow{e: e, key: key, t: &t, progress: newProgressWriter(p, 0, e.Say)}
	c.Stdout, c.Stderr = f, f
	err = e.Host.Run(ctx, c)
	if exit, ended := errors.AsType[*remote.ExitError](err); ended {
		exit.Argv = nil // the whole script
	} else if err != nil {
		return err // nobody knows how it ended
	}
	t.Told, t.OK = true, err == nil
	if err != nil {
		t.How = err.Error()
	}
	return errors.Join(err, e.Memory.Put(key, t))
}

// runJob executes s as a job that outlives belay and the connection.
func runJob(ctx context.Context, e Env, key string, fresh runTrace, s runScript, p *LogProgress) error {
	t, err := nextTrace(ctx, e, key, fresh)
	if err != nil {
		return err
	}
	in, err := s.stdin(ctx, e)
	if err != nil {
		return err
	}
	if err := t.rewind(e); err != nil {
		return err
	}
	f := &runFollow{e: e, key: key, t: &t, saved: time.Now(), progress: newProgressWriter(p, t.Counted, e.Say)}
	spec := job.Spec{ID: t.id(e, key), Script: s.prelude() + s.Script, Dir: s.Dir, Env: s.Env, Stdin: in}
	res, err := job.Run(ctx, e.Host, spec, job.Options{
		Log: f, Offset: t.Offset, Seen: f.seen, Link: f.link,
	})
	f.mark(res.Offset)
	if res.Shrunk {
		fmt.Fprintln(e.Log, "-- somebody cut this job's log on the host: some of its output is missing here")
	}
	if err != nil && ctx.Err() != nil {
		return f.interrupted(ctx)
	}
	return f.tell(ctx, err)
}

// tell remembers how the execution ended, if that is what err says.
func (f *runFollow) tell(ctx context.Context, err error) error {
	exit, ended := errors.AsType[*remote.ExitError](err)
	unknown, isUnknown := errors.AsType[*job.UnknownError](err)
	_, cancelled := errors.AsType[*job.CancelledError](err)
	_, refused := errors.AsType[*job.RefusedError](err)
	_, conflict := errors.AsType[*job.ConflictError](err)
	switch {
	case err == nil, ended, isUnknown, cancelled, refused, conflict:
	default:
		return err // about the link, or this side: the execution stays open
	}
	f.t.Told, f.t.OK = true, err == nil
	f.t.Orphan = isUnknown && unknown.State == job.Orphaned
	if err != nil {
		f.t.How = err.Error()
	}
	if perr := f.e.Memory.Put(f.key, f.t); perr != nil {
		return errors.Join(err, perr)
	}
	if err == nil || ended {
		// The log is here: what is on the host is of no more use. A refusal
		// leaves a few files behind, nothing else.
		_, _ = job.Reap(ctx, f.e.Host, f.t.id(f.e, f.key))
	}
	if ended {
		exit.Argv = nil // the job's id says nothing to people
	}
	return err
}

// interrupted ends the job, unless belay only goes away.
func (f *runFollow) interrupted(ctx context.Context) error {
	cause := context.Cause(ctx)
	id := f.t.id(f.e, f.key)
	if errors.Is(cause, ErrDetach) {
		return errors.Join(cause, f.e.Memory.Put(f.key, f.t))
	}
	late, stop := context.WithTimeout(context.WithoutCancel(ctx), runGrace+30*time.Second)
	defer stop()
	rep, err := job.Cancel(late, f.e.Host, id, runGrace)
	if err != nil {
		return fmt.Errorf("%w; the script could not be ended and may still run as job %s: %w", cause, id, err)
	}
	f.t.Told, f.t.How = true, cause.Error()
	f.t.OK = rep.State == job.Done && rep.Began && rep.Status == 0 && !rep.Cancelled
	f.t.Orphan = false
	return errors.Join(cause, f.e.Memory.Put(f.key, f.t))
}

const (
	runGrace = 10 * time.Second // between TERM and KILL when a script is ended
	runSave  = 5 * time.Second  // how often the place in the log is remembered
)

// runFollow takes the output of an execution in.
type runFollow struct {
	e        Env
	key      string
	t        *runTrace
	progress *progressWriter
	saved    time.Time
	down     bool
	err      error
}

// Write is where a memory that cannot be written ends the following: nothing
// may go on that the journal will not know.
func (f *runFollow) Write(b []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return io.MultiWriter(f.e.Log, f.progress).Write(b)
}

// rewind takes back from the step's log what came after the remembered place:
// it is going to be told again. Where the log has lost its end with the power,
// the whole output is.
func (t *runTrace) rewind(e Env) error {
	log, ok := e.Log.(Rewinder)
	if !ok || t.Lines == 0 {
		return nil
	}
	if now, _ := log.Mark(); now == t.Lines {
		return nil
	}
	left, err := log.Rewind(t.Lines)
	if err != nil {
		return fmt.Errorf("the step's log: %w; nothing was started or ended", err)
	}
	said := "-- taking up what was left running"
	if left < t.Lines {
		t.Offset, t.Counted = 0, 0
		said = "-- the end of this log was lost; the output follows from its beginning"
	}
	fmt.Fprintln(e.Log, said)
	return nil
}

// mark notes the place, unless a part of what came is on its way into the log.
func (f *runFollow) mark(offset int64) {
	if log, ok := f.e.Log.(Rewinder); ok {
		lines, whole := log.Mark()
		if !whole {
			return
		}
		f.t.Lines = lines
	}
	f.t.Offset, f.t.Counted = offset, f.progress.counted
}

// seen remembers the place every few seconds, so that after a crash the output
// goes on there.
func (f *runFollow) seen(offset int64) {
	f.mark(offset)
	if f.err == nil && time.Since(f.saved) >= runSave {
		f.saved, f.err = time.Now(), f.e.Memory.Put(f.key, f.t)
	}
}

func (f *runFollow) link(l remote.Light, why error) {
	switch {
	case l == remote.Up && f.down:
		f.e.Link("connected again; the script went on meanwhile")
	case l == remote.Reconnecting && !f.down:
		f.e.Link(fmt.Sprintf("lost (%v); the script goes on without us, connecting again", why))
	case l == remote.Down:
		f.e.Link(fmt.Sprintf("given up (%v); if the script was started, it goes on", why))
	}
	f.down = l != remote.Up
}
