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
		t.Looks = nil
		w := b.seeing(i)
		w.Probes = probeIn(w.Probes, Probe{ID: e.Key, Tally: t})
	case journal.Baselined:
		var t journal.Tally
		_ = json.Unmarshal(e.Data, &t)
		t.Looks = nil
		b.r.Baseline = probeIn(b.r.Baseline, Probe{ID: e.Key, Tally: t})
	case journal.Counting:
		b.counting(i, e)
	case journal.Turned:
		if n := len(b.r.Soak); n > 0 {
			var t journal.Turn
			_ = json.Unmarshal(e.Data, &t)
			w := &b.r.Soak[n-1]
			w.Turns = append(w.Turns, Turn{b.clock.time[i], e.Key, e.Err, t.Bad})
		}
	case journal.Verdict:
		w := b.watching(i)
		w.Verdict, w.Why, w.Span = e.Key, e.Err, b.clock.span(b.soakBegun, i)
		b.soakOpen = false
	}
}

// probeIn enters what is newest of a probe.
func probeIn(all []Probe, p Probe) []Probe {
	if at := slices.IndexFunc(all, func(old Probe) bool { return old.ID == p.ID }); at >= 0 {
		all[at] = p
		return all
	}
	return append(all, p)
}

func (b *builder) counting(i int, e journal.Event) {
	if e.Key == journal.CountBegun {
		var c journal.Countdown
		_ = json.Unmarshal(e.Data, &c)
		b.r.Countdowns = append(b.r.Countdowns, Countdown{Span: b.clock.open(i), Length: c.Length, Why: c.Why, question: c.Question})
		b.countAt = i
		return
	}
	b.endCount(i, Countdown{Ended: e.Key})
}

// endCount says how the countdown that runs has ended.
func (b *builder) endCount(i int, how Countdown) {
	if n := len(b.r.Countdowns); n > 0 && b.r.Countdowns[n-1].Ended == "" {
		c := &b.r.Countdowns[n-1]
		c.Ended, c.By, c.Choice, c.Span = how.Ended, how.By, how.Choice, b.clock.span(b.countAt, i)
	}
}

// stopsCount looks whether an answer has stopped a countdown.
func (b *builder) stopsCount(i int, e journal.Event) {
	var a journal.Answer
	_ = json.Unmarshal(e.Data, &a)
	if n := len(b.r.Countdowns); n == 0 || b.r.Countdowns[n-1].question != e.Key {
		return
	}
	if a.Choice == "withdrawn" {
		b.endCount(i, Countdown{Ended: "withdrawn"})
		return
	}
	b.endCount(i, Countdown{Ended: "stopped", By: a.By, Choice: a.Choice})
}

// seeing is the watch that a look belongs to: after the verdict belay looks on
// while somebody is asked about it.
func (b *builder) seeing(i int) *Watch {
	asked := slices.ContainsFunc(b.r.Questions, func(q Question) bool { return q.Kind == journal.AskSoak && q.Open })
	if n := len(b.r.Soak); n > 0 && asked {
		return &b.r.Soak[n-1]
	}
	return b.watching(i)
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

// finishSoak puts the probes into the order of the plan.
func (b *builder) finishSoak() {
	if b.plan == nil || b.plan.Soak == nil {
		return
	}
	place := map[string]int{}
	for i, p := range b.plan.Soak.Watch {
		place[p.ID] = i + 1
	}
	slices.SortStableFunc(b.r.Baseline, func(x, y Probe) int { return cmp.Compare(place[x.ID], place[y.ID]) })
	for _, w := range b.r.Soak {
		slices.SortStableFunc(w.Probes, func(x, y Probe) int { return cmp.Compare(place[x.ID], place[y.ID]) })
	}
}
