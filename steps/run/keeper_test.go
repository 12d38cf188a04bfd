package run

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/secret"
	"belay/steps"
	"belay/steps/engine"
	"belay/steps/journal"
	"belay/steps/plan"
)

const askingPlan = `belay: 1
name: asking
hosts: {here: {local: true}}
prepare:
  - step: Look at the rack
    manual: Look at the rack
  - step: Look again
    manual: {text: Look at the rack again, evidence: what you saw}
`

// kept is a run with its engine walking and its keeper serving.
type kept struct {
	*Run
	keeper *Keeper
	ended  chan error
	leave  context.CancelFunc
}

func keepRun(t *testing.T, text string, signers ...string) *kept {
	t.Helper()
	p, err := plan.Load("plan.yaml", []byte(text), plan.All())
	if err != nil {
		t.Fatal(err)
	}
	r, err := Create(t.TempDir(), "r1", p, &secret.Redactor{}, journal.Author{Login: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	e := r.Engine(Spec{Version: "test", Hosts: remote.Hosts{"here": remote.Local("here")}, Secret: noSecrets, Author: journal.Author{Login: "ada"}})
	k, err := Serve(r, strings.Join(signers, ""))
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(context.Background())
	kr := &kept{r, k, make(chan error, 1), leave}
	go func() {
		_, err := (*engine.Engine).Walk(e, ctx)
		r.Ended(err)
		kr.ended <- err
	}()
	t.Cleanup(func() {
		leave()
		<-kr.ended
		k.Close()
		r.Close()
	})
	return kr
}

func noSecrets(context.Context, string) (secret.Value, error) {
	return secret.Value{}, errors.New("none")
}

func attach(t *testing.T, r *Run, name string) *Attached {
	t.Helper()
	a, err := Attach(r.Dir(), plan.All(), journal.Author{Name: name, Login: strings.ToLower(name)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// until waits for what another process would do in its own time.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not come: %s", what)
		}
	}
}

// question waits until the screen shows an open question of that kind.
func question(t *testing.T, a Session, kind, step string) journal.Question {
	t.Helper()
	var q journal.Question
	until(t, "question "+kind+"/"+step, func() (ok bool) { q, ok = a.State().Open(kind, step); return ok })
	return q
}

func say(t *testing.T, a Session, ans journal.Answer) {
	t.Helper()
	until(t, "answer "+ans.Choice, func() bool {
		err := a.Answer(t.Context(), ans)
		if err != nil && !errors.Is(err, ErrNotWaiting) {
			t.Fatalf("answer %q: %v", ans.Choice, err)
		}
		return err == nil
	})
}

func TestScreensShareARun(t *testing.T) {
	r := keepRun(t, askingPlan)
	ada, grace := attach(t, r.Run, "Ada"), attach(t, r.Run, "Grace")
	q := question(t, ada, journal.AskFindings, "")
	question(t, grace, journal.AskFindings, "")
	until(t, "who holds the pen", func() bool {
		return ada.Pen().Mine && !grace.Pen().Mine && grace.Pen().By.Name == "Ada" && grace.Pen().Screens == 2
	})

	for _, f := range ada.State().Findings {
		if f.Level != "pass" {
			say(t, ada, journal.Answer{Question: q.ID, Choice: "accept", Item: f.ID, Reason: "test", By: journal.Author{Name: "Ada"}})
		}
	}
	err := grace.Answer(t.Context(), journal.Answer{Question: q.ID, Choice: "go", By: journal.Author{Name: "Grace"}})
	var refused *journal.RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "Ada") {
		t.Fatalf("an answer without the pen: %v", err)
	}
	if err := grace.TakePen(); err != nil {
		t.Fatal(err)
	}
	until(t, "the pen changing hands, on both screens", func() bool { return grace.Pen().Mine && !ada.Pen().Mine && ada.Pen().By.Name == "Grace" })
	say(t, grace, journal.Answer{Question: q.ID, Choice: "go", By: journal.Author{Name: "Grace", Login: "grace", From: "10.0.0.7"}})

	q = question(t, ada, journal.AskManual, "look-at-the-rack")
	answers := ada.State().Answers
	if by := answers[len(answers)-1].By; by.Name != "Grace" || by.From != "10.0.0.7" {
		t.Errorf("who answered is recorded as %+v", by)
	}
	var stale *StaleError
	if err := grace.Answer(t.Context(), journal.Answer{Question: "q999", Choice: "go"}); !errors.As(err, &stale) {
		t.Errorf("an answer to nothing: %v", err)
	}
	grace.Close()
	until(t, "the pen going to who is left", func() bool { return ada.Pen().Screens == 1 && ada.Pen().Mine })
	say(t, ada, journal.Answer{Question: q.ID, Choice: "done", By: journal.Author{Name: "Ada"}})
	question(t, ada, journal.AskManual, "look-again")
}

func TestRunGoesOnWithoutScreensAndKeepsItsQuestion(t *testing.T) {
	r := keepRun(t, askingPlan)
	first := attach(t, r.Run, "Ada")
	q := question(t, first, journal.AskFindings, "")
	first.Close()
	begun := time.Now()
	second := attach(t, r.Run, "Grace")
	if again := question(t, second, journal.AskFindings, ""); again.ID != q.ID {
		t.Errorf("question %s became %s", q.ID, again.ID)
	}
	t.Logf("attached to the same question in %s", time.Since(begun))
}

func TestStalledScreenIsDroppedAndHurtsNobody(t *testing.T) {
	r := keepRun(t, askingPlan)
	// A screen that says hello and never reads.
	conn, err := net.Dial("unix", socketPath(r.Dir()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(encodeLine(call{ID: 1, Hello: &journal.Author{Login: "stalled"}})); err != nil {
		t.Fatal(err)
	}
	ada := attach(t, r.Run, "Ada")
	question(t, ada, journal.AskFindings, "")
	// More news than its socket and its queue hold.
	until(t, "the stalled screen being dropped", func() bool {
		for range 50 {
			r.say("look-at-the-rack", "here", steps.Progress{Text: strings.Repeat("x", 8<<10) + time.Now().String()})
			r.keeper.mu.Lock()
			for s := range r.keeper.screens {
				r.keeper.tell(s)
			}
			r.keeper.mu.Unlock()
			time.Sleep(time.Millisecond)
		}
		return ada.Pen().Screens == 1
	})
	if err := ada.TakePen(); err != nil {
		t.Errorf("the other screen: %v", err)
	}
}

func TestScreenSeesTheKeeperGo(t *testing.T) {
	r := keepRun(t, askingPlan)
	ada := attach(t, r.Run, "Ada")
	question(t, ada, journal.AskFindings, "")
	r.keeper.l.Close()
	r.keeper.mu.Lock()
	for s := range r.keeper.screens {
		r.keeper.drop(s) // as the kernel does when the process is killed
	}
	r.keeper.mu.Unlock()
	until(t, "the end being noticed", func() bool { return ada.Live().Ended })
	if err := ada.Live().Err; err == nil || !strings.Contains(err.Error(), "resume") {
		t.Errorf("what to do is not said: %v", err)
	}
	var none *NoKeeperError
	if err := ada.Answer(t.Context(), journal.Answer{}); !errors.As(err, &none) {
		t.Errorf("an answer into the void: %v", err)
	}
}

func TestPromptsGoToThePen(t *testing.T) {
	r := keepRun(t, askingPlan)
	ada, grace := attach(t, r.Run, "Ada"), attach(t, r.Run, "Grace")
	got := make(chan string, 1)
	go func() {
		text, ok := r.Prompted(t.Context(), Prompt{Kind: journal.AskSecret, Title: "Passphrase", Hidden: true})
		if !ok {
			text = "refused"
		}
		got <- text
	}()
	until(t, "the prompt on Ada's screen", func() bool { return ada.Prompt() != nil })
	if grace.Prompt() != nil {
		t.Error("a secret is asked for on a screen without the pen")
	}
	ada.Prompt().Reply("s3cret-of-the-key", true)
	if text := <-got; text != "s3cret-of-the-key" {
		t.Errorf("got %q", text)
	}
	until(t, "the prompt going away", func() bool { return ada.Prompt() == nil })
	for _, name := range []string{"journal", "lock", "plan.yaml"} {
		if b, _ := os.ReadFile(filepath.Join(r.Dir(), name)); strings.Contains(string(b), "s3cret") {
			t.Errorf("the secret is in %s", name)
		}
	}
}

func TestSocketIsPrivate(t *testing.T) {
	r := keepRun(t, askingPlan)
	st, err := os.Stat(socketPath(r.Dir()))
	if err != nil {
		t.Fatal(err)
	}
	if mode := st.Mode().Perm(); mode != 0o600 {
		t.Errorf("socket mode %o", mode)
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	if err := os.MkdirAll(long, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := listen(long)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(filepath.Dir(l.Addr().String()))
	defer l.Close()
	if socketPath(long) != l.Addr().String() {
		t.Errorf("a screen would look at %s, the keeper is at %s", socketPath(long), l.Addr())
	}
}
