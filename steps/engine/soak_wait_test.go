package engine

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"belay/steps/journal"
)

// turns are how the soak went on while somebody was asked.
func (b *bench) turns() (all []string) {
	for _, e := range b.log.Events(0) {
		if e.Type == journal.Turned {
			all = append(all, e.Key)
		}
	}
	return all
}

// turned waits until the last of them is so.
func (b *bench) turned(t *testing.T, how string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if s := b.log.State().Soak.Turns; len(s) > 0 && s[len(s)-1].How == how {
			return
		}
	}
	t.Errorf("not told in a minute that it is %s: %q, %+v", how, b.turns(), b.log.State().Soak.Probes)
}

const proposed = "{error_rate: 30%, for: 1s}"

func soakAsked(q journal.Question) bool { return q.Kind == journal.AskSoak }

// TestAProposalLooksOn: while a person is asked, belay sees that it becomes
// worse, well, and bad again. The question stays, and can be answered all along.
func TestAProposalLooksOn(t *testing.T) {
	newWorld()
	now := newServer(t)
	now.half.Store(true)
	b := soakBench(t, filepath.Join(t.TempDir(), "j"), watching1(now, nil, "5m"), proposed, "soak=rollback", "rollback=go")
	var before, bad time.Duration
	b.op.check = func(q journal.Question) {
		if !soakAsked(q) {
			return
		}
		now.dead.Store(true)
		b.turned(t, journal.TurnWorse)
		now.half.Store(false)
		now.dead.Store(false)
		b.turned(t, journal.TurnBack)
		before = lastTurn(b).Bad
		seen := len(b.log.State().Soak.Looks["it-answers"])
		for end := time.Now().Add(time.Minute); len(b.log.State().Soak.Looks["it-answers"]) < seen+20 && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		if s := b.log.State(); len(s.Questions) != 1 || s.Questions[0].ID != q.ID || s.Rollback != nil {
			t.Errorf("after it recovered, asked: %+v", s.Questions)
		}
		now.dead.Store(true)
		b.turned(t, journal.TurnAgain)
		bad = lastTurn(b).Bad
	}
	b.walk(t, context.Background(), journal.RolledBack)
	if got := b.turns(); !slices.Equal(got, []string{journal.TurnWorse, journal.TurnBack, journal.TurnAgain, journal.TurnEnd}) {
		t.Errorf("%q", got)
	}
	if end := lastTurn(b).Bad; before < time.Second || bad < before || end < bad {
		t.Errorf("over a limit for %v, then %v, then %v", before, bad, end)
	}
}

func lastTurn(b *bench) journal.Turn {
	all := b.log.State().Soak.Turns
	return all[len(all)-1]
}

// TestAProposalLooksOnAfterARestart: belay ends while somebody is asked. The
// next one goes on looking, with the same question.
func TestAProposalLooksOnAfterARestart(t *testing.T) {
	newWorld()
	now := newServer(t)
	now.dead.Store(true)
	path := filepath.Join(t.TempDir(), "j")
	b := soakBench(t, path, watching1(now, nil, "5m"), proposed)
	ctx, kill := context.WithCancel(context.Background())
	asked := ""
	b.op.mute = soakAsked
	b.op.check = func(q journal.Question) {
		if soakAsked(q) {
			asked = q.ID
			time.AfterFunc(200*time.Millisecond, kill)
		}
	}
	if _, err := b.Walk(ctx); err == nil {
		t.Fatal("it was not killed")
	}
	b.log.Close()
	b = soakBench(t, path, watching1(now, nil, "5m"), proposed, "soak=accept")
	b.op.check = func(q journal.Question) {
		if !soakAsked(q) {
			return
		}
		if q.ID != asked {
			t.Errorf("asked anew: %s, then %s", asked, q.ID)
		}
		now.dead.Store(false)
		b.turned(t, journal.TurnBack)
	}
	b.walk(t, context.Background(), journal.Closed)
	if got := b.turns(); !slices.Equal(got, []string{journal.TurnBack, journal.TurnEnd}) {
		t.Errorf("%q", got)
	}
}

// TestAfterACountdownIsStopped: who stopped it decides by hand, and is told how
// it goes on all the same; nothing is rolled back by itself any more.
func TestAfterACountdownIsStopped(t *testing.T) {
	w := newWorld()
	now := newServer(t)
	now.dead.Store(true)
	b := soakBench(t, filepath.Join(t.TempDir(), "j"), watching1(now, nil, "5m"), automatic, "soak=hold@Grace", "soak=accept")
	b.op.check = func(q journal.Question) {
		if !soakAsked(q) || countsDown(q) {
			return
		}
		now.dead.Store(false)
		b.turned(t, journal.TurnBack)
		now.dead.Store(true)
		b.turned(t, journal.TurnAgain)
	}
	b.walk(t, context.Background(), journal.Closed)
	if !w.has("b:two") {
		t.Errorf("rolled back: %q", b.types())
	}
}
