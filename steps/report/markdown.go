package report

import (
	"cmp"
	"fmt"
	"strings"

	"belay/remote"
	"belay/steps/journal"
	"belay/steps/plan"
)

// Markdown is the report for a change ticket.
func Markdown(p *plan.Plan, events []journal.Event, o Options) []byte {
	return Build(p, events, o).Markdown()
}

// Markdown draws the report: CommonMark with tables, readable as it stands,
// without control characters, HTML or anything else that a hostile text could
// have put there.
func (r *Report) Markdown() []byte {
	p := &page{}
	p.line("# Migration report: %s", cmp.Or(inline(r.Plan.Name), "a plan without a name"))
	p.line("\n**%s**", inline(r.Outcome.Text))
	r.summary(p)
	r.timeline(p)
	r.chart(p)
	r.debts(p)
	r.steps(p)
	r.findings(p)
	r.signoff(p)
	r.soak(p)
	r.rollback(p)
	r.questions(p)
	r.notes(p)
	r.record(p)
	return []byte(p.String())
}

func (r *Report) summary(p *page) {
	rows := [][]string{}
	add := func(label, value string) {
		if value != "" {
			rows = append(rows, []string{label, value})
		}
	}
	p.head(2, "Summary")
	add("Outcome", inline(string(r.Outcome.Status)))
	add("Run", inline(r.Run))
	add("Environment", inline(r.Environment))
	if r.Rehearsal {
		add("Rehearsal", "yes")
	}
	add("Plan", inline(r.Plan.Name))
	add("About", inline(r.Plan.About))
	add("Plan hash", inline(r.Plan.Hash))
	if r.Plan.Other != "" {
		add("Plan at hand", "another one: "+inline(r.Plan.Other))
	}
	add("Hosts", inlines(r.Hosts))
	add("Opened by", inline(who(r.By)))
	add("Began", moment(r.Span.Begin))
	add(map[bool]string{true: "Ended", false: "Last event"}[r.Outcome.Ended], moment(r.Span.End))
	add("Took", r.Span.took())
	add("Out of service", r.frozenWords())
	if w := r.Plan.Window; w != nil {
		add("Window", moment(w.Begin)+" to "+moment(w.End))
	}
	add("belay", inline(r.Version))
	add("Record", r.Record.short())
	p.table([]string{"What", "Value"}, rows)
	p.line("\nAll times are UTC.")
	if len(r.Sessions) > 1 {
		p.line("\nIt was resumed:\n")
		for _, s := range r.Sessions {
			if s.Resumed {
				p.line("- %s by %s", moment(s.Time), inline(who(s.By)))
			}
		}
	}
}

func (r *Report) timeline(p *page) {
	if len(r.Stages) == 0 && r.Rollback == nil {
		return
	}
	p.head(2, "Timeline")
	var rows [][]string
	for _, s := range r.Stages {
		state := "done"
		switch {
		case !s.Done && s.Span.End.IsZero():
			state = "not done"
		case !s.Done:
			state = "left before it was done"
		}
		rows = append(rows, []string{inline(string(s.Stage)), moment(s.Span.Begin), moment(s.Span.End), s.Span.took(), state})
	}
	if b := r.Rollback; b != nil {
		state := map[bool]string{true: "ended", false: "not done"}[!b.Span.End.IsZero()]
		rows = append(rows, []string{"rollback", moment(b.Span.Begin), moment(b.Span.End), b.Span.took(), state})
	}
	p.table([]string{"Stage", "Began", "Ended", "Took:", "State"}, rows)
}

func (r *Report) debts(p *page) {
	if len(r.Debts) == 0 {
		return
	}
	p.head(2, "Debts")
	if n := r.owed(); n > 0 {
		p.line("%s not undone yet. `belay rollback` tries again once the host can be reached.\n", map[bool]string{true: "One thing is", false: fmt.Sprintf("%d things are", n)}[n == 1])
	} else {
		p.line("Everything that could not be undone at first was undone later.\n")
	}
	for _, d := range r.Debts {
		state := "**OPEN**"
		if !d.Settled.IsZero() {
			state = "settled " + moment(d.Settled)
		}
		on := ""
		if d.Host != "" {
			on = " on " + inline(d.Host)
		}
		p.line("- %s: %s%s, since %s", state, inline(d.Title), on, moment(d.Time))
		p.quote("  ", d.Why)
	}
}

// quote shows what a host, a person or belay said, in its own lines.
func (p *page) quote(indent, text string) {
	text = strings.TrimSpace(output(text))
	if text == "" {
		return
	}
	p.line("")
	p.fence(indent, "", text)
}

func (r *Report) notes(p *page) {
	if len(r.Notes) == 0 {
		return
	}
	p.head(2, "Notes")
	for _, n := range r.Notes {
		p.line("- %s %s", moment(n.Time), inline(n.Text))
	}
}

func (r *Report) record(p *page) {
	p.head(2, "Record")
	switch rec := r.Record; {
	case rec.Damage != "":
		p.line("**The journal is damaged; this report ends with the last event before the damage.**")
		p.quote("", rec.Damage)
		p.line("")
	case rec.Verified:
		p.line("The hash chain of the journal was checked from its first line to its last, and holds.\n")
	default:
		p.line("The hash chain of the journal was not checked for this report.\n")
	}
	rows := [][]string{{"Events", fmt.Sprint(r.Record.Events)}}
	if r.Record.First != "" {
		rows = append(rows, []string{"First line's checksum", inline(r.Record.First)}, []string{"Last line's checksum", inline(r.Record.Last)})
	}
	p.table([]string{"What", "Value"}, rows)
	for i, j := range r.Record.ClockBack {
		if i == 0 {
			p.line("\nThe clock went back; durations across it count only time that went forward:\n")
		}
		p.line("- by %s before event %d, to %s", duration(j.Seconds), j.Seq, moment(j.Time))
	}
}

func (rec Record) short() string {
	switch n := remote.Plural(rec.Events, "event"); {
	case rec.Damage != "":
		return n + ", then DAMAGED"
	case rec.Verified:
		return n + ", hash chain verified"
	default:
		return n + ", hash chain not verified"
	}
}
