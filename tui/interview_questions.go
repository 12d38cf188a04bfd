package tui

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"time"

	"belay/remote"
	"belay/steps/draft"
)

// interviewPages are the questions of belay init, in their order.
func interviewPages() []leaf {
	return []leaf{newEarlierPage(), askServers(), newLookPage(), newFoundPage(), askFreeze(), askClients(), askWindow(), askPeople(), askSoak(), askFile(),
		newAnswersPage(), newPreviewPage(), newWrittenPage()}
}

func askServers() *typing {
	return &typing{
		question: question{
			name: "servers", title: always("Which servers?"),
			more: always("Names that ~/.ssh/config knows, or USER@HOST. belay looks at them in a moment: nothing is changed or installed there. " +
				"Without a second one everything stays where it is, and is upgraded."),
			said: func(a *Answers) string {
				text := a.From + ", where it stays"
				if a.To != "" {
					text = a.From + " → " + a.To
				}
				if a.Sudo {
					text += ", looked at as root"
				}
				return text
			},
		},
		blanks: []blank{
			{label: "It is on", get: func(a *Answers) string { return a.From }, set: func(a *Answers, v string) string { a.From = v; return oddHost(v) }},
			{label: "It goes to", optional: true, get: func(a *Answers) string { return a.To }, set: func(a *Answers, v string) string {
				if a.To = v; v == a.From {
					a.To = ""
				}
				return oddHost(v)
			}},
		},
	}
}

func oddHost(v string) string {
	if strings.ContainsAny(v, " \t/") || strings.HasPrefix(v, "-") {
		return fmt.Sprintf("“%s” is no host: a name of ~/.ssh/config or USER@HOST is meant.", v)
	}
	return ""
}

// span reads a length of time; optional ones may be left empty.
func span(v string, into *time.Duration) (problem string) {
	if *into = 0; v == "" {
		return ""
	}
	var d remote.Duration
	if err := d.UnmarshalText([]byte(v)); err != nil || d <= 0 {
		return fmt.Sprintf("“%s” is no length of time, such as 90s, 5m, 1h30m or 7d.", v)
	}
	*into = time.Duration(d)
	return ""
}

// roughly is a length of time that is a guess.
func roughly(d time.Duration) string {
	if d > time.Minute {
		d = d.Round(time.Minute)
	}
	return draft.Length(d)
}

func spanText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return draft.Length(d)
}

func askFreeze() *typing {
	return &typing{
		question: question{
			name: "how long", title: always("How long can people be without it?"),
			more: func(iv *interview) string {
				text := "Such as 5m or 1h; empty when nobody knows. The plan says whether the copies fit in."
				if iv.old != nil && iv.a.To != "" {
					if n, took := draft.Guess(iv.moving()); n > 0 {
						text += fmt.Sprintf(" The databases that go along have %s: about %s for their copies, which is a guess.", remote.FormatBytes(n), roughly(took))
					}
				}
				return text
			},
			said: func(a *Answers) string { return cmp.Or(spanText(a.Freeze), "nobody knows") },
		},
		blanks: []blank{{label: "At most", optional: true,
			get: func(a *Answers) string { return spanText(a.Freeze) }, set: func(a *Answers, v string) string { return span(v, &a.Freeze) }}},
	}
}

func askClients() *choosing {
	return &choosing{
		question: question{
			name: "clients", title: always("How will clients find the new server?"),
			asked: func(iv *interview) bool { return iv.a.To != "" },
			said: func(a *Answers) string {
				return map[string]string{"": "by a name that leads there", "dns": "by a name that leads there", "proxy": "by the old address: the old server hands them on", "none": "not of this plan"}[a.Clients]
			},
		},
		choices: []choice{
			{"dns", "By a name that leads there", "Somebody changes DNS or a load balancer; the plan waits for them."},
			{"proxy", "By the old address", "The old server hands connections on to the new one."},
			{"none", "That is not of this plan", ""},
		},
		get: func(a *Answers) string { return cmp.Or(a.Clients, "dns") }, set: func(a *Answers, v string) { a.Clients = v },
	}
}

// windowForms are how the beginning of a window is written, with its zone or in
// that of this machine.
var windowForms = []string{"2006-01-02T15:04Z07:00", "2006-01-02 15:04Z07:00", "2006-01-02 15:04 Z07:00", time.RFC3339, "2006-01-02 15:04", "2006-01-02T15:04"}

func askWindow() *typing {
	return &typing{
		question: question{
			name: "when", title: always("When may it happen?"),
			more: always("The window of the cutover: its beginning, such as 2026-12-01 22:00 (in the time of this machine, or with a zone: 2026-12-01T22:00Z), and its length. Empty when that is not known yet."),
			said: func(a *Answers) string {
				if a.Opens.IsZero() {
					return "not known yet"
				}
				return a.Opens.Format("Mon 2006-01-02 15:04 Z07:00") + ", for " + cmp.Or(spanText(a.Length), "1h")
			},
		},
		blanks: []blank{
			{label: "Opens", optional: true, get: func(a *Answers) string {
				if a.Opens.IsZero() {
					return ""
				}
				return a.Opens.Format(windowForms[0])
			}, set: func(a *Answers, v string) (problem string) {
				if a.Opens = (time.Time{}); v == "" {
					return ""
				}
				t, ok := ParseOpens(v)
				if !ok {
					return fmt.Sprintf("“%s” is no beginning, such as 2026-12-01 22:00 or 2026-12-01T22:00Z.", v)
				}
				a.Opens = t
				return ""
			}},
			{label: "Lasts", optional: true, get: func(a *Answers) string { return spanText(a.Length) }, set: func(a *Answers, v string) string { return span(v, &a.Length) }},
		},
	}
}

// ParseOpens reads the beginning of a window as people write it: without a zone
// it is in that of this machine.
func ParseOpens(v string) (time.Time, bool) {
	for _, form := range windowForms {
		if t, err := time.ParseInLocation(form, v, time.Local); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// PercentForm is a share that is not nothing, as a plan writes it: 5%, 0.5%.
var PercentForm = regexp.MustCompile(`^(100|[1-9]?\d(\.\d+)?)%$`)

func askSoak() *typing {
	return &typing{
		question: question{
			name: "soak", title: always("How is it watched afterwards?"),
			more: always("After the cutover the ports are asked again and again, while a rollback is still possible. When too many answers are bad for too long, belay proposes one."),
			said: func(a *Answers) string {
				return fmt.Sprintf("for %s; a rollback is proposed at %s bad answers for %s", cmp.Or(spanText(a.Soak), "15m"), cmp.Or(a.Errors, "5%"), cmp.Or(spanText(a.BadFor), "2m"))
			},
		},
		blanks: []blank{
			{label: "Watch for", get: func(a *Answers) string { return cmp.Or(spanText(a.Soak), "15m") }, set: func(a *Answers, v string) string { return span(v, &a.Soak) }},
			{label: "Too many are", get: func(a *Answers) string { return cmp.Or(a.Errors, "5%") }, set: func(a *Answers, v string) string {
				if v = strings.TrimSuffix(v, "%") + "%"; !PercentForm.MatchString(v) || strings.Trim(v, "0.%") == "" {
					return fmt.Sprintf("“%s” is no share, such as 5%%.", v)
				}
				a.Errors = v
				return ""
			}},
			{label: "Too long is", get: func(a *Answers) string { return cmp.Or(spanText(a.BadFor), "2m") }, set: func(a *Answers, v string) (problem string) {
				if problem = span(v, &a.BadFor); problem == "" && a.BadFor >= a.Soak {
					problem = "That is as long as it is watched: belay would never propose a rollback."
				}
				return problem
			}},
		},
	}
}

func askFile() *typing {
	return &typing{
		question: question{
			name: "file", title: always("Where does the plan go?"),
			more: func(iv *interview) string {
				at := "A file on this machine"
				if dir := iv.o.env("PWD"); dir != "" {
					at += ", in " + oneLine(dir) + " unless you name a directory"
				}
				return at + ". One that is there already is left as it is, unless you say otherwise. Nothing is written before you have seen the plan."
			},
			said: func(a *Answers) string { return a.file() },
		},
		blanks: []blank{
			{label: "File", get: func(a *Answers) string { return a.file() }, set: func(a *Answers, v string) string {
				if strings.HasSuffix(v, "/") {
					return "That is a directory; a file is meant."
				}
				if a.File = ""; v != a.file() {
					a.File = v
				}
				return ""
			}},
		},
	}
}
