package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync"

	"belay/remote"
	"belay/steps"
	"belay/steps/engine"
	"belay/steps/journal"
	"belay/steps/plan"
)

// The other side of failEveryStep: the program in which a step fails.

// plantAt, in the environment, makes the program one in which a step fails: a
// planting, as JSON.
const plantAt = "BELAY_TEST_PLANT"

type planting struct {
	Step string
	Nth  int    // after which of its changes; 0: after all
	File string // where the outcome goes
}

// plantOutcome is what such a program tells.
type plantOutcome struct {
	Failed  bool
	Changes map[string]int // that each step made
}

func init() {
	text := os.Getenv(plantAt)
	if text == "" {
		return
	}
	var p planting
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		panic(err)
	}
	for name, walk := range walks {
		walks[name] = func(e *engine.Engine, ctx context.Context) (journal.Status, error) {
			f := &failures{planting: p, plantOutcome: plantOutcome{Changes: map[string]int{}}}
			for _, s := range e.Plan.Steps() {
				f.plant(s)
			}
			status, err := walk(e, ctx)
			f.tell()
			return status, err
		}
	}
}

// failures is what the steps of a run share.
type failures struct {
	planting
	mu sync.Mutex
	plantOutcome
}

func (f *failures) tell() {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, err := json.Marshal(f.plantOutcome)
	if err == nil {
		err = os.WriteFile(f.File, b, 0o600)
	}
	if err != nil {
		panic(err)
	}
}

// plant puts what counts, and in one step what fails, around a step's kind. A
// failure decides the run also where the plan would go on.
func (f *failures) plant(s *plan.Step) {
	around := failing{Step: s.Do, of: s, f: f}
	if s.ID == f.planting.Step {
		s.Optional = false
	}
	asker, asks := s.Do.(steps.Asker)
	prover, proves := s.Do.(steps.Prover)
	switch {
	case asks:
		s.Do = struct {
			failing
			steps.Asker
		}{around, asker}
	case proves:
		s.Do = struct {
			failing
			steps.Prover
		}{around, prover}
	default:
		s.Do = around
	}
}

// failing is a step that may fail. What a kind may also be, it is as well, so
// that the engine sees no other step; only what a person must do and what
// proves anew is told by being there or not.
type failing struct {
	steps.Step
	of *plan.Step
	f  *failures
}

var errPlanted = errors.New("this failure was planted by a test")

// Apply fails on the last of the step's hosts.
func (s failing) Apply(ctx context.Context, e steps.Env) error {
	here := s.of.ID == s.f.planting.Step && (len(s.of.On) == 0 || e.Host.Name == s.of.On[len(s.of.On)-1])
	c := &changes{}
	if here {
		c.nth = s.f.Nth
	}
	hosts := remote.Hosts{}
	for name, h := range e.Hosts {
		hosts[name] = c.around(h)
	}
	e.Hosts, e.Host = hosts, c.around(e.Host)
	err := s.Step.Apply(ctx, e)
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	s.f.Changes[s.of.ID] += c.made()
	if !here {
		return err
	}
	// A halt from elsewhere, or a failure of the step's own, is none of ours.
	if c.dead() || err == nil && s.f.Nth == 0 {
		s.f.Failed = true
		return errors.Join(errPlanted, err)
	}
	return err
}

// onlyLook are kinds that change nothing, and so may be carried out though
// nothing is left to be done.
var onlyLook = []string{"wait", "dns.wait", "tls.check", "config.schema", "compare"}

func (s failing) Pending(ctx context.Context, e steps.Env) ([]steps.Change, error) {
	todo, err := s.Step.Pending(ctx, e)
	if err == nil && len(todo) == 0 && s.of.ID == s.f.planting.Step && slices.Contains(onlyLook, s.of.Kind.Name) {
		todo = []steps.Change{{Text: "look, and fail"}}
	}
	return todo, err
}

func (s failing) Undo(ctx context.Context, e steps.Env) error {
	if u, ok := s.Step.(steps.Undoer); ok {
		return u.Undo(ctx, e)
	}
	return steps.ErrNoWayBack
}

func (s failing) WayBack() bool {
	if w, ok := s.Step.(steps.WayBacker); ok {
		return w.WayBack()
	}
	_, ok := s.Step.(steps.Undoer)
	return ok
}

func (s failing) Underway(e steps.Env) (bool, error) {
	if r, ok := s.Step.(steps.Resumer); ok {
		return r.Underway(e)
	}
	return false, nil
}

// Repeatable is false for the one that fails: it would only fail again.
func (s failing) Repeatable() bool {
	r, ok := s.Step.(steps.Repeater)
	return ok && r.Repeatable() && s.of.ID != s.f.planting.Step
}

func (s failing) Recheck(ctx context.Context, e steps.Env) ([]steps.Change, error) {
	if r, ok := s.Step.(steps.Rechecker); ok {
		return r.Recheck(ctx, e)
	}
	return s.Pending(ctx, e)
}

func (s failing) Hints() []steps.Hint {
	if h, ok := s.Step.(steps.Hinter); ok {
		return h.Hints()
	}
	return nil
}

// changes counts what a step changes, and answers nothing any more once the
// nth change was made.
type changes struct {
	nth int // 0: goes on
	mu  sync.Mutex
	n   int
}

func (c *changes) made() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *changes) dead() bool { return c.nth > 0 && c.made() >= c.nth }

func (c *changes) change() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

func (c *changes) around(h remote.Host) remote.Host {
	if h.Runner != nil {
		h.Runner = changingRunner{h.Runner, c}
	}
	if h.Dialer != nil {
		h.Dialer = changingDialer{h.Dialer, c}
	}
	return h
}

type changingRunner struct {
	remote.Runner
	c *changes
}

func (r changingRunner) Run(ctx context.Context, cmd remote.Cmd) error {
	if r.c.dead() {
		return errPlanted
	}
	err := r.Runner.Run(ctx, cmd)
	if !cmd.Pure {
		if r.c.change(); r.c.dead() {
			return errPlanted
		}
	}
	return err
}

type changingDialer struct {
	remote.Dialer
	c *changes
}

func (d changingDialer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.c.dead() {
		return nil, errPlanted
	}
	conn, err := d.Dialer.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &changingConn{Conn: conn, c: d.c}, nil
}

// changingConn lets the answer to a request that changes something come, which
// says that it was carried out, and then gives it to nobody.
type changingConn struct {
	net.Conn
	c    *changes
	mu   sync.Mutex
	open bool // such a request was sent
}

func (c *changingConn) Write(b []byte) (int, error) {
	if c.c.dead() {
		return 0, errPlanted
	}
	for _, verb := range []string{"POST ", "PUT ", "DELETE "} {
		if bytes.HasPrefix(b, []byte(verb)) && !strings.Contains(string(b[:min(len(b), 80)]), "/attach") {
			c.mu.Lock()
			c.open = true
			c.mu.Unlock()
		}
	}
	return c.Conn.Write(b)
}

func (c *changingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open && n > 0 {
		c.open = false
		c.c.change()
	}
	if c.c.dead() {
		return 0, errPlanted
	}
	return n, err
}
