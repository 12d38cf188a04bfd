package engine

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"belay/remote/hold"
	"belay/steps/journal"
)

const (
	signEvery = time.Minute // a sign of life of a run that is driven
	dropLimit = 20 * time.Second
)

// sign gives signs of life until ctx ends. A lock that is gone is taken again;
// when another run has it, this one begins nothing more.
func (e *Engine) sign(ctx context.Context) {
	tick := time.NewTicker(cmp.Or(e.signEvery, signEvery))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		fresh, refused := e.takeAll(ctx)
		if ctx.Err() != nil {
			return
		}
		// The next append of the run meets the error that these may meet.
		if len(fresh) > 0 {
			_ = e.note("locked for this run: %s (the lock was not there any more)", strings.Join(inOrder(fresh), ", "))
		}
		for _, d := range refused {
			if isHeld(d.err) {
				e.holding.mu.Lock()
				e.holding.lost = true
				e.holding.mu.Unlock()
				_ = e.note("this run's lock was taken away, so it begins nothing more: %v", d.err)
				e.halts.now(errStop)
				return
			}
		}
	}
}

// rest ends the signs of life.
func (e *Engine) rest() {
	if e.holding.stop != nil {
		e.holding.stop()
		e.holding.stop = nil
	}
	e.holding.all = false
}

// letGo gives the hosts back when the run ends for good, or without having
// begun anything; else it says that they stay locked.
func (e *Engine) letGo(status journal.Status) error {
	if e.Hold == nil {
		return nil
	}
	e.rest()
	over := status == journal.Closed || status == journal.RolledBack && len(e.Log.State().Debts) == 0
	switch {
	case over:
		return e.released(e.drop(e.hostNames()))
	case e.anyBegun() && e.holding.lost:
		return nil // said already
	case e.anyBegun():
		return e.note("stays locked for this run until it is closed, or rolled back without debts: %s", strings.Join(e.hostNames(), ", "))
	}
	var names []string
	for _, name := range e.hostNames() {
		if e.holding.maybe[name] {
			names = append(names, name)
		}
	}
	return e.released(e.drop(names))
}

// drop releases the hosts; a host that did not have the lock is in neither list.
func (e *Engine) drop(names []string) (gone []string, failed []denied) {
	ctx, stop := context.WithTimeoutCause(context.Background(), dropLimit, fmt.Errorf("no answer within %s", dropLimit))
	defer stop()
	e.onHosts(names, func(name string) {
		had, err := hold.Release(ctx, e.Hosts[name], e.Hold.Run)
		e.holding.mu.Lock()
		defer e.holding.mu.Unlock()
		switch {
		case err != nil:
			failed = append(failed, denied{name, err})
		case had:
			gone = append(gone, name)
			fallthrough
		default:
			delete(e.holding.maybe, name)
		}
	})
	return gone, failed
}

func (e *Engine) released(gone []string, failed []denied) error {
	if len(gone) > 0 {
		if err := e.note("lock released: %s", strings.Join(inOrder(gone), ", ")); err != nil {
			return err
		}
	}
	for _, d := range failed {
		if err := e.note("lock on %s not released; the next run there has to break it: %v", d.host, d.err); err != nil {
			return err
		}
	}
	return nil
}
