package tui

import (
	"fmt"
	"strings"
	"time"

	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/tui/widget"
)

// readiness says whether a run that is held may cut over now, and why not: what
// the machine's items of the checklist come to, how old that is, and whether
// cutover and way back fit into the window.
func (sc *scene) readiness() []widget.Pair {
	var against []string
	oldest, items := time.Duration(0), 0
	for _, it := range sc.plan.Signoff {
		st := sc.st.Items[it.ID]
		if !it.Machine() || st == nil {
			continue
		}
		items++
		age := sc.now.Sub(st.Time)
		switch {
		case !st.OK:
			against = append(against, oneLine(it.Text)+": "+oneLine(st.Evidence)+", seen "+widget.Ago(age))
		case sc.tooOld(it, age):
			against = append(against, oneLine(it.Text)+": seen "+widget.Ago(age)+", and being proved again")
		default:
			oldest = max(oldest, age)
		}
	}
	out := []widget.Pair{{Label: "ready", Value: "✓ nothing stands against it", Role: widget.OK}}
	if items > 0 {
		out[0].Value = fmt.Sprintf("✓ belay's %d items of the checklist hold, the oldest seen %s", items, widget.Ago(oldest))
		if items == 1 {
			out[0].Value = "✓ belay's item of the checklist holds, seen " + widget.Ago(oldest)
		}
	}
	if len(against) > 0 {
		out[0] = widget.Pair{Label: "ready", Value: "✗ NOT READY: " + strings.Join(against, "; "), Role: widget.Fail, Max: 4}
	}
	if text, role := sc.fits(); text != "" {
		out = append(out, widget.Pair{Label: "window", Value: text, Role: role, Max: 2})
	}
	return out
}

// tooOld tells whether the engine refuses to rely on a proof of that age.
func (sc *scene) tooOld(it plan.Item, age time.Duration) bool {
	s := sc.plan.Step(it.Step)
	if s == nil {
		return false
	}
	do, ok := s.Do.(steps.Prover)
	return ok && do.ProofFor() > 0 && age > 2*do.ProofFor()
}

// fits tells whether cutover and way back are over before the window is, by
// the longest that they ever took.
func (sc *scene) fits() (string, widget.Role) {
	win := sc.plan.Window
	if win == nil {
		return "", widget.Text
	}
	end := win.Start.Add(win.Length)
	switch {
	case sc.now.Before(win.Start):
		return "opens in " + widget.Rough(win.Start.Sub(sc.now)) + "; cutting over before wants a reason", widget.Warn
	case sc.now.After(end):
		return "it is over since " + widget.Rough(sc.now.Sub(end)) + "; cutting over wants a reason", widget.Fail
	}
	left := end.Sub(sc.now)
	ahead, back := sc.opt.Estimates.Ahead(sc.plan, journal.Cutover, sc.st), sc.opt.Estimates.RollbackAfter(sc.plan, journal.Cutover)
	if n := ahead.Unknown + back.Unknown; n > 0 {
		return fmt.Sprintf("%s left; nobody knows whether that is enough: %s never measured", widget.Rough(left), plural(n, "step")), widget.Dim
	}
	need := "at worst " + widget.Span(ahead.Worst)
	if !ahead.Sure() {
		need = "~" + widget.Span(ahead.Worst) + " (a guess)"
	}
	text := fmt.Sprintf("%s left; %s to cut over and %s to go back, and %s kept free", widget.Rough(left), need, widget.Span(back.Worst), widget.Span(win.Margin))
	switch fits := ahead.Worst+back.Worst+win.Margin <= left; {
	case fits && ahead.Sure():
		return text + ": that fits", widget.OK
	case fits:
		return text + ": that may fit", widget.Dim
	}
	return text + ": THAT DOES NOT FIT", widget.Fail
}
