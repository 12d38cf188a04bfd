package soak

import (
	"math"
	"slices"

	"belay/steps/journal"
)

// recent is how many measures a tally shows.
const recent = 60

// Count fills in the figures of a tally from all its looks.
func Count(t *journal.Tally, looks []journal.Look) {
	t.Good, t.Bad, t.Unknown, t.Recent = 0, 0, 0, nil
	var took []float64
	for i, l := range looks {
		ms := l.Took
		switch l.Was {
		case journal.LookGood:
			t.Good++
			if l.Took > 0 {
				took = append(took, l.Took)
			}
		case journal.LookBad:
			t.Bad++
			ms = -1
		default:
			t.Unknown++
			ms = -1
		}
		if i >= len(looks)-recent {
			t.Recent = append(t.Recent, ms)
		}
	}
	slices.Sort(took)
	t.P50, t.P95 = quantile(took, 0.50), quantile(took, 0.95)
}

// quantile is the nearest rank; 0 without any.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// Enough is how many answers a baseline has at least.
const Enough = 12

// Measured tells whether a baseline has as many answers as it takes, or the old
// server has been asked so often that no more can be hoped for.
func Measured(t journal.Tally) bool {
	n := t.Good + t.Bad + t.Unknown
	return t.Good >= Enough || n >= Enough && t.Good == 0 || n >= 2*Enough
}

// Slack is how much more than the old server's a measure has to be before it
// counts at all, whatever its ratio: who is used to 1 ms does not notice 3.
func Slack(unit string) float64 {
	if unit == "" {
		return 25
	}
	return 0.25 // load of a CPU
}
