package main

import (
	"fmt"
	"strings"
	"time"

	"belay/steps/journal"
	"belay/steps/plan"
)

// awaiting is how a run without a screen waits at a gate for people to sign.
type awaiting struct {
	question string
	since    time.Time
	said     string
}

// patience waits at a gate for signatures, and says for whose: nil until so
// long has passed, then the question that nobody has answered.
func (h *headless) patience(q journal.Question, s *journal.State) *journal.Question {
	p := h.run.Plan()
	signs := q.Kind == journal.AskSignoff || q.Kind == journal.AskCutover && p.Approvers.SecondPerson
	if h.within <= 0 || !signs {
		return &q
	}
	w := &h.await
	if w.question != q.ID {
		*w = awaiting{question: q.ID, since: time.Now()}
	}
	missing := stillMissing(p, q, s)
	if time.Since(w.since) >= h.within {
		fmt.Fprintf(h.told, "%s  nobody came within %s; it waited for %s\n", time.Now().Format("15:04:05"), h.within, missing)
		return &q
	}
	if w.said != missing {
		w.said = missing
		fmt.Fprintf(h.told, "%s  waits, until %s at most, for %s. To sign it, each from a login of their own: belay sign %s\n",
			time.Now().Format("15:04:05"), w.since.Add(h.within).Format("15:04:05"), missing, h.run.ID())
	}
	return nil
}

// stillMissing says in words whom and what a gate waits for.
func stillMissing(p *plan.Plan, q journal.Question, s *journal.State) string {
	if q.Kind == journal.AskCutover {
		return "a second person to cut over"
	}
	var all []string
	for _, seat := range plan.Missing(p.Seats(s)) {
		all = append(all, plainWord(seat.Wants()))
	}
	for _, it := range p.Signoff {
		switch st := s.Items[it.ID]; {
		case st != nil && st.OK:
		case it.Machine():
			all = append(all, "belay to find this so: "+plainWord(it.Text))
		default:
			all = append(all, "somebody to sign “"+plainWord(it.Text)+"”")
		}
	}
	if len(all) == 0 {
		return "somebody to say go"
	}
	return strings.Join(all, ", ")
}
