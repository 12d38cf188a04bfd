package tui

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"belay/steps/journal"
	"belay/steps/run"
)

// An unchanged run draws the same frame, byte for byte, so that the terminal
// is sent nothing.
func TestUnchangedViewIsTheSameFrame(t *testing.T) {
	for name, moment := range moments {
		if strings.Contains(" prepare rollback soak manual unknown close verdict countdown askrollback waysoak ontheway ", " "+name+" ") {
			continue // these show a clock that ticks
		}
		r := drive(t, moment(), 80, 24, Options{})
		r.now = noon.Add(20 * time.Second) // away from a full minute
		r.ticks(10)
		before := r.m.View()
		r.ticks(30)
		if after := r.m.View(); after.Content != before.Content {
			t.Errorf("%s: the frame changed though nothing did", name)
		}
	}
}

func TestLogFollowsAndCounts(t *testing.T) {
	f := prepareMoment()
	r := drive(t, f, 80, 24, Options{})
	add := func(text string) {
		f.mu.Lock()
		f.logs["frontend"] = append(f.logs["frontend"], run.Line{Host: "chat", Text: text})
		f.mu.Unlock()
	}
	add("first new line")
	r.ticks(1).shows("first new line", "following")
	r.press("f")
	for i := range 312 {
		add(fmt.Sprintf("later %d", i))
	}
	r.ticks(1).shows("▼ 312 new", "first new line").hides("later 311")
	r.press("f").shows("later 311", "following")
}

func TestLogSearch(t *testing.T) {
	f := prepareMoment()
	r := drive(t, f, 80, 24, Options{})
	r.press("/").write("message07").press("enter").shows("Message07.tsx", "▸chat")
	r.press("N").shows("went round", "▸chat")
	r.press("/").write("nowhere").press("enter").shows("“nowhere” is not in this log")
	r.press("/").write("message07").press("enter")
	r.press("/").press("home").write("x").press("esc").shows("/message07")
	r.press("tab", "g", "e").shows("error boundary is missing")
	r.press("n").shows("Message07.tsx")
}

func TestSearchKeysAreText(t *testing.T) {
	r := drive(t, prepareMoment(), 80, 24, Options{})
	r.press("/").write("qxz?").shows("qxz?")
	if r.m.top != nil {
		t.Error("a letter of the query opened a dialog")
	}
}

func TestHostKeysChooseALog(t *testing.T) {
	r := drive(t, prepareMoment(), 80, 24, Options{})
	r.press("2").shows("log · db").press("0").shows("log · all hosts").press("9").shows("this plan has 2 hosts")
	r.press("a").shows("log of the whole run")
}

func TestScreensGoWithTheRunUnlessPinned(t *testing.T) {
	f := prepareMoment()
	r := drive(t, f, 80, 24, Options{})
	r.shows("Build the frontend")
	r.press("]").shows("The signatures hold")
	f.edit(func(s *journal.State) { *s = *soakMoment().st; s.Seq = 50 })
	r.ticks(5).shows("sign-off", "signatures")
	r.press("esc").shows("verdict")
}

func TestQuitAsks(t *testing.T) {
	f := prepareMoment()
	r := drive(t, f, 80, 24, Options{})
	r.press("q").shows("The run goes on", "belay resume").press("esc").hides("The run goes on")
	r.press("q", "s")
	if len(f.requests) != 1 || f.requests[0].What != run.WantStop {
		t.Errorf("requests %v, want one stop", f.requests)
	}
	r.press("ctrl+c")
	_, cmd := r.m.Update(keyMsg("d"))
	if cmd == nil || r.m.left != ErrDetached {
		t.Error("d did not detach")
	}
	ended := drive(t, endedMoment(), 80, 24, Options{})
	if _, cmd := ended.m.Update(keyMsg("q")); cmd == nil {
		t.Error("q does not leave a run that is over")
	}
}

// Leaving a dialog by ctrl-c and staying brings the dialog back as it was.
func TestQuitOverADialogReturnsToIt(t *testing.T) {
	r := drive(t, failedMoment(), 80, 24, Options{})
	r.press("enter", "s").write("half a rea").press("ctrl+c").shows("detach").press("esc").shows("half a rea")
}

func TestRemarksPassAndHideNoQuestion(t *testing.T) {
	f := prepareMoment()
	r := drive(t, f, 80, 24, Options{})
	r.press("9").shows("this plan has 2 hosts").ticks(50).hides("this plan has 2 hosts").shows("Nothing to do")
	r.press("9").shows("this plan has 2 hosts")
	f.edit(func(s *journal.State) { s.Questions = failedMoment().st.Questions })
	r.ticks(5).shows("belay waits for YOU: press enter")
}

func TestSignoffShowsWhoSaidGo(t *testing.T) {
	f := signoffMoment()
	f.plan.Approvers.Count = 2
	f.st.Items[journal.GoItem] = &journal.ItemState{ID: journal.GoItem, Signed: []journal.Answer{{By: journal.Author{Name: "Vish", Login: "vish"}, Time: noon}}}
	drive(t, f, 80, 24, Options{}).shows("go from Vish (vish) at 22:14 · waits for 1 person more")
}

func TestLongRefusalIsReadable(t *testing.T) {
	f := signoffMoment()
	f.plan.Signoff = nil // nothing is open that the screen could know of
	f.refuse = errors.New("go is not possible yet: the item “Somebody has looked into the archive” is open, and nobody has signed it; nothing was changed")
	r := drive(t, f, 80, 24, Options{})
	r.press("enter", "g").write("V").press("ctrl+y").shows("nothing was changed")
}

func TestIntervene(t *testing.T) {
	f := soakMoment()
	r := drive(t, f, 80, 24, Options{})
	r.shows("x asks to roll back").press("x", "b", "enter")
	if len(f.requests) > 0 {
		t.Fatal("asked before ctrl-y")
	}
	r.press("ctrl+y")
	want := run.Request{What: run.WantRollback, By: by("")}
	if len(f.requests) != 1 || f.requests[0] != want {
		t.Errorf("requests %+v, want %+v", f.requests, want)
	}
}

func TestTooSmallStillWorks(t *testing.T) {
	r := drive(t, failedMoment(), 50, 10, Options{})
	r.shows("needs 60×20, has 50×10", "belay waits for YOU")
	r.press("enter", "r", "ctrl+y").sent(journal.Answer{Question: "q2", Choice: "retry", By: by("")})
}

func TestCopyNamesItsFile(t *testing.T) {
	f := prepareMoment()
	f.dir = t.TempDir()
	r := drive(t, f, 80, 24, Options{})
	r.press("z", "y").shows("copied ")
	files, _ := filepath.Glob(filepath.Join(f.dir, "copy-*.txt"))
	if len(files) != 1 {
		t.Fatalf("files %v, want one copy", files)
	}
	b, err := os.ReadFile(files[0])
	if err != nil || !strings.Contains(string(b), "transform src/components") || strings.ContainsAny(string(b), "│─\x1b") {
		t.Errorf("copied %q, %v", b, err)
	}
}

func TestMouseIsOffUntilAsked(t *testing.T) {
	r := drive(t, prepareMoment(), 80, 24, Options{})
	if r.m.View().MouseMode != tea.MouseModeNone {
		t.Error("the mouse is taken from the terminal at the start")
	}
	if r.press("m"); r.m.View().MouseMode == tea.MouseModeNone {
		t.Error("m did not turn the mouse on")
	}
}

func TestCursorIsOnTheFocusedRow(t *testing.T) {
	r := drive(t, prepareMoment(), 80, 24, Options{})
	at := r.m.View().Cursor
	if at == nil {
		t.Fatal("no cursor")
	}
	if line := strings.Split(r.screen(), "\n")[at.Y]; !strings.Contains(line, "Build the frontend") {
		t.Errorf("the cursor is on %q", line)
	}
	r.press("up")
	if line := strings.Split(r.screen(), "\n")[r.m.View().Cursor.Y]; !strings.Contains(line, "Check out") {
		t.Errorf("after up the cursor is on %q", line)
	}
}

// What comes from hosts and plans cannot draw outside its place.
func TestHostileText(t *testing.T) {
	evil := "\x1b[2J\x1b]0;owned\x07\u202egnp\x9b31m\r\nnew"
	f := failedMoment()
	f.plan.Name, f.plan.Cutover[1].Lanes[0].Steps[0].Title, f.plan.Environment = "n"+evil, "t"+evil, "p"+evil
	f.st.Findings = []journal.Finding{{ID: "x", Level: "warn", Check: evil, Host: evil, Text: evil, Fix: evil, Detail: evil}}
	f.st.Questions[0].Title, f.st.Questions[0].Text = evil, evil
	f.st.Questions[0].Options[0].Label = evil
	f.st.Steps["start"].Err = evil
	f.st.Debts = []journal.Debt{{Step: "start", Host: evil, Why: evil}}
	f.st.Notes = []journal.Note{{Text: evil}}
	f.logs["start"] = []run.Line{{Text: evil, Host: evil, Step: evil}}
	f.st.Soak.Probes = map[string]journal.Tally{evil: {Last: evil, Good: 1}}
	r := drive(t, f, 80, 24, Options{})
	for _, keys := range [][]string{{}, {"enter"}, {"esc"}, {"d"}, {"esc"}, {"]"}, {"]"}, {"]"}, {"]"}, {"]"}, {"]"}, {"d"}, {"esc"}, {"]"}} {
		r.press(keys...)
		s := r.m.View().Content
		if strings.Contains(s, "\x1b[2J") || strings.Contains(s, "\x1b]") || strings.ContainsAny(s, "\u202e\r\x07\u009b") {
			t.Fatalf("after %v a control sequence got through:\n%q", keys, s)
		}
		if n := strings.Count(s, "\n"); n != 23 {
			t.Fatalf("after %v the frame has %d lines", keys, n+1)
		}
	}
}

func TestWindowClock(t *testing.T) {
	r := drive(t, prepareMoment(), 80, 24, Options{})
	r.shows("window 31m left")
	r.now = noon.Add(40 * time.Minute)
	r.ticks(10).shows("window over by 9:01")
	r.now = noon.Add(-2 * time.Hour)
	r.ticks(10).shows("window opens in 1h")
}

func TestPenIsShownAndTaken(t *testing.T) {
	f := failedMoment()
	shared := &sharedSession{fakeSession: f, pen: run.Pen{By: journal.Author{Name: "Grace", From: "10.0.0.9"}, Since: noon, Screens: 2}}
	shared.pen.By.Login = "grace"
	r := drive(t, f, 120, 40, Options{})
	r.m.s = shared
	r.ticks(5).shows("You only read: Grace (from 10.0.0.9) holds the pen", "A question waits")
	r.press("p").ticks(5).hides("You only read").shows("you hold the pen now")
	if shared.taken != 1 {
		t.Errorf("taken %d times", shared.taken)
	}
	shared.pen = run.Pen{By: journal.Author{Login: "grace"}, Since: noon, Screens: 2}
	r.ticks(5).shows("grace has taken the pen")
	r.ticks(80).shows("You only read: grace holds the pen")
}

// Who may not answer is told before a word is typed, and what was typed when
// the pen went away is still there when it comes back.
func TestReadOnlyQuestionSaysSoFirst(t *testing.T) {
	f := failedMoment()
	shared := &sharedSession{fakeSession: f, pen: run.Pen{By: journal.Author{Name: "Grace", Login: "grace"}, Since: noon, Screens: 2}}
	r := drive(t, f, 80, 24, Options{})
	r.m.s = shared
	r.ticks(5).press("enter").shows("You only read: Grace holds the pen", "p takes the pen")
	r.press("s").hides("Reason").shows("You only read")
	r.press("p").ticks(5).hides("You only read").press("s").write("known since yest").shows("Reason")
	shared.pen = run.Pen{By: journal.Author{Name: "Grace", Login: "grace"}, Since: noon, Screens: 2}
	r.ticks(5).shows("You only read", "What you typed stays: esc").press("ctrl+y")
	if len(f.answers) != 0 {
		t.Fatalf("sent without the pen: %v", f.answers)
	}
	r.press("esc", "p").ticks(5).press("s").shows("known since yest").hides("You only read")
	shared.pen = run.Pen{By: journal.Author{Name: "Grace", Login: "grace"}, Since: noon, Screens: 2}
	r.ticks(5).press("esc", "esc", "x").hides("turn back?").shows("You only read")
}

func TestGoWaitsForTheChecklist(t *testing.T) {
	r := drive(t, signoffMoment(), 80, 24, Options{})
	r.press("enter").shows("not yet: 1 of 3 items open").press("g").hides("▸ go")
}

func TestHelpInFrontOfAQuestion(t *testing.T) {
	r := drive(t, failedMoment(), 80, 24, Options{})
	r.press("enter", "?", "?").shows("all keys", "question: choosing").write("pen").shows("take the pen").hides("scroll the text")
	r.press("esc", "esc").shows("Choose by letter")
	r.press("esc", "d", "?").shows("Everything about one row").press("?").shows("Filter", "details").press("esc", "esc", "esc").shows("waits for YOU: press enter")
}

func TestGuideTellsWhyFirst(t *testing.T) {
	f := prepareMoment()
	for _, s := range f.plan.Steps() {
		s.Why = "Because the first reason is long. " + strings.Repeat("And then there is more to say about it. ", 4) + "The end."
	}
	drive(t, f, 80, 24, Options{}).hides("The end.")
	screen := drive(t, f, 80, 24, Options{Guide: true}).shows("The end.").screen()
	at := func(s string) int { return strings.Index(screen, s) }
	if !(at("\n  why ") < at("\n  expect ") && at("\n  expect ") < at("\n  undo ") && at("\n  undo ") < at("\n  kind ")) {
		t.Errorf("why, expect and undo do not come first:\n%s", screen)
	}
}

func TestRunThatLostItsKeeperCanBeTakenUp(t *testing.T) {
	f := prepareMoment()
	f.live.Ended, f.live.Err = true, errors.New("the process that drove the run is gone")
	r := drive(t, f, 80, 24, Options{Resume: "belay resume r1"})
	r.ticks(5).shows("can be taken up again", "belay resume r1").hides("The run is over")
}
