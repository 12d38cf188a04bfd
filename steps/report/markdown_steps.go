package report

import (
	"fmt"
	"strings"

	"belay/steps/journal"
)

// steps draws one table of all steps, and below it what each one did.
func (r *Report) steps(p *page) {
	if len(r.Steps) == 0 {
		return
	}
	p.head(2, "Steps")
	var rows [][]string
	for i, s := range r.Steps {
		took := s.Span.took()
		if s.Span.Begin.IsZero() || s.Span.Seconds == 0 && s.tries() == 0 {
			took = "-"
		}
		rows = append(rows, []string{
			fmt.Sprint(i + 1), inline(string(s.Stage)), inline(s.Title), inlines(s.On), s.state(), fmt.Sprint(s.tries()), took,
		})
	}
	p.table([]string{"#:", "Stage", "Step", "Host", "Status", "Tries:", "Took:"}, rows)
	for i, s := range r.Steps {
		if s.told() {
			s.draw(p, i+1)
		}
	}
}

// state is the status and what must be known beside it.
func (s Step) state() string {
	switch n := len(s.Undos); {
	case n > 0 && s.Undos[n-1].Outcome == journal.Running:
		return "undo begun"
	case s.Already:
		return "passed (found done)"
	case s.Status == journal.Pending:
		return "not begun"
	case s.Status == journal.FailedStatus && s.Optional:
		return "failed (optional)"
	case s.Status == journal.Undone && len(s.Attempts) > 0 && s.Attempts[len(s.Attempts)-1].Outcome == journal.FailedStatus:
		return "failed, undone"
	}
	return inline(string(s.Status))
}

// tries counts the attempts that set out to change something.
func (s Step) tries() int {
	n := 0
	for _, a := range s.Attempts {
		if a.Number > 0 {
			n++
		}
	}
	return n
}

// told tells whether anything is recorded of the step.
func (s Step) told() bool {
	return len(s.Attempts)+len(s.Undos)+len(s.Hosts) > 0 || s.Skipped != nil
}

func (s Step) draw(p *page, n int) {
	p.head(3, fmt.Sprintf("%d. %s: %s", n, inline(s.Title), s.state()))
	facts := []string{"id " + inline(s.ID)}
	if s.Kind != "" {
		facts = append(facts, "kind "+inline(s.Kind))
	}
	if len(s.On) > 0 {
		facts = append(facts, "on "+inlines(s.On))
	}
	p.line("%s", strings.Join(facts, ", "))
	if s.Why != "" {
		p.line("\nWhy: %s", inline(s.Why))
	}
	p.line("")
	var before []journal.Change
	for i, a := range s.Attempts {
		a.draw(p, i > 0 && same(before, a.Changes))
		if len(a.Changes) > 0 {
			before = a.Changes
		}
	}
	if s.Compared != nil {
		s.Compared.draw(p)
	}
	for _, h := range s.Hosts {
		p.line("- on %s: %s %s", inline(h.Host), inline(string(h.Status)), moment(h.Time))
	}
	if s.Skipped != nil {
		s.Skipped.draw(p)
	}
	for _, u := range s.Undos {
		u.draw(p)
	}
}

func same(a, b []journal.Change) bool {
	if len(a) != len(b) || len(a) == 0 {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// draw shows an attempt; again: it set out to change what the one before did.
func (a Attempt) draw(p *page, again bool) {
	outcome := string(a.Outcome)
	if a.Outcome == journal.Running {
		outcome = "begun"
	}
	if a.Number == 0 {
		p.line("- Looked, changed nothing: %s, %s", inline(outcome), moment(a.Span.Begin))
	} else {
		p.line("- Attempt %d: %s, %s, %s", a.Number, inline(outcome), moment(a.Span.Begin), a.Span.took())
	}
	p.quote("  ", a.Err)
	for _, n := range a.Broken {
		p.line("  - outcome unknown for a while, seen %s: %s", moment(n.Time), inline(n.Text))
	}
	if again {
		p.line("  - set out to change the same as the attempt before it")
		return
	}
	for _, c := range a.Changes {
		on := ""
		if c.Host != "" {
			on = inline(c.Host) + ": "
		}
		p.line("  - %s%s", on, inline(c.Text))
		if c.Cmd != "" {
			p.line("")
			p.fence("    ", "sh", exact(c.Cmd))
		}
		if c.Diff != "" {
			p.line("")
			p.fence("    ", "diff", exact(c.Diff))
		}
	}
}

func (s Skip) draw(p *page) {
	if s.By == nil {
		p.line("- Skipped %s by the plan: %s", moment(s.Time), inline(s.Reason))
		return
	}
	p.line("- Skipped %s by %s: %s", moment(s.Time), inline(who(*s.By)), inline(s.Reason))
	if s.Err != "" {
		p.line("  - passed over: %s", inline(s.Err))
	}
}

func (u Undo) draw(p *page) {
	outcome := string(u.Outcome)
	if u.Outcome == journal.Running {
		outcome = "begun"
	}
	p.line("- Undo: %s, %s, %s", inline(outcome), moment(u.Span.Begin), u.Span.took())
	for _, h := range u.Hosts {
		p.line("  - on %s: undone %s", inline(h.Host), moment(h.Time))
	}
	drawErrs(p, u.Errs)
}

func drawErrs(p *page, errs []HostErr) {
	for _, e := range errs {
		on := inline(e.Host)
		if on == "" {
			on = "it said"
		}
		p.line("  - %s:", on)
		p.quote("    ", e.Err)
	}
}

// draw shows old and new side by side, and what differs below.
func (c *Compared) draw(p *page) {
	again := ""
	if c.Times > 1 {
		again = fmt.Sprintf(", the last of %d times", c.Times)
	}
	p.line("- Compared %s%s: %s", moment(c.Ended()), again, inline(c.Summary()))
	p.line("")
	var rows [][]string
	for _, cells := range c.Cells() {
		rows = append(rows, inlineAll(cells))
	}
	p.table([]string{"Service", "Old", "New", "Result"}, rows)
	if detail := c.Detail(100); detail != "" {
		p.line("")
		p.fence("", "", exact(detail))
	}
	p.line("")
}

func inlineAll(cells []string) []string {
	out := make([]string, len(cells))
	for i, s := range cells {
		out[i] = inline(s)
	}
	return out
}
