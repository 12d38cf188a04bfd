package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
)

// TestGatesHold: whatever the plan, whatever people answer, however the clock
// jumps and whenever belay ends and is begun again, no step of the cutover
// begins unless as many people as the plan wants said go to this very plan, the
// gate of the cutover was passed, by a reason where the clock spoke against it,
// and no last safe moment has passed that nobody has decided about.
func TestGatesHold(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	begun, decided := 0, 0
	for i := range uint64(150) {
		synctest.Test(t, func(t *testing.T) {
			c := newChances(t, seed+i)
			c.run()
			begun, decided = begun+c.begun, decided+c.decided
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed+i)
		}
	}
	t.Logf("from seed %d: %d steps of a cutover began, %d moments were decided about", seed, begun, decided)
	if begun < 50 {
		t.Errorf("from seed %d: %d steps of a cutover began and %d moments were decided about: that tries too little", seed, begun, decided)
	}
}

// chances is a run in which all is left to chance, and the judge of it.
type chances struct {
	t     *testing.T
	r     *rand.Rand
	p     *plan.Plan
	cost  map[string]time.Duration // of undoing each step
	log   *kept
	e     *Engine
	off   atomic.Int64 // of the wall clock
	left  int          // questions that are answered
	leave context.CancelFunc

	begun, decided int

	open   map[string]journal.Question
	names  map[string]bool // who said go
	passed bool            // the gate
	until  time.Time       // every moment up to then was decided about
}

func newChances(t *testing.T, seed uint64) *chances {
	c := &chances{t: t, r: rand.New(rand.NewPCG(seed, 2)), cost: map[string]time.Duration{}, open: map[string]journal.Question{}, names: map[string]bool{}, left: 60}
	minutes := func(n int) time.Duration { return time.Duration(c.r.IntN(n)) * time.Minute }
	start := time.Now().Add(minutes(60) - 30*time.Minute)
	text := twoHosts + fmt.Sprintf("approvers: %d\nwindow: {start: %s, length: %dm, margin: %dm}\nsignoff: [The team knows]\nprepare:\n  - {step: P, on: a, put: p}\ncutover:\n",
		1+c.r.IntN(2), start.Format(time.RFC3339), 10+c.r.IntN(60), c.r.IntN(9))
	for i := range 2 + c.r.IntN(5) {
		text += fmt.Sprintf("  - {step: S%d, on: a, put: {name: s%d, again: %v, blind: %v}}\n", i, i, i%2 == 0, c.r.IntN(3) == 0)
	}
	c.p = loadPlan(t, text)
	w := newWorld()
	for _, s := range c.p.Steps() {
		c.cost[s.ID] = minutes(8)
	}
	w.hook = func(op, _, _ string) error {
		time.Sleep(minutes(15))
		if c.r.IntN(6) == 0 {
			return errors.New("it broke")
		}
		return nil
	}
	c.log = newKept()
	c.log.before = c.judge
	return c
}

func (c *chances) now() time.Time { return time.Now().Add(time.Duration(c.off.Load())) }

// lastSafe is when the way back from where s stands must begin; now and then
// nobody knows.
func (c *chances) lastSafe(s *journal.State) time.Time {
	need := c.p.Window.Margin
	for id, cost := range c.cost {
		if s.Step(id).Attempt > 0 {
			need += cost
		}
	}
	if int(need.Minutes())%5 == 0 {
		return time.Time{}
	}
	return c.p.Window.End().Add(-need)
}

// run walks, and walks again, until the run is over or nobody answers any more.
func (c *chances) run() {
	for range 6 {
		b := newBench(c.t, c.p, filepath.Join(c.t.TempDir(), "j"))
		b.Log, b.Operator, b.LastSafe, b.Now = c.log, c, c.lastSafe, c.now
		c.e = b.Engine
		ctx, leave := context.WithCancel(context.Background())
		c.leave = leave
		_, err := b.Walk(ctx)
		leave()
		if s := c.log.State(); err == nil && s.Over() || c.left <= 0 {
			return
		}
	}
}

// judge looks at every event before it is written.
func (c *chances) judge(s *journal.State, e journal.Event) {
	var a journal.Answer
	_ = json.Unmarshal(e.Data, &a)
	switch e.Type {
	case journal.RunOpened:
		var o journal.Opened
		_ = json.Unmarshal(e.Data, &o)
		if o.PlanHash != c.p.Hash {
			c.t.Errorf("opened with hash %q", o.PlanHash)
		}
	case journal.Asked:
		var q journal.Question
		_ = json.Unmarshal(e.Data, &q)
		c.open[q.ID] = q
	case journal.Signed:
		if e.Key == journal.GoItem {
			c.names[strings.ToLower(strings.TrimSpace(a.By.Name))] = true
		}
	case journal.Answered:
		c.answered(s, c.open[e.Key], a)
	case journal.StepStarted:
		if c.p.Step(e.Step).Stage == journal.Cutover {
			c.started(s, e)
		}
	}
}

func (c *chances) answered(s *journal.State, q journal.Question, a journal.Answer) {
	on := q.Kind == journal.AskLastSafe && a.Choice == "on"
	if !on && !(q.Kind == journal.AskCutover && a.Choice == "go") {
		return
	}
	w, at := c.p.Window, c.lastSafe(s)
	late := a.Time.Before(w.Start) || a.Time.After(w.End()) || !at.IsZero() && !a.Time.Before(at)
	if (late || on) && a.Reason == "" {
		c.t.Errorf("%s went on at %s without a reason; window %s to %s, moment %s", q.Kind, a.Time, w.Start, w.End(), at)
	}
	c.passed = true
	if on {
		c.decided++
	}
	if a.Time.After(c.until) {
		c.until = a.Time
	}
}

func (c *chances) started(s *journal.State, e journal.Event) {
	c.begun++
	at := c.lastSafe(s)
	if end := c.p.Window.End(); at.IsZero() || at.After(end) {
		at = end
	}
	switch now := c.now(); {
	case len(c.names) < c.p.Approvers.Count:
		c.t.Errorf("%s begins with the go of %d people; the plan wants %d", e.Step, len(c.names), c.p.Approvers.Count)
	case !c.passed:
		c.t.Errorf("%s begins, and nobody passed the gate of the cutover", e.Step)
	case !now.Before(at) && at.After(c.until):
		c.t.Errorf("%s begins at %s; the last safe moment was %s, decided about up to %s", e.Step, now, at, c.until)
	case s.Rollback != nil:
		c.t.Errorf("%s begins in a rollback", e.Step)
	}
}

// Ask answers by chance, and now and then sets the clock, ends belay or says
// something that cannot be taken.
func (c *chances) Ask(ctx context.Context, q journal.Question) (journal.Answer, error) {
	for {
		if c.left--; c.left <= 0 {
			c.e.Stop()
		}
		select {
		case <-time.After(time.Duration(c.r.IntN(12)) * time.Minute):
		case <-ctx.Done():
			return journal.Answer{}, context.Cause(ctx)
		}
		switch c.r.IntN(15) {
		case 0:
			c.off.Store(int64(time.Duration(c.r.IntN(120)-60) * time.Minute))
		case 1:
			c.leave()
		}
		o := q.Options[c.r.IntN(len(q.Options))]
		if first := q.Options[0]; c.r.IntN(2) == 0 && first.Choice != "recheck" {
			o = first
		}
		if c.r.IntN(6) > 0 {
			for _, forward := range []string{"go", "sign", "on", "skip", "done", "close"} {
				if f, ok := q.Option(forward); ok && c.r.IntN(3) > 0 {
					o = f
				}
			}
		}
		name := []string{"Ada", "Grace", "ada "}[c.r.IntN(3)]
		login := strings.ToLower(strings.TrimSpace(name))
		a := journal.Answer{Question: q.ID, Choice: o.Choice, Text: o.Type, By: journal.Author{Login: login, Name: name}}
		if o.Choice == "sign" {
			a.Item = "the-team-knows"
		}
		if c.r.IntN(3) > 0 {
			a.Reason = cmp.Or(strings.TrimSpace(o.Label), "because")
		}
		if c.e.Judge(q, a) == nil {
			return a, nil
		}
	}
}
