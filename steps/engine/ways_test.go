package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

const twoWays = twoHosts + `
prepare:
  - {step: One, on: a, put: one}
cutover:
  - {step: Two, on: b, put: two}
  - {step: Three, on: a, put: three}
rollback:
  emergency: {loses: what was written since}
  graceful:
    about: Nobody writes meanwhile.
    loses: what cannot be merged
    before:
      - {step: Off, on: a, put: off}
      - together:
          - {step: Export A, on: a, put: export}
          - {step: Export B, on: b, put: export}
    after:
      - {step: On, on: [a, b], put: on}
      - {step: Say, ask: Say what could not be merged}
`

var gracefulLog = []string{"put a:off", "put a:export", "put b:export", "take a:three", "take b:two", "take a:one", "put a:on", "put b:on"}

// askedBack runs the plan to the question of closing and wants to go back there.
func askedBack(t *testing.T, w *world, answers ...string) (*bench, journal.Status) {
	t.Helper()
	b := newBench(t, loadPlan(t, twoWays), filepath.Join(t.TempDir(), "j"),
		append([]string{"findings=go", "sign-off=go", "cutover=go", "close=rollback"}, answers...)...)
	status, err := b.Walk(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	w.log = slices.DeleteFunc(w.log, func(s string) bool { return slices.Contains([]string{"put a:one", "put b:two", "put a:three"}, s) })
	return b, status
}

// What runs at the same time is put into one order.
func sorted(log []string, from, to int) []string {
	log = slices.Clone(log)
	slices.Sort(log[from:min(to, len(log))])
	return log
}

func TestGracefulWay(t *testing.T) {
	w := newWorld()
	b, status := askedBack(t, w, "rollback=graceful", "manual/say=done")
	if status != journal.RolledBack {
		t.Fatalf("%q; asked %q", status, b.op.asked)
	}
	if got := sorted(sorted(w.log, 1, 3), 6, 8); !slices.Equal(got, gracefulLog) {
		t.Errorf("%q\nwant %q", got, gracefulLog)
	}
	s := b.log.State()
	if s.Way != "graceful" || s.Step("off").Status != journal.PassedStatus || !s.Over() {
		t.Errorf("way %q, %+v", s.Way, s.Step("off"))
	}
}

func TestEmergencyWayUndoesAtOnce(t *testing.T) {
	w := newWorld()
	b, status := askedBack(t, w, "rollback=emergency")
	if want := []string{"take a:three", "take b:two", "take a:one"}; status != journal.RolledBack || !slices.Equal(w.log, want) {
		t.Errorf("%q %q; asked %q", status, w.log, b.op.asked)
	}
	if way := b.log.State().Way; way != "emergency" {
		t.Errorf("way %q", way)
	}
}

// The question of rollback names each way with what it costs; none before the
// cutover has begun, and only the named one where one was named.
func TestWaysInTheQuestion(t *testing.T) {
	offered := func(b *bench) (all []string) {
		for _, e := range b.log.Events(0) {
			var q journal.Question
			if e.Type != journal.Asked || json.Unmarshal(e.Data, &q) != nil || q.Kind != journal.AskRollback {
				continue
			}
			for _, o := range q.Options {
				all = append(all, o.Choice)
				if o.Choice == "graceful" && o.Note != "Nobody writes meanwhile.\nLoses: what cannot be merged\n"+
					"Before the undo: Off (a), Export A (a), Export B (b)\nAfter the undo: On (a, b), Say" {
					t.Errorf("note: %q", o.Note)
				}
			}
		}
		return all
	}
	newWorld()
	b := newBench(t, loadPlan(t, twoWays), filepath.Join(t.TempDir(), "j"), "findings=go", "sign-off=go", "cutover=rollback", "rollback=go")
	if status, err := b.Walk(context.Background()); err != nil || status != journal.RolledBack {
		t.Fatalf("%q, %v", status, err)
	}
	if got := offered(b); !slices.Equal(got, []string{"go", "back", "stop"}) || b.log.State().Way != "" {
		t.Errorf("before the cutover: %q", got)
	}
	b, _ = askedBack(t, newWorld(), "rollback=stop")
	if got := offered(b); !slices.Equal(got, []string{"emergency", "graceful", "back", "stop"}) {
		t.Errorf("after it: %q", got)
	}
	b.Way, b.op.script = "graceful", []string{"rollback=emergency", "rollback=back"}
	if status, err := b.Rollback(context.Background()); err != nil || status != journal.Stopped {
		t.Fatalf("%q, %v", status, err)
	}
	if got := offered(b)[4:]; !slices.Equal(got, []string{"graceful", "back", "stop"}) {
		t.Errorf("named: %q", got)
	}
}

// A step before the undo that fails can be left out, alone or with the rest.
func TestBeforeTheUndoFails(t *testing.T) {
	noOff := func(op, name, _ string) error {
		if op == "put" && name == "off" {
			return errors.New("no maintenance page")
		}
		return nil
	}
	for answer, want := range map[string][]string{
		"skip": gracefulLog[1:],
		"undo": gracefulLog[3:],
	} {
		w := newWorld()
		w.hook = noOff
		b, status := askedBack(t, w, "rollback=graceful", "failed/off=retry", "failed/off="+answer, "manual/say=skip")
		got := w.log
		if answer == "skip" {
			got = sorted(got, 0, 2)
		}
		got = sorted(got, len(got)-2, len(got))
		if status != journal.RolledBack || !slices.Equal(got, want) {
			t.Errorf("%s: %q %q; asked %q", answer, status, got, b.op.asked)
		}
		s := b.log.State()
		if st := s.Step("off"); st.Status != journal.Skipped || st.Reason == nil || st.Reason.Choice != answer || st.Err != "no maintenance page" {
			t.Errorf("%s: %+v", answer, st)
		}
		if st := s.Step("export-a"); answer == "undo" && (st.Status != journal.Skipped || !strings.Contains(st.Err, "because")) {
			t.Errorf("left out: %+v", st)
		}
	}
	w := newWorld()
	w.hook = noOff
	b, status := askedBack(t, w, "rollback=graceful", "failed/off=stop")
	if status != journal.Stopped || len(w.log) != 0 {
		t.Fatalf("stopped: %q %q", status, w.log)
	}
	w.hook = nil
	b.op.script = []string{"failed/off=retry", "manual/say=done"}
	if status, err := b.Walk(context.Background()); err != nil || status != journal.RolledBack || len(w.log) != len(gracefulLog) {
		t.Errorf("resumed: %q, %v: %q", status, err, w.log)
	}
}

// Killed at every append, before and after it is on the disk, the way back
// comes to the same end and nothing is done twice.
func TestCrashOnTheWayBack(t *testing.T) {
	for _, leave := range []bool{false, true} {
		points := 0
		for _, after := range []bool{false, true} {
			for at := 1; ; at++ {
				if crashOnWay(t, at, after, leave) || t.Failed() {
					break
				}
				points++
			}
		}
		if points < 60 {
			t.Errorf("only %d points tried", points)
		}
	}
}

func crashOnWay(t *testing.T, at int, after, leave bool) (finished bool) {
	w := newWorld()
	said := []string{"findings=go", "sign-off=go", "cutover=go", "close=rollback", "rollback=graceful", "manual/say=done"}
	want := map[string]int{"a:off": 1, "a:export": 1, "b:export": 1, "a:on": 1, "b:on": 1}
	if leave {
		said = append(said, "failed/off=undo")
		want = map[string]int{"a:on": 1, "b:on": 1}
		w.hook = func(op, name, _ string) error {
			if op == "put" && name == "off" {
				return errors.New("no maintenance page")
			}
			return nil
		}
	}
	for range 3 {
		said = append(said, "unknown=retry")
	}
	path := filepath.Join(t.TempDir(), "j")
	where := fmt.Sprintf("append %d, after=%v, leave=%v", at, after, leave)
	b := newBench(t, loadPlan(t, twoWays), path, said...)
	b.Log = &dying{Journal: b.log, left: at, after: after}
	status, err := b.Walk(context.Background())
	if err == nil && status == journal.RolledBack {
		return true
	}
	if !errors.Is(err, errCrash) {
		t.Fatalf("%s: %q, %v", where, status, err)
	}
	b.log.Close()
	b = newBench(t, loadPlan(t, twoWays), path, said...)
	if status, err := b.Walk(context.Background()); err != nil || status != journal.RolledBack {
		t.Fatalf("%s: resumed: %q, %v; asked %q", where, status, err, b.op.asked)
	}
	b.log.Close()
	for _, key := range []string{"a:off", "a:export", "b:export", "a:on", "b:on"} {
		if w.put[key] != want[key] || w.took[key] != 0 {
			t.Errorf("%s: %s put %d times, taken %d", where, key, w.put[key], w.took[key])
		}
	}
	for _, key := range []string{"a:one", "b:two", "a:three"} {
		if w.put[key] != 1 || w.took[key] != 1 {
			t.Errorf("%s: %s put %d times, taken %d", where, key, w.put[key], w.took[key])
		}
	}
	return false
}

// stored is a put whose store is written to.
type stored struct {
	put `yaml:",inline"`
}

func (s *stored) Losses(_ context.Context, e steps.Env) ([]steps.Loss, error) {
	theWorld.mu.Lock()
	hook := theWorld.hook
	theWorld.mu.Unlock()
	if hook != nil {
		if err := hook("count", s.Name, e.Host.Name); err != nil {
			return nil, err
		}
	}
	since := "since it was copied"
	_, err := e.Memory.Get("mark", &since)
	return []steps.Loss{{Store: s.Name + " on " + e.Host.Name, Count: 7, Unit: "rows", Since: since}}, err
}

func (s *stored) Mark(_ context.Context, e steps.Env, since string) error {
	if s.Name == "mute" && !strings.Contains(since, "more in") { // it answers again when it is too late
		return errors.New("no answer")
	}
	return e.Memory.Put("mark", since)
}

// refilled is one of several that fill the same store.
type refilled struct {
	stored `yaml:",inline"`
}

func (*refilled) Fills() string { return "the store" }

const filling = twoHosts + `
prepare:
  - {step: First, on: a, refilled: first}
  - {step: Again, on: a, refilled: again}
cutover:
  - {step: Nothing differs, on: a, refilled: again}
soak:
  for: 1s
  watch: [{look: it, every: 100ms}]
`

// Of several steps that fill a store the last one that did anything tells what
// would be lost: one that found it filled has nothing to compare with.
func TestLossesOfTheLastThatFilled(t *testing.T) {
	newWorld()
	kinds := fakeKinds()
	kinds.Steps["refilled"] = steps.Kind{Name: "refilled", New: func() steps.Step { return &refilled{} }}
	p, err := plan.Load("test.yaml", []byte(filling), kinds)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, p, filepath.Join(t.TempDir(), "j"), "findings=go", "sign-off=go", "cutover=go", "close=close")
	if status, err := b.Walk(context.Background()); err != nil || status != journal.Closed {
		t.Fatalf("%q, %v; asked %q", status, err, b.op.asked)
	}
	if !b.log.State().Step("nothing-differs").Already {
		t.Fatalf("%+v", b.log.State().Step("nothing-differs"))
	}
	all := slices.Sorted(maps.Keys(b.log.State().Losses))
	if slices.Contains(all, "first") || !slices.Contains(all, "again") {
		t.Errorf("counted of %q", all)
	}
}

// opening is a put that lets people in.
type opening struct {
	put `yaml:",inline"`
}

func (*opening) Opens() bool { return true }

const opened = twoHosts + `
prepare:
  - {step: Copy, on: a, stored: copy}
  - {step: Mute, on: a, stored: mute}
  - {step: Rehearse the switch, on: a, opening: early}
cutover:
  - {step: Another, on: a, stored: another}
  - {step: Let them in, on: a, opening: door}
  - {step: Late, on: a, stored: late}
  - {step: Let more in, on: a, opening: gate}
  - {step: Last, on: a, stored: last}
`

// What would be lost is counted from the first step after a store was filled
// that may let people write to it.
func TestLossesSinceTheDoorsOpened(t *testing.T) {
	newWorld()
	kinds := fakeKinds()
	kinds.Steps["stored"] = steps.Kind{Name: "stored", New: func() steps.Step { return &stored{} }}
	kinds.Steps["opening"] = steps.Kind{Name: "opening", New: func() steps.Step { return &opening{} }}
	p, err := plan.Load("test.yaml", []byte(opened), kinds)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, p, filepath.Join(t.TempDir(), "j"), "findings=go", "sign-off=go", "cutover=go", "close=rollback", "rollback=go")
	begun := map[string]string{}
	b.op.check = func(q journal.Question) {
		if q.Kind == journal.AskRollback {
			for id, l := range b.log.State().Losses {
				begun[id] = l.Of[0].Since
			}
		}
	}
	if status, err := b.Walk(context.Background()); err != nil || status != journal.RolledBack {
		t.Fatalf("%q, %v; asked %q", status, err, b.op.asked)
	}
	want := map[string]string{"copy": "since “Let them in” began", "mute": "since it was copied", "another": "since “Let them in” began",
		"late": "since “Let more in” began", "last": "since it was copied"}
	if diff := cmp.Diff(want, begun); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

const losing = twoHosts + `
prepare:
  - {step: Copy, on: [a, b], stored: copy}
  - {step: Other, on: a, stored: other}
cutover:
  - {step: Two, on: b, put: two}
soak:
  for: 1s
  watch: [{look: it, every: 100ms}]
`

// What going back would lose is counted from the cutover on, not before, and
// what cannot be counted is on record as not known.
func TestLosses(t *testing.T) {
	w := newWorld()
	w.hook = func(op, name, _ string) error {
		if op == "count" && name == "other" {
			return errors.New("no answer")
		}
		return nil
	}
	kinds := fakeKinds()
	kinds.Steps["stored"] = steps.Kind{Name: "stored", New: func() steps.Step { return &stored{} }}
	p, err := plan.Load("test.yaml", []byte(losing), kinds)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, p, filepath.Join(t.TempDir(), "j"), "findings=go", "sign-off=go", "cutover=rollback", "rollback=back", "cutover=go", "close=rollback", "rollback=go")
	b.op.check = func(q journal.Question) {
		n := len(b.log.State().Losses)
		if q.Kind == journal.AskRollback && (n != 0 && b.log.State().Step("two").Attempt == 0 || n != 2 && b.log.State().Step("two").Attempt > 0) {
			t.Errorf("asked to roll back with %d losses known", n)
		}
	}
	if status, err := b.Walk(context.Background()); err != nil || status != journal.RolledBack {
		t.Fatalf("%q, %v; asked %q", status, err, b.op.asked)
	}
	got := b.log.State().Losses
	slices.SortFunc(got["copy"].Of, func(a, b journal.Loss) int { return strings.Compare(a.Store, b.Store) })
	if of := got["copy"].Of; len(of) != 2 || of[1] != (journal.Loss{Store: "copy on b", Count: 7, Unit: "rows", Since: "since the cutover began"}) || got["copy"].Err != "" || got["copy"].At.IsZero() {
		t.Errorf("%+v", got["copy"])
	}
	if d := got["other"]; len(d.Of) != 0 || d.Err != "no answer" {
		t.Errorf("%+v", d)
	}
}

// While a host was not reached, nothing that comes after the undo is done: the
// old service is not all back. It is done when the debt is settled.
func TestAfterTheUndoWaitsForDebts(t *testing.T) {
	w := newWorld()
	w.hook = func(op, _, host string) error {
		if op == "take" && host == "b" {
			return &remote.UnreachableError{Host: "b", Err: errors.New("no route")}
		}
		return nil
	}
	path := filepath.Join(t.TempDir(), "j")
	b := newBench(t, loadPlan(t, twoWays), path, "findings=go", "sign-off=go", "cutover=go", "close=rollback", "rollback=graceful")
	if _, err := b.Walk(context.Background()); err != nil {
		t.Fatal(err)
	}
	if s := b.log.State(); len(s.Debts) != 1 || s.Step("on").Attempt != 0 {
		t.Fatalf("debts %+v; maintenance %+v", s.Debts, s.Step("on"))
	}
	b.log.Close()
	w.hook = nil
	b = newBench(t, loadPlan(t, twoWays), path, "manual/say=done")
	if status, err := b.Rollback(context.Background()); err != nil || status != journal.RolledBack {
		t.Fatalf("%q, %v", status, err)
	}
	if s := b.log.State(); len(s.Debts) != 0 || s.Step("on").Status != journal.PassedStatus || !s.Over() {
		t.Errorf("debts %+v; maintenance %+v", s.Debts, s.Step("on"))
	}
}

// A question about going back that was left open is asked again by whoever takes
// the run up; it does not hide the ways that are open after the cutover.
func TestStaleRollbackQuestion(t *testing.T) {
	newWorld()
	path := filepath.Join(t.TempDir(), "j")
	b := newBench(t, loadPlan(t, twoWays), path, "findings=go", "sign-off=rollback")
	b.op.quiet = true // nobody answers the question, and the run stops
	if _, err := b.Walk(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, open := b.log.State().Open(journal.AskRollback, ""); !open {
		t.Fatal("the question is not open")
	}
	b.log.Close()
	b = newBench(t, loadPlan(t, twoWays), path, "rollback=back", "sign-off=go", "cutover=go", "close=rollback", "rollback=emergency")
	if status, err := b.Walk(context.Background()); err != nil || status != journal.RolledBack {
		t.Fatalf("%q, %v; asked %q", status, err, b.op.asked)
	}
	if b.op.asked[0] != "rollback/" {
		t.Errorf("asked %q", b.op.asked)
	}
	if way := b.log.State().Way; way != "emergency" {
		t.Errorf("way %q", way)
	}
}
