package job

import (
	"context"
	"fmt"
	"io"
	"time"

	"belay/remote"
)

// Options say how a job is followed. The zero value is usable.
type Options struct {
	Log    io.Writer          // the job's output; nil: discarded
	Offset int64              // the byte of the job's log to begin with: how much Log holds already
	Seen   func(offset int64) // called after each Write to Log with the next offset
	// Link tells how the connection is doing: Up after the first answer,
	// Reconnecting with the reason when it broke, Down when Patience has ended.
	Link     func(l remote.Light, why error)
	Patience time.Duration // how long to go on without any answer; default 10 min
	Silence  time.Duration // how long a link may say nothing (heartbeats come every 5 s); default 15 s
	// CancelOnContext cancels the job when ctx ends. Without it the job goes on.
	CancelOnContext bool
	Grace           time.Duration // between TERM and KILL then; default 10 s
}

func (o Options) filled() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.Patience, 10*time.Minute)
	def(&o.Silence, 15*time.Second)
	def(&o.Grace, 10*time.Second)
	if o.Link == nil {
		o.Link = func(remote.Light, error) {}
	}
	return o
}

// Result tells what happened besides the outcome.
type Result struct {
	Report
	Offset   int64 // the next byte of the log
	Attached bool  // the job had been started before
	Shrunk   bool  // somebody cut the job's log on the host: bytes are missing from Log
}

// Run starts the job, or attaches to it, and follows it to its end. nil is
// status 0. Any other outcome is *remote.ExitError (with the end of the log as
// Stderr, as it stands there: the caller takes secrets out), *CancelledError, *UnknownError, *ConflictError or *RefusedError.
//
// While the link is broken, or the host not to be reached, Run tries again
// with back-off until there was no answer for o.Patience; then it returns what
// the Runner said (*remote.LostError, *remote.UnreachableError), which says
// nothing about the job. When ctx ends, Run returns its cause and leaves the
// job alone, unless o.CancelOnContext. An error of o.Log also ends only Run.
func Run(ctx context.Context, r remote.Runner, s Spec, o Options) (Result, error) {
	if err := s.check(); err != nil {
		return Result{Offset: o.Offset}, err
	}
	o = o.filled()
	f := newFollower(r, s.ID, o)
	err := f.run(ctx, &s)
	if err != nil && ctx.Err() != nil && o.CancelOnContext {
		late, stop := context.WithTimeout(context.WithoutCancel(ctx), o.Grace+30*time.Second)
		defer stop()
		if _, cerr := Cancel(late, r, s.ID, o.Grace); cerr != nil {
			err = fmt.Errorf("%w; and it was not cancelled: %w", err, cerr)
		}
		return f.result, err
	}
	if err == nil {
		err = f.outcome(ctx)
	}
	return f.result, err
}

// Follow is Run for a job that was started before: it never starts one. A job
// that nobody knows, or that has not begun, ends it with *RefusedError.
func Follow(ctx context.Context, r remote.Runner, id string, o Options) (Result, error) {
	if err := checkID(id); err != nil {
		return Result{Offset: o.Offset}, err
	}
	f := newFollower(r, id, o.filled())
	err := f.run(ctx, nil)
	if err == nil {
		err = f.outcome(ctx)
	}
	return f.result, err
}
