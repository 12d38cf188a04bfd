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
	b := newBench(t, loadPlan(t, byHand), filepath.Join(t.TempDir(), "j"),
		"findings=go", "sign-off=go", "cutover=go", "close=rollback", "rollback=go", "manual/old=skip")
	if status, err := b.Walk(context.Background()); err != nil || status != journal.RolledBack {
		t.Fatalf("%q, %v; asked %q", status, err, b.op.asked)
	}
	s := b.log.State()
	if len(s.Debts) != 1 || s.Debts[0].Step != "old" || s.Step("old").Status == journal.Undone || !slices.Contains(w.log, "take a:one") {
		t.Errorf("debts %+v, old %q; %q", s.Debts, s.Step("old").Status, w.log)
	}
}
