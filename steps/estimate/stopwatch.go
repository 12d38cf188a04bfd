package estimate

import (
	"time"

	"belay/steps/journal"
)

// Stopwatch tells how long steps have been running, for Going. It is to be
// looked at about once a second, and counts on when the wall clock is set.
// The zero value is ready.
type Stopwatch struct {
	last time.Time
	ran  map[attempt]time.Duration
}

type attempt struct {
	step string
	n    int
}

// maxGap is the longest time between two looks that counts where only a wall
// clock tells of it; more is a clock that was set.
const maxGap = time.Minute

// Look notes which steps run now. It returns how long each has: since its
// start when it is first seen, after that by what passed between the looks.
func (w *Stopwatch) Look(now time.Time, st *journal.State) map[string]time.Duration {
	passed := time.Duration(0)
	if !w.last.IsZero() {
		passed = now.Sub(w.last)
	}
	if trusted := monotonic(now) && monotonic(w.last); !trusted && (passed < 0 || passed > maxGap) {
		passed = 0
	}
	w.last = now
	running, ran := map[string]time.Duration{}, map[attempt]time.Duration{}
	for id := range st.Steps {
		step := st.Step(id)
		since, ok := Going{Now: now}.ran(step)
		if !ok {
			continue
		}
		key := attempt{id, step.Attempt}
		if before, seen := w.ran[key]; seen {
			since = before + passed
		}
		ran[key], running[id] = since, since
	}
	w.ran = ran
	return running
}

// monotonic tells whether differences between such times do not depend on what
// is done to the wall clock.
func monotonic(t time.Time) bool { return t != t.Round(0) }
