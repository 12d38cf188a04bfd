package report

import (
	"math"
	"strings"

	"belay/tui/widget"
)

// chart draws planned against actual as bars of text, two a step.
func (r *Report) chart(p *page) {
	rows := r.race()
	if rows == nil {
		return
	}
	p.head(2, "Planned against actual")
	p.line("What earlier runs led to expect (░, up to the median; ─, up to the worst), and what it took (█). Times are those at work: questions and waiting do not count. ┄ and ~ are a guess.\n")
	var out []string
	whole := scale(rows)
	for i, w := range rows {
		title := widget.Cut(exact(plain(w.Title)), chartTitle)
		if w.Head {
			if i > 0 {
				out = append(out, "")
			}
			out = append(out, strings.ToUpper(title)+": "+w.Words+overWord(w.Over))
			continue
		}
		if w.Planned.Known() {
			median, worst := cells(w.Planned.Median, whole), cells(max(w.Planned.Worst, w.Planned.Median), whole)
			bar := strings.Repeat("░", median) + strings.Repeat("─", worst-median)
			if w.Planned.Guess() {
				bar = strings.Repeat("┄", worst)
			}
			out = append(out, widget.Fit(title, chartTitle)+"  "+widget.Fit(bar, chartBar)+"  "+w.Planned.Words())
			title = ""
		}
		said := "not run"
		if w.Ran {
			said = duration(w.Took) + overWord(w.Over)
		}
		out = append(out, strings.TrimRight(widget.Fit(title, chartTitle)+"  "+widget.Fit(strings.Repeat("█", cells(w.Took, whole)), chartBar)+"  "+said, " "))
	}
	p.fence("", "", strings.Join(out, "\n"))
}

func overWord(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// Columns of the chart for the title and for the bar.
const chartTitle, chartBar = 30, 24

// cells is the length of a bar; what took any time at all is seen.
func cells(sec, whole float64) int {
	if sec <= 0 {
		return 0
	}
	return max(1, min(chartBar, int(math.Round(sec/whole*chartBar))))
}

// wouldLose tells what going back would cost, of a run that did not.
func (r *Report) wouldLose(p *page) {
	if len(r.Losing) == 0 && !r.BackPlanned.Known() {
		return
	}
	p.head(2, "What going back would cost")
	if r.BackPlanned.Known() {
		p.line("To undo everything takes %s.", r.BackPlanned.Words())
	}
	lost(p, r.Losing, "Written to the new side, as last counted")
}
