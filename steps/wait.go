package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name:    "wait",
		Summary: "Waits until a check passes: http, tcp, command, log or any other kind of check.",
		Example: `- step: Wait until the new chat answers
  on: chat
  wait:
    for: {http: {on: chat, url: "http://127.0.0.1:8088/_health"}}
    timeout: 5m
    every: 2s
    stable: 3
`,
		Optional: true,
		New:      func() Step { return &wait{} },
	})
}

// wait looks until it likes what it sees, and changes nothing.
type wait struct {
	For     checks.Check    `yaml:"for" required:"" doc:"the check that shall pass, as under assess"`
	Timeout remote.Duration `yaml:"timeout" default:"5m" doc:"how long to wait before the step fails"`
	Every   remote.Duration `yaml:"every" default:"2s" doc:"time between two looks"`
	Stable  int             `yaml:"stable" default:"1" doc:"how many looks in a row must pass"`
	Follow  string          `yaml:"follow" doc:"read-only script on the step's host whose output comes into the log meanwhile, such as docker logs --follow --since 1m chat"`
}

func (w *wait) Validate() error {
	var errs []error
	if w.Every < remote.Duration(100*time.Millisecond) {
		errs = append(errs, Field("every", "%v is less than 100ms", w.Every))
	}
	if w.Timeout <= 0 {
		errs = append(errs, Field("timeout", "it must be more than 0"))
	}
	if w.Stable < 1 {
		errs = append(errs, Field("stable", "%d is less than 1", w.Stable))
	}
	return errors.Join(errs...)
}

// Repeatable: looking can be done any number of times.
func (w *wait) Repeatable() bool { return true }

// look asks the check once: about the hosts that it names, or else the step's
// own, or else all. Facts are read for a check that judges by them, afresh.
func (w *wait) look(ctx context.Context, e Env) (passed bool, answer string, err error) {
	var named []string
	if h, ok := w.For.(checks.Hoster); ok {
		named = h.HostNames()
	}
	if len(named) == 0 && e.Host.Name != "" {
		named = []string{e.Host.Name}
	}
	world := checks.World{Hosts: remote.Hosts{}, Secret: e.Secret}
	for name, h := range e.Hosts {
		if len(named) == 0 || slices.Contains(named, name) {
			world.Hosts[name] = remote.ReadOnly(h)
		}
	}
	if f, ok := w.For.(checks.FactReader); ok && f.NeedsFacts() {
		world.Facts, world.Unreached = checks.GatherAll(ctx, world.Hosts)
	}
	found, err := w.For.Assess(ctx, world)
	if err != nil {
		return false, err.Error(), context.Cause(ctx)
	}
	passed = len(found) > 0
	var said []string
	for _, f := range found {
		passed = passed && f.Level == checks.Pass
		said = append(said, f.Text)
	}
	if len(found) == 0 {
		said = []string{"the check found nothing to judge"}
	}
	return passed, strings.Join(said, "; "), context.Cause(ctx)
}

// Pending is what the check says now. One look cannot tell that a state is
// stable, so that is always waited for.
func (w *wait) Pending(ctx context.Context, e Env) ([]Change, error) {
	passed, answer, err := w.look(ctx, e)
	if err != nil || passed && w.Stable <= 1 {
		return nil, err
	}
	return []Change{{Text: fmt.Sprintf("wait, up to %v (now: %s)", w.Timeout, answer)}}, nil
}

// Apply looks again and again. The answers go to the log as they change.
func (w *wait) Apply(ctx context.Context, e Env) error {
	begun := time.Now()
	defer follow(ctx, e, w.Follow)()
	deadline, stop := context.WithDeadline(ctx, begun.Add(time.Duration(w.Timeout)))
	defer stop()
	var last []string
	looks, good := 0, 0
	for {
		passed, answer, err := w.look(deadline, e)
		if err != nil {
			return w.gaveUp(ctx, looks, last)
		}
		looks++
		if passed {
			good++
		} else {
			good = 0
		}
		e.Say(Progress{Done: int64(good), Total: int64(w.Stable), Unit: "good looks", Text: answer})
		if len(last) == 0 || last[len(last)-1] != answer {
			fmt.Fprintf(e.Log, "after %v: %s\n", time.Since(begun).Round(time.Second), answer)
			last = append(last, answer)
		}
		if good >= w.Stable {
			return nil
		}
		if err := pause(deadline, time.Duration(w.Every)); err != nil {
			return w.gaveUp(ctx, looks, last)
		}
	}
}

func (w *wait) gaveUp(ctx context.Context, looks int, last []string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(last) == 0 {
		last = []string{"none came"}
	}
	last = last[max(0, len(last)-3):]
	return fmt.Errorf("not so within %v (%d looks); the last different answers, oldest first: %s; nothing was changed", w.Timeout, looks, strings.Join(last, " | "))
}

// Verify looks once more.
func (w *wait) Verify(ctx context.Context, e Env) error {
	passed, answer, err := w.look(ctx, e)
	if err == nil && !passed {
		err = fmt.Errorf("no longer so: %s", answer)
	}
	return err
}

// Undo has nothing to take back.
func (w *wait) Undo(context.Context, Env) error { return nil }

// pause waits for d, or returns the cause of ctx when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
