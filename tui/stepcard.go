package tui

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/tui/widget"
)

// cardRule names the chosen step and how it stands.
func (s *stepsScreen) cardRule(sc *scene, w int) string {
	if len(sc.steps) == 0 {
		return widget.Rule(sc.th, "", "", w)
	}
	st := sc.steps[s.cursor]
	return widget.Rule(sc.th, oneLine(st.Title), sc.th.MarkWord(string(sc.status(st.ID))), w)
}

// card is the chosen step in a few lines: why, what, where, how it is undone;
// for somebody who is guided, why, what to expect and the way back come first.
func (s *stepsScreen) card(sc *scene, w int) []string {
	if len(sc.steps) == 0 {
		return nil
	}
	st := sc.steps[s.cursor]
	state := sc.st.Step(st.ID)
	var lines []string
	if p := sc.progress(st.ID, w); len(p) > 0 {
		lines = append(lines, p...)
	}
	var pairs []widget.Pair
	add := func(label, value string, role widget.Role, most int) {
		if value != "" {
			pairs = append(pairs, widget.Pair{Label: label, Value: clean(value), Role: role, Max: most})
		}
	}
	if state.Err != "" {
		add("error", state.Err, widget.Fail, 2)
	}
	add("why", oneLine(st.Why), widget.Text, map[bool]int{false: 2, true: 4}[sc.opt.Guide])
	text, back := undo(st)
	role := widget.Text
	if !back {
		role, text = widget.Loud, "NO WAY BACK: what this step does cannot be undone"
	}
	if sc.opt.Guide {
		add("expect", oneLine(st.Expect), widget.Text, 3)
		pairs = append(pairs, widget.Pair{Label: "undo", Value: text, Role: role, Max: 2})
	}
	add("kind", sc.runs(st, state), widget.Text, 1)
	add("changes", changesLine(state, sc.status(st.ID)), widget.Text, 1)
	if !sc.opt.Guide {
		pairs = append(pairs, widget.Pair{Label: "undo", Value: text, Role: role})
		add("expect", oneLine(st.Expect), widget.Text, 1)
	}
	return append(lines, widget.Pairs(sc.th, pairs, w)...)
}

// runs says what runs where: "compose.up on chat · attempt 2 · limit 5:00".
func (sc *scene) runs(s *plan.Step, state journal.StepState) string {
	parts := []string{s.Kind.Name + onWhere(s)}
	if state.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("attempt %d", state.Attempt))
	}
	if text := sc.expected(s); text != "" {
		parts = append(parts, text)
	}
	if sc.lanes[s.ID] != "" && sc.critical(s) {
		parts = append(parts, "on the critical path")
	}
	if s.Timeout > 0 {
		parts = append(parts, "limit "+widget.Span(s.Timeout))
	}
	if s.When != "" {
		parts = append(parts, "only when "+oneLine(s.When))
	}
	if s.Optional {
		parts = append(parts, "optional")
	}
	if len(s.On) > 1 {
		for _, h := range s.On {
			if st := state.Hosts[h]; st != "" {
				parts = append(parts, h+" "+string(st))
			}
		}
	}
	return strings.Join(parts, " · ")
}

func changesLine(state journal.StepState, status journal.Status) string {
	switch n := len(state.Changes); {
	case state.Already:
		return "none: it was found done"
	case n == 0 && status == journal.Pending:
		return "shown before it runs; d shows what the plan says"
	case n == 0:
		return ""
	case n == 1:
		return oneLine(state.Changes[0].Text)
	default:
		return fmt.Sprintf("%s (and %d more: d)", oneLine(state.Changes[0].Text), n-1)
	}
}

// progress is one line a host that says how far it is: how much, how fast, and
// how long it will take at this pace. Never a percentage.
func (sc *scene) progress(id string, w int) []string {
	if st := sc.status(id); st != journal.Running && st != "undoing" {
		return nil
	}
	byHost := sc.live.Progress[id]
	hosts := make([]string, 0, len(byHost))
	for h := range byHost {
		hosts = append(hosts, h)
	}
	sort.Strings(hosts)
	var out []string
	for i, h := range hosts {
		if i == 3 && len(hosts) > 4 {
			return append(out, sc.th.Paint(widget.Dim, fmt.Sprintf("  and %d more hosts", len(hosts)-3)))
		}
		out = append(out, sc.progressLine(h, byHost[h], sc.took(id), len(hosts) > 1, w))
	}
	return out
}

func (sc *scene) progressLine(host string, p steps.Progress, took time.Duration, many bool, w int) string {
	name := ""
	if many {
		name = widget.Fit(host, 10) + " "
	}
	said := oneLine(p.Text)
	amount := widget.Amount(p.Done, clean(p.Unit))
	if p.Total > 0 {
		amount = fmt.Sprintf("%s of %s", widget.Amount(p.Done, unitless(p.Unit)), widget.Amount(p.Total, clean(p.Unit)))
		if p.Done > 0 && p.Done < p.Total && took > 5*time.Second {
			left := time.Duration(float64(took) * float64(p.Total-p.Done) / float64(p.Done))
			if p.Unit == "B" {
				amount += " · " + widget.Amount(int64(float64(p.Done)/took.Seconds()), p.Unit) + "/s"
			}
			amount += " · about " + widget.Rough(left) + " left"
		}
	}
	if p.Done == 0 && p.Total == 0 {
		amount = ""
	}
	tail := strings.TrimPrefix(strings.TrimSuffix(amount+" · "+said, " · "), " · ")
	return widget.Cut("  "+name+widget.Bar(sc.th, p.Done, p.Total, min(24, w/4))+" "+tail, w)
}

// unitless drops the noun of the first number in "61 of 120 files".
func unitless(unit string) string {
	if unit == "B" {
		return unit
	}
	return ""
}

// detail is everything about a step, for the details dialog and for copying.
func (sc *scene) detail(s *plan.Step, w int) []string {
	th, state := sc.th, sc.st.Step(s.ID)
	text, back := undo(s)
	role := widget.Text
	if !back {
		role, text = widget.Loud, "NO WAY BACK"
	}
	pairs := []widget.Pair{
		{Label: "state", Value: string(sc.status(s.ID)) + " " + clean(state.Err), Role: widget.MarkOf(string(sc.status(s.ID))).Role, Max: 8},
		{Label: "why", Value: clean(s.Why), Max: 20},
		{Label: "expect", Value: clean(s.Expect), Max: 20},
		{Label: "kind", Value: clean(sc.runs(s, state)), Max: 5},
		{Label: "undo", Value: text, Role: role, Max: 5},
		{Label: "before", Value: sc.before(s.ID), Max: 2},
		{Label: "id", Value: s.ID + fmt.Sprintf(", line %d of the plan", s.Line), Role: widget.Dim},
	}
	out := widget.Pairs(th, drop(pairs), w)
	out = append(out, sc.changes(state, w)...)
	block := func(title, body string) {
		if body = strings.TrimRight(clean(body), "\n"); body != "" {
			out = append(out, "", "  "+th.Paint(widget.Strong, title))
			for _, l := range strings.Split(body, "\n") {
				for _, part := range widget.Chop(l, w-4) {
					out = append(out, "    "+part)
				}
			}
		}
	}
	block("as the plan says it", s.Params)
	if s.Undo != nil {
		block("how it is undone", s.Undo.Params)
	}
	for _, h := range s.AllHints() {
		text := strings.TrimSpace(h.Cause + "\n" + h.Fix)
		if h.Mend != nil {
			text += "\nIt can be mended by:\n" + h.Mend.Params
		}
		block("when the log says "+h.Match, text)
	}
	if state.Reason != nil {
		block("skipped by "+clean(state.Reason.By.Name), state.Reason.Reason)
	}
	return out
}

// changes are the pending changes that were recorded before the step ran, with
// the exact commands and diffs.
func (sc *scene) changes(state journal.StepState, w int) []string {
	if len(state.Changes) == 0 {
		return nil
	}
	out := []string{"", "  " + sc.th.Paint(widget.Strong, "what it changes")}
	for _, c := range state.Changes {
		on := ""
		if c.Host != "" {
			on = sc.th.Paint(widget.Dim, c.Host+": ")
		}
		out = append(out, widget.Cut("    "+on+oneLine(c.Text), w))
		if c.Cmd != "" {
			for i, l := range strings.Split(strings.TrimRight(clean(c.Cmd), "\n"), "\n") {
				lead := "$ "
				if i > 0 {
					lead = "  "
				}
				for _, part := range widget.Chop(l, w-8) {
					out = append(out, "      "+sc.th.Paint(widget.Accent, lead)+part)
					lead = "  "
				}
			}
		}
		if c.Diff != "" {
			for _, l := range widget.Diff(sc.th, c.Diff, w-6) {
				out = append(out, "      "+l)
			}
		}
	}
	return out
}

// drop leaves out pairs without a value.
func drop(pairs []widget.Pair) []widget.Pair {
	var out []widget.Pair
	for _, p := range pairs {
		if strings.TrimSpace(p.Value) != "" {
			out = append(out, p)
		}
	}
	return out
}
