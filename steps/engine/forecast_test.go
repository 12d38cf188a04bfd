package engine

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"belay/steps/estimate"
	"belay/steps/journal"
	"belay/steps/plan"
)

// lasts are the seconds that the steps of timed last. The second lane is the
// longer one as a whole.
var lasts = map[string]int{"zero": 50, "one": 90, "two": 180, "three": 150, "four": 120, "five": 200}

// about has each step last what it usually does, a tenth more or less.
func about(r *rand.Rand) {
	w := newWorld()
	w.hook = func(_, name, _ string) error {
		w.mu.Lock()
		d := time.Duration(float64(lasts[name]) * (0.9 + 0.2*r.Float64()) * float64(time.Second))
		w.mu.Unlock()
		time.Sleep(d)
		return nil
	}
}

// once walks the plan with log and returns its state. from and to are the
// cutover's first and last moment.
func once(t *testing.T, p *plan.Plan, log *kept, status journal.Status, answers ...string) (s *journal.State, from, to time.Time) {
	t.Helper()
	b := newBench(t, p, filepath.Join(t.TempDir(), "j"), answers...)
	b.Log = log
	if got, err := b.Walk(context.Background()); err != nil || got != status {
		t.Fatalf("%q, %v; asked %q", got, err, b.op.asked)
	}
	s = log.State()
	return s, s.Step("one").Started, s.Done[journal.Cutover]
}

// TestForecast lets a plan with lanes be rehearsed twice, and watches a third
// run as a screen does: at every moment of its cutover the end that is foretold
// lies within a fifth of how long it takes of the end that comes; so it does to
// a screen that has just been opened, on the journal as it lies on the disk.
func TestForecast(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			seed++
			r := rand.New(rand.NewPCG(seed, 1))
			about(r)
			p := loadPlan(t, timed)
			p.Window = nil // nothing is asked
			answers := []string{"findings=go", "sign-off=go", "cutover=go", "close=rollback", "rollback=go"}
			var past []*journal.State
			for range 2 {
				s, _, _ := once(t, p, newKept(), journal.RolledBack, answers...)
				past = append(past, s)
			}
			e := estimate.From(p, past)
			log, seen := newKept(), []time.Time{}
			ctx, stop := context.WithCancel(context.Background())
			go watch(ctx, t, p, e, log, &seen)
			_, from, to := once(t, p, log, journal.Closed, timedAnswers...)
			stop()
			synctest.Wait()
			if len(seen) < 20 {
				t.Errorf("looked %d times only", len(seen))
			}
			for _, end := range seen {
				if off := end.Sub(to).Abs(); off > to.Sub(from)/5 {
					t.Errorf("seed %d: foretold for %s, ended at %s: off by %s of %s", seed, end, to, off, to.Sub(from))
				}
			}
		})
	}
}

// watch looks at a run every 20 seconds and notes when the cutover should end.
func watch(ctx context.Context, t *testing.T, p *plan.Plan, e estimate.Estimates, log *kept, seen *[]time.Time) {
	var w estimate.Stopwatch
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(20 * time.Second):
		}
		now, s := time.Now(), log.State()
		ran := w.Look(now, s)
		if s.Step("one").Started.IsZero() || !s.Done[journal.Cutover].IsZero() {
			continue
		}
		f := e.Forecast(p, journal.Cutover, s, estimate.Going{Now: now, For: ran})
		*seen = append(*seen, now.Add(f.Median))
		var fresh estimate.Stopwatch
		again := log.replayed(t)
		g := e.Forecast(p, journal.Cutover, again, estimate.Going{Now: now, For: fresh.Look(now, again)})
		if off := (g.Median - f.Median).Abs(); off > time.Second {
			t.Errorf("%s left for a screen that looked on, %s for a new one", f.Median, g.Median)
		}
		if two := s.Step("two"); two.Status == journal.Pending && (f.Critical["two"] || !f.Critical["three"] || !f.Critical["four"] || !f.Critical["five"]) {
			t.Errorf("the end hangs on %v", f.Critical)
		}
	}
}

// What a run took does not depend on what was done to the wall clock meanwhile.
func TestTookIsNoWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.hook = func(string, string, string) error { time.Sleep(3 * time.Minute); return nil }
		p := loadPlan(t, twoHosts+"prepare:\n  - {step: One, on: a, put: one}\n  - {step: Two, on: [a, b], put: two}\n")
		s, _, _ := once(t, p, newKept(), journal.RolledBack, "findings=go", "close=rollback", "rollback=go")
		for _, id := range []string{"one", "two"} {
			if st := s.Step(id); st.Took != 3*time.Minute || st.UndoTook != 3*time.Minute {
				t.Errorf("%s took %s, its undo %s", id, st.Took, st.UndoTook)
			}
		}
		for _, st := range s.Steps { // as if the clock had been set back, and forward
			st.Started, st.Ended = st.Started.Add(time.Hour), st.Ended.Add(-time.Hour)
			st.UndoEnded = st.UndoEnded.Add(time.Hour)
		}
		e := estimate.From(p, []*journal.State{s})
		if f, b := e.Forward["two"], e.Back["two"]; f.Median != 3*time.Minute || b.Worst != 3*time.Minute {
			t.Errorf("learned %v and %v", f, b)
		}
	})
}
