package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"belay/steps/journal"
)

// The assessment asks the steps that moved data before how much it is here, on
// all their hosts; what began is not asked again, and what cannot tell is left out.
func TestSizesOfAnAssessment(t *testing.T) {
	newWorld()
	p := loadPlan(t, twoHosts+"prepare:\n  - {step: One, on: [a, b], put: {name: one, bytes: 50}}\n  - {step: Two, on: a, put: {name: two, bytes: 7}}\n  - {step: Three, on: a, put: {name: three}}\n")
	b := newBench(t, p, filepath.Join(t.TempDir(), "j"), "findings=recheck", "findings=go", "close=close")
	b.Copies = []string{"one", "three", "gone since"}
	var told []string
	b.Rehearsed = func(here map[string]journal.Size) journal.Finding {
		told = append(told, fmt.Sprint(here))
		return journal.Finding{Level: "pass"}
	}
	if status, err := b.Walk(context.Background()); err != nil || status != journal.Closed {
		t.Fatalf("%q, %v", status, err)
	}
	if got := fmt.Sprint(told); got != "[map[one:{100 0}] map[one:{100 0}]]" {
		t.Errorf("the licence was told %s", got)
	}
	if s := b.log.State(); fmt.Sprint(s.Sizes) != "map[one:{100 0}]" || s.Step("two").Size.Bytes != 7 {
		t.Errorf("sizes %v, two %v", s.Sizes, s.Step("two").Size)
	}
	if _, err := b.Assess(context.Background()); err != nil || told[2] != "map[one:{100 0}]" {
		t.Errorf("after it was done: %v, %v", told, err)
	}
	only := &Engine{Plan: p, Hosts: b.Hosts, Copies: b.Copies, Judging: b.Judging, Rehearsed: b.Rehearsed, Output: b.Output, Secret: b.Secret}
	newWorld() // as belay assess looks at it, without a journal
	if _, err := only.Assess(context.Background()); err != nil || told[3] != "map[one:{100 0}]" {
		t.Errorf("without a journal: %v, %v", told, err)
	}
}
