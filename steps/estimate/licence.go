package estimate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/tui/widget"
)

// Licence is what rehearsals say about a run of a plan that wants one.
type Licence struct {
	OK     bool
	Warn   bool     // it holds, but something differs that people should know
	Text   string   // one sentence
	Detail []string // what differs
}

// Licensed looks among past runs for a rehearsal of what p does, by this
// version of belay, at the time now. The newest one that holds counts; when
// none does, the newest says why.
//
// here is what its steps would move now, as far as that is known; nil: it is
// not compared.
func Licensed(p *plan.Plan, past []*journal.State, version string, now time.Time, here map[string]journal.Size) Licence {
	var best *Licence
	newest := slices.SortedFunc(slices.Values(past), func(a, b *journal.State) int { return b.Last.Compare(a.Last) })
	for _, s := range newest {
		if len(s.Rehearsal) == 0 || s.Plan != p.Name {
			continue
		}
		l := licence(p, s, version, now, here)
		if l.OK && !l.Warn {
			return l
		}
		if best == nil || l.OK && !best.OK {
			best = &l
		}
	}
	if best != nil {
		return *best
	}
	return Licence{Text: "this plan was not rehearsed yet"}
}

// licence judges one rehearsal.
func licence(p *plan.Plan, s *journal.State, version string, now time.Time, here map[string]journal.Size) Licence {
	age := now.Sub(s.Last)
	which := fmt.Sprintf("the rehearsal of %s (%s)", s.Last.UTC().Format("2006-01-02 15:04 MST"), s.Run)
	if d := differences(s.Rehearsal, p.Parts); len(d) > 0 {
		return Licence{Text: fmt.Sprintf("%s was of another plan: %s", which, count(len(d), "thing differs", "things differ")), Detail: d}
	}
	if why := unfinished(p, s); why != "" {
		return Licence{Text: which + " " + why}
	}
	if p.Rehearsal != nil && p.Rehearsal.MaxAge > 0 && age > p.Rehearsal.MaxAge {
		return Licence{Text: fmt.Sprintf("%s is too old: the plan allows %s", which, widget.Span(p.Rehearsal.MaxAge))}
	}
	l := Licence{OK: true, Text: fmt.Sprintf("rehearsed %s ago (%s): forward in %s, back in %s", widget.Rough(age), s.Run, span(forwardOf(s)), span(backOf(s)))}
	if left := notDone(p, s); len(left) > 0 {
		l.Warn, l.Detail = true, append(l.Detail, "passed over in the rehearsal: "+strings.Join(left, ", "))
	}
	for _, w := range p.Ways {
		if w.Name != s.Way {
			l.Detail = append(l.Detail, "way back that was not tried: "+w.Name)
		}
	}
	if s.Version != version {
		l.Warn, l.Detail = true, append(l.Detail, fmt.Sprintf("rehearsed with belay %s; this is %s", s.Version, version))
	}
	l.compareSizes(p, s, here)
	return l
}

// unfinished says what a rehearsal did not try; "" for a whole one.
func unfinished(p *plan.Plan, s *journal.State) string {
	last := journal.Cutover
	if p.Soak != nil {
		last = journal.Soak
	}
	switch {
	case s.Done[last].IsZero():
		return fmt.Sprintf("did not come to the end of %s", last)
	case s.Rollback == nil:
		return "did not try the way back"
	case len(s.Debts) > 0:
		return fmt.Sprintf("could not undo everything: %s", s.Debts[0].Step)
	case s.Status != journal.RolledBack:
		return "did not come to the end of the way back"
	}
	return ""
}

// notDone are the steps up to the soak that the rehearsal passed over.
func notDone(p *plan.Plan, s *journal.State) (titles []string) {
	for _, stage := range []journal.Stage{journal.Prepare, journal.Cutover} {
		for _, g := range p.Groups(stage) {
			for _, l := range g.Lanes {
				for _, st := range l.Steps {
					// Why a person skipped it, and why it failed, outlive its undo.
					now := s.Step(st.ID)
					if now.Status == journal.Skipped || now.Reason != nil || st.Optional && now.Err != "" {
						titles = append(titles, st.Title)
					}
				}
			}
		}
	}
	return titles
}

// differences names what a rehearsal and a plan have not in common.
func differences(then, now []journal.Part) (all []string) {
	had, has := map[string]string{}, map[string]string{}
	for _, p := range then {
		had[p.Name] = p.Sum
	}
	for _, p := range now {
		has[p.Name] = p.Sum
		switch sum, ok := had[p.Name]; {
		case !ok:
			all = append(all, "new since: "+p.Name)
		case sum != p.Sum:
			all = append(all, "changed since: "+p.Name)
		}
	}
	for _, p := range then {
		if _, ok := has[p.Name]; !ok {
			all = append(all, "gone since: "+p.Name)
		}
	}
	if len(all) == 0 && !slices.Equal(then, now) {
		all = append(all, "the same steps stand in another order")
	}
	return all
}

// forwardOf is from the first step to the end of the cutover.
func forwardOf(s *journal.State) time.Duration {
	return s.Done[journal.Cutover].Sub(s.Reached[journal.Prepare])
}

// backOf is from the first undo to the last.
func backOf(s *journal.State) time.Duration {
	var first, last time.Time
	for _, st := range s.Steps {
		if st.UndoStarted.IsZero() {
			continue
		}
		if first.IsZero() || st.UndoStarted.Before(first) {
			first = st.UndoStarted
		}
		if st.UndoEnded.After(last) {
			last = st.UndoEnded
		}
	}
	return max(0, last.Sub(first))
}

func span(d time.Duration) string { return widget.Span(d.Round(time.Second)) }

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
