package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"belay/remote"
	"belay/remote/hold"
	"belay/steps/journal"
)

// holding is what this engine knows of the locks on the plan's hosts.
type holding struct {
	mu    sync.Mutex
	maybe map[string]bool // hosts that may have this run's lock, by this engine's doing
	all   bool            // every host was taken, or let pass
	lost  bool            // another run took a lock of ours away
	stop  func()          // ends the signs of life
}

// takeLimit is long: a person may be typing a passphrase.
const takeLimit = 5 * time.Minute

// hold takes every host of the plan for this run, before it changes anything.
// What is held by another run is put to the operator. A host that cannot be
// asked is refused likewise as long as nothing was begun; later it is let
// pass: the run has its lock there already, and must be able to go on and back.
func (e *Engine) hold(ctx context.Context) error {
	if e.Hold == nil || e.holding.all {
		return nil
	}
	reason, by := e.BreakLock, e.Author
	var fresh, complaints []string
	for {
		got, denied := e.takeAll(e.halts.ctx())
		if cause := e.halts.cause(); cause != nil {
			return cause
		}
		fresh = append(fresh, got...)
		if err := e.withdrawKind(journal.AskLock, "looked again"); err != nil {
			return err
		}
		refused, passed := e.sortDenied(denied)
		if len(refused) == 0 {
			return e.holds(ctx, fresh, passed)
		}
		if reason == "" || !anyHeld(refused) {
			e.drop(e.freshOnly(fresh))
			fresh = nil
			a, err := e.decide(ctx, e.lockQuestion(refused, complaints))
			if err != nil {
				return err
			}
			reason, by = "", a.By
			if a.Choice == "break" {
				reason = a.Reason
			}
		}
		complaints = nil
		if reason != "" {
			var err error
			if complaints, err = e.breakLocks(refused, reason, by); err != nil {
				return err
			}
			reason = ""
		}
	}
}

// holds records that the hosts are ours, and begins to give signs of life.
func (e *Engine) holds(ctx context.Context, fresh []string, passed []denied) error {
	e.holding.all = true
	if len(fresh) > 0 {
		if err := e.note("locked for this run: %s", strings.Join(inOrder(fresh), ", ")); err != nil {
			return err
		}
	}
	for _, d := range passed {
		if err := e.note("not locked for this run again, going on without: %v", d.err); err != nil {
			return err
		}
	}
	living, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { e.sign(living) })
	e.holding.stop = func() { cancel(); wg.Wait() }
	return nil
}

// denied is a host that was not taken, and why.
type denied struct {
	host string
	err  error
}

// takeAll takes all hosts at once. fresh are those that this run had not.
func (e *Engine) takeAll(ctx context.Context) (fresh []string, refused []denied) {
	ctx, stop := context.WithTimeoutCause(ctx, takeLimit, fmt.Errorf("no answer within %s", takeLimit))
	defer stop()
	r := *e.Hold
	r.Since = e.Now()
	e.onHosts(e.hostNames(), func(name string) {
		got, err := hold.Take(ctx, e.Hosts[name], r)
		e.holding.mu.Lock()
		defer e.holding.mu.Unlock()
		if !isHeld(err) && !unreachable(err) {
			if e.holding.maybe == nil {
				e.holding.maybe = map[string]bool{}
			}
			e.holding.maybe[name] = true
		}
		if err != nil {
			refused = append(refused, denied{name, err})
		} else if got {
			fresh = append(fresh, name)
		}
	})
	slices.SortFunc(refused, func(a, b denied) int { return strings.Compare(a.host, b.host) })
	return fresh, refused
}

// sortDenied tells which denials stop the run.
func (e *Engine) sortDenied(all []denied) (refused, passed []denied) {
	begun := e.anyBegun()
	for _, d := range all {
		if begun && !isHeld(d.err) {
			passed = append(passed, d)
		} else {
			refused = append(refused, d)
		}
	}
	return refused, passed
}

// anyBegun tells whether the run may have changed anything.
func (e *Engine) anyBegun() bool {
	for _, st := range e.Log.State().Steps {
		if st.Attempt > 0 {
			return true
		}
	}
	return false
}

// freshOnly are the hosts to give back while others are refused: none once
// anything was begun, for what the run has changed stays under its lock.
func (e *Engine) freshOnly(fresh []string) []string {
	if e.anyBegun() {
		return nil
	}
	return fresh
}

func (e *Engine) lockQuestion(refused []denied, complaints []string) journal.Question {
	q := journal.Question{
		Kind: journal.AskLock, Title: "Not every host can be locked for this run",
		Options: []journal.Option{{Choice: "retry", Label: "look again"}},
	}
	text := []string{"One run at a time changes a host. Nothing was changed now."}
	for _, d := range refused {
		var held *hold.HeldError
		if !errors.As(d.err, &held) {
			text = append(text, d.err.Error())
			continue
		}
		text = append(text, fmt.Sprintf("%s is held by %s.", d.host, held.Holder))
		if held.Known() {
			text = append(text, fmt.Sprintf("  On %s: belay resume %s, or belay rollback %s.", held.Bastion, held.Run, held.Run))
		}
	}
	text = append(text, complaints...)
	if anyHeld(refused) {
		q.Title = "Held by another run"
		text = append(text, "Wait until that run is over and look again; or have it resumed or rolled back; or, when you know that nobody works there, break its lock.")
		q.Options = append(q.Options, journal.Option{Choice: "break", Label: "break the other run's lock", Needs: "reason", Danger: true})
	}
	q.Text = strings.Join(text, "\n")
	q.Options = append(q.Options, optStop)
	return q
}

// breakLocks takes the locks of other runs away and records whose they were
// and why. complaints say which could not be.
func (e *Engine) breakLocks(refused []denied, reason string, by journal.Author) (complaints []string, err error) {
	who := by.Name
	if who == "" {
		who = by.Login
	}
	for _, d := range refused {
		var held *hold.HeldError
		if !errors.As(d.err, &held) {
			continue
		}
		ctx, stop := context.WithTimeout(e.halts.ctx(), takeLimit)
		kept, err := hold.Break(ctx, e.Hosts[d.host], e.Hold.Run, held.Holder, e.Now())
		stop()
		if err != nil {
			complaints = append(complaints, fmt.Sprintf("The lock on %s was not broken: %v", d.host, err))
			continue
		}
		if kept == "" {
			continue // released meanwhile
		}
		if err := e.note("lock on %s broken by %s: %s. It was held by %s; it is kept there as %s", d.host, who, reason, held.Holder, kept); err != nil {
			return nil, err
		}
	}
	return complaints, nil
}

// withdrawKind closes the open questions of a kind, which will be asked anew.
func (e *Engine) withdrawKind(kind, why string) error {
	for _, q := range e.Log.State().Questions {
		if q.Kind != kind {
			continue
		}
		a := journal.Answer{Question: q.ID, Choice: "withdrawn", Reason: why, By: e.Author, Time: e.Now().UTC()}
		if err := e.closeQuestion(q, a); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) note(format string, args ...any) error {
	return e.append(journal.Event{Type: journal.Noted, Key: fmt.Sprintf(format, args...)}, nil)
}

func (e *Engine) hostNames() []string {
	names := make([]string, 0, len(e.Plan.Hosts))
	for _, h := range e.Plan.Hosts {
		names = append(names, h.Name)
	}
	return inOrder(names)
}

// onHosts runs do for all of them at the same time.
func (e *Engine) onHosts(names []string, do func(name string)) {
	var wg sync.WaitGroup
	for _, name := range names {
		wg.Go(func() { do(name) })
	}
	wg.Wait()
}

func inOrder(names []string) []string { return slices.Sorted(slices.Values(names)) }

func isHeld(err error) bool {
	var held *hold.HeldError
	return errors.As(err, &held)
}

func anyHeld(all []denied) bool {
	return slices.ContainsFunc(all, func(d denied) bool { return isHeld(d.err) })
}

func unreachable(err error) bool {
	var gone *remote.UnreachableError
	return errors.As(err, &gone)
}
