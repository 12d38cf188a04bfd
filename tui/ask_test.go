package tui

import (
	"errors"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"

	"belay/steps/journal"
	"belay/steps/run"
)

// ask makes a moment that asks a question of a kind with one option.
func asking(kind string, o journal.Option) *fakeSession {
	f := prepareMoment()
	f.st.Questions = []journal.Question{{ID: "q", Kind: kind, Step: map[bool]string{true: "frontend"}[screenOf(kind) == "steps"], Title: "What now?",
		Text: "This happened.", Options: []journal.Option{o, {Choice: "stop", Label: "stop here"}}}}
	return f
}

func TestEveryKindOfQuestionByKeysOnly(t *testing.T) {
	tests := []struct {
		kind string
		opt  journal.Option
		keys func(*robot)
		want journal.Answer
	}{
		{journal.AskFailed, journal.Option{Choice: "retry", Label: "try again"},
			func(r *robot) { r.press("enter", "r", "ctrl+y") }, journal.Answer{Choice: "retry"}},
		{journal.AskFailed, journal.Option{Choice: "skip", Label: "skip", Needs: "reason"},
			func(r *robot) { r.press("enter", "s").write("not needed").press("tab").write("Vish").press("ctrl+y") },
			journal.Answer{Choice: "skip", Reason: "not needed", By: by("Vish")}},
		{journal.AskUnknown, journal.Option{Choice: "recheck", Label: "check again"},
			func(r *robot) { r.press("enter", "c", "ctrl+y") }, journal.Answer{Choice: "recheck"}},
		{journal.AskManual, journal.Option{Choice: "done", Label: "done", Needs: "text"},
			func(r *robot) { r.press("enter", "o").write("ticket 17 ?q").press("tab").write("Vish").press("ctrl+y") },
			journal.Answer{Choice: "done", Text: "ticket 17 ?q", By: by("Vish")}},
		{journal.AskSoak, journal.Option{Choice: "keep", Label: "keep it"},
			func(r *robot) { r.press("enter", "k", "ctrl+y") }, journal.Answer{Choice: "keep"}},
		{journal.AskClose, journal.Option{Choice: "go", Label: "close", Needs: "name", Danger: true},
			func(r *robot) { r.press("enter", "g").write("Vish").press("ctrl+y") }, journal.Answer{Choice: "go", By: by("Vish")}},
		{journal.AskRollback, journal.Option{Choice: "rollback", Label: "roll back", Danger: true},
			func(r *robot) { r.press("enter", "b").write("Vish").press("ctrl+y") }, journal.Answer{Choice: "rollback", By: by("Vish")}},
		{journal.AskCutover, journal.Option{Choice: "go", Label: "cut over", Type: "chat", Danger: true},
			func(r *robot) { r.press("enter", "g").write("chat").press("tab").write("Vish").press("ctrl+y") },
			journal.Answer{Choice: "go", Text: "chat", By: by("Vish")}},
	}
	for _, tt := range tests {
		t.Run(tt.kind+" "+tt.opt.Choice, func(t *testing.T) {
			r := drive(t, asking(tt.kind, tt.opt), 80, 24, Options{})
			r.shows("needs you", "press enter to answer")
			tt.keys(r)
			tt.want.Question = "q"
			if tt.want.By.Login == "" {
				tt.want.By = by("")
			}
			r.sent(tt.want).shows("answered: " + tt.opt.Label)
			if r.m.top != nil {
				t.Error("the dialog is still open")
			}
		})
	}
}

// However often enter is pressed, and wherever: nothing is sent.
func TestEnterNeverSends(t *testing.T) {
	for name, moment := range moments {
		f := moment()
		replied := false
		if f.prompt != nil {
			f.prompt.Reply = func(string, bool) { replied = true }
		}
		r := drive(t, f, 80, 24, Options{})
		for range 6 {
			r.press("enter")
		}
		for _, k := range strings.Split("grscboxanik", "") {
			r.press(k, "enter", "enter", "enter")
		}
		r.write("chat yes").press("enter", "enter", "tab", "enter")
		if len(f.answers) > 0 || replied {
			t.Errorf("%s: enter sent %v", name, f.answers)
		}
	}
}

func TestTypedHostMustMatch(t *testing.T) {
	f := cutoverMoment()
	r := drive(t, f, 80, 24, Options{})
	r.shows("NO WAY BACK", "Start Stoat Chat again")
	r.press("enter", "g").write("db").press("tab").write("Vish").press("ctrl+y")
	r.sent().shows("“chat” has to be typed exactly; nothing was sent")
	r.press("backspace", "backspace").write("chatt").press("ctrl+y")
	r.sent().shows("does not match")
	r.press("backspace", "ctrl+y")
	r.sent(journal.Answer{Question: "q4", Choice: "go", Text: "chat", By: by("Vish")})
}

func TestMissingReasonIsNotSent(t *testing.T) {
	r := drive(t, failedMoment(), 80, 24, Options{})
	r.press("enter", "s", "ctrl+y").sent().shows("reason is missing; nothing was sent")
	r.write("   ").press("ctrl+y").sent().shows("reason is missing")
	r.press("esc").shows("roll back everything", "asks for a reason")
	r.press("esc").shows("press enter to answer")
}

func TestPasteDoesNotPressKeys(t *testing.T) {
	f := failedMoment()
	r := drive(t, f, 80, 24, Options{})
	r.send(tea.PasteMsg{Content: "r\x19q"})
	r.press("enter")
	r.send(tea.PasteMsg{Content: "r"})
	if a := r.m.top.(*ask); a.chosen >= 0 {
		t.Error("a paste has chosen an answer")
	}
	r.press("s")
	r.send(tea.PasteMsg{Content: "because\x1b[31m\nof this\n"})
	r.press("tab").write("V").press("ctrl+y")
	r.sent(journal.Answer{Question: "q2", Choice: "skip", Reason: "because of this", By: by("V")})
}

func TestNameIsAskedOnce(t *testing.T) {
	f := signoffMoment()
	r := drive(t, f, 80, 24, Options{})
	r.shows("1 of 3 open").press("enter", "i").write("Vish").press("ctrl+y")
	r.sent(journal.Answer{Question: "q3", Choice: "sign", Item: "backup", By: by("Vish")})
	r.press("enter", "n").write("not today").press("ctrl+y")
	r.sent(journal.Answer{Question: "q3", Choice: "sign", Item: "backup", By: by("Vish")},
		journal.Answer{Question: "q3", Choice: "no-go", Reason: "not today", By: by("Vish")})
}

func TestStaleAnswerSaysSo(t *testing.T) {
	f := failedMoment()
	f.refuse = &run.StaleError{Question: "q2"}
	r := drive(t, f, 80, 24, Options{})
	r.press("enter", "r", "ctrl+y").sent().shows("too late", "has been answered or withdrawn")
	r.press("r", "ctrl+y").sent().press("esc")
	if r.m.top != nil {
		t.Error("esc did not close the stale question")
	}
}

func TestQuestionAnsweredElsewhere(t *testing.T) {
	f := failedMoment()
	r := drive(t, f, 80, 24, Options{})
	r.press("enter", "s").write("my rea")
	f.edit(func(s *journal.State) { s.Questions = nil })
	r.ticks(5).shows("answered elsewhere")
	r.press("ctrl+y").sent()
}

// TestFailureIsToldOnce: what the text has told of the log is not shown again
// below it, and what mending would do is.
func TestFailureIsToldOnce(t *testing.T) {
	f := failedMoment()
	const last = "[ERROR] Reason: duplicate column name"
	f.st.Steps["start"].Err = "fluxer is not up\n" + last
	f.logs["start"] = []run.Line{{Text: "Container fluxer-1  Started"}, {Text: last}, {Text: "-- failed: fluxer is not up"}, {Text: last}}
	q := &f.st.Questions[0]
	q.Text = "fluxer is not up\nLikely cause: a migration was applied twice\n" + last
	q.Items = []string{"Mark the migration as applied (chat)"}
	q.Options = append([]journal.Option{{Choice: "mend", Label: "mend it as the plan says (below), then try again", Danger: true}}, q.Options...)
	r := drive(t, f, 120, 40, Options{})
	r.press("enter").shows("To mend it, the plan would:", "· Mark the migration as applied (chat)", "Container fluxer-1  Started")
	for _, once := range []string{last, "fluxer is not up"} {
		if n := strings.Count(r.screen(), once); n != 1 {
			t.Errorf("%q stands there %d times:\n%s", once, n, r.screen())
		}
	}
}

func TestFailedSendKeepsWhatWasTyped(t *testing.T) {
	f := failedMoment()
	f.refuse = errors.New("journal: no space left on device")
	r := drive(t, f, 80, 24, Options{})
	r.press("enter", "s").write("why").press("tab").write("V").press("ctrl+y").shows("no space left", "why")
	f.refuse = nil
	r.press("ctrl+y").sent(journal.Answer{Question: "q2", Choice: "skip", Reason: "why", By: by("V")})
}

func TestAcceptAFinding(t *testing.T) {
	f := findingsMoment()
	r := drive(t, f, 80, 24, Options{})
	r.press("a").shows("only a warning or an unknown can be accepted") // the block is on top
	r.press("down", "a").shows("sudo asked for a password", "accept a finding")
	r.write("known").press("tab").write("V").press("ctrl+y")
	r.sent(journal.Answer{Question: "q1", Choice: "accept", Item: "tools:db", Reason: "known", By: by("V")})
	r.press("r")
	if len(f.requests) != 1 || f.requests[0].What != run.WantRecheck {
		t.Errorf("requests %v, want one recheck", f.requests)
	}
}

func TestSecretIsNotShown(t *testing.T) {
	f := newFake()
	var got string
	f.prompt = &run.Prompt{ID: "p", Kind: journal.AskSecret, Title: "Passphrase of ~/.ssh/id_ed25519", Hidden: true, Reply: func(s string, ok bool) {
		if ok {
			got = s
		}
	}}
	r := drive(t, f, 80, 24, Options{})
	r.shows("Passphrase of").write("hunter2 ").hides("hunter2", "*").press("enter")
	if got != "hunter2 " {
		t.Errorf("reply %q, want the secret as typed", got)
	}
	r.ticks(5).hides("Passphrase of") // the session still has it for a moment
}

func TestHostKeyIsAcceptedByTypingYes(t *testing.T) {
	f := hostKeyMoment()
	var replies []string
	f.prompt.Reply = func(s string, ok bool) { replies = append(replies, s+map[bool]string{true: "+", false: "-"}[ok]) }
	r := drive(t, f, 80, 24, Options{})
	r.shows("SHA256:5xQp").write("y").press("ctrl+y").shows("nothing was sent").write("es").press("enter").shows("enter does not")
	if len(replies) > 0 {
		t.Fatalf("replied %v too early", replies)
	}
	r.press("ctrl+y")
	f.prompt = &run.Prompt{ID: "p2", Kind: journal.AskHostKey, Type: "yes", Reply: f.prompt.Reply}
	r.ticks(5).press("esc").shows("once more").press("esc")
	if len(replies) != 2 || replies[0] != "yes+" || replies[1] != "-" {
		t.Errorf("replies %v, want yes+ and -", replies)
	}
}
