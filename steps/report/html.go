package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/soak"
)

//go:embed report.html.tmpl
var pageText string

// HTML is the report as one page that needs nothing else: no script, no font,
// no other file.
func HTML(p *plan.Plan, events []journal.Event, o Options) ([]byte, error) {
	return Build(p, events, o).html(o.Log)
}

var pages = template.Must(template.New("report").Funcs(template.FuncMap{
	"line":     plain,
	"text":     func(s string) string { return strings.TrimSpace(output(s)) },
	"exact":    exact,
	"moment":   moment,
	"clock":    func(t time.Time) string { return t.Format("15:04:05") },
	"who":      func(a journal.Author) string { return plain(who(a)) },
	"took":     func(s Span) string { return s.took() },
	"duration": duration,
	"mark":     mark,
	"state":    func(s Step) string { return plain(s.state()) },
	"told":     func(s Step) bool { return s.told() },
	"tries":    func(s Step) int { return s.tries() },
	"frozen":   func(r *Report) string { return r.frozenWords() },
	"cost":     func(r *Report) string { return r.backWords() },
	"findings": func(a Assessment) []Finding { return a.worstFirst() },
	"short":    func(r Record) string { return r.short() },
	"plus":     func(a, b int) int { return a + b },
	"diff":     diffLines,
	"again":    func(s Step, i int) bool { return i > 0 && same(s.Attempts[i-1].Changes, s.Attempts[i].Changes) },
	"span":     soak.Span,
	"turn":     func(t Turn) string { return plain(t.words()) },
	"measure": func(p Probe, v float64) string {
		if text := p.figure(v); text == "-" || p.Unit != "" {
			return plain(text)
		}
		return fmt.Sprintf("%.0f ms", v)
	},
}).Parse(pageText))

func (r *Report) html(log func(step string) string) ([]byte, error) {
	var b bytes.Buffer
	logs := map[string]string{}
	for _, s := range r.Steps {
		if log != nil && s.failed() {
			logs[s.ID] = log(s.ID)
		}
	}
	err := pages.Execute(&b, struct {
		*Report
		Bars []bar
		Race []lane
		Logs map[string]string
	}{r, r.bars(), r.lanes(), logs})
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return b.Bytes(), nil
}

// failed tells whether anything of the step ever went wrong.
func (s Step) failed() bool {
	for _, a := range s.Attempts {
		if a.Err != "" {
			return true
		}
	}
	for _, u := range s.Undos {
		if len(u.Errs) > 0 {
			return true
		}
	}
	return false
}

// mark is what stands before a state, so that colour is not all that tells it.
func mark(status any) string {
	switch fmt.Sprint(status) {
	case string(journal.PassedStatus), string(journal.Closed), "pass", "healthy", "done":
		return "good"
	case string(journal.FailedStatus), string(journal.UndoFailedSt), "block", "degraded":
		return "bad"
	case string(journal.Undone), string(journal.RolledBack), string(journal.Skipped), string(journal.Unknown), "warn", "inconclusive",
		string(journal.NoGo), string(journal.Stopped):
		return "care"
	}
	return "idle"
}

// bar is one row of the timeline; Left and Width are percents of the run.
type bar struct {
	Title, Class, Took, Begin string
	Left, Width               float64
	Stage                     bool
}

// bars draws stages, each with its steps below it, and the rollback.
func (r *Report) bars() []bar {
	whole := r.Span.End.Sub(r.Span.Begin).Seconds()
	if whole <= 0 {
		return nil
	}
	var all []bar
	add := func(title, class string, s Span, stage bool) {
		if s.Begin.IsZero() {
			return
		}
		end := s.End
		if end.IsZero() {
			end = r.Span.End
		}
		left := percent(s.Begin.Sub(r.Span.Begin).Seconds(), whole)
		width := max(0.3, percent(end.Sub(r.Span.Begin).Seconds(), whole)-left)
		all = append(all, bar{title, class, s.took(), moment(s.Begin), left, min(width, 100-left), stage})
	}
	for _, st := range r.Stages {
		add(string(st.Stage), "stage", st.Span, true)
		for _, s := range r.Steps {
			if s.Stage == st.Stage && s.told() {
				add(s.Title, mark(s.Status), s.Span, false)
			}
		}
	}
	if b := r.Rollback; b != nil {
		add("rollback", "stage", b.Span, true)
		around := func(list []WayStep) {
			for _, s := range list {
				add(s.Title, mark(s.Status), s.Span, false)
			}
		}
		if b.Way != nil {
			around(b.Way.Before)
		}
		for _, u := range b.Steps {
			add(u.Title, mark(u.Status), u.Span, false)
		}
		if b.Way != nil {
			around(b.Way.After)
		}
	}
	return all
}

// lane is a row of the chart of planned against actual; the widths are percents
// of the longest bar.
type lane struct {
	row
	Guess               bool
	Median, Worst, Real float64
}

func (r *Report) lanes() []lane {
	rows := r.race()
	whole := scale(rows)
	var all []lane
	for _, w := range rows {
		l := lane{row: w, Real: percent(w.Took, whole)}
		if w.Planned.Known() {
			l.Guess = w.Planned.Guess()
			l.Median, l.Worst = percent(w.Planned.Median, whole), percent(max(w.Planned.Worst, w.Planned.Median), whole)
		}
		all = append(all, l)
	}
	return all
}

// percent is part of whole, kept on the page whatever the clocks did.
func percent(part, whole float64) float64 { return min(100, max(0, part/whole*100)) }

// diffLine is a line of a unified diff and what it is.
type diffLine struct{ Class, Text string }

func diffLines(diff string) []diffLine {
	var all []diffLine
	for line := range strings.SplitSeq(strings.TrimRight(exact(diff), "\n"), "\n") {
		class := "same"
		switch {
		case strings.HasPrefix(line, "+"):
			class = "plus"
		case strings.HasPrefix(line, "-"):
			class = "minus"
		case strings.HasPrefix(line, "@@"):
			class = "at"
		}
		all = append(all, diffLine{class, line})
	}
	return all
}
