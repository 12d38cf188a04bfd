package engine

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"belay/steps/journal"
)

// While a run is held the window begins, and ends: the question says so, and
// what it wants changes with it. Nothing goes on by itself.
func TestHeldOverTheEdgesOfTheWindow(t *testing.T) {
	w := newWorld()
	start := time.Now().Add(700 * time.Millisecond).UTC()
	p := loadPlan(t, "window: {start: 2026-12-01T22:00Z, length: 45m}\n"+happy)
	b := newBench(t, p, filepath.Join(t.TempDir(), "j"), happyAnswers...)
	b.Plan.Window.Start, b.Plan.Window.Length = start, 500*time.Millisecond
	var needs []string
	b.Operator = asker(func(ctx context.Context, q journal.Question) (journal.Answer, error) {
		if q.Kind != journal.AskCutover {
			return b.op.Ask(ctx, q)
		}
		o, _ := q.Option("go")
		needs = append(needs, o.Needs)
		hasty := journal.Answer{Choice: "go", Text: o.Type, By: journal.Author{Name: "Ada", Login: "ada"}}
		if err := b.Judge(q, hasty); (err == nil) != (len(needs) == 2) {
			t.Errorf("%d: going without a reason: %v", len(needs), err)
		}
		if len(needs) < 3 {
			<-ctx.Done()
			return journal.Answer{}, context.Cause(ctx)
		}
		hasty.Reason = "late, but ready"
		return hasty, nil
	})
	status, err := b.Walk(context.Background())
	if err != nil || status != journal.Closed || w.put["b:four"] != 1 {
		t.Fatalf("%q, %v", status, err)
	}
	if !slices.Equal(needs, []string{"name reason", "name", "name reason"}) {
		t.Errorf("needs: %q", needs)
	}
}

// Whoever holds the run may have the checklist proved again there.
func TestHeldProvesAgainWhenAsked(t *testing.T) {
	newWorld()
	setProven(nil)
	p, err := loadProvePlan(t, provePlan)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, p, filepath.Join(t.TempDir(), "j"), "findings=go", "sign-off=go", "cutover=recheck", "cutover=no-go")
	proven.Lock()
	before := proven.made
	proven.Unlock()
	if status, err := b.Walk(context.Background()); err != nil || status != journal.NoGo {
		t.Fatalf("%q, %v; asked %q", status, err, b.op.asked)
	}
	proven.Lock()
	defer proven.Unlock()
	if proven.made != before+2 {
		t.Errorf("proved %d times, want in prepare and when asked", proven.made-before)
	}
	if got := strings.Join(b.op.asked, " "); !strings.HasSuffix(got, "cutover/ cutover/") {
		t.Errorf("asked: %s", got)
	}
}
