package tui

import (
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"belay/steps/journal"
)

// robot drives the model with keys only, without a terminal or real time.
type robot struct {
	t   *testing.T
	m   *model
	f   *fakeSession
	now time.Time
}

func drive(t *testing.T, f *fakeSession, w, h int, o Options) *robot {
	t.Helper()
	r := &robot{t: t, f: f, now: noon}
	o.Now = func() time.Time { return r.now }
	if o.Env == nil {
		o.Env = []string{"LANG=C.UTF-8", "TERM=xterm-256color"}
	}
	if o.Author.Login == "" {
		o.Author = journal.Author{Login: "vish", From: "10.0.0.7"}
	}
	r.m = newModel(f, o.filled(f.dir))
	r.send(tea.WindowSizeMsg{Width: w, Height: h})
	return r
}

func (r *robot) send(msg tea.Msg) {
	r.t.Helper()
	_, cmd := r.m.Update(msg)
	if _, tick := msg.(tickMsg); !tick {
		r.run(cmd)
	}
}

func (r *robot) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case tea.BatchMsg:
		for _, c := range msg {
			r.run(c)
		}
	case nil:
	default:
		r.send(msg)
	}
}

var named = map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "tab": tea.KeyTab, "up": tea.KeyUp, "down": tea.KeyDown,
	"left": tea.KeyLeft, "right": tea.KeyRight, "backspace": tea.KeyBackspace, "pgdown": tea.KeyPgDown, "home": tea.KeyHome, "end": tea.KeyEnd, "f1": tea.KeyF1}

func keyMsg(name string) tea.KeyPressMsg {
	if code, ok := named[name]; ok {
		return tea.KeyPressMsg{Code: code}
	}
	if rest, ok := strings.CutPrefix(name, "ctrl+"); ok {
		return tea.KeyPressMsg{Code: rune(rest[0]), Mod: tea.ModCtrl}
	}
	return tea.KeyPressMsg{Code: []rune(name)[0], Text: name}
}

// press presses keys by name.
func (r *robot) press(keys ...string) *robot {
	r.t.Helper()
	for _, k := range keys {
		r.send(keyMsg(k))
	}
	return r
}

// write types text, a key a letter.
func (r *robot) write(text string) *robot {
	for _, c := range text {
		r.send(tea.KeyPressMsg{Code: c, Text: string(c)})
	}
	return r
}

// ticks lets time pass, a tenth of a second each.
func (r *robot) ticks(n int) *robot {
	for range n {
		r.now = r.now.Add(100 * time.Millisecond)
		r.send(tickMsg{})
	}
	return r
}

func (r *robot) screen() string { return ansi.Strip(r.m.View().Content) }

func (r *robot) shows(want ...string) *robot {
	r.t.Helper()
	for _, w := range want {
		if s := r.screen(); !strings.Contains(s, w) {
			r.t.Fatalf("screen does not show %q:\n%s", w, s)
		}
	}
	return r
}

func (r *robot) hides(dont ...string) *robot {
	r.t.Helper()
	for _, w := range dont {
		if s := r.screen(); strings.Contains(s, w) {
			r.t.Fatalf("screen shows %q:\n%s", w, s)
		}
	}
	return r
}

// sent compares the answers that reached the session.
func (r *robot) sent(want ...journal.Answer) *robot {
	r.t.Helper()
	for i := range want {
		want[i].Time = noon
	}
	if diff := cmp.Diff(want, r.f.answers); diff != "" {
		r.t.Fatalf("answers (-want +got):\n%s", diff)
	}
	return r
}

func by(name string) journal.Author {
	return journal.Author{Name: name, Login: "vish", From: "10.0.0.7"}
}
