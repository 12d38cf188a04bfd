package tui

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	gocmp "github.com/google/go-cmp/cmp"

	"belay/checks/inspect"
	"belay/steps/draft"
)

// answersGiven are what a careful first-timer would have answered.
func answersGiven() Answers {
	return Answers{From: "ada@old", To: "new", Wish: draft.Wish{Freeze: 10 * time.Minute, Clients: "proxy", Approvers: 3,
		Roles: []draft.Role{{Name: "dba", Who: []string{"ada", "grace"}}, {Name: "app owner"}}, Second: true}}
}

// interviewMoments are screens of belay init, and how one gets there.
var interviewMoments = map[string]struct {
	d    twoServers
	a    Answers
	keys []string // "=TEXT" is typed
}{
	"again":    {d: twoServers{kept: []Kept{{At: noon.Add(-3 * time.Hour), Page: "who", Answers: answersGiven()}, {At: noon.Add(-50 * time.Hour), Page: "what", Answers: Answers{From: "mail"}}}}},
	"servers":  {},
	"unlooked": {a: Answers{From: "ada@old", To: "new", Sudo: true}, d: twoServers{down: map[string]bool{"new": true}}, keys: []string{"enter", "enter"}},
	"what":     {a: Answers{From: "ada@old", To: "new"}, keys: []string{"enter", "enter"}},
	"many":     {a: Answers{From: "old", To: "new"}, d: twoServers{many: 120}, keys: []string{"enter", "enter", "pgdown", "pgdown", "space"}},
	"filter":   {a: Answers{From: "old", To: "new"}, d: twoServers{many: 120}, keys: []string{"enter", "enter", "/", "=app-11"}},
	"howlong":  {a: Answers{From: "old", To: "new"}, keys: []string{"enter", "enter", "enter"}},
	"clients":  {a: answersGiven(), keys: []string{"enter", "enter", "enter", "enter"}},
	"when":     {a: answersGiven(), keys: []string{"enter", "enter", "enter", "enter", "enter", "=soon", "enter", "enter"}},
	"who":      {a: answersGiven(), keys: []string{"enter", "enter", "enter", "enter", "enter", "enter", "enter"}},
	"soaking":  {a: answersGiven(), keys: []string{"enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter"}},
	"file":     {a: answersGiven(), keys: []string{"enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter"}},
	"answers":  {a: answersGiven(), keys: toAnswers},
	"plan":     {a: answersGiven(), keys: append(toAnswers[:len(toAnswers):len(toAnswers)], "enter")},
	"broken":   {a: answersGiven(), keys: append(toAnswers[:len(toAnswers):len(toAnswers)], "!", "enter")},
	"written":  {a: answersGiven(), keys: append(toAnswers[:len(toAnswers):len(toAnswers)], "enter", "ctrl+y")},
	"help":     {a: answersGiven(), keys: []string{"?"}},
	"leaving":  {a: answersGiven(), keys: []string{"enter", "enter", "ctrl+c"}},
}

var toAnswers = []string{"enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter"}

// interviewMoment goes to one of them.
func interviewMoment(t *testing.T, name string, w, h int, o Options) *asked {
	t.Helper()
	m := interviewMoments[name]
	d := &twoServers{kept: m.d.kept, down: m.d.down, many: m.d.many, name: m.d.name, nowhere: true}
	r := interviewedWith(t, d, m.a, w, h, o)
	r.iv.draft = madeUp()
	for _, k := range m.keys {
		if text, ok := strings.CutPrefix(k, "="); ok {
			r.write(text)
		} else if k == "!" {
			r.iv.draft = madeUp("approvers: 2\n", "approvers: {roles: [{role: dba, who: [ada]}, {role: owner, who: [ada]}]}\n")
		} else {
			r.press(k)
		}
	}
	return r
}

// madeUp is a plan that stays as it is when drafts get better.
func madeUp(oldnew ...string) func(draft.Wish, *inspect.Host, *inspect.Host) []byte {
	return func(draft.Wish, *inspect.Host, *inspect.Host) []byte {
		return []byte(strings.NewReplacer(oldnew...).Replace("# Drafted by belay from what runs on old. Read it as you would read a colleague's runbook: it knows what the server shows.\n" +
			"belay: 1\nname: old-to-new\nenvironment: production\napprovers: 2\n\nhosts:\n  old: {}   # as it is\n  new: {}   # where it goes\n\nprepare:\n" +
			"  - step: Ask the team\n    manual: Ask everybody who uses it whether they know that it will be down, and for how long, and write down who was asked\n" +
			"\ncutover:\n  - step: Switch\n    manual: Do it.\n    undo: {manual: Undo it.}\n"))
	}
}

func TestInterviewGoldens(t *testing.T) {
	for name := range interviewMoments {
		for _, size := range [][2]int{{80, 24}, {120, 40}, {60, 20}, {50, 10}} {
			t.Run(fmt.Sprintf("%s/%dx%d", name, size[0], size[1]), func(t *testing.T) {
				r := interviewMoment(t, name, size[0], size[1], Options{})
				content := r.iv.View().Content
				lines := strings.Split(content, "\n")
				if len(lines) != size[1] {
					t.Errorf("%d lines, want %d", len(lines), size[1])
				}
				for i, l := range lines {
					if w := ansi.StringWidth(l); w > size[0] {
						t.Errorf("line %d is %d cells wide, want at most %d: %q", i, w, size[0], ansi.Strip(l))
					}
				}
				if c := r.iv.cursor; c.y >= size[1] || c.x >= size[0] {
					t.Errorf("the cursor is at %v", c)
				}
				golden(t, filepath.Join("init", fmt.Sprintf("%s.%dx%d", name, size[0], size[1])), ansi.Strip(content))
			})
		}
	}
}

// Colour carries the meaning in each theme, and no meaning is carried by it
// alone.
func TestInterviewColours(t *testing.T) {
	for name := range interviewMoments {
		dark := ansi.Strip(interviewMoment(t, name, 80, 24, Options{Theme: "dark"}).iv.View().Content)
		none := interviewMoment(t, name, 80, 24, Options{Env: []string{"NO_COLOR=1", "LANG=C.UTF-8"}}).iv.View().Content
		if d := gocmp.Diff(dark, ansi.Strip(none)); d != "" {
			t.Errorf("%s differs without colour (-dark +none):\n%s", name, d)
		}
		for _, sgr := range []string{"[31m", "[32m", "[33m", "[36m", ";31m", ";41m", "[41"} {
			if strings.Contains(none, sgr) {
				t.Errorf("%s: without colour there is %q", name, sgr)
			}
		}
		ascii := interviewMoment(t, name, 80, 24, Options{Env: []string{"LANG=C", "TERM=vt100"}}).iv.View().Content
		for _, c := range ascii {
			if c > '~' {
				t.Fatalf("%s: %q is not ASCII:\n%s", name, c, ansi.Strip(ascii))
			}
		}
		if strings.Contains(ascii, "??") {
			t.Errorf("%s has glyphs without an ASCII twin:\n%s", name, ansi.Strip(ascii))
		}
	}
	for _, theme := range []string{"dark", "light", "none"} {
		for _, name := range []string{"servers", "unlooked", "what", "answers", "plan", "broken", "written"} {
			o := Options{Theme: theme}
			if theme == "none" {
				o = Options{Env: []string{"NO_COLOR=yes", "LANG=C.UTF-8"}}
			}
			r := interviewMoment(t, name, 80, 24, o)
			golden(t, filepath.Join("init", name+"."+theme), r.iv.View().Content)
		}
	}
}
