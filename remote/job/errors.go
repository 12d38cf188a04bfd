package job

import (
	"errors"
	"fmt"

	"belay/remote"
)

// UnknownError says that nobody knows how a job ended, or whether it did.
// State is Rebooted, Orphaned or Lost.
type UnknownError struct {
	ID    string
	State State
}

func (e *UnknownError) Error() string {
	why := map[State]string{
		Rebooted: "the host was booted again while it ran",
		Orphaned: "its command still runs, but the process that waits for its exit status is gone",
		Lost:     "it is gone without leaving an exit status",
	}[e.State]
	return fmt.Sprintf("job %q: how it ended is unknown: %s; it will not be run again by itself: see what it has done, then decide", e.ID, why)
}

// ConflictError says that an ID was started before with another command. That
// one was left alone, and nothing was started.
type ConflictError struct{ ID string }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("job %q: was started before with another command; nothing was started now; give this command an id of its own", e.ID)
}

// CancelledError says that a job ended because it was cancelled.
type CancelledError struct {
	ID     string
	Began  bool // false: its command never began
	Status int  // exit status, when it began
}

func (e *CancelledError) Error() string {
	if !e.Began {
		return fmt.Sprintf("job %q: cancelled before it began; nothing was changed", e.ID)
	}
	return fmt.Sprintf("job %q: cancelled while it ran (exit status %d); what it had done so far stands", e.ID, e.Status)
}

// RefusedError says that the host could not take the job. Nothing was started.
type RefusedError struct{ ID, Why string }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("job %q: refused by the host, nothing was started: %s", e.ID, e.Why)
}

// StillRunningError says that processes of a cancelled job did not end even
// when killed: usually they hang in the kernel, on a dead disk or file server.
type StillRunningError struct{ ID string }

func (e *StillRunningError) Error() string {
	return fmt.Sprintf("job %q: still running 5 seconds after it was killed; usually it hangs on a disk or file server of the host", e.ID)
}

var (
	errSilent = errors.New("no sign of life from the other side")
	errBroken = errors.New("the answer ended before its end")
	errCut    = errors.New("the request was cut on its way")
)

// broken tells whether err is about the link, so that asking again is right.
func broken(err error) bool {
	var lost *remote.LostError
	var unreachable *remote.UnreachableError
	return errors.As(err, &lost) || errors.As(err, &unreachable) ||
		errors.Is(err, errSilent) || errors.Is(err, errBroken) || errors.Is(err, errCut)
}
