package tui

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/steps/journal"
	"belay/steps/run"
)

// sheet is an output that may be read while it is written.
type sheet struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *sheet) Write(p []byte) (int, error) { s.mu.Lock(); defer s.mu.Unlock(); return s.b.Write(p) }
func (s *sheet) String() string              { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func plainRun(t *testing.T, f *fakeSession, input string) (string, error) {
	t.Helper()
	out := &sheet{}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := Plain(ctx, f, strings.NewReader(input), out, Options{Now: func() time.Time { return noon }, Author: journal.Author{Login: "vish", From: "10.0.0.7"}})
	return out.String(), err
}

// closes ends the run once its question is answered.
func closes(f *fakeSession) *fakeSession {
	f.onAnswer = func(journal.Answer) {
		st := *f.st
		st.Seq++
		st.Questions = nil
		f.st = &st
		f.live.Ended = true
	}
	return f
}

func TestPlainAnswersByNumberAndText(t *testing.T) {
	f := closes(failedMoment())
	out, err := plainRun(t, f, "9\n3\nnot needed\nVish\nno\n3\nnot needed\nVish\nyes\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []journal.Answer{{Question: "q2", Choice: "skip", Reason: "not needed", By: by("Vish"), Time: noon}}
	if diff := cmp.Diff(want, f.answers); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	golden(t, "plain.failed", out)
}

func TestPlainTypedHost(t *testing.T) {
	f := closes(cutoverMoment())
	out, err := plainRun(t, f, "1\ndb\nVish\n1\nchat\nVish\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []journal.Answer{{Question: "q4", Choice: "go", Text: "chat", By: by("Vish"), Time: noon}}
	if diff := cmp.Diff(want, f.answers); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	if !strings.Contains(out, "“chat” has to be typed exactly; nothing was sent") || !strings.Contains(out, "NO WAY BACK") {
		t.Errorf("output:\n%s", out)
	}
}

func TestPlainSignsAnItem(t *testing.T) {
	f := signoffMoment()
	closes(f)
	if _, err := plainRun(t, f, "1\nVish\n\nyes\n"); err != nil {
		t.Fatal(err)
	}
	want := []journal.Answer{{Question: "q3", Choice: "sign", Item: "backup", By: by("Vish"), Time: noon}}
	if diff := cmp.Diff(want, f.answers); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func TestPlainWithoutAnybodyDetaches(t *testing.T) {
	out, err := plainRun(t, failedMoment(), "")
	if !errors.Is(err, ErrDetached) || !strings.Contains(out, "belay resume") {
		t.Errorf("returned %v after:\n%s", err, out)
	}
}

func TestPlainTellsARunWithoutQuestions(t *testing.T) {
	f := rollbackMoment()
	f.live.Ended, f.live.Err = true, errors.New("1 debt")
	out, err := plainRun(t, f, "")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plain.rollback", out)
}

func TestPlainPrompt(t *testing.T) {
	f := hostKeyMoment()
	got := make(chan string, 1)
	f.prompt.Reply = func(s string, ok bool) {
		got <- s + map[bool]string{true: "+", false: "-"}[ok]
		defer f.lock()()
		f.prompt, f.live.Ended = nil, true
	}
	if _, err := plainRun(t, f, "yes\n"); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "yes+" {
		t.Errorf("reply %q", s)
	}
}

func TestPlainQuestionAnsweredElsewhere(t *testing.T) {
	f := failedMoment()
	in, far := io.Pipe()
	out := &sheet{}
	done := make(chan error, 1)
	go func() {
		done <- Plain(context.Background(), f, in, out, Options{Now: func() time.Time { return noon }})
	}()
	until(t, "the question", func() bool { return strings.Contains(out.String(), "Number:") })
	f.edit(func(s *journal.State) { s.Questions = nil })
	until(t, "the notice", func() bool { return strings.Contains(out.String(), "press enter") })
	if _, err := io.WriteString(far, "1\n"); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.live = run.Live{Ended: true}
	f.mu.Unlock()
	if err := <-done; err != nil || len(f.answers) > 0 {
		t.Errorf("returned %v, sent %v", err, f.answers)
	}
	far.Close()
}

// TestPlainStopsACountdown: one letter and enter, by whoever holds the pen, and
// who does not takes it first.
func TestPlainStopsACountdown(t *testing.T) {
	want := []journal.Answer{{Question: countdownMoment().st.Questions[0].ID, Choice: "hold", By: by("vish"), Time: noon}}
	for _, typed := range []string{"h\n", "1\n"} {
		f := closes(countdownMoment())
		out, err := plainRun(t, f, typed)
		want[0].By = f.answers[0].By
		if diff := cmp.Diff(want, f.answers); err != nil || diff != "" {
			t.Errorf("%q: %v, answers (-want +got):\n%s", typed, err, diff)
		}
		for _, text := range []string{"COUNTDOWN: belay rolls back by itself in about 50 s. Any answer", "1  stop the countdown, and decide by hand (h does it at once)"} {
			if !strings.Contains(out, text) {
				t.Errorf("not said: %q in\n%s", text, out)
			}
		}
	}

	shared := &sharedSession{fakeSession: closes(countdownMoment()), pen: run.Pen{By: journal.Author{Name: "Grace", From: "10.0.0.9"}, Since: noon, Screens: 2}}
	out := &sheet{}
	err := Plain(t.Context(), shared, strings.NewReader("p\nh\n"), out, Options{Now: func() time.Time { return noon }})
	if err != nil || shared.taken != 1 || len(shared.answers) != 1 || shared.answers[0].Choice != "hold" || !strings.Contains(out.String(), "p  take the pen, to answer. You only read: Grace") {
		t.Errorf("%v, taken %d times, answers %+v:\n%s", err, shared.taken, shared.answers, out)
	}

	f := countdownMoment()
	slices.Reverse(f.plan.Soak.RollbackWhen) // a copy of its own
	if said := (&scene{plan: f.plan, st: f.st, now: noon}).limits(12); len(said) != 1 || !strings.Contains(said[0].Value, "belay rolls back by itself") {
		t.Errorf("where one limit has room: %+v", said)
	}
	if text, err := plainRun(t, countdownMoment(), ""); !errors.Is(err, ErrDetached) || strings.Contains(text, "The run waits") {
		t.Errorf("%v:\n%s", err, text)
	}
}
