package report

import (
	"fmt"
	"strings"
	"time"

	"belay/steps/journal"
)

// outcome says how the run stands, from what the others have found.
func (b *builder) outcome() Outcome {
	o := Outcome{Status: b.state.Status, Ended: b.ended}
	if len(b.events) == 0 {
		o.Text = "Nothing is recorded of this run."
		return o
	}
	stage := string(b.state.Stage)
	var said []string
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	switch {
	case !b.ended:
		say("No end is recorded: the run goes on, or it broke off. Its last state: %s, in %s.", b.state.Status, stage)
	case o.Status == journal.Closed:
		say("Closed: the migration is done.")
	case o.Status == journal.RolledBack && b.r.owed() > 0:
		say("Rolled back, except for what is listed under debts: that is still to be undone.")
	case o.Status == journal.RolledBack:
		say("Rolled back: every step that was begun and has a way back was undone.")
	case o.Status == journal.NoGo:
		say("No-go in %s. What the steps before it changed stands.", stage)
	case o.Status == journal.Stopped:
		say("Stopped in %s, as somebody asked. It can be resumed.", stage)
	default:
		say("Ended as %q in %s.", o.Status, stage)
	}
	said = append(said, b.exceptions()...)
	o.Text = strings.Join(said, " ")
	return o
}

// exceptions are what a reader of the first lines must not miss.
func (b *builder) exceptions() []string {
	titles := map[journal.Status][]string{}
	var stay []string
	for _, s := range b.r.Steps {
		title := s.Title
		if s.Status == journal.FailedStatus && s.Optional {
			title += " (optional)"
		}
		titles[s.Status] = append(titles[s.Status], title)
		if b.r.Rollback != nil && b.ended && s.Stage != journal.GoingBack && began(s) && s.Status != journal.Undone && len(s.Undos) == 0 {
			stay = append(stay, s.Title)
		}
	}
	var out []string
	say := func(what string, titles []string) {
		if n := len(titles); n > 5 {
			titles = append(titles[:4:4], fmt.Sprintf("and %d more", n-4))
		}
		if len(titles) > 0 {
			out = append(out, what+": "+strings.Join(titles, ", ")+".")
		}
	}
	say("Skipped", titles[journal.Skipped])
	say("Failed", titles[journal.FailedStatus])
	say("Outcome unknown", titles[journal.Unknown])
	say("Begun, no end recorded", append(titles[journal.Running], titles[journal.WaitingYou]...))
	say("Not undone yet", titles[journal.UndoFailedSt])
	say("Left as they are by the rollback", stay)
	if b.state.PastClose && b.r.Rollback != nil {
		out = append(out, "The rollback began after the point of no return.")
	}
	return out
}

// began tells whether a step may have changed something.
func began(s Step) bool {
	for _, a := range s.Attempts {
		if a.Number > 0 {
			return !s.Already
		}
	}
	return false
}

// took says how long a span took: "1h 02m", "4m 05s", "12s", "0.3s".
func (s Span) took() string {
	switch {
	case s.End.IsZero():
		return "no end recorded"
	case s.ClockBack > 0 && s.Seconds == 0:
		return "not known (clock went back)"
	case s.ClockBack > 0:
		return duration(s.Seconds) + " (clock went back)"
	}
	return duration(s.Seconds)
}

func duration(sec float64) string {
	switch s := int64(sec); {
	case sec < 10:
		return fmt.Sprintf("%.1fs", sec)
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm %02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh %02dm", s/3600, s%3600/60)
	default:
		return fmt.Sprintf("%dd %dh", s/86400, s%86400/3600)
	}
}

// moment is a time in a table; its head, or the page's, says that it is UTC.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format("2006-01-02 15:04:05")
}

// who names an author: the typed name, the login, and where that came from.
func who(a journal.Author) string {
	if a == (journal.Author{}) {
		return "not known"
	}
	login := a.Login
	if login == "" {
		login = "login not known"
	} else {
		login = "login " + login
	}
	if a.From != "" {
		login += ", from " + a.From
	} else {
		login += ", on the console"
	}
	if a.Name == "" {
		return login
	}
	return a.Name + " (" + login + ")"
}
