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
		say("No end is recorded: the run goes on, or it broke off. It was %s, in %s.", b.state.Status, stage)
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

// exceptions are what a reader of the first line must not miss.
func (b *builder) exceptions() []string {
	count := map[journal.Status]int{}
	var stay []string
	for _, s := range b.r.Steps {
		count[s.Status]++
		if b.r.Rollback != nil && b.ended && began(s) && s.Status != journal.Undone && len(s.Undos) == 0 {
			stay = append(stay, s.Title)
		}
	}
	var out []string
	for _, x := range []struct {
		status journal.Status
		text   string
	}{
		{journal.Skipped, "was skipped"},
		{journal.FailedStatus, "failed and was not mended"},
		{journal.Unknown, "has an unknown outcome"},
		{journal.Running, "has no recorded end"},
		{journal.UndoFailedSt, "is not undone"},
	} {
		if n := count[x.status]; n > 0 {
			out = append(out, sentence(n, "step", x.text))
		}
	}
	if len(stay) > 0 {
		out = append(out, "Not undone by the rollback: "+strings.Join(stay, ", ")+".")
	}
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

// sentence puts a clause for one into the plural where it must be.
func sentence(n int, noun, clause string) string {
	if n > 1 {
		noun += "s"
		clause = strings.NewReplacer("was ", "were ", "has ", "have ", "is ", "are ", "an unknown outcome", "unknown outcomes").Replace(clause)
	}
	return fmt.Sprintf("%d %s %s.", n, noun, clause)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// took says how long a span took: "1h 02m", "4m 05s", "12s", "0.3s".
func (s Span) took() string {
	switch {
	case s.End.IsZero():
		return "no end recorded"
	case s.ClockBack > 0:
		return duration(s.Seconds) + " or so (the clock went back " + duration(s.ClockBack) + ")"
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
