package steps

import (
	"context"
	"errors"
)

// Rechecker is a step whose Pending cannot see what a person mended by hand.
// After a failure, and only when a person says that they fixed it, Recheck is
// asked in place of Pending: what is still to change; none lets Verify decide.
// It is read-only. An error says why belay cannot tell.
type Rechecker interface {
	Recheck(ctx context.Context, e Env) ([]Change, error)
}

var errCannotSee = errors.New("the step has neither a verify nor a pending script, so belay cannot see whether it is fixed; nothing was changed: try it again, or skip it with a reason")

// Recheck leaves it to the verify script where there is no pending script: a
// script that failed is still to be run in Pending's eyes, whatever a person
// did since. A script that may be running yet is judged by Pending.
func (r *run) Recheck(ctx context.Context, e Env) ([]Change, error) {
	t, found, err := traceOf(e, runKey)
	if err != nil {
		return nil, err
	}
	over := !found || (t.Told || t.Attached) && !t.Orphan
	if r.PendingBy != "" || !over {
		return r.Pending(ctx, e)
	}
	if r.VerifyBy == "" {
		todo, err := r.Pending(ctx, e)
		if err == nil && len(todo) > 0 {
			err = errCannotSee
		}
		return todo, err
	}
	return nil, nil
}
