package redis

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Handover makes the replica To the master in place of From, so that no write
// that From acknowledged is missing.
type Handover struct {
	From, To *Client
	Was      GuardWas      // the settings of From before the first attempt
	Pause    time.Duration // longest time that writers wait; then they go on at From, and nothing has changed
	// LastPass, when set, brings what To lacks while writers are held: To is no
	// replica then but a copy.
	LastPass func(ctx context.Context) error
	Say      func(text string)
}

// Frozen is how long writers could write nowhere.
type Frozen struct {
	From, To time.Time
	Writers  *Writers // held yet at From; nil where only the guard keeps them out
}

// For is the length.
func (f Frozen) For() time.Duration { return f.To.Sub(f.From) }

// ErrNotHeld is wrapped by what ends a handover before anything has changed:
// the writers go on at From.
var ErrNotHeld = errors.New("the writers go on at the source, as before; the target was not promoted")

// margin is what the last acts need of the pause.
const margin = 500 * time.Millisecond

// Run holds the writers of From, waits until To has all, guards From so that it
// refuses writes from then on, and promotes To. On success From refuses writes
// (Guard) and writers are held (Writers): who wants otherwise says Unguard and
// Release. If an answer is lost after the guard, From stays guarded: two
// masters that both take writes are worse than none; Run again finds out.
func (h Handover) Run(ctx context.Context) (f Frozen, err error) {
	i, err := h.From.Info(ctx)
	if err != nil {
		return f, err
	}
	f.From = time.Now()
	if i.Since("6.2") {
		if f.Writers, err = h.From.Hold(ctx, h.Pause); err != nil {
			return f, fmt.Errorf("hold the writers: %w; %w", err, ErrNotHeld)
		}
	} else if err := h.From.Guard(ctx); err != nil { // older ones refuse in place of waiting
		return f, fmt.Errorf("refuse writes: %w; %w", err, ErrNotHeld)
	}
	deadline := f.From.Add(h.Pause - min(margin, h.Pause/4))
	if err := h.handOver(ctx, deadline); err != nil {
		return f, h.letGo(ctx, f, err)
	}
	if err := h.promote(ctx); err != nil {
		return f, err
	}
	f.To = time.Now()
	return f, nil
}

// handOver brings everything over and closes the source for good. deadline is
// before the server lets its writers go.
func (h Handover) handOver(parent context.Context, deadline time.Time) error {
	ctx, stop := context.WithDeadlineCause(parent, deadline, fmt.Errorf("the target did not have everything within the %v that writers may wait", h.Pause))
	defer stop()
	if h.LastPass != nil {
		if err := h.LastPass(ctx); err != nil {
			return err
		}
	} else if err := h.caughtUp(ctx); err != nil {
		return err
	}
	if err := h.From.Guard(ctx); err != nil {
		return err
	}
	return context.Cause(ctx) // beyond it a writer may have been let go before the guard stood
}

// caughtUp waits until the replica has every byte that the source had written
// when its writers were held, and compares what both count.
func (h Handover) caughtUp(ctx context.Context) error {
	a, err := h.From.Info(ctx)
	if err != nil {
		return err
	}
	want := a.Offset
	for {
		b, err := h.To.Info(ctx)
		if err != nil {
			return err
		}
		if !Follows(b, a) {
			return fmt.Errorf("%s lost the source just now (link up: %v)", h.To.Server, b.LinkUp)
		}
		if b.Offset >= want {
			if now, err := h.From.Info(ctx); err != nil {
				return err
			} else if !SameSpaces(now, b) {
				return fmt.Errorf("at the same offset the source holds %s and the target %s", now.Spaces(), b.Spaces())
			}
			return nil
		}
		h.Say(fmt.Sprintf("writers are held; %d bytes to come", want-b.Offset))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// promote makes To the master. A lost answer is asked for again for a while.
func (h Handover) promote(ctx context.Context) error {
	err := h.To.Promote(ctx)
	for try := 0; Broken(err) && try < 20 && ctx.Err() == nil; try++ {
		time.Sleep(250 * time.Millisecond)
		err = h.To.Promote(ctx) // of a master it changes nothing
	}
	if err != nil {
		return fmt.Errorf("promote the target: %w; the source holds everything and refuses writes (%s %s) until this step is tried again or undone", err, guardSetting, guardValue)
	}
	i, err := h.To.Info(ctx)
	if err == nil && i.Role != "master" {
		err = fmt.Errorf("%s is still %s after REPLICAOF NO ONE", h.To.Server, i.Role)
	}
	return err
}

// letGo puts the source back to work. Where that fails too, it is said: by
// itself the pause ends, but the guard does not.
func (h Handover) letGo(ctx context.Context, f Frozen, err error) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer stop()
	back := h.From.Unguard(ctx, h.Was)
	if back == nil && f.Writers != nil {
		back = f.Writers.Release(ctx)
	}
	if back != nil {
		return fmt.Errorf("%w; and the source may refuse writes (%s %s): %w. Try again, or undo this step", err, guardSetting, guardValue, back)
	}
	return fmt.Errorf("%w; %w (they waited %v)", err, ErrNotHeld, time.Since(f.From).Round(time.Millisecond))
}

// Failover lets the servers change places by themselves (FAILOVER TO, since
// Redis 6.2): From follows To afterwards. address is To as From sees it; From
// must be able to log in to To.
func (h Handover) Failover(ctx context.Context, host, port string) (f Frozen, err error) {
	f.From = time.Now()
	if _, err := h.From.Call(ctx, "FAILOVER", "TO", host, port, "TIMEOUT", h.Pause.Milliseconds()); err != nil {
		return f, fmt.Errorf("%w; %w", err, ErrNotHeld)
	}
	for {
		b, err := h.To.Info(ctx)
		if err == nil && b.Role == "master" {
			f.To = time.Now()
			return f, nil
		}
		a, aerr := h.From.Info(ctx)
		switch {
		case err != nil && !Broken(err):
			return f, err
		case aerr != nil && !Broken(aerr):
			return f, aerr
		case aerr == nil && a.Role == "master" && a.Failover == "no-failover":
			return f, fmt.Errorf("the source gave FAILOVER up within %v; %w", h.Pause, ErrNotHeld)
		case time.Since(f.From) > h.Pause+30*time.Second:
			return f, fmt.Errorf("FAILOVER: no outcome: %w; look at both servers before anything else", errors.Join(err, aerr))
		}
		select {
		case <-ctx.Done():
			return f, context.Cause(ctx)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
