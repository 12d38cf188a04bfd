package estimate

import (
	"time"

	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// Going is what is known of this moment besides the journal.
type Going struct {
	Now      time.Time
	For      map[string]time.Duration             // how long steps have been running; those not named: by Now
	Progress map[string]map[string]steps.Progress // step → host
}

// Forecast is how a stage goes on from a moment.
type Forecast struct {
	Total                    // what is left of it
	Critical map[string]bool // the steps not done on which its end hangs
	Late     []string        // steps that have been running longer than they ever did
}

// Sure tells whether all of it was measured, and nothing takes longer than it
// ever did.
func (f Forecast) Sure() bool { return f.Total.Sure() && len(f.Late) == 0 }

// Forecast tells what is left of a stage. What a running step still needs is
// taken from how much of it is done, at its own pace, the more the further it
// is; before that from what it took in earlier runs.
func (e Estimates) Forecast(p *plan.Plan, stage journal.Stage, st *journal.State, g Going) Forecast {
	f := Forecast{Critical: map[string]bool{}}
	counts := func(s *plan.Step) bool { return !over(s, st) }
	all, critical := inGroups(p.Groups(stage), counts, func(s *plan.Step) one {
		whole := e.forward(s, st)
		ran, ok := g.ran(st.Step(s.ID))
		if !ok {
			return whole
		}
		left, late := whole.left(ran, g.Progress[s.ID])
		if late {
			f.Late = append(f.Late, s.ID)
		}
		return left
	})
	f.Total = all
	for _, s := range critical {
		f.Critical[s.ID] = true
	}
	return f
}

// ran is how long a step has been running; false when it does not run.
func (g Going) ran(st journal.StepState) (time.Duration, bool) {
	if st.Status != journal.Running && st.Status != journal.WaitingYou || st.Undoing || st.Started.IsZero() || !st.Ended.IsZero() {
		return 0, false
	}
	if d, ok := g.For[st.ID]; ok {
		return max(0, d), true
	}
	return max(0, g.Now.Sub(st.Started)), true
}

// tellsFrom is from which share on a step's progress says anything of its pace.
const tellsFrom = 0.02

// measuredFrom is from which share on a step's own pace is no guess any more.
const measuredFrom = 0.25

// left is what is left of a step that has run for so long. late: it should be
// over, and does not say how far it is.
func (o one) left(ran time.Duration, progress map[string]steps.Progress) (left one, late bool) {
	left = o
	left.median, left.worst = max(0, o.median-ran), max(0, o.worst-ran)
	share, pace := 1.0, time.Duration(0)
	for _, p := range progress {
		if p.Total <= 0 || p.Done < 0 || p.Done > p.Total {
			return left, o.known && ran > o.worst
		}
		done := float64(p.Done) / float64(p.Total)
		share = min(share, done)
		if done >= tellsFrom {
			pace = max(pace, min(longest, time.Duration(float64(ran)*(1-done)/done)))
		}
	}
	switch {
	case len(progress) == 0 || share < tellsFrom:
		return left, o.known && ran > o.worst
	case !o.known:
		return one{pace, pace, true, share < measuredFrom}, false
	}
	left.guess = o.guess && share < measuredFrom
	mix := func(before time.Duration) time.Duration {
		return time.Duration(share*float64(pace) + (1-share)*float64(before))
	}
	left.median, left.worst = mix(left.median), mix(left.worst)
	return left, false
}
