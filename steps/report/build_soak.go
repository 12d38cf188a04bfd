package report

import (
	"cmp"
	"encoding/json"
	"slices"

	"belay/steps/journal"
)

func (b *builder) soakEvent(i int, e journal.Event) {
	switch e.Type {
	case journal.SoakBegun:
		var d journal.SoakPlan
		_ = json.Unmarshal(e.Data, &d)
		b.watch(i, Watch{Until: utc(d.Until)})
	case journal.Probed:
		var t journal.Tally
		_ = json.Unmarshal(e.Data, &t)
		w := b.watching(i)
		p := Probe{ID: e.Key, Tally: t}
		if at := slices.IndexFunc(w.Probes, func(old Probe) bool { return old.ID == e.Key }); at >= 0 {
			w.Probes[at] = p
		} else {
			w.Probes = append(w.Probes, p)
		}
	case journal.Verdict:
		w := b.watching(i)
		w.Verdict, w.Why, w.Span = e.Key, e.Err, b.clock.span(b.soakBegun, i)
		b.soakOpen = false
	}
}

// watching is the watch that goes on. An engine that takes a soak up again
// after its verdict begins to watch without saying so.
func (b *builder) watching(i int) *Watch {
	if !b.soakOpen {
		next := Watch{Resumed: len(b.r.Soak) > 0}
		if next.Resumed {
			next.Until = b.r.Soak[len(b.r.Soak)-1].Until
		}
		b.watch(i, next)
	}
	return &b.r.Soak[len(b.r.Soak)-1]
}

func (b *builder) watch(i int, w Watch) {
	w.Span, w.Probes = b.clock.open(i), []Probe{}
	b.r.Soak = append(b.r.Soak, w)
	b.soakBegun, b.soakOpen = i, true
}

// soakResumed begins a new watch where one was broken off: its counts begin
// anew as well.
func (b *builder) soakResumed(i int) {
	if b.soakOpen && len(b.r.Soak[len(b.r.Soak)-1].Probes) > 0 {
		b.soakOpen = false
		b.watching(i)
	}
}

// finishSoak puts the probes into the order of the plan.
func (b *builder) finishSoak() {
	if b.plan == nil || b.plan.Soak == nil {
		return
	}
	place := map[string]int{}
	for i, p := range b.plan.Soak.Watch {
		place[p.ID] = i + 1
	}
	for _, w := range b.r.Soak {
		slices.SortStableFunc(w.Probes, func(x, y Probe) int { return cmp.Compare(place[x.ID], place[y.ID]) })
	}
}
