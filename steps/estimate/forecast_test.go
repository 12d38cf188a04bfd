package estimate

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

const lanes = `belay: 1
name: shop
hosts: {a: {}}
window: {start: 2026-12-01T22:00Z, length: 40m, margin: 3m}
cutover:
  - {step: One, run: {script: "true", undo: "true"}, takes: 2m}
  - together:
      - lane: left
        steps:
          - {step: Two, run: "true"}
          - {step: Three, run: "true"}
      - {step: Four, run: "true", takes: 5m}
  - {step: Five, run: "true"}
`

func loadLanes(t *testing.T) *plan.Plan {
	t.Helper()
	p, err := plan.Load("plan.yaml", []byte(lanes), plan.All())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// running is a run of which these steps have passed, and one has been running
// since the moment begin.
func running(passed []string, runs string) *journal.State {
	s := past("shop", false, nil)
	for _, id := range passed {
		s.Apply(journal.Event{Seq: s.Seq + 1, Time: begin, Type: journal.StepStarted, Step: id})
		s.Apply(journal.Event{Seq: s.Seq + 1, Time: begin, Type: journal.StepPassed, Step: id})
	}
	s.Apply(journal.Event{Seq: s.Seq + 1, Time: begin, Type: journal.StepStarted, Step: runs})
	return s
}

func TestForecast(t *testing.T) {
	p := loadLanes(t)
	sec := time.Second
	e := From(p, []*journal.State{past("shop", false, map[string]int{"one": 60, "two": 100, "three": 40, "five": 10}),
		past("shop", false, map[string]int{"one": 80, "two": 140, "three": 40, "five": 10})})
	at := func(after int, progress map[string]steps.Progress) Going {
		return Going{Now: begin.Add(time.Duration(after) * sec), Progress: map[string]map[string]steps.Progress{"two": progress, "one": progress}}
	}
	for _, c := range []struct {
		name     string
		st       *journal.State
		g        Going
		want     Total
		critical string
	}{
		// The fifth lane has only the plan's word: five minutes, a guess, and the longest.
		{"nothing begun", journal.NewState(), at(0, nil), Total{70*sec + 300*sec + 10*sec, 80*sec + 300*sec + 10*sec, 5, 0, 1}, "five four one"},
		{"a minute into one", running(nil, "one"), at(60, nil), Total{10*sec + 310*sec, 20*sec + 310*sec, 5, 0, 1}, "five four one"},
		{"one is longer than ever", running(nil, "one"), at(90, nil), Total{310 * sec, 310 * sec, 5, 0, 1}, "five four one"},
		// Half of it is done after 20 s: half of what is left goes by that pace.
		{"one at half", running(nil, "one"), at(20, map[string]steps.Progress{"a": {Done: 5, Total: 10}}), Total{35*sec + 310*sec, 40*sec + 310*sec, 5, 0, 1}, "five four one"},
		{"the clock is behind", running(nil, "one"), at(-3600, nil), Total{380 * sec, 390 * sec, 5, 0, 1}, "five four one"},
		{"lanes without the guess", running([]string{"one", "four"}, "two"), at(20, nil), Total{100*sec + 40*sec + 10*sec, 120*sec + 40*sec + 10*sec, 3, 0, 0}, "five three two"},
		{"lanes, two slow", running([]string{"one", "four"}, "two"), at(100, map[string]steps.Progress{"a": {Done: 25, Total: 100}}), Total{90*sec + 50*sec, 105*sec + 50*sec, 3, 0, 0}, "five three two"},
	} {
		f := e.Forecast(p, journal.Cutover, c.st, c.g)
		if d := cmp.Diff(c.want, f.Total); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		if got := critical(f); got != c.critical {
			t.Errorf("%s: the end hangs on %s", c.name, got)
		}
		if late := c.name == "one is longer than ever"; late != (len(f.Late) > 0) {
			t.Errorf("%s: late %v", c.name, f.Late)
		}
	}
}

func critical(f Forecast) string {
	var all []string
	for _, id := range []string{"five", "four", "one", "three", "two"} {
		if f.Critical[id] {
			all = append(all, id)
		}
	}
	return strings.Join(all, " ")
}

// Without any measurement, the plan's word is a guess, a pace is one too, and a
// lane that nobody knows anything of leaves open which one is the longest.
func TestForecastUnmeasured(t *testing.T) {
	p := loadLanes(t)
	f := Estimates{}.Forecast(p, journal.Cutover, running([]string{"one"}, "two"), Going{Now: begin.Add(30 * time.Second),
		Progress: map[string]map[string]steps.Progress{"two": {"a": {Done: 1, Total: 5}}}})
	if d := cmp.Diff(Total{5 * time.Minute, 5 * time.Minute, 4, 2, 2}, f.Total); d != "" {
		t.Error(d)
	}
	if f.Critical["two"] || f.Critical["four"] || !f.Critical["five"] {
		t.Errorf("the end hangs on %v", f.Critical)
	}
	if m := (Estimates{}).LastSafe(p, journal.NewState()); !m.Guess || !m.Begin || !m.At.Equal(p.Window.End().Add(-3*time.Minute-2*time.Minute-7*time.Minute)) {
		t.Errorf("%+v", m) // two minutes back, and seven forward
	}
}

// A wall clock that is set while a step runs changes nothing for it.
func TestStopwatch(t *testing.T) {
	for name, jump := range map[string]time.Duration{"none": 0, "forward": time.Hour, "back": -24 * time.Hour} {
		var w Stopwatch
		st, now := running(nil, "one"), begin.Add(7*time.Second)
		w.Look(now, st)
		for i := range 20 {
			if now = now.Add(time.Second); i == 10 {
				now = now.Add(jump)
			}
			w.Look(now, st)
		}
		want := 27 * time.Second
		if jump != 0 {
			want -= time.Second // the second in which it was set
		}
		if got := w.Look(now, st)["one"]; got != want {
			t.Errorf("%s: it has been running for %s", name, got)
		}
		st.Apply(journal.Event{Seq: st.Seq + 1, Time: now, Type: journal.StepPassed, Step: "one"})
		if got := w.Look(now, st); len(got) > 0 {
			t.Errorf("%s: what has ended runs: %v", name, got)
		}
	}
}

func TestTookWith(t *testing.T) {
	gb := func(n float64) journal.Size { return journal.Size{Bytes: int64(n * 1e9)} }
	small, large := Sample{10 * time.Second, gb(1)}, Sample{300 * time.Second, gb(30)}
	for _, c := range []struct {
		name string
		of   []Sample
		here journal.Size
		want time.Duration
		far  bool
	}{
		{"as much", []Sample{small}, gb(1), 10 * time.Second, false},
		{"a little more", []Sample{small}, gb(1.4), 14 * time.Second, false},
		{"less", []Sample{large}, gb(1), 300 * time.Second, false},
		{"far more", []Sample{small}, gb(40), 400 * time.Second, true},
		{"one that is near", []Sample{small, large}, gb(30), 300 * time.Second, false},
		{"nobody knows here", []Sample{small, large}, journal.Size{}, 155 * time.Second, false},
		{"nobody knew then", []Sample{{Took: 5 * time.Second}}, gb(40), 5 * time.Second, false},
		{"rows", []Sample{{time.Second, journal.Size{Rows: 10}}}, journal.Size{Rows: 100}, 10 * time.Second, true},
		{"more than fits", []Sample{{time.Hour, journal.Size{Bytes: 1}}}, journal.Size{Bytes: 1 << 62}, longest, true},
	} {
		got, far := sum(c.of).With(c.here)
		if got.Median.Round(time.Millisecond) != c.want || far != c.far {
			t.Errorf("%s: %s, far %v", c.name, got.Median, far)
		}
	}
}
