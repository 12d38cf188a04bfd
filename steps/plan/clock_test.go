package plan

import (
	"strings"
	"testing"
	"time"
)

// What a plan says of time, besides its limits: takes and margin.
func TestTimesOfPlan(t *testing.T) {
	head := "belay: 1\nname: t\nhosts: {a: {}}\nwindow: {start: 2026-12-01T22:00Z, length: 45m%s}\nprepare:\n  - {step: One, run: make, takes: 7m}\n"
	for margin, want := range map[string]time.Duration{"": 270 * time.Second, ", margin: 10m": 10 * time.Minute, ", margin: 0s": 0} {
		p := load(t, strings.Replace(head, "%s", margin, 1))
		if p.Window.Margin != want || p.Step("one").Takes != 7*time.Minute {
			t.Errorf("%q: margin %s, takes %s", margin, p.Window.Margin, p.Step("one").Takes)
		}
	}
	for length, want := range map[string]time.Duration{"90s": 45 * time.Second, "5m": time.Minute, "3h": 18 * time.Minute} {
		if p := load(t, strings.Replace(strings.Replace(head, "%s", "", 1), "45m", length, 1)); p.Window.Margin != want {
			t.Errorf("a window of %s keeps %s free", length, p.Window.Margin)
		}
	}
	_, err := Load("plan.yaml", []byte(strings.Replace(head, "%s", ", margin: 45m", 1)), fakeKinds())
	if err == nil || !strings.Contains(err.Error(), "the margin is a part of the window, which is 45m0s long") || !strings.Contains(err.Error(), "plan.yaml:4:") {
		t.Errorf("a margin as long as the window: %v", err)
	}
}
