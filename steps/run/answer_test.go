package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"belay/remote"
	"belay/remote/secret"
	"belay/steps/journal"
	"belay/steps/plan"
)

// asking is a run with an engine that is not walking: the test asks itself.
func asking(t testing.TB, text string) *Run {
	t.Helper()
	p, err := plan.Load("plan.yaml", []byte(text), plan.All())
	if err != nil {
		t.Fatal(err)
	}
	r, err := Create(t.TempDir(), "r1", p, &secret.Redactor{}, journal.Author{Login: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	r.Engine(Spec{Version: "test", Hosts: remote.Hosts{"here": remote.Local("here")}, Secret: noSecrets, Author: journal.Author{Login: "ada"}})
	return r
}

// put opens a question in the journal.
func put(t testing.TB, r *Run, id string) journal.Question {
	t.Helper()
	q := journal.Question{ID: id, Kind: journal.AskManual, Options: []journal.Option{{Choice: "done"}, {Choice: "skip", Needs: "reason"}}}
	data := fmt.Sprintf(`{"id":%q,"kind":"manual","title":"","options":[{"choice":"done"},{"choice":"skip","needs":"reason"}]}`, id)
	if err := r.journal.Append(journal.Event{Type: journal.Asked, Key: id, Data: []byte(data)}); err != nil {
		t.Fatal(err)
	}
	return q
}

// TestTwoScreensAnswerAtOnce: exactly one answer is taken, by the engine too,
// and every other screen hears that its own was not.
func TestTwoScreensAnswerAtOnce(t *testing.T) {
	r := asking(t, askingPlan)
	for round := range 200 {
		q := put(t, r, fmt.Sprintf("q%d", round))
		var won atomic.Value
		var wins atomic.Int32
		var wg sync.WaitGroup
		for _, name := range []string{"Ada", "Grace", "Mary"} {
			wg.Go(func() {
				for {
					err := r.Answer(t.Context(), journal.Answer{Question: q.ID, Choice: "done", By: journal.Author{Name: name}})
					var stale *StaleError
					switch {
					case err == nil:
						won.Store(name)
						wins.Add(1)
						return
					case errors.As(err, &stale):
						return
					case !errors.Is(err, ErrNotWaiting):
						t.Errorf("%s: %v", name, err)
						return
					}
				}
			})
		}
		a, err := r.Ask(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.journal.Append(journal.Event{Type: journal.Answered, Key: q.ID}); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if wins.Load() != 1 || won.Load() != a.By.Name {
			t.Fatalf("round %d: %d were told that theirs was taken, the last %v; the engine has that of %s", round, wins.Load(), won.Load(), a.By.Name)
		}
	}
}

// TestAnAnswerTakenIsNotLost: belay may be told to leave at the very moment at
// which somebody answers. Who was told that the answer counts must be right.
func TestAnAnswerTakenIsNotLost(t *testing.T) {
	r := asking(t, askingPlan)
	taken := 0
	for round := range 300 {
		q := put(t, r, fmt.Sprintf("q%d", round))
		ctx, leave := context.WithCancel(t.Context())
		told := make(chan error, 1)
		go func() {
			for !r.Waiting(q.ID) {
				if ctx.Err() != nil {
					break
				}
			}
			go leave()
			told <- r.Answer(t.Context(), journal.Answer{Question: q.ID, Choice: "done"})
		}()
		a, err := r.Ask(ctx, q)
		if said := <-told; (said == nil) != (err == nil) {
			t.Fatalf("round %d: the screen was told %v, the engine got %q, %v", round, said, a.Choice, err)
		}
		if err == nil {
			taken++
		}
		leave()
		if err := r.journal.Append(journal.Event{Type: journal.Answered, Key: q.ID}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of 300 answers were taken", taken)
}

func TestAnswersThatAreNotTaken(t *testing.T) {
	r := asking(t, askingPlan)
	q := put(t, r, "q1")
	say := func(a journal.Answer) error { return r.Answer(t.Context(), a) }
	if err := say(journal.Answer{Question: q.ID, Choice: "done"}); !errors.Is(err, ErrNotWaiting) {
		t.Errorf("before the engine waits: %v", err)
	}
	var stale *StaleError
	if err := say(journal.Answer{Question: "q7", Choice: "done"}); !errors.As(err, &stale) || stale.Question != "q7" {
		t.Errorf("to no question: %v", err)
	}
	var refused *journal.RefusedError
	for _, a := range []journal.Answer{{Question: "q1", Choice: "explode"}, {Question: "q1", Choice: "skip"}} {
		if err := say(a); !errors.As(err, &refused) {
			t.Errorf("%+v: %v", a, err)
		}
	}
	if r.Waiting("q1") {
		t.Error("nobody asks, yet it waits")
	}
}

func TestPromptGoesToTheScreenAndBack(t *testing.T) {
	r := asking(t, askingPlan)
	type reply struct {
		text string
		ok   bool
	}
	ask := func(ctx context.Context, title string) chan reply {
		got := make(chan reply, 1)
		go func() {
			text, ok := r.Prompted(ctx, Prompt{Kind: journal.AskSecret, Title: title, Hidden: true})
			got <- reply{text, ok}
		}()
		return got
	}
	shown := func(title string) *Prompt {
		t.Helper()
		for {
			if p := r.Prompt(); p != nil && p.Title == title {
				return p
			}
			if t.Context().Err() != nil {
				t.Fatal("it was not shown")
			}
		}
	}
	first := ask(t.Context(), "first")
	p := shown("first")
	ctx, leave := context.WithCancel(t.Context())
	second := ask(ctx, "second")
	p.Reply("typed", true)
	p.Reply("typed by another screen", true)
	p.Reply("", false)
	if got := <-first; got != (reply{"typed", true}) {
		t.Errorf("the first: %+v", got)
	}
	late := shown("second")
	if late.ID == p.ID || !late.Hidden {
		t.Errorf("the second: %+v", late)
	}
	leave()
	if got := <-second; got != (reply{"", false}) {
		t.Errorf("the second, when belay leaves: %+v", got)
	}
	late.Reply("too late", true) // nobody waits, nothing hangs
	third := ask(t.Context(), "third")
	shown("third").Reply("", false)
	if got := <-third; got.ok {
		t.Errorf("the third, refused: %+v", got)
	}
	if p := r.Prompt(); p != nil {
		t.Errorf("still shown: %+v", p)
	}
}
