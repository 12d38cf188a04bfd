package postgres

import "testing"

func TestRoomForACopy(t *testing.T) {
	for _, c := range []struct {
		source, target int
		same           bool
		free           int64
		jobs           int
		crowded        bool
		sort           int64
	}{
		{source: 2, target: 2, same: true, free: 8 << 30, jobs: 1, crowded: true, sort: 512 << 20},
		{source: 16, target: 16, same: true, free: 64 << 30, jobs: 8, crowded: true, sort: 512 << 20},
		{source: 4, target: 4, free: 4 << 30, jobs: 4, crowded: true, sort: (1 << 30) / 6},
		{source: 4, target: 32, free: 0, jobs: 4, crowded: false, sort: (512 << 20) / 6},
		{source: 8, target: 8, free: 512 << 20, jobs: 8, crowded: true, sort: 64 << 20},
	} {
		jobs := JobsFor(c.source, c.target, c.same)
		if crowded, sort := Crowded(jobs, c.target, c.same), SortFor(jobs, c.free); jobs != c.jobs || crowded != c.crowded || sort != c.sort {
			t.Errorf("%+v: %d jobs, crowded %v, %d MiB", c, jobs, crowded, sort>>20)
		}
	}
}

// Who builds alone may take all processors; who builds beside others may not.
func TestYardSaysWhoIsAlone(t *testing.T) {
	rows := &job{what: "rows"}
	key := &job{what: "key", build: true, after: []*job{rows}}
	other := &job{what: "other", build: true, after: []*job{rows}}
	last := &job{what: "last", build: true, after: []*job{key, other}}
	y := newYard([]*job{rows, key, other, last})
	for _, want := range []bool{true, false, false, true} {
		j, alone := y.take(false)
		if alone != want {
			t.Errorf("%s: alone %v", j.what, alone)
		}
		if j == rows || j == last {
			y.done(j, nil)
		} else if j == other || y.busy == 2 {
			y.done(key, nil)
			y.done(other, nil)
		}
	}
}
