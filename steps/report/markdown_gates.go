package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"belay/remote"
	"belay/steps/journal"
)

func (r *Report) findings(p *page) {
	a := r.Assessment
	if a == nil {
		return
	}
	p.head(2, "Findings")
	count := map[string]int{}
	for _, f := range a.Findings {
		count[f.Level]++
	}
	p.line("Of the last assessment, %s, after %s: %d block, %d warn, %d unknown, %d pass.\n",
		moment(a.Time), remote.Plural(a.Times, "look"), count["block"], count["warn"], count["unknown"], count["pass"])
	if len(a.Findings) == 0 {
		return
	}
	all := a.worstFirst()
	var rows [][]string
	for _, f := range all {
		accepted := ""
		if f.Accepted != nil {
			accepted = "accepted"
		}
		rows = append(rows, []string{inline(f.Level), inline(f.Host), inline(f.Check), accepted, inline(f.Text)})
	}
	p.table([]string{"Level", "Host", "Check", "Accepted", "Finding"}, rows)
	p.line("")
	for _, f := range all {
		f.draw(p)
	}
}

// worstFirst are the findings in the order in which people should read them.
func (a Assessment) worstFirst() []Finding {
	all := slices.Clone(a.Findings)
	rank := map[string]int{"block": 0, "unknown": 1, "warn": 2, "pass": 4}
	slices.SortStableFunc(all, func(x, y Finding) int {
		return cmp.Compare(level(rank, x.Level), level(rank, y.Level))
	})
	return all
}

// draw says what was to be done about a finding that did not pass, and who
// let it stand.
func (f Finding) draw(p *page) {
	if f.Level == "pass" || f.Fix == "" && f.Accepted == nil {
		return
	}
	what := inline(f.Level)
	if f.Host != "" {
		what += " on " + inline(f.Host)
	}
	p.line("- %s: %s", what, inline(f.Text))
	if f.Fix != "" {
		p.line("  - to do: %s", inline(f.Fix))
	}
	if a := f.Accepted; a != nil {
		p.line("  - accepted %s by %s%s", moment(a.Time), inline(who(a.By)), a.words())
	}
}

func level(rank map[string]int, l string) int {
	if n, ok := rank[l]; ok {
		return n
	}
	return 3
}

func (r *Report) signoff(p *page) {
	s := r.Signoff
	if s == nil {
		return
	}
	p.head(2, "Sign-off")
	decided := "Nothing was decided."
	if s.Decided != "" {
		decided = "Decided: " + s.Decided + "."
	}
	p.line("%s What was signed is bound to the plan's hash above. Ages are those at the decision.\n", decided)
	var rows [][]string
	for _, it := range s.Items {
		rows = append(rows, it.row())
	}
	if len(rows) > 0 {
		p.table([]string{"Holds", "By", "Age:", "Item"}, rows)
		p.line("")
	}
	for _, it := range s.Items {
		if it.Evidence == "" && len(it.Signed) == 0 {
			continue
		}
		p.line("- %s", inline(it.Text))
		if it.Evidence != "" {
			p.line("  - seen %s: %s", moment(it.Time), inline(it.Evidence))
		}
		for _, a := range it.Signed {
			p.line("  - signed %s by %s%s", moment(a.Time), inline(who(a.By)), a.words())
		}
	}
	for _, a := range s.Go {
		p.line("- go%s: %s by %s%s%s", a.forRole(), moment(a.Time), inline(who(a.By)), a.words(), a.upon())
	}
	if n := s.Approvers; n > 0 {
		p.line("- %d of %d said go", n-len(s.Missing), n)
	}
	for _, m := range s.Missing {
		p.line("- missing: %s", inline(m))
	}
	s.voided(p)
}

// voided lists what counts no more, and who did without a second person.
func (s *Signoff) voided(p *page) {
	if len(s.Voided) > 0 {
		p.line("\nVoided: these signatures counted for a while, and were asked for anew.\n")
	}
	for _, v := range s.Voided {
		p.line("- %s%s: %s by %s%s%s", inline(v.Item), v.forRole(), moment(v.Time), inline(who(v.By)), v.words(), v.upon())
		p.line("  - voided %s: %s", moment(v.At), inline(v.Why))
	}
	for _, a := range s.Alone {
		p.line("\n**Break-glass**: %s cut over without a second person, %s%s", inline(who(a.By)), moment(a.Time), a.words())
	}
}

// forRole and upon are the role and the basis of a go.
func (a Saying) forRole() string {
	if a.Role == "" {
		return ""
	}
	return " for " + inline(a.Role)
}

func (a Saying) upon() string {
	if a.Bound == "" {
		return ""
	}
	return "; upon " + inline(a.Bound)
}

// row tells an item and how old its evidence was at the decision.
func (it Item) row() []string {
	by, holds, age := "a person", "no", "-"
	if it.Machine {
		by = "belay"
	}
	if it.OK {
		holds = "yes"
	}
	if !it.Time.IsZero() && (it.Machine || len(it.Signed) > 0) {
		age = duration(it.Age)
	}
	return []string{holds, by, age, inline(it.Text)}
}

// words are the evidence and the reason that came with an answer.
func (a Saying) words() string {
	var out string
	if a.Text != "" {
		out += "; typed: " + inline(a.Text)
	}
	if a.Reason != "" {
		out += "; reason: " + inline(a.Reason)
	}
	return out
}

func (r *Report) questions(p *page) {
	if len(r.Questions) == 0 {
		return
	}
	p.head(2, "Questions and answers")
	for i, q := range r.Questions {
		title := inline(cmp.Or(q.Title, "A question that is not recorded"))
		p.line("%d. %s %s", i+1, moment(q.Span.Begin), title)
		indent := strings.Repeat(" ", len(fmt.Sprint(i+1))+2)
		if q.Text != "" {
			p.quote(indent, q.Text)
			p.line("")
		}
		if q.Kind != journal.AskSignoff { // its items have a section of their own
			for _, it := range q.Items {
				p.line("%s- about: %s", indent, inline(it))
			}
		}
		for _, a := range q.Answers {
			p.line("%s- **%s**%s%s, by %s, %s", indent, inline(cmp.Or(a.Label, a.Choice, "no choice")), about(a), a.words(), inline(who(a.By)), moment(a.Time))
		}
		switch {
		case q.Open:
			p.line("%s- still open", indent)
		case !q.Span.End.IsZero():
			p.line("%s- answered after %s", indent, q.Span.took())
		}
	}
}

func about(a Saying) string {
	if a.Item == "" || a.Choice == a.Item {
		return ""
	}
	return " (" + inline(a.Item) + ")"
}

func (w Watch) draw(p *page) {
	begun := "Watched"
	if w.Resumed {
		begun = "Watched on"
	}
	p.line("%s from %s, until %s: %s.", begun, moment(w.Span.Begin), moment(w.Until), w.Span.took())
	if w.Verdict == "" {
		p.line("There was no verdict.")
	} else {
		p.line("Verdict: **%s**.", inline(w.Verdict))
	}
	p.quote("", w.Why)
	for _, t := range w.Turns {
		p.line("- %s: %s.", moment(t.Time), inline(t.words()))
	}
	drawProbes(p, w.Probes)
}

func (r *Report) rollback(p *page) {
	b := r.Rollback
	if b == nil {
		r.wouldLose(p)
		return
	}
	p.head(2, "Rollback")
	p.line("Asked for by %s: %s.", inline(who(b.By)), cmp.Or(inline(strings.TrimSuffix(b.Reason, ".")), "no reason is recorded"))
	p.line("Begun %s. %s.", moment(b.Span.Begin), r.backWords())
	lost(p, b.Losses, "Written to the new side when it began")
	if w := b.Way; w != nil {
		p.line("\nThe way back that was chosen: %s.", strings.TrimSuffix(inline(joined(w.Name, w.About)), "."))
		p.line("What it loses: %s.", strings.TrimSuffix(cmp.Or(inline(w.Loses), "not known here"), "."))
		around(p, "Before the undo", w.Before)
		defer around(p, "After the undo", w.After)
	}
	if len(b.List) > 0 {
		p.line("\nAgreed to be undone, in this order:\n")
		for i, it := range b.List {
			p.line("%d. %s", i+1, inline(it))
		}
	}
	if len(b.Steps) == 0 {
		p.line("\nNo step was undone.")
		return
	}
	p.line("\nWhat was done:\n")
	var rows [][]string
	for _, u := range b.Steps {
		took := u.Span.took()
		if u.Tries > 1 && !u.Span.End.IsZero() {
			took = duration(u.Worked) // hours may lie between the tries
		}
		rows = append(rows, []string{inline(u.Title), inline(string(u.Status)), fmt.Sprint(u.Tries), moment(u.Span.Begin), took})
	}
	p.table([]string{"Step", "Result", "Tries:", "Began", "Took:"}, rows)
	for _, u := range b.Steps {
		if len(u.Errs) > 0 {
			p.line("\n- %s", inline(u.Title))
			drawErrs(p, u.Errs)
		}
	}
}

func joined(name, about string) string {
	if about == "" {
		return name
	}
	return name + ": " + about
}

// around draws what a way back did on one side of the undo.
func around(p *page, title string, list []WayStep) {
	if len(list) == 0 {
		return
	}
	p.line("\n%s:\n", title)
	var rows [][]string
	for _, s := range list {
		took := s.Span.took()
		if s.Span.Begin.IsZero() {
			took = "-"
		}
		rows = append(rows, []string{inline(s.Title), inline(string(s.Status)), moment(s.Span.Begin), took, inline(s.Reason)})
	}
	p.table([]string{"Step", "Result", "Began", "Took:", "Why not"}, rows)
}

// lost draws what was known to be lost.
func lost(p *page, list []Lost, title string) {
	if len(list) == 0 {
		return
	}
	p.line("\n%s:\n", title)
	var rows [][]string
	for _, l := range list {
		for _, one := range l.Of {
			rows = append(rows, []string{inline(l.Title), inline(one.Store), inline(one.Words()), moment(l.At)})
		}
		if l.Err != "" {
			rows = append(rows, []string{inline(l.Title), "", inline("nobody knows: " + l.Err), moment(l.At)})
		}
	}
	p.table([]string{"Step", "Store", "What", "Counted"}, rows)
}
