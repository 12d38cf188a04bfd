package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"belay/steps/journal"
)

// remedied has a step that fails until what its hint brings has run.
const remedied = twoHosts + `
prepare:
  - step: One
    on: a
    put: {name: one, again: true}
    hints:
      - {match: "exit status 1$", cause: two is missing, fix: put it, mend: {put: {name: two, again: true}, on: b}}
`

func needsTwo(w *world) func(op, name, host string) error {
	return func(op, name, _ string) error {
		if op == "put" && name == "one" && w.put["b:two"] == 0 {
			return errors.New("exit status 1")
		}
		return nil
	}
}

func TestHintMends(t *testing.T) {
	w := newWorld()
	w.hook = needsTwo(w)
	path := filepath.Join(t.TempDir(), "j")
	p := loadPlan(t, remedied)
	b := newBench(t, p, path, "findings=go", "failed/one=mend", "close=close")
	if status, err := b.Walk(context.Background()); err != nil || status != journal.Closed {
		t.Fatalf("%q, %v; asked %q", status, err, b.op.asked)
	}
	if w.put["a:one"] != 1 || w.put["b:two"] != 1 {
		t.Errorf("done: %v", w.put)
	}
	b.log.Close()
	w.log = nil
	b = newBench(t, p, path, "rollback=go")
	if status, err := b.Rollback(context.Background()); err != nil || status != journal.RolledBack {
		t.Fatalf("rolled back: %q, %v", status, err)
	}
	if want := []string{"take b:two", "take a:one"}; !slices.Equal(w.log, want) {
		t.Errorf("undone: %q, want %q", w.log, want)
	}
}

// A mend that did not help is not offered again.
func TestMendIsOfferedOnce(t *testing.T) {
	newWorld().hook = func(op, name, _ string) error {
		if name == "one" {
			return errors.New("exit status 1")
		}
		return nil
	}
	b := newBench(t, loadPlan(t, remedied), filepath.Join(t.TempDir(), "j"), "findings=go", "failed/one=mend", "failed/one=stop")
	if status, err := b.Walk(context.Background()); err != nil || status != journal.Stopped {
		t.Fatalf("%q, %v; asked %q", status, err, b.op.asked)
	}
	var offered []bool
	for _, e := range b.log.Events(0) {
		if e.Type == journal.Asked && e.Step == "one" {
			var q journal.Question
			if err := json.Unmarshal(e.Data, &q); err != nil {
				t.Fatal(err)
			}
			_, ok := q.Option("mend")
			offered = append(offered, ok)
		}
	}
	if !slices.Equal(offered, []bool{true, false}) {
		t.Errorf("offered: %v", offered)
	}
}

// Killed at every append while it fails and is remedied, the run comes to the
// same end, and nothing is done twice.
func TestCrashWhileMending(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			w := newWorld()
			w.hook = needsTwo(w)
			path := filepath.Join(t.TempDir(), "j")
			p := loadPlan(t, remedied)
			b := newBench(t, p, path, "findings=go", "failed/one=mend", "close=close")
			b.Log = &dying{Journal: b.log, left: at, after: after}
			status, err := b.Walk(context.Background())
			if err == nil && status == journal.Closed {
				if at < 10 {
					t.Errorf("only %d points", at)
				}
				break
			}
			where := fmt.Sprintf("append %d, after=%v", at, after)
			if !errors.Is(err, errCrash) {
				t.Fatalf("%s: %q, %v", where, status, err)
			}
			b.log.Close()
			b = newBench(t, p, path, "findings=go", "failed/one=mend", "close=close")
			if status, err := b.Walk(context.Background()); err != nil || status != journal.Closed {
				t.Fatalf("%s: resumed: %q, %v; asked %q", where, status, err, b.op.asked)
			}
			if w.put["a:one"] != 1 || w.put["b:two"] != 1 {
				t.Fatalf("%s: done %v", where, w.put)
			}
			b.log.Close()
		}
	}
}
