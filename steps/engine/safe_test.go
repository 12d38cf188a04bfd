package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"belay/steps/journal"
)

// In a bubble of synctest the clock begins at midnight of 2000-01-01, UTC, and
// goes on only when all sleep.
const midnight = "2000-01-01T00:00Z"

const timed = twoHosts + `
window: {start: ` + midnight + `, length: 30m, margin: 2m}
prepare:
  - {step: Zero, on: a, put: zero}
cutover:
  - {step: One, on: a, put: one}
  - together:
      - {step: Two, on: a, put: two}
      - lane: long
        steps:
          - {step: Three, on: b, put: three}
          - {step: Four, on: b, put: four}
  - {step: Five, on: a, put: five}
`

var timedAnswers = []string{"findings=go", "sign-off=go", "cutover=go", "close=close"}

// sleeping has the steps of the fake world last so long.
func sleeping(minutes map[string]int) *world {
	w := newWorld()
	w.hook = func(op, name, _ string) error {
		if op == "put" {
			time.Sleep(time.Duration(minutes[name]) * time.Minute)
		}
		return nil
	}
	return w
}

// askedIn are the kinds of question of the journal, in their order.
func (b *bench) askedIn() (kinds []string) {
	for _, q := range b.op.asked {
		kind, _, _ := strings.Cut(q, "/")
		kinds = append(kinds, kind)
	}
	return kinds
}

// TestLastSafeMoment: it passes while both lanes run; nothing more begins
// before one question is answered, which both lanes take for theirs, and no
// other question about that moment comes up.
func TestLastSafeMoment(t *testing.T) {
	for _, c := range []struct {
		answer string
		status journal.Status
		put    int
	}{{"on", journal.Closed, 6}, {"rollback", journal.RolledBack, 4}, {"stop", journal.Stopped, 4}} {
		t.Run(c.answer, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := sleeping(map[string]int{"one": 2, "two": 8, "three": 5, "four": 1})
				b := newBench(t, loadPlan(t, timed), filepath.Join(t.TempDir(), "j"), append(timedAnswers, "last-safe="+c.answer, "rollback=go")...)
				at := time.Now().Add(5 * time.Minute)
				b.LastSafe = func(*journal.State) time.Time { return at }
				var open time.Time
				b.op.check = func(q journal.Question) {
					if q.Kind == journal.AskLastSafe {
						open = time.Now()
						if st := b.log.State(); st.Step("two").Status != journal.Running || st.Step("four").Status != journal.Pending {
							t.Errorf("asked while two is %s and four is %s", st.Step("two").Status, st.Step("four").Status)
						}
						time.Sleep(10 * time.Minute) // a person thinks; two goes on and ends
						if st := b.log.State(); st.Step("two").Status != journal.PassedStatus || st.Step("five").Status != journal.Pending {
							t.Errorf("while somebody thinks, two is %s and five is %s", st.Step("two").Status, st.Step("five").Status)
						}
					}
				}
				status, err := b.Walk(context.Background())
				if err != nil || status != c.status {
					t.Fatalf("%q, %v; asked %q", status, err, b.op.asked)
				}
				if got := open.Sub(at); got != 2*time.Minute { // three ended at 7 minutes
					t.Errorf("asked %s after the moment", got)
				}
				if n := len(slices.DeleteFunc(b.askedIn(), func(k string) bool { return k != journal.AskLastSafe })); n != 1 {
					t.Errorf("asked %d times: %q", n, b.op.asked)
				}
				if len(w.put) != c.put {
					t.Errorf("done: %v", w.put)
				}
				if s := b.log.State(); (c.answer == "on") != s.PastSafe.After(at) {
					t.Errorf("past safe: %v", s.PastSafe)
				}
			})
		})
	}
}

// A moment that is reached before the cutover begins makes its gate want a
// reason, and asks anew; so decided, it is not asked about again, but the end of
// the window is, which nobody has decided about.
func TestLastSafeMomentAtTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sleeping(map[string]int{"one": 20, "two": 8})
		b := newBench(t, loadPlan(t, timed), filepath.Join(t.TempDir(), "j"), append(timedAnswers, "last-safe=on")...)
		start := time.Now()
		b.LastSafe = func(s *journal.State) time.Time {
			if s.Step("one").Attempt > 0 {
				return time.Time{} // nobody knows: the window's end is left
			}
			return start.Add(3 * time.Minute)
		}
		var needs []string
		patient := func(q journal.Question) bool { // answers only what comes after the moment
			o, _ := q.Option("go")
			needs = append(needs, o.Needs)
			return strings.Contains(o.Needs, "reason")
		}
		b.Engine.Operator = waiting{b.op, patient}
		if status, err := b.Walk(context.Background()); err != nil || status != journal.Closed {
			t.Fatalf("%q, %v", status, err)
		}
		if needs[0] != "name" {
			t.Errorf("the gate needs %q", needs)
		}
		if err := b.judgeCutover(b.log.State(), journal.Answer{Choice: "go"}); err == nil || !strings.Contains(err.Error(), "wants a reason") {
			t.Errorf("the window is over: %v", err)
		}
		asked := fmt.Sprint(b.askedIn())
		if want := "[findings sign-off cutover last-safe close]"; asked != want {
			t.Errorf("asked %s, want %s", asked, want)
		}
	})
}

// waiting leaves a question of the cutover open as long as ready says no.
type waiting struct {
	*operator
	ready func(journal.Question) bool
}

func (w waiting) Ask(ctx context.Context, q journal.Question) (journal.Answer, error) {
	if q.Kind == journal.AskCutover && !w.ready(q) {
		<-ctx.Done()
		return journal.Answer{}, context.Cause(ctx)
	}
	return w.operator.Ask(ctx, q)
}
