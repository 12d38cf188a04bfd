package estimate

import (
	"fmt"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
	"belay/tui/widget"
)

// compareSizes says how much the rehearsal moved, how much is here, and what
// that does to the times.
func (l *Licence) compareSizes(p *plan.Plan, s *journal.State, here map[string]journal.Size) {
	var then, now journal.Size
	far, unseen := 0, 0
	for _, step := range p.Steps() {
		st := s.Step(step.ID)
		if st.Size.Bytes == 0 && st.Size.Rows == 0 {
			continue
		}
		d, _ := lasted(st.Took, st.Started, st.Ended)
		t := sum([]Sample{{d, st.Size}})
		size, seen := here[step.ID]
		if !seen {
			unseen++
			continue
		}
		if note, isFar := t.Compare(size); note != "" {
			l.Detail = append(l.Detail, step.Title+": "+note)
			if isFar {
				far++
			}
		}
		then.Bytes, now.Bytes = then.Bytes+st.Size.Bytes, now.Bytes+size.Bytes
		then.Rows, now.Rows = then.Rows+st.Size.Rows, now.Rows+size.Rows
	}
	switch total := moved(p, s); {
	case far > 0 && then.Bytes > 0 && now.Bytes > 0:
		l.Text += fmt.Sprintf("; rehearsed with %s, here %s: the times are scaled, and a guess", widget.Bytes(then.Bytes), widget.Bytes(now.Bytes))
	case far > 0:
		l.Text += fmt.Sprintf("; rehearsed with %s, here %s: the times are scaled, and a guess", Words(then), Words(now))
	case total != (journal.Size{}) && now == (journal.Size{}):
		l.Detail = append(l.Detail, "data in the rehearsal: "+Words(total)+"; how much is here is not known yet")
	case total != (journal.Size{}) && unseen > 0:
		l.Detail = append(l.Detail, fmt.Sprintf("data in the rehearsal: %s; how much %s here is not known yet", Words(total), count(unseen, "step moves", "steps move")))
	}
}

// moved is how much the steps of a run had to move.
func moved(p *plan.Plan, s *journal.State) (all journal.Size) {
	for _, step := range p.Steps() {
		size := s.Step(step.ID).Size
		all.Bytes, all.Rows = all.Bytes+size.Bytes, all.Rows+size.Rows
	}
	return all
}

// Compare says in words how much was moved when t was measured, how much is to
// be moved here, and what becomes of the time; "" where one of them is not
// known. far: the time is a guess.
func (t Took) Compare(here journal.Size) (note string, far bool) {
	then := t.Most()
	if growth(then, here) == 0 {
		return "", false
	}
	with, far := t.With(here)
	note = fmt.Sprintf("rehearsed with %s, here %s", Words(then), Words(here))
	if far {
		note += fmt.Sprintf(": the time is scaled from %s to ~%s, a guess", span(t.Median), span(with.Median))
	}
	return note, far
}

// Words write a size: its bytes, where they are known, else its rows.
func Words(s journal.Size) string {
	if s.Bytes > 0 || s.Rows == 0 {
		return widget.Bytes(s.Bytes)
	}
	return widget.Amount(s.Rows, "rows")
}

// Guesswork says of a total what it rests on that was not measured: ", a guess:
// 2 of 5 steps never measured"; "" for one that is sure. Times that come before
// it begin with a ~; see Total.About.
func (t Total) Guesswork() string {
	if t.Sure() {
		return ""
	}
	return fmt.Sprintf(", a guess: %d of %s not measured", t.Unknown+t.Guessed, count(t.Steps, "step", "steps"))
}

// About writes the likely and the worst time of a total, as span does, so that
// a guess looks like one: "about 1:20, at worst 3:00", "~1:20 or more, a guess:
// 1 of 3 steps not measured".
func (t Total) About(span func(time.Duration) string) string {
	switch {
	case !t.Told():
		return "nobody knows how long"
	case t.Sure() && span(t.Worst) == span(t.Median):
		return "about " + span(t.Median)
	case t.Sure():
		return "about " + span(t.Median) + ", at worst " + span(t.Worst)
	case t.Unknown > 0:
		return "~" + span(t.Worst) + " or more" + t.Guesswork()
	}
	return "~" + span(t.Worst) + t.Guesswork()
}
