package engine

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"belay/steps/journal"
)

const byHand = twoHosts + `
prepare:
  - {step: One, on: a, put: one}
cutover:
  - {step: Old, on: [a, b], put: old, undo: {ask: Start the old one again}}
  - {step: Two, on: a, put: two}
`

// A way back that only people can carry out is theirs to say done: the steps
// before it are not undone until then.
func TestUndoByHandIsAsked(t *testing.T) {
	w := newWorld()
	path := filepath.Join(t.TempDir(), "j")
	b := newBench(t, loadPlan(t, byHand), path, "findings=go", "sign-off=go", "cutover=go", "close=rollback", "rollback=go", "manual/old=stop")
	if status, err := b.Walk(context.Background()); err != nil || status != journal.Stopped {
		t.Fatalf("%q, %v; asked %q", status, err, b.op.asked)
	}
	if slices.Contains(w.log, "take a:one") || !slices.Contains(w.log, "take a:two") {
		t.Errorf("undone before somebody said that the old one runs again: %q", w.log)
	}
	b.log.Close()

	b = newBench(t, loadPlan(t, byHand), path, "manual/old=done")
	if status, err := b.Walk(context.Background()); err != nil || status != journal.RolledBack {
		t.Fatalf("%q, %v; asked %q", status, err, b.op.asked)
	}
	if st := b.log.State().Step("old"); st.Status != journal.Undone || !slices.Contains(w.log, "take a:one") {
		t.Errorf("%q; %q", st.Status, w.log)
	}
	if q := b.op.asked; len(q) != 1 {
		t.Errorf("asked %q: once is enough for both hosts", q)
	}
}

func TestUndoByHandLeftIsADebt(t *testing.T) {
	w := newWorld()
	path := filepath.Join(t.TempDir(), "j")
	b := newBench(t, loadPlan(t, byHand), path, "findings=go", "sign-off=go", "cutover=go", "close=rollback", "rollback=go", "manual/old=skip")
	if status, err := b.Walk(context.Background()); err != nil || status != journal.RolledBack {
		t.Fatalf("%q, %v; asked %q", status, err, b.op.asked)
	}
	s := b.log.State()
	if len(s.Debts) != 1 || s.Debts[0].Step != "old" || s.Debts[0].Why != "nobody has carried out its way back: Start the old one again" || s.Step("old").Status == journal.Undone || !slices.Contains(w.log, "take a:one") {
		t.Errorf("debts %+v, old %q; %q", s.Debts, s.Step("old").Status, w.log)
	}
	b.log.Close()

	b = newBench(t, loadPlan(t, byHand), path, "manual/old=done") // belay rollback takes it up
	if status, err := b.Rollback(context.Background()); err != nil || status != journal.RolledBack {
		t.Fatalf("%q, %v; asked %q", status, err, b.op.asked)
	}
	if s := b.log.State(); len(s.Debts) != 0 || s.Step("old").Status != journal.Undone || !s.Over() {
		t.Errorf("debts %+v, old %q", s.Debts, s.Step("old").Status)
	}
}

// Where belay is killed with the question open, or its answer on the disk but
// not carried out, it is asked about again: nothing counts as undone meanwhile.
func TestUndoByHandOutlivesACrash(t *testing.T) {
	first := func(path string) *bench {
		return newBench(t, loadPlan(t, byHand), path, "findings=go", "sign-off=go", "cutover=go", "close=rollback", "rollback=go", "manual/old=done")
	}
	for name, dies := range map[string]func(journal.Event, *journal.State) bool{
		"asked":    func(e journal.Event, _ *journal.State) bool { return e.Type == journal.Asked && e.Step == "old" },
		"answered": answeredSo(journal.AskManual, "done"),
	} {
		w := newWorld()
		b, status := resumedAfter(t, first, dies, "manual/old=done")
		if s := b.log.State(); status != journal.RolledBack || !slices.Equal(b.op.asked, []string{"manual/old"}) ||
			len(s.Questions) != 0 || s.Step("old").Status != journal.Undone || !slices.Contains(w.log, "take a:one") {
			t.Errorf("%s: %q, asked %q; %q", name, status, b.op.asked, w.log)
		}
	}
}
