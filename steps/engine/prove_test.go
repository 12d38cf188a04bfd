package engine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"belay/checks"
	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/soak"
)

// prove is a step whose proof a test decides on.
type prove struct {
	Again string `yaml:"again" scalar:"" doc:"how long it counts"`
}

// proven is what the next proof of the fake step will say; nil is good.
var proven struct {
	sync.Mutex
	err  error
	made int
}

func setProven(err error) {
	proven.Lock()
	defer proven.Unlock()
	proven.err = err
}

type fakeResult struct {
	Text string
	OK   bool
	At   time.Time
}

func (p *prove) Pending(context.Context, steps.Env) ([]steps.Change, error) {
	return []steps.Change{{Text: "compare"}}, nil
}
func (p *prove) Apply(ctx context.Context, e steps.Env) error { _, err := p.Prove(ctx, e); return err }
func (p *prove) Verify(context.Context, steps.Env) error      { return nil }
func (p *prove) ProofFor() time.Duration                      { d, _ := time.ParseDuration(p.Again); return d }
func (p *prove) Prove(_ context.Context, e steps.Env) (string, error) {
	proven.Lock()
	defer proven.Unlock()
	proven.made++
	r := fakeResult{"1 of 1 MATCH", true, time.Now()}
	if _, no := errors.AsType[*steps.Disproof](proven.err); proven.err != nil {
		if !no {
			return "", proven.err
		}
		r.Text, r.OK = proven.err.Error(), false
	}
	return r.Text, errors.Join(proven.err, e.Memory.Put("r", r))
}

func (p *prove) Proof(e steps.Env) (string, bool, time.Time, bool, error) {
	var r fakeResult
	found, err := e.Memory.Get("r", &r)
	return r.Text, r.OK, r.At, found, err
}

const provePlan = twoHosts + `
prepare:
  - {step: Equal, prove: 1h}
signoff:
  - check: equal
cutover:
  - {step: Four, on: b, put: four}
soak:
  for: 300ms
  watch:
    - step: equal
      every: 20ms
`

func loadProvePlan(t *testing.T, text string) (*plan.Plan, error) {
	t.Helper()
	k := fakeKinds()
	k.Steps["prove"] = steps.Kind{Name: "prove", NoHost: true, New: func() steps.Step { return &prove{} }}
	k.Checks["step"] = checks.All()["step"]
	return plan.Load("test.yaml", []byte(text), k)
}

// TestLateMismatchBlocks: what was proved in prepare is proved again while the
// run is held. When it does not hold any more, neither go is taken, and the one
// that was given is void; when it holds again, both are asked for anew.
func TestLateMismatchBlocks(t *testing.T) {
	newWorld()
	setProven(nil)
	p, err := loadProvePlan(t, provePlan)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, p, filepath.Join(t.TempDir(), "j"), "findings=go", "close=close")
	b.proveEvery = 20 * time.Millisecond
	var refused, tried []string
	b.Operator = asker(func(ctx context.Context, q journal.Question) (journal.Answer, error) {
		a := journal.Answer{Choice: "go", By: journal.Author{Name: "Ada", Login: "ada"}}
		if opt, ok := q.Option("go"); ok {
			a.Text = opt.Type
		}
		if q.Kind != journal.AskSignoff && q.Kind != journal.AskCutover {
			return b.op.Ask(ctx, q)
		}
		if tried = append(tried, q.Kind); slices.Contains(tried[:len(tried)-1], q.Kind) {
			return a, nil
		}
		seen := b.item().Time
		awaitItem(t, b, func(it *journal.ItemState) bool { return it.OK && it.Time.After(seen) }) // the age is renewed
		setProven(&steps.Disproof{Text: "users: missing id=17"})
		awaitItem(t, b, func(it *journal.ItemState) bool { return !it.OK && strings.Contains(it.Evidence, "id=17") })
		if err := b.Judge(q, a); err == nil {
			t.Errorf("%s: go was taken after a late mismatch", q.Kind)
		} else {
			refused = append(refused, err.Error())
		}
		setProven(nil)
		awaitItem(t, b, func(it *journal.ItemState) bool { return it.OK })
		switch err := b.Judge(q, a); {
		case q.Kind == journal.AskSignoff && err != nil:
			t.Errorf("%s: %v", q.Kind, err)
		case q.Kind == journal.AskCutover && (err == nil || !strings.Contains(err.Error(), "0 of 1 said go")):
			t.Errorf("cutting over on a go that was given before the mismatch: %v", err)
		}
		return a, nil
	})
	status, err := b.Walk(t.Context())
	if err != nil || status != journal.Closed {
		t.Fatalf("%q, %v", status, err)
	}
	if len(refused) != 2 {
		t.Errorf("refused: %q", refused)
	}
	if got := strings.Join(tried, " "); got != "sign-off cutover sign-off cutover" {
		t.Errorf("asked: %s", got)
	}
	s := b.log.State()
	if v := s.Items[journal.GoItem].Voided; len(v) != 1 || !strings.Contains(v[0].Why, "users: missing id=17") {
		t.Errorf("voided: %+v", v)
	}
	if tally := s.Soak.Probes["step-equal"]; s.Soak.Verdict != soak.Healthy || tally.Good < 3 || !strings.Contains(tally.Last, "MATCH") {
		t.Errorf("soak %+v", s.Soak)
	}
}

func (b *bench) item() *journal.ItemState {
	for _, it := range b.log.State().Items {
		if it.Machine {
			return it
		}
	}
	return &journal.ItemState{}
}

func awaitItem(t *testing.T, b *bench, good func(*journal.ItemState) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !good(b.item()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("the item stays %+v", b.item())
			return
		}
	}
}

// TestUnknownIsNoDisproof: when nobody can compare for a while, the former
// answer stays with its age; when that is too old, nobody relies on it. The
// soak tells a mismatch from what is not known.
func TestUnknownIsNoDisproof(t *testing.T) {
	newWorld()
	setProven(nil)
	p, err := loadProvePlan(t, provePlan)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, p, filepath.Join(t.TempDir(), "j"), "findings=go")
	var later atomic.Int64 // hours
	at := time.Now()
	b.Now = func() time.Time { return at.Add(time.Duration(later.Load()) * time.Hour) }
	b.Operator = asker(func(ctx context.Context, q journal.Question) (journal.Answer, error) {
		if q.Kind != journal.AskSignoff {
			return b.op.Ask(ctx, q)
		}
		defer b.Stop()
		a := journal.Answer{Choice: "go", By: journal.Author{Name: "Ada"}}
		if err := b.Judge(q, a); err != nil {
			t.Error(err)
		}
		setProven(errors.New("no route to host"))
		if err := b.prove(ctx, b.proofs()[0]); err == nil {
			t.Error("a proof that could not be made was not told")
		}
		if err := b.Judge(q, a); err != nil || !b.item().OK {
			t.Errorf("the former answer is lost: %v", err)
		}
		later.Store(3)
		if err := b.Judge(q, a); err == nil || !strings.Contains(err.Error(), "old") {
			t.Errorf("an answer of three hours ago: %v", err)
		}
		for err, want := range map[error]checks.Level{errors.New("x"): checks.Unknown, &steps.Disproof{Text: "y\nz"}: checks.Block, nil: checks.Pass} {
			setProven(err)
			if f := b.provedFinding(ctx, "equal"); f.Level != want {
				t.Errorf("%v: %+v", err, f)
			}
		}
		return journal.Answer{Choice: "stop"}, nil
	})
	if status, err := b.Walk(t.Context()); err != nil || status != journal.Stopped {
		t.Fatalf("%q, %v", status, err)
	}
}

// TestWatchNeedsAProver: a plan cannot watch a step that proves nothing.
func TestWatchNeedsAProver(t *testing.T) {
	for id, want := range map[string]string{"four": "proves nothing", "equals": `did you mean`} {
		_, err := loadProvePlan(t, strings.Replace(provePlan, "- step: equal\n", fmt.Sprintf("- step: %s\n", id), 1))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", id, err)
		}
	}
}
