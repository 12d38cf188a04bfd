package tui

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	gocmp "github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/steps/draft"
	"belay/steps/run"
)

// asksAgain is the next belay init on the same machine.
func asksAgain(t *testing.T, d *twoServers) *asked {
	t.Helper()
	return interviewed(t, d, Answers{}, 100, 30)
}

// Every answer is kept as it is given, what is half typed too, and an interview
// goes on where it stopped, whatever ended it.
func TestInterviewGoesOnWhereItStopped(t *testing.T) {
	d := &twoServers{}
	r := interviewed(t, d, Answers{}, 100, 30)
	r.write("old").press("enter").write("new").press("enter").shows("What shall move?", "3 of 5 chosen")
	if len(d.Kept()) != 1 || d.Kept()[0].Answers.To != "new" {
		t.Fatalf("kept: %+v", d.Kept())
	}
	r.press("n", "b", "n").press("space").shows("1 of 5 chosen").press("enter").write("10m").press("enter", "down", "enter")
	r.shows("When may it happen?").write("tomorr")

	// Nothing is said to it any more: the link is gone.
	looks := d.looks
	r = asksAgain(t, d)
	r.shows("Go on where you stopped?", "Go on with old → new", "at “when”").press("enter")
	r.shows("When may it happen?", "tomorr___", "Your answers are back").hides("again")
	if d.looks != looks+1 {
		t.Errorf("looked %d times, not once more: servers may have changed", d.looks-looks)
	}
	r.press("ctrl+u", "enter", "enter").write("").press("esc", "esc", "esc", "esc").shows("What shall move?", "1 of 5 chosen")

	// Whoever leaves is asked again, too; whoever begins anew has that.
	r.press("ctrl+c").shows("Your answers are kept").press("l")
	r.iv.finish()
	r = asksAgain(t, d)
	r.press("down", "enter").shows("Which servers?").write("old").press("enter").write("new").press("enter").shows("3 of 5 chosen")
	if n := len(d.Kept()); n != 1 {
		t.Errorf("%d are kept of the same servers", n)
	}

	// Other servers are another interview, and this one is not of two.
	r.press("esc").shows("Which servers?").press("ctrl+u").write("mail").press("enter", "ctrl+u", "enter").shows("What shall be upgraded?")
	if kept := d.Kept(); len(kept) != 1 || kept[0].Answers.From != "mail" {
		t.Errorf("kept: %+v", kept)
	}
	r.press("ctrl+c", "f")
	r.iv.finish()
	if kept := d.Kept(); len(kept) != 0 {
		t.Errorf("it was to be forgotten: %+v", kept)
	}
}

// A plan that is written has no interview to go on with; a disk that takes
// nothing is told once, and stops nobody.
func TestInterviewIsForgottenOnceWritten(t *testing.T) {
	d := &twoServers{nowhere: true}
	r := interviewed(t, d, answersGiven(), 80, 24).press(toAnswers...).press("enter", "ctrl+y")
	r.shows("The plan is in").press("q")
	r.iv.finish()
	if kept := d.Kept(); len(kept) != 0 {
		t.Errorf("kept: %+v", kept)
	}
	full := &twoServers{full: true}
	r = interviewed(t, full, Answers{}, 80, 24)
	r.write("old").press("enter", "enter").shows("What shall be upgraded?", "cannot be kept", "no space left").press("down", "up").hides("cannot be kept")
	r.press("ctrl+c").shows("nothing is kept")
}

// What is put down late is never put over what is newer.
func TestKeepingTakesTheNewest(t *testing.T) {
	d := &twoServers{}
	x := keeping{d: d}
	k := func(page string) Kept { return Kept{Page: page, Answers: Answers{From: "old"}} }
	for n, page := range map[int]string{2: "what"} {
		if err := x.write(n, k(page)); err != nil {
			t.Fatal(err)
		}
	}
	_ = x.write(1, k("look"))
	if got := d.Kept(); len(got) != 1 || got[0].Page != "what" {
		t.Errorf("kept: %+v", got)
	}
	x.drop()
	_ = x.write(3, k("who"))
	if got := d.Kept(); len(got) != 0 {
		t.Errorf("kept after it was dropped: %+v", got)
	}
}

// What was chosen and is not there any more is named, not left out in silence.
func TestInterviewTellsWhatIsGone(t *testing.T) {
	a := answersGiven()
	a.Move = []string{"compose shop", "unit gone.service"}
	r := asksAgain(t, &twoServers{kept: []Kept{{At: noon, Page: "how long", Answers: a}}})
	r.press("enter").shows("How long can people be without it?").press("esc").shows("1 of 5 chosen")
	if d := gocmp.Diff([]string{"compose shop"}, r.iv.a.Move); d != "" {
		t.Error(d)
	}
	r = interviewed(t, &twoServers{}, a, 100, 30)
	r.press("enter", "enter").shows("Chosen before, and not there any more: unit gone.service")
}

// One of two servers is not reached: look again at that one, name it otherwise,
// or go on without it.
func TestInterviewWithoutTheNewServer(t *testing.T) {
	d := &twoServers{down: map[string]bool{"new": true}}
	r := interviewed(t, d, Answers{From: "old", To: "new"}, 100, 30)
	r.press("enter", "enter").shows("looked at: 4 programs", "not looked at: no such host", "w  go on without it")
	r.press("r").shows("not looked at")
	if gocmp.Diff([]string{"new"}, d.hosts) != "" {
		t.Errorf("it looked at %q again", d.hosts)
	}
	r.press("l").shows("Which servers?", "▌ It goes to").press("ctrl+u").write("root@new").press("enter").shows("What shall move?")
	r.press("esc").press("down", "ctrl+u").write("new").press("enter").shows("w  go on without it").press("w")
	r.shows("What shall move?", "new was not looked at: no such host")
	r.press("enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter").shows("no problems", "belay could not look at new")

	// Without the old one there is nothing to draft from.
	r = interviewed(t, &twoServers{down: map[string]bool{"old": true}}, Answers{From: "old", To: "new"}, 100, 30)
	r.press("enter", "enter").shows("not looked at").hides("w  go on").press("w").shows("not looked at")
}

// A look that lasts can be stopped, and what comes after that is not taken for
// the next one's.
func TestInterviewStopsALook(t *testing.T) {
	d := &twoServers{ask: &run.Prompt{Kind: "secret", Title: "SSH password", Hidden: true}}
	r := interviewed(t, d, Answers{From: "old", To: "new"}, 100, 30)
	r.press("enter")
	_, cmd := r.iv.Update(keyMsg("enter"))
	over := make(chan bool)
	go func() { parts(cmd); close(over) }()
	until(t, "the question", func() bool { r.iv.watch(); return r.iv.top != nil })
	r.shows("SSH password").press("f1").shows("a password or passphrase", "the next belay init").press("esc", "esc", "esc")
	until(t, "its end", func() bool { r.iv.watch(); return r.iv.look.over() })
	<-over
	r.press("esc").shows("Which servers?")
}

// Other servers have other things to move; what follows from an answer that is
// changed is worked out anew, and the list of answers comes back.
func TestInterviewWorksOutAnew(t *testing.T) {
	d := &twoServers{}
	a := answersGiven()
	a.Move = []string{"compose shop"}
	r := interviewed(t, d, a, 100, 30).press(toAnswers...)
	r.shows("Is this right?", "ada@old → new", "clients     by the old address", "what        shop")
	r.press("home").iv.page().(*answersPage).cursor = 0
	r.press("enter").shows("Which servers?").press("down", "ctrl+u", "enter")
	r.shows("What shall be upgraded?", "Other servers, other things").press("enter")
	r.shows("Is this right?", "ada@old, where it stays", "what        shop, postgresql on port 5432").hides("clients")
	r.press("enter").shows("name: upgrade-old", "Upgrade shop").press("esc").shows("Is this right?")
	r.iv.page().(*answersPage).cursor = 0
	r.press("enter", "down").write("new").press("enter").shows("What shall move?").press("enter").shows("clients     by the old address")
}

// A hundred things: pages, a filter, all and none of what is shown.
func TestInterviewOfManyThings(t *testing.T) {
	r := interviewed(t, &twoServers{many: 120}, Answers{From: "old", To: "new"}, 80, 24)
	r.press("enter", "enter").shows("123 of 125 chosen").press("n").shows("0 of 125 chosen", "Nothing is chosen.")
	r.press("/").write("9119").shows("app-119.service", "1 shown").hides("app-118")
	r.press("enter", "space").shows("1 of 125 chosen").press("/", "ctrl+u").write("app-01").press("enter", "a").shows("11 of 125 chosen", "Everything that is shown is chosen.")
	r.press("n").shows("1 of 125 chosen", "Nothing that is shown").press("/", "ctrl+u").write("no such").shows("Nothing that can be chosen has").press("space").press("esc")
	r.shows("1 of 125 chosen").hides("shown").press("a").shows("125 of 125 chosen").press("b").shows("123 of 125 chosen")
	r.screen()
	r.press("pgdown").shows("▲").press("G").shows("process sshd").press("g").hides("▲")
}

// Nothing that a server is called, or has, writes to the terminal.
func TestInterviewShowsNothingHostile(t *testing.T) {
	evil := "x\x1b]0;owned\x07\x1b[2J\r\n\u202eevil\x00"
	for _, size := range [][2]int{{60, 20}, {80, 24}, {120, 40}} {
		d := &twoServers{name: evil, down: map[string]bool{}}
		r := interviewed(t, d, Answers{From: "old" + evil, To: "new", File: "p" + evil + ".yaml", Wish: draft.Wish{Approvers: 2, Roles: []draft.Role{{Name: evil, Who: []string{evil}}}}}, size[0], size[1])
		harmless := func() {
			t.Helper()
			screen := r.iv.View().Content
			for _, bad := range []string{"\x1b]", "\x1b[2J", "\x07", "\x00", "\r", "\u202e"} {
				if strings.Contains(screen, bad) {
					t.Fatalf("%q reaches the terminal:\n%q", bad, screen)
				}
			}
			if n := strings.Count(screen, "\n"); n != size[1]-1 {
				t.Fatalf("%d lines", n+1)
			}
		}
		r.iv.at = 1
		for _, name := range []string{"look", "what", "answers", "plan", "file", "who"} {
			r.do(r.iv.show(name))
			harmless()
			if name == "what" {
				r.press("G")
				harmless()
				r.press("g", "a")
				for range 12 {
					r.press("down", "d")
					harmless()
					r.press("esc")
				}
			}
			if name == "plan" {
				r.press("d")
				harmless()
				r.press("esc")
			}
		}
		r.iv.watch()
		k := Kept{At: noon, Page: evil, Answers: r.iv.a}
		r = interviewed(t, &twoServers{kept: []Kept{k}}, Answers{}, size[0], size[1])
		harmless()
	}
	l := &looking{lights: map[string]run.Light{"old": {Light: remote.Down, Reason: evil}}}
	if got := l.light("old").Reason; got != evil {
		t.Errorf("the reason is %q", got)
	}
}

// The screen follows the terminal's size at every moment.
func TestInterviewIsResized(t *testing.T) {
	for name := range interviewMoments {
		r := interviewMoment(t, name, 120, 40, Options{})
		for _, size := range [][2]int{{60, 20}, {20, 5}, {200, 60}, {80, 24}} {
			r.iv.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
			if got := strings.Count(r.iv.View().Content, "\n") + 1; got != size[1] {
				t.Errorf("%s at %v has %d lines", name, size, got)
			}
		}
	}
}

// The same line by line.
func TestPlainInterviewGoesOn(t *testing.T) {
	d := &twoServers{}
	file := filepath.Join(t.TempDir(), "p.yaml")
	talk := func(lines ...string) (string, error) {
		var out strings.Builder
		_, err := PlainInterview(t.Context(), d, Answers{File: file}, strings.NewReader(strings.Join(lines, "\n")+"\n"), &out)
		return out.String(), err
	}
	if out, err := talk("old", "new", "1-2 5", "10m"); !errors.Is(err, ErrUnwritten) || len(d.Kept()) != 1 {
		t.Fatalf("%v, kept %+v\n%s", err, d.Kept(), out)
	}
	out, err := talk("?", "7", "1", "?", "2", "", "", "dba: ada, app owner", "yes", "", "", "", "", "write")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"1  go on with old → new. It stopped", "Every answer was kept", `"7" is no number from 1 to 1`, "Your answers are back", "How clients find the new server", "dba: ada grace, app owner: the same",
		"belay check: no problems"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), "{role: dba, who: [ada]}") || !strings.Contains(string(text), "second_person: true") {
		t.Errorf("%v\n%s", err, text)
	}
	if kept := d.Kept(); len(kept) != 0 {
		t.Errorf("kept: %+v", kept)
	}

	// One of two is not reached.
	d = &twoServers{down: map[string]bool{"new": true}}
	out, err = talk("old", "new", "", "x", "w", "")
	if !errors.Is(err, ErrUnwritten) || strings.Count(out, "new was not looked at: no such host") < 2 || !strings.Contains(out, "What shall move?") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Ctrl-C ends an interview that waits for a line.
func TestPlainInterviewIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in, typed := io.Pipe()
	defer typed.Close()
	over := make(chan error, 1)
	go func() {
		_, err := PlainInterview(ctx, &twoServers{}, Answers{}, in, io.Discard)
		over <- err
	}()
	if _, err := typed.Write([]byte("old\n")); err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case err := <-over:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits on")
	}
}

func TestParsePeople(t *testing.T) {
	for _, tc := range []struct {
		typed, back, problem string
		n                    int
	}{
		{"2", "2 people", "", 2},
		{" 1 person", "1 person", "", 1},
		{"dba, app owner", "dba, app owner", "", 2},
		{"dba: ada grace,app owner , 2 more", "dba: ada grace, app owner, 2 more", "", 4},
		{"3 people, dba", "dba, 2 more", "", 3},
		{"", "", "Somebody has to agree", 0},
		{",", "", "Somebody has to agree", 0},
		{"0", "", "no number of people", 0},
		{"21", "", "no number of people", 0},
		{"99999999999999999999", "", "no number of people", 0},
		{"dba, DBA", "", "twice", 0},
		{": ada", "", "names nobody", 0},
		{"1, dba, owner", "", "cannot speak for 2 parts", 0},
		{"dba: ada, owner: ada", "", "Nobody is left for owner", 0},
		{"20, 5 more", "20 people", "", 20},
		{"19 more, 5 more", "", "More than 20", 0},
	} {
		n, roles, problem := ParsePeople(tc.typed)
		if n != tc.n || !strings.Contains(problem, tc.problem) || (tc.problem == "") != (problem == "") {
			t.Errorf("%q: %d, %v, %q", tc.typed, n, roles, problem)
		}
		if problem == "" && PeopleText(n, roles) != tc.back {
			t.Errorf("%q is written as %q", tc.typed, PeopleText(n, roles))
		}
		if problem == "" {
			if again, sameRoles, _ := ParsePeople(PeopleText(n, roles)); again != n || gocmp.Diff(roles, sameRoles) != "" {
				t.Errorf("%q is read back as %d, %v", PeopleText(n, roles), again, sameRoles)
			}
		}
	}
}
