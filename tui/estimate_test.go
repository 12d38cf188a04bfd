package tui

import (
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"belay/steps/estimate"
)

// What earlier runs took is told on the card and before the cutover, and the
// header counts down to the last moment to turn back.
func TestEstimatesAreShown(t *testing.T) {
	o := Options{Estimates: estimate.Estimates{Runs: 3,
		Forward: map[string]estimate.Took{"stop": {Runs: 3, Median: 4 * time.Second, Worst: 9 * time.Second}, "start": {Runs: 3, Median: 80 * time.Second, Worst: 3 * time.Minute}},
		Back:    map[string]estimate.Took{"archive": {Runs: 1}, "checkout": {Runs: 1}, "frontend": {Runs: 1}, "stop": {Runs: 1, Worst: 20 * time.Second}, "start": {Runs: 1, Worst: 4 * time.Minute}},
	}}
	shown := func(f *fakeSession) string {
		r := drive(t, f, 100, 30, o)
		return ansi.Strip(r.m.View().Content)
	}
	for want, moment := range map[string]func() *fakeSession{
		"~3:09 or more, a guess: 1 of 3 steps not measured": cutoverMoment,
		"took 1:20 before":     failedMoment,
		"turn back within 22m": failedMoment, // 45 min - 14 gone - 4:30 kept free - 4:20 way back
	} {
		if got := shown(moment()); !strings.Contains(got, want) {
			t.Errorf("%q is not on the screen:\n%s", want, got)
		}
	}
	// Whoever has no runs of the plan counts on what the run itself began with.
	far := cutoverMoment()
	far.st.Estimates = o.Estimates.Document()
	r := drive(t, far, 100, 30, Options{})
	if got := ansi.Strip(r.m.View().Content); !strings.Contains(got, "~3:09 or more, a guess: 1 of 3 steps not measured") {
		t.Errorf("on another machine:\n%s", got)
	}
	f := failedMoment()
	f.plan.Window.Start = f.plan.Window.Start.Add(-25 * time.Minute)
	if got := shown(f); !strings.Contains(got, "too late to turn back") {
		t.Errorf("the last safe moment is over:\n%s", got)
	}
}
