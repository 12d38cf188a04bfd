package tui

import (
	"strings"

	"belay/steps"
	"belay/steps/journal"
	"belay/tui/widget"
)

// losses say, store by store, what going back would lose, and how old that
// knowledge is; nothing before the cutover.
func (sc *scene) losses() []widget.Pair {
	var out []widget.Pair
	for _, s := range sc.plan.Steps() {
		if _, ok := s.Do.(steps.Loser); !ok {
			continue
		}
		d, counted := sc.st.Losses[s.ID]
		switch {
		case counted:
			out = append(out, sc.lost(d, s.Title)...)
		case !sc.st.Reached[journal.Soak].IsZero() && sc.st.Step(s.ID).Status == journal.PassedStatus:
			out = append(out, widget.Pair{Label: "written", Value: oneLine(s.Title) + ": not counted yet", Role: widget.Dim})
		}
	}
	return out
}

func (sc *scene) lost(d journal.Losses, title string) []widget.Pair {
	age := widget.Ago(sc.now.Sub(d.At)) + ", "
	var out []widget.Pair
	for _, l := range d.Of {
		role := widget.Warn
		if l.Nothing() {
			role = widget.Dim
		}
		out = append(out, widget.Pair{Label: "written", Value: age + oneLine(l.Store+": "+l.Words()), Role: role, Max: 3})
	}
	if d.Err != "" {
		first, _, _ := strings.Cut(d.Err, "\n")
		out = append(out, widget.Pair{Label: "written", Value: age + oneLine(title) + ": nobody knows: " + oneLine(first), Role: widget.Warn, Max: 2})
	}
	return out
}

// lossLines are the losses below each other; short: a line each.
func (sc *scene) lossLines(w int, short bool) []string {
	lost := sc.losses()
	if short {
		for i := range lost {
			lost[i].Max = 1
		}
	}
	return widget.Pairs(sc.th, lost, w)
}

// shortRoom is how many lines are too few to say everything of the ways back.
const shortRoom = 24
