package estimate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/steps/journal"
	"belay/steps/plan"
)

const text = `belay: 1
name: shop
hosts: {a: {}}
window: {start: 2026-12-01T22:00Z, length: 40m}
prepare:
  - {step: One, run: {script: "true", undo: "true"}}
cutover:
  - together:
      - {step: Two, run: {script: "true", undo: "true"}}
      - {step: Three, run: {script: "true", undo: "true"}}
  - {step: Four, run: "true"}
  - {step: Five, run: {script: "true", undo: "true"}}
`

var begin = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// past is a run in which each step took so many seconds, and its undo half of
// that; a step that is not named was never reached.
func past(name string, undone bool, took map[string]int) *journal.State {
	s := journal.NewState()
	now, seq := begin, uint64(0)
	add := func(t journal.Type, step string) {
		seq++
		s.Apply(journal.Event{Seq: seq, Time: now, Type: t, Step: step})
	}
	s.Plan = name
	for step, sec := range took {
		add(journal.StepStarted, step)
		s.Steps[step].Attempt = 1
		now = now.Add(time.Duration(sec) * time.Second)
		add(journal.StepPassed, step)
		if undone {
			add(journal.UndoStarted, step)
			now = now.Add(time.Duration(sec) * time.Second / 2)
			add(journal.UndoDone, step)
		}
	}
	return s
}

func load(t *testing.T) *plan.Plan {
	t.Helper()
	p, err := plan.Load("plan.yaml", []byte(text), plan.All())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEstimates(t *testing.T) {
	p := load(t)
	e := From(p, []*journal.State{
		past("shop", false, map[string]int{"one": 10, "two": 60, "three": 20}),
		past("shop", true, map[string]int{"one": 20, "two": 30, "three": 100, "five": 8}),
		past("shop", true, map[string]int{"one": 60}),
		past("blog", true, map[string]int{"one": 999}),
		past("shop", false, nil),
	})
	sec := time.Second
	took := func(runs int, median, worst time.Duration) Took {
		return Took{Runs: runs, Median: median * sec, Worst: worst * sec}
	}
	if d := cmp.Diff(Estimates{
		Runs:    3,
		Forward: map[string]Took{"one": took(3, 20, 60), "two": took(2, 45, 60), "three": took(2, 60, 100), "five": took(1, 8, 8)},
		Back:    map[string]Took{"one": took(2, 20, 30), "two": took(1, 15, 15), "three": took(1, 50, 50), "five": took(1, 4, 4)},
	}, e); d != "" {
		t.Fatal(d)
	}
	// Lanes count once, by the longer; four was never measured.
	if d := cmp.Diff(Total{68 * sec, 108 * sec, 4, 1, 0}, e.Ahead(p, journal.Cutover, journal.NewState())); d != "" {
		t.Error(d)
	}
	half := past("shop", false, map[string]int{"one": 1, "three": 1})
	if d := cmp.Diff(Total{53 * sec, 68 * sec, 3, 1, 0}, e.Ahead(p, journal.Cutover, half)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(Total{74 * sec, 84 * sec, 4, 0, 0}, e.RollbackAfter(p, journal.Cutover)); d != "" {
		t.Error(d)
	}
	// The window ends at 22:40; four minutes are kept free.
	want := p.Window.Start.Add(36*time.Minute - 80*sec)
	if d := cmp.Diff(Moment{At: want}, e.LastSafe(p, half)); d != "" {
		t.Error(d)
	}
	// Before the cutover it must begin so that there is time for its 60 + 100 + 8
	// seconds (four was never measured) and the 84 of the whole way back.
	if d := cmp.Diff(Moment{At: p.Window.Start.Add(36*time.Minute - 192*sec), Guess: true, Begin: true}, e.LastSafe(p, journal.NewState())); d != "" {
		t.Error(d)
	}
	// What was never undone takes as long as doing it, and that is a guess.
	delete(e.Back, "three")
	if d := cmp.Diff(Moment{At: p.Window.Start.Add(36*time.Minute - 31*sec), Guess: true}, e.LastSafe(p, half)); d != "" {
		t.Error(d)
	}
	none := *p
	none.Window = nil
	if m := e.LastSafe(&none, half); !m.At.IsZero() {
		t.Error("a plan without a window has a last moment to turn back")
	}
	if m := (Estimates{}).LastSafe(p, journal.NewState()); !m.At.IsZero() {
		t.Error("nobody knows anything, yet there is a last moment")
	}
}

func TestWays(t *testing.T) {
	p, err := plan.Load("plan.yaml", []byte(text+`rollback:
  quick: {loses: much}
  slow:
    loses: little
    before: [{step: Off, run: "true"}, {step: Export, run: "true"}]
    after: [{step: On, run: "true"}]
`), plan.All())
	if err != nil {
		t.Fatal(err)
	}
	sec := time.Second
	span := func(d time.Duration) string { return d.String() }
	rehearsed := past("shop", true, map[string]int{"one": 20, "two": 40, "off": 0})
	e := From(p, []*journal.State{rehearsed, past("shop", false, map[string]int{"off": 2, "export": 30, "on": 1})})
	now := past("shop", false, map[string]int{"one": 10, "two": 30})
	quick, slow := e.Way(p, now, p.Way("quick")), e.Way(p, now, p.Way("slow"))
	if d := cmp.Diff([]Back{{Total{30 * sec, 30 * sec, 2, 0, 0}, 30 * sec, 0}, {Total{62 * sec, 63 * sec, 5, 0, 0}, 62 * sec, 0}}, []Back{quick, slow}); d != "" {
		t.Error(d)
	}
	if w := quick.Words(span); w != "about 30s (measured)" {
		t.Error(w)
	}
	// What was never undone is taken to need as long as doing it did.
	now = past("shop", false, map[string]int{"one": 10, "two": 30, "five": 7})
	quick = e.Way(p, now, p.Way("quick"))
	if w := quick.Words(span); w != "~37s, a guess: 1 of 3 steps never measured" {
		t.Error(w)
	}
	if w := (Estimates{}).Way(p, now, p.Way("slow")).Words(span); w != "~47s or more, a guess: 6 of 6 steps never measured" {
		t.Error(w)
	}
	if d := cmp.Diff(Total{62 * sec, 63 * sec, 7, 2, 0}, e.WayAfter(p, journal.Cutover, p.Way("slow"))); d != "" {
		t.Error(d)
	}
	// The last safe moment is that of the quickest way that is known in whole.
	now = past("shop", false, map[string]int{"one": 10, "two": 30})
	if m := e.LastSafe(p, now); m.Guess || !m.At.Equal(p.Window.Start.Add(36*time.Minute-30*sec)) {
		t.Errorf("%v", m)
	}
}
