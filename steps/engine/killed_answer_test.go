package engine

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"belay/steps/journal"
)

// killedAfter is a journal whose process dies as soon as an event is written.
type killedAfter struct {
	*journal.Journal
	dies func(journal.Event, *journal.State) bool
	mu   sync.Mutex
	dead bool
}

func (k *killedAfter) Append(e journal.Event) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return errCrash
	}
	before := k.State()
	if err := k.Journal.Append(e); err != nil {
		return err
	}
	if k.dead = k.dies(e, before); k.dead {
		return errCrash
	}
	return nil
}

// answeredSo is the answer of that choice to a question of a kind.
func answeredSo(kind, choice string) func(journal.Event, *journal.State) bool {
	return func(e journal.Event, before *journal.State) bool {
		return e.Type == journal.Answered && slices.ContainsFunc(before.Questions, func(q journal.Question) bool { return q.Kind == kind && q.ID == e.Key }) &&
			e.Data != nil && choiceOf(e) == choice
	}
}

func choiceOf(e journal.Event) string {
	s := journal.NewState()
	s.Apply(e)
	return s.Answers[0].Choice
}

// resumedAfter walks a run whose belay dies at an event, and takes it up.
func resumedAfter(t *testing.T, first func(path string) *bench, dies func(journal.Event, *journal.State) bool, then ...string) (*bench, journal.Status) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "j")
	b := first(path)
	k := &killedAfter{Journal: b.log, dies: dies}
	b.Log = k
	if status, err := b.Walk(context.Background()); !errors.Is(err, errCrash) || !k.dead {
		t.Fatalf("not killed: %q, %v; asked %q", status, err, b.op.asked)
	}
	b.log.Close()
	b = first(path)
	b.op.script, b.op.quiet = then, true
	status, err := b.Walk(context.Background())
	if err != nil {
		t.Fatalf("resumed: %v; asked %q", err, b.op.asked)
	}
	return b, status
}

// TestTheWordToGoBackIsNotLost: belay is killed as soon as an answer "rollback"
// is on the disk. Whoever takes the run up is asked to confirm it before anything
// else, and goes back, or on.
func TestTheWordToGoBackIsNotLost(t *testing.T) {
	said := map[string][]string{
		journal.AskSignoff:  {"findings=go", "sign-off=rollback"},
		journal.AskCutover:  {"findings=go", "sign-off=go", "cutover=rollback"},
		journal.AskFailed:   {"findings=go", "failed/one=rollback"},
		journal.AskClose:    {"findings=go", "sign-off=go", "cutover=go", "close=rollback"},
		journal.AskRollback: {"findings=go", "sign-off=go", "cutover=go", "close=rollback", "rollback=emergency"},
	}
	for kind, script := range said {
		t.Run(kind, func(t *testing.T) {
			dies := answeredSo(kind, "rollback")
			if kind == journal.AskRollback {
				dies = answeredSo(kind, "emergency")
			}
			begin := func(path string) *bench {
				w := newWorld()
				if kind == journal.AskFailed {
					w.hook = func(op, name, _ string) error {
						if op == "put" && name == "one" {
							return errors.New("no")
						}
						return nil
					}
				}
				return newBench(t, loadPlan(t, twoWays), path, script...)
			}
			way := "rollback=go"
			if kind == journal.AskClose || kind == journal.AskRollback {
				way = "rollback=emergency"
			}
			b, status := resumedAfter(t, begin, dies, way)
			if status != journal.RolledBack || !slices.Equal(b.op.asked, []string{"rollback/"}) || b.log.State().Turning != nil {
				t.Errorf("%q; asked %q", status, b.op.asked)
			}
			b, status = resumedAfter(t, begin, dies, "rollback=back")
			if status != journal.Stopped || b.op.asked[0] != "rollback/" || len(b.op.asked) < 2 || b.log.State().Turning != nil {
				t.Errorf("%q; asked %q", status, b.op.asked)
			}
		})
	}
}

// TestTheSoaksAnswerIsNotLost: belay is killed between what the looking came to
// and the answer, or as soon as that is on the disk: it is asked again, or
// carried out.
func TestTheSoaksAnswerIsNotLost(t *testing.T) {
	newWorld()
	now := newServer(t)
	now.half.Store(true)
	begin := func(answer string) func(string) *bench {
		return func(path string) *bench {
			b := soakBench(t, path, watching1(now, nil, "5m"), proposed, "soak="+answer)
			return b
		}
	}
	asked := func(e journal.Event, _ *journal.State) bool {
		return e.Type == journal.Turned && e.Key == journal.TurnEnd
	}
	for name, c := range map[string]struct {
		dies   func(journal.Event, *journal.State) bool
		answer string
		then   []string
		want   journal.Status
		asked  []string
	}{
		"before the answer": {asked, "accept", []string{"soak=accept", "close=close"}, journal.Closed, []string{"soak/", "close/"}},
		"accepted":          {answeredSo(journal.AskSoak, "accept"), "accept", []string{"close=close"}, journal.Closed, []string{"close/"}},
		"back":              {answeredSo(journal.AskSoak, "rollback"), "rollback", []string{"rollback=go"}, journal.RolledBack, []string{"rollback/"}},
	} {
		t.Run(name, func(t *testing.T) {
			b, status := resumedAfter(t, begin(c.answer), c.dies, c.then...)
			if status != c.want || !slices.Equal(b.op.asked, c.asked) || b.log.State().Soak.Said != nil {
				t.Errorf("%q; asked %q", status, b.op.asked)
			}
		})
	}
	t.Run("watch on", func(t *testing.T) {
		b, _ := resumedAfter(t, begin("extend"), answeredSo(journal.AskSoak, "extend"), "soak=accept", "close=close")
		var order []journal.Type
		for _, e := range b.log.Events(0) {
			if e.Type == journal.SoakBegun || e.Type == journal.RunResumed || e.Type == journal.Verdict {
				order = append(order, e.Type)
			}
		}
		want := []journal.Type{journal.SoakBegun, journal.Verdict, journal.RunResumed, journal.SoakBegun, journal.Verdict}
		if !slices.Equal(order, want) {
			t.Errorf("%q", order)
		}
	})
}
