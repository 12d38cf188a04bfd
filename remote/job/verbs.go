package job

import (
	"context"
	"strconv"
	"time"

	"belay/remote"
)

// silence is how long the single-answer verbs wait for a sign of life.
const silence = 30 * time.Second

// Start starts the job unless it was started before, and tells how it stands
// then: Running, usually. It does not try again: *remote.LostError leaves open
// whether the job was started, and calling Start again is safe.
func Start(ctx context.Context, r remote.Runner, s Spec) (Report, error) {
	if err := s.check(); err != nil {
		return Report{}, err
	}
	cmd, in := s.command(), encode(s.Stdin.Reveal())
	return one(ctx, r, ask{id: s.ID, stdin: cmd + in,
		args: []string{"start", s.ID, strconv.Itoa(len(cmd)), strconv.Itoa(len(in)), s.sum()}})
}

// Look tells how a job stands and changes nothing.
func Look(ctx context.Context, r remote.Runner, id string) (Report, error) {
	return one(ctx, r, ask{id: id, pure: true, args: []string{"state", id}})
}

// Cancel ends a job: one that has not begun never will; otherwise its process
// group gets TERM and, grace later (to a tenth of a second), KILL. A job that
// has ended by itself is left as it is, with whatever it left running. The
// report tells how it stands afterwards; *StillRunningError if it lives on.
// Calling Cancel again, for instance after a broken link, is safe.
func Cancel(ctx context.Context, r remote.Runner, id string, grace time.Duration) (Report, error) {
	tenths := max(0, int64((grace+99*time.Millisecond)/(100*time.Millisecond)))
	rep, err := one(ctx, r, ask{id: id, args: []string{"cancel", id, strconv.FormatInt(tenths, 10)}})
	if err == nil && (rep.State == Running || rep.State == Orphaned) {
		err = &StillRunningError{id}
	}
	return rep, err
}

// Reap deletes a job's log and command from the host. The claim and the
// outcome stay, so that the ID is never run again. Call it only once the
// outcome is written down elsewhere. A job that runs, or may still begin, is
// left as it is.
func Reap(ctx context.Context, r remote.Runner, id string) (Report, error) {
	return one(ctx, r, ask{id: id, args: []string{"reap", id}})
}

func one(ctx context.Context, r remote.Runner, a ask) (Report, error) {
	if err := checkID(a.id); err != nil {
		return Report{}, err
	}
	a.silence = silence
	var f frames
	if err := call(ctx, r, a, &f); err != nil {
		return Report{}, err
	}
	return *f.report, nil
}
