package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"belay/steps/journal"
)

var errCrash = errors.New("crashed here")

// dying is a journal whose process dies at one append: before the event is on
// the disk, or just after.
type dying struct {
	*journal.Journal
	mu    sync.Mutex
	left  int
	after bool
}

func (d *dying) Append(e journal.Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch d.left--; {
	case d.left > 0:
		return d.Journal.Append(e)
	case d.left == 0 && d.after:
		if err := d.Journal.Append(e); err != nil {
			return err
		}
	}
	return errCrash
}

const twelve = twoHosts + `
prepare:
  - {step: S1, on: a, put: s1}
  - {step: S2, on: [a, b], put: s2}
  - together:
      - {step: S3, on: a, put: s3}
      - lane: other
        steps:
          - {step: S4, on: b, put: s4}
          - {step: S5, on: b, put: s5}
  - {step: S6, on: a, put: s6}
  - {step: S7, ask: Look at the rack}
signoff:
  - check: prepare
  - The team knows
cutover:
  - {step: S8, on: a, put: s8}
  - {step: S9, on: [b, a], put: s9}
  - {step: S10, on: b, put: s10}
close:
  - {step: S11, on: a, put: s11}
  - {step: S12, on: b, put: s12}
`

// The answers of somebody who, asked whether an interrupted step shall be done
// again, looks: every effect of this plan can be seen, so belay asks that only
// where it could not know, and "retry" is right then.
func twelveAnswers() []string {
	all := []string{"findings=go", "sign-off=sign:the-team-knows", "sign-off=go", "cutover=go", "manual=done", "close=close"}
	for range 12 {
		all = append(all, "unknown=retry")
	}
	return all
}

// TestCrashAtEveryAppend kills a run of twelve steps on two hosts at each of
// its appends, before and after the event is on the disk, resumes it, and
// wants each effect exactly once; then rolls it back and wants all gone.
func TestCrashAtEveryAppend(t *testing.T) {
	points := 0
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			finished := crashOnce(t, at, after)
			if finished || t.Failed() {
				break
			}
			points++
		}
	}
	if points < 80 {
		t.Errorf("only %d points tried", points)
	}
	t.Logf("%d crash points tried", points)
}

func crashOnce(t *testing.T, at int, after bool) (finished bool) {
	w := newWorld()
	p := loadPlan(t, twelve)
	path := filepath.Join(t.TempDir(), "j")
	where := fmt.Sprintf("crash at append %d, after=%v", at, after)

	b := newBench(t, p, path, twelveAnswers()...)
	b.Log = &dying{Journal: b.log, left: at, after: after}
	status, err := b.Walk(context.Background())
	if err == nil && status == journal.Closed {
		return true
	}
	if !errors.Is(err, errCrash) {
		t.Fatalf("%s: %q, %v", where, status, err)
	}
	b.log.Close()

	b = newBench(t, p, path, twelveAnswers()...)
	if status, err := b.Walk(context.Background()); err != nil || status != journal.Closed {
		t.Fatalf("%s: resumed: %q, %v; asked %q", where, status, err, b.op.asked)
	}
	for i := 1; i <= 12; i++ {
		for _, h := range []string{"a", "b"} {
			key := fmt.Sprintf("%s:s%d", h, i)
			if n := w.put[key]; n > 1 {
				t.Errorf("%s: %s done %d times", where, key, n)
			}
		}
	}
	for _, key := range []string{"a:s1", "a:s2", "b:s2", "a:s3", "b:s4", "b:s5", "a:s6", "a:s8", "b:s9", "a:s9", "b:s10", "a:s11", "b:s12"} {
		if w.put[key] != 1 {
			t.Errorf("%s: %s done %d times", where, key, w.put[key])
		}
	}
	b.log.Close()

	b = newBench(t, p, path, "rollback=go")
	if status, err := b.Rollback(context.Background()); err != nil || status != journal.RolledBack {
		t.Fatalf("%s: rolled back: %q, %v", where, status, err)
	}
	for key := range w.put {
		if w.has(key) || w.took[key] != 1 {
			t.Errorf("%s: %s taken %d times", where, key, w.took[key])
		}
	}
	return false
}

// TestCrashInRollback does the same to a rollback.
func TestCrashInRollback(t *testing.T) {
	for at := 1; ; at++ {
		w := newWorld()
		p := loadPlan(t, twelve)
		path := filepath.Join(t.TempDir(), "j")
		b := newBench(t, p, path, twelveAnswers()...)
		if status, err := b.Walk(context.Background()); err != nil || status != journal.Closed {
			t.Fatalf("%q, %v", status, err)
		}
		b.log.Close()
		b = newBench(t, p, path, "rollback=go")
		b.Log = &dying{Journal: b.log, left: at, after: at%2 == 0}
		_, err := b.Rollback(context.Background())
		b.log.Close()
		b = newBench(t, p, path, "rollback=go")
		if status, err := b.Rollback(context.Background()); err != nil || status != journal.RolledBack {
			t.Fatalf("at %d: %q, %v", at, status, err)
		}
		for key := range w.put {
			if w.has(key) || w.took[key] != 1 {
				t.Errorf("at %d: %s taken %d times", at, key, w.took[key])
			}
		}
		if err == nil {
			t.Logf("%d crash points tried", at-1)
			return
		}
	}
}
