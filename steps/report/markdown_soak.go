package report

import (
	"cmp"
	"fmt"

	"belay/steps/journal"
	"belay/steps/soak"
)

func (r *Report) soak(p *page) {
	if len(r.Soak)+len(r.Baseline) == 0 {
		return
	}
	p.head(2, "Soak")
	if len(r.Baseline) > 0 {
		p.line("The old server before the cutover, to compare with:")
		drawProbes(p, r.Baseline)
		p.line("")
	}
	for i, w := range r.Soak {
		if i > 0 {
			p.line("")
		}
		w.draw(p)
	}
	for _, c := range r.Countdowns {
		p.line("")
		p.line("%s", c.words())
	}
}

// words tell a countdown in a sentence or two.
func (c Countdown) words() string {
	text := fmt.Sprintf("Countdown of %s to a rollback by itself, begun %s: %s.", soak.Span(c.Length), moment(c.Span.Begin), inline(c.Why))
	switch c.Ended {
	case "":
		return text + " It was running when this report was made."
	case "stopped":
		return text + fmt.Sprintf(" **Stopped** by %s after %s, with the answer %s.", inline(who(c.By)), c.Span.took(), inline(c.Choice))
	}
	return text + fmt.Sprintf(" It ended after %s: **%s**.", c.Span.took(), inline(c.Ended))
}

// words tell how it turned while somebody was asked.
func (t Turn) words() string {
	after := "after a limit had been passed for " + soak.Span(t.Bad) + " in all"
	if t.Bad == 0 {
		after = "no limit had been passed"
	}
	text := map[string]string{
		journal.TurnWell: "asked while no limit was passed, " + after, journal.TurnBack: "back within the limits, " + after + "; the question stayed",
		journal.TurnAgain: "over a limit again, " + after, journal.TurnWorse: "worse, " + after,
		journal.TurnEnd: "the question ended, " + after,
	}[t.How]
	if t.Why == "" && t.How == journal.TurnEnd {
		text += ", and none at that moment"
	}
	return joined(cmp.Or(text, t.How), t.Why)
}

func drawProbes(p *page, probes []Probe) {
	var rows [][]string
	for _, t := range probes {
		rows = append(rows, []string{
			inline(cmp.Or(t.Probe, t.ID)), fmt.Sprint(t.Good), fmt.Sprint(t.Bad), fmt.Sprint(t.Unknown),
			t.figure(t.P50), t.figure(t.P95), inline(t.Last),
		})
	}
	if len(rows) > 0 {
		p.line("")
		p.table([]string{"Probe", "Good:", "Bad:", "Unknown:", "p50 ms:", "p95 ms:", "Last answer"}, rows)
	}
}

// figure is a measure; what is not in ms has its unit.
func (t Probe) figure(v float64) string {
	switch {
	case t.Unit != "":
		return fmt.Sprintf("%.2f %s", v, inline(t.Unit))
	case v == 0 && t.P95 == 0:
		return "-"
	}
	return fmt.Sprintf("%.1f", v)
}
