package soak

import (
	"fmt"
	"strings"
	"time"

	"belay/steps/journal"
)

// Series is what one probe has seen, judged by its rules.
type Series struct {
	good, bad, unknown int
	last               int64
	rules              []*state
	plain              *state // what is ill where no limit says so: it failed more often than not
}

// New begins a series.
func New(rules []Rule) *Series {
	s := &Series{plain: &state{Rule: Rule{For: 10 * time.Minute, Share: 0.5, Says: "no limit was given"}}}
	for _, r := range rules {
		s.rules = append(s.rules, &state{Rule: r})
		if !r.Tell && r.Above == 0 && r.Lacks == "" {
			s.plain = nil
		}
	}
	return s
}

// Add takes the next look.
func (s *Series) Add(l journal.Look) {
	s.last = max(s.last, l.At)
	switch l.Was {
	case journal.LookGood:
		s.good++
	case journal.LookBad:
		s.bad++
	default:
		s.unknown++
	}
	for _, r := range s.rules {
		r.add(l)
	}
	if s.plain != nil {
		s.plain.add(l)
	}
}

// Broken returns the first rule of those wanted that has been passed for the
// whole of its time, and is passed still.
func (s *Series) Broken(wanted func(Rule) bool) (rule Rule, why string, ok bool) {
	for _, r := range s.rules {
		if r.broken && wanted(r.Rule) {
			return r.Rule, r.now() + ", for " + Span(time.Duration(s.last-r.since)*time.Millisecond), true
		}
	}
	return Rule{}, "", false
}

// Over says which limits are passed at this moment, and for how long of the
// time that it takes; empty: none.
func (s *Series) Over() string {
	var said []string
	for _, r := range s.rules {
		if !r.over {
			continue
		}
		text := fmt.Sprintf("%s, for %s of %s", r.now(), Span(time.Duration(s.last-r.since)*time.Millisecond), Span(r.For))
		if r.Tell {
			text += " (only observed)"
		}
		said = append(said, text)
	}
	return strings.Join(said, "; ")
}

// Passed tells whether a limit of a trigger is passed now, and whether a guilty
// look since then has shown it.
func (s *Series) Passed(trigger int, since time.Duration) (over, shown bool) {
	for _, r := range s.rules {
		if r.over && r.Trigger == trigger {
			over, shown = true, shown || r.worst >= since.Milliseconds()
		}
	}
	return over, shown
}

// End is what the whole watch of so long amounts to.
func (s *Series) End(watched time.Duration) (verdict, why string) {
	verdict = Healthy
	var said []string
	say := func(v, format string, a ...any) {
		if verdict == Healthy || v == Degraded {
			verdict = v
		}
		said = append(said, fmt.Sprintf(format, a...))
	}
	judged := false
	for _, r := range s.rules {
		if r.Tell {
			continue
		}
		judged = judged || r.Above == 0 && r.Lacks == ""
		r.end(watched, say)
	}
	n := s.good + s.bad + s.unknown
	if !judged && s.bad > 0 {
		say(Degraded, "%d of %d looks failed", s.bad, n)
	}
	switch {
	case n < enough:
		say(Inconclusive, "only %d of the %d looks that a verdict takes: watch for longer, or look more often", n, enough)
	case s.good+s.bad < enough || s.unknown*5 > n:
		say(Inconclusive, "only %d of %d looks gave an answer", s.good+s.bad, n)
	}
	return verdict, strings.Join(said, "; ")
}

func (s *state) end(watched time.Duration, say func(v, format string, a ...any)) {
	held := watched - time.Duration(s.since)*time.Millisecond
	switch share := float64(s.bad) / float64(max(1, s.all)); {
	case s.Lacks != "":
		say(Inconclusive, "%s", s.Lacks)
	case s.broken || s.ever:
		say(Degraded, "%s", s.words(share))
	case s.over && held >= s.For-s.For/10:
		say(Degraded, "%s, for %s", s.now(), Span(held))
	case s.times > 2:
		say(Inconclusive, "flapping: %d times over the limit; %s in all", s.times, s.words(share))
	case s.over:
		say(Inconclusive, "%s, for %s when the watch ended; %s would be degraded", s.now(), Span(held), Span(s.For))
	case s.all > 0 && share > s.Share:
		say(Inconclusive, "%s in all, though never for %s on end", s.words(share), Span(s.For))
	}
}

// Span writes a time as people read it.
func Span(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		d = d.Round(time.Second)
	case d >= time.Second:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Millisecond)
	}
	text := d.String()
	text = strings.Replace(text, "m0s", "m", 1)
	return strings.Replace(text, "h0m", "h", 1)
}
