package estimate

import (
	"slices"
	"time"

	"belay/steps/journal"
)

// Took is how long one thing took in earlier runs.
type Took struct {
	Runs   int           `json:"runs"` // 0: never measured
	Median time.Duration `json:"median"`
	Worst  time.Duration `json:"worst"`
	Moved  []Sample      `json:"moved,omitempty"` // of the runs that said how much they moved, least first
}

// Sample is one measurement.
type Sample struct {
	Took time.Duration `json:"took"`
	Size journal.Size  `json:"size"`
}

func sum(all []Sample) Took {
	t := of(all)
	for _, s := range all {
		if s.Size != (journal.Size{}) {
			t.Moved = append(t.Moved, s)
		}
	}
	slices.SortFunc(t.Moved, func(a, b Sample) int {
		switch {
		case a.Size.Bytes != b.Size.Bytes:
			return sign(a.Size.Bytes - b.Size.Bytes)
		}
		return sign(a.Size.Rows - b.Size.Rows)
	})
	return t
}

func sign(n int64) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

func of(all []Sample) Took {
	times := make([]time.Duration, len(all))
	for i, s := range all {
		times[i] = s.Took
	}
	slices.Sort(times)
	n := len(times)
	median := times[n/2]
	if n%2 == 0 {
		median = (times[n/2-1] + times[n/2]) / 2
	}
	return Took{Runs: n, Median: median, Worst: times[n-1]}
}

// Most is the most that any of the runs moved.
func (t Took) Most() journal.Size {
	if len(t.Moved) == 0 {
		return journal.Size{}
	}
	return t.Moved[len(t.Moved)-1].Size
}

// near is by how much more data a measurement still counts as one.
const near = 1.5

// longest is more than anything takes, and adds up without overflow.
const longest = 10_000 * time.Hour

// With is how long it takes with so much to move: measurements with less are
// scaled up, those with more count as they are. far: none was of anything near
// that much, so that the time is a guess. Where no size is known, on either
// side, it is t.
func (t Took) With(here journal.Size) (with Took, far bool) {
	var close, all []Sample
	for _, s := range t.Moved {
		grown := growth(s.Size, here)
		if grown == 0 {
			continue
		}
		scaled := Sample{Took: longest, Size: s.Size}
		if d := float64(s.Took) * max(1, grown); d < float64(longest) {
			scaled.Took = time.Duration(d)
		}
		all = append(all, scaled)
		if grown <= near {
			close = append(close, scaled)
		}
	}
	if len(all) == 0 {
		return t, false
	}
	if far = len(close) == 0; !far {
		all = close
	}
	with = of(all)
	with.Runs, with.Moved = t.Runs, t.Moved
	return with, far
}

// growth is how many times as much the second is; 0 where they cannot be compared.
func growth(then, here journal.Size) float64 {
	switch {
	case then.Bytes > 0 && here.Bytes > 0:
		return float64(here.Bytes) / float64(then.Bytes)
	case then.Rows > 0 && here.Rows > 0:
		return float64(here.Rows) / float64(then.Rows)
	}
	return 0
}
