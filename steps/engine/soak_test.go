package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"belay/checks"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/soak"
)

// server is a web server that a test makes ill.
type server struct {
	*httptest.Server
	dead  atomic.Bool
	half  atomic.Bool  // every second answer is bad
	slow  atomic.Int64 // ns
	asked atomic.Int64
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.asked.Add(1)
		time.Sleep(time.Duration(s.slow.Load()))
		if n := s.asked.Load(); s.dead.Load() || s.half.Load() && n%2 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// soakBench is a run whose soak watches a web server, and knows an old one.
func soakBench(t *testing.T, path, watch, limits string, script ...string) *bench {
	t.Helper()
	kinds := fakeKinds()
	kinds.Checks["http"] = checks.All()["http"]
	text := twoHosts + `
prepare:
  - {step: One, on: a, put: one}
cutover:
  - {step: Two, on: b, put: two}
` + fmt.Sprintf("soak:\n  %s\n  rollback_when: %s\n", watch, limits)
	p, err := plan.Load("test.yaml", []byte(text), kinds)
	if err != nil {
		t.Fatal(err)
	}
	return newBench(t, p, path, append([]string{"findings=go", "sign-off=go", "cutover=go", "close=close"}, script...)...)
}

func watching1(now, old *server, length string) string {
	text := fmt.Sprintf(`for: %s
  watch:
    - http: {on: b, url: %q, timeout: 20s}
      title: It answers
      every: 20ms
`, length, now.URL)
	if old != nil {
		text += fmt.Sprintf("      old: {on: a, url: %q}\n", old.URL)
	}
	return text
}

// types are what the journal holds of a soak, in its order: "countdown begun".
func (b *bench) types() (all []string) {
	for _, e := range b.log.Events(0) {
		switch e.Type {
		case journal.Verdict, journal.Counting, journal.RollbackBegun, journal.RunResumed:
			all = append(all, strings.TrimSpace(string(e.Type)+" "+e.Key))
		}
	}
	return all
}

func (b *bench) walk(t *testing.T, ctx context.Context, want journal.Status) {
	t.Helper()
	if status, err := b.Walk(ctx); err != nil || status != want {
		t.Errorf("%q, %v; want %q: %q\n%s", status, err, want, b.types(), b.log.State().Soak.Why)
	}
}

// TestSlowerThanTheOldServer: the new server is well at first, and then takes
// much longer than the old one did. What the old one did is in the journal.
func TestSlowerThanTheOldServer(t *testing.T) {
	w := newWorld()
	old, now := newServer(t), newServer(t)
	b := soakBench(t, filepath.Join(t.TempDir(), "j"), watching1(now, old, "5m"), "{slower_than: 2x, for: 1s}", "soak=rollback", "rollback=go")
	var broke atomic.Int64
	go func() {
		for len(b.log.State().Soak.Looks["it-answers"]) < 30 && t.Context().Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		broke.Store(time.Now().UnixNano())
		now.slow.Store(int64(700 * time.Millisecond))
	}()
	b.op.check = func(q journal.Question) {
		if q.Kind == journal.AskSoak && broke.Load() == 0 {
			t.Error("asked before anything was wrong")
		}
	}
	b.walk(t, context.Background(), journal.RolledBack)
	s := b.log.State()
	base := s.Soak.Baseline["it-answers"]
	if base.Good < soak.Enough || base.P50 <= 0 || base.P95 < base.P50 || s.Soak.Verdict != soak.Degraded || !strings.Contains(s.Soak.Why, "old server") {
		t.Errorf("baseline %+v, verdict %s: %s", base, s.Soak.Verdict, s.Soak.Why)
	}
	for _, e := range b.log.Events(0) {
		if e.Type == journal.Verdict && e.Time.UnixNano() < broke.Load()+int64(time.Second) {
			t.Errorf("degraded %v after it became slow; the plan says 1s", time.Duration(e.Time.UnixNano()-broke.Load()))
		}
	}
	if w.has("b:two") {
		t.Error("not rolled back")
	}
	asked := old.asked.Load()
	time.Sleep(100 * time.Millisecond)
	if old.asked.Load() != asked {
		t.Error("the old server is still asked")
	}
}

func TestWithoutABaselineItIsInconclusive(t *testing.T) {
	newWorld()
	now, old := newServer(t), newServer(t)
	old.dead.Store(true) // answers, but badly: nothing to compare a latency with
	b := soakBench(t, filepath.Join(t.TempDir(), "j"), watching1(now, old, "500ms"), "{slower_than: 2x, for: 500ms}", "soak=stop")
	b.walk(t, context.Background(), journal.Stopped)
	if s := b.log.State().Soak; s.Verdict != soak.Inconclusive || !strings.Contains(s.Why, "nothing to compare with") {
		t.Errorf("%s: %s", s.Verdict, s.Why)
	}
}

func TestUnknownIsNoPass(t *testing.T) {
	newWorld()
	verdicts.Store("blind", checks.Unknown)
	b := newBench(t, loadPlan(t, twoHosts+"soak:\n  for: 300ms\n  watch: [{look: blind, every: 20ms}]\n  rollback_when: {error_rate: 100%, for: 100ms}\n"),
		filepath.Join(t.TempDir(), "j"), "findings=go", "sign-off=go", "cutover=go", "soak=stop")
	b.walk(t, context.Background(), journal.Stopped)
	if v := b.log.State().Soak.Verdict; v != soak.Inconclusive {
		t.Errorf("verdict %s", v)
	}
}

// countsDown tells a question that a countdown is about.
func countsDown(q journal.Question) bool {
	_, ok := q.Option("hold")
	return ok
}

const automatic = "{error_rate: 90%, for: 300ms, then: automatic, countdown: 1s}"

// TestCountdownRunsOut: nobody is there, the plan has opted in.
func TestCountdownRunsOut(t *testing.T) {
	w := newWorld()
	now := newServer(t)
	now.dead.Store(true)
	b := soakBench(t, filepath.Join(t.TempDir(), "j"), watching1(now, nil, "5m"), automatic)
	b.op.mute = countsDown
	b.walk(t, context.Background(), journal.RolledBack)
	if got := b.types(); !slices.Equal(got, []string{"verdict degraded", "countdown begun", "countdown ran out", "rollback-begun"}) {
		t.Errorf("%q", got)
	}
	s := b.log.State()
	if w.has("b:two") || s.Rollback == nil || s.Rollback.By.Name != "belay" || s.Soak.Countdown != nil {
		t.Errorf("rollback %+v, countdown %+v", s.Rollback, s.Soak.Countdown)
	}
	if begun, end := counted(b, journal.CountBegun), counted(b, journal.CountRanOut); end.Sub(begun) < time.Second {
		t.Errorf("the countdown of a second took %v", end.Sub(begun))
	}
}

func counted(b *bench, how string) (at time.Time) {
	for _, e := range b.log.Events(0) {
		if e.Type == journal.Counting && e.Key == how {
			at = e.Time
		}
	}
	return at
}

// TestCountdownIsStopped by a person; from then on belay only asks.
func TestCountdownIsStopped(t *testing.T) {
	w := newWorld()
	now := newServer(t)
	now.dead.Store(true)
	b := soakBench(t, filepath.Join(t.TempDir(), "j"), watching1(now, nil, "5m"), automatic, "soak=hold@Grace", "soak=extend", "soak=accept")
	var offered []bool
	b.op.check = func(q journal.Question) {
		if q.Kind == journal.AskSoak {
			offered = append(offered, countsDown(q))
		}
	}
	b.walk(t, context.Background(), journal.Closed)
	if got := b.types(); !slices.Equal(got, []string{"verdict degraded", "countdown begun", "verdict degraded"}) {
		t.Errorf("%q", got)
	}
	if m := b.log.State().Soak.Manual; m == nil || m.By.Name != "Grace" || !slices.Equal(offered, []bool{true, false, false}) || !w.has("b:two") {
		t.Errorf("stopped by %+v, hold offered %v", m, offered)
	}
}

// TestCountdownEndsWhenItRecovers: what is well again is not rolled back; what
// was ill for so long is not healthy at the end either, and a person is asked.
func TestCountdownEndsWhenItRecovers(t *testing.T) {
	w := newWorld()
	now := newServer(t)
	now.dead.Store(true)
	limits := strings.Replace(automatic, "1s", "5m", 1)
	b := soakBench(t, filepath.Join(t.TempDir(), "j"), watching1(now, nil, "3s"), limits, "soak=accept")
	b.op.mute = countsDown
	b.op.check = func(q journal.Question) {
		if countsDown(q) {
			now.dead.Store(false)
		}
	}
	b.walk(t, context.Background(), journal.Closed)
	if got := b.types(); !slices.Equal(got, []string{"verdict degraded", "countdown begun", "countdown recovered", "verdict degraded"}) || !w.has("b:two") {
		t.Errorf("%q: %s", got, b.log.State().Soak.Why)
	}
}

// TestCountdownAfterARestart: belay dies during the countdown, whose time is
// over when it comes back. It rolls back only what it has seen to be ill itself.
func TestCountdownAfterARestart(t *testing.T) {
	for name, ill := range map[string]bool{"still ill": true, "well again": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			old, now := newServer(t), newServer(t)
			now.dead.Store(true)
			path := filepath.Join(t.TempDir(), "j")
			limits := "[" + automatic + ", {more_errors: 99%, for: 2s, then: tell}]"
			b := soakBench(t, path, watching1(now, old, "4s"), limits)
			b.op.mute = countsDown
			ctx, kill := context.WithCancel(context.Background())
			b.op.check = func(q journal.Question) {
				if countsDown(q) {
					time.AfterFunc(100*time.Millisecond, kill)
				}
			}
			if _, err := b.Walk(ctx); err == nil {
				t.Fatal("it was not killed")
			}
			before := b.log.State().Soak
			if before.Countdown == nil || len(before.Looks["it-answers"]) == 0 {
				t.Fatalf("killed without a countdown: %q", b.types())
			}
			b.log.Close()
			now.dead.Store(ill)
			time.Sleep(time.Second) // the old countdown's time is over

			b = soakBench(t, path, watching1(now, old, "4s"), limits)
			b.op.mute = countsDown
			s := b.log.State().Soak
			if len(s.Looks["it-answers"]) != len(before.Looks["it-answers"]) || s.Baseline["it-answers"].Good != before.Baseline["it-answers"].Good || s.Watched != before.Watched {
				t.Errorf("the journal has lost what was seen: %+v", s)
			}
			want, end := []string{"verdict degraded", "countdown begun", "run-resumed", "countdown interrupted"}, journal.RolledBack
			if ill {
				want = append(want, "verdict degraded", "countdown begun", "countdown ran out", "rollback-begun")
			} else {
				want, end = append(want, "verdict degraded", "countdown begun", "countdown recovered", "verdict degraded"), journal.Closed
				b.op.script = append(b.op.script, "soak=accept")
			}
			b.walk(t, context.Background(), end)
			got := b.types()
			if !ill && len(got) == len(want)-3 { // it was well before the first judgement
				want = slices.Delete(want, 4, 7)
			}
			if !slices.Equal(got, want) || w.has("b:two") == ill {
				t.Errorf("%q\nwant %q", got, want)
			}
			if begun, end := counted(b, journal.CountBegun), counted(b, journal.CountRanOut); ill && end.Sub(begun) < time.Second {
				t.Errorf("counted anew for %v only", end.Sub(begun))
			}
		})
	}
}

// TestNothingByItself: a plan that has not opted in waits for people, and what
// is only observed is a note.
func TestNothingByItself(t *testing.T) {
	for _, then := range []string{plan.Propose, plan.Tell} {
		t.Run(then, func(t *testing.T) {
			w := newWorld()
			now := newServer(t)
			now.dead.Store(true)
			b := soakBench(t, filepath.Join(t.TempDir(), "j"), watching1(now, nil, "2s"), "[{error_rate: 50%, for: 200ms, then: "+then+"}, {error_rate: 100%, for: 2s}]")
			b.op.mute = func(q journal.Question) bool { return q.Kind == journal.AskSoak }
			ctx, leave := context.WithTimeout(context.Background(), 4*time.Second)
			defer leave()
			status, _ := b.Walk(ctx)
			s := b.log.State()
			if s.Rollback != nil || s.Soak.Countdown != nil || !w.has("b:two") {
				t.Errorf("%s: %q", status, b.types())
			}
			notes, _ := json.Marshal(s.Notes)
			if told := strings.Contains(string(notes), "only observed: It answers"); told != (then == plan.Tell) {
				t.Errorf("notes: %s", notes)
			}
			if _, open := s.Open(journal.AskSoak, ""); open != (then == plan.Propose) {
				t.Errorf("a question is open: %v; %s: %s", open, s.Soak.Verdict, s.Soak.Why)
			}
		})
	}
}

// TestAProposalHoldsUpNoCountdown: the sharper limit proposes first, and nobody
// is there to answer; the other rolls back by itself all the same.
func TestAProposalHoldsUpNoCountdown(t *testing.T) {
	for name, limits := range map[string]string{
		"first proposed": "[{error_rate: 50%, for: 200ms}, " + strings.Replace(automatic, "300ms", "1500ms", 1) + "]",
		"both at once":   "[{error_rate: 50%, for: 300ms}, " + automatic + "]",
	} {
		t.Run(name, func(t *testing.T) {
			newWorld()
			now := newServer(t)
			now.dead.Store(true)
			b := soakBench(t, filepath.Join(t.TempDir(), "j"), watching1(now, nil, "5m"), limits)
			b.op.mute = func(q journal.Question) bool { return q.Kind == journal.AskSoak }
			b.walk(t, context.Background(), journal.RolledBack)
			if got := b.types(); !slices.Contains(got, "countdown ran out") || len(b.log.State().Questions) > 0 {
				t.Errorf("%q, open: %+v", got, b.log.State().Questions)
			}
		})
	}
}

// TestCountdownThatDiedHalfWritten: belay dies between a countdown's question
// and what it writes beside it. One question stands at a time, and the countdown
// names it.
func TestCountdownThatDiedHalfWritten(t *testing.T) {
	ask := func(b *bench, id string) {
		q := journal.Question{ID: id, Kind: journal.AskSoak, Options: []journal.Option{{Choice: "hold"}, {Choice: "rollback"}}}
		_ = b.append(journal.Event{Type: journal.SoakBegun}, journal.SoakPlan{Until: time.Now().Add(time.Hour)})
		_ = b.append(journal.Event{Type: journal.Verdict, Key: soak.Degraded}, nil)
		_ = b.append(journal.Event{Type: journal.Asked, Key: id}, q)
	}
	for name, died := range map[string]func(*bench){
		"before it was begun": func(b *bench) { ask(b, "q90") },
		"as it was interrupted": func(b *bench) {
			ask(b, "q90")
			_ = b.append(journal.Event{Type: journal.Counting, Key: journal.CountBegun}, journal.Countdown{Question: "q90"})
			_ = b.append(journal.Event{Type: journal.Counting, Key: journal.CountInterrupted}, journal.Countdown{Question: "q90"})
		},
		"as it ran out": func(b *bench) {
			ask(b, "q90")
			_ = b.append(journal.Event{Type: journal.Counting, Key: journal.CountBegun}, journal.Countdown{Question: "q90"})
			_ = b.append(journal.Event{Type: journal.Counting, Key: journal.CountRanOut}, journal.Countdown{Question: "q90"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			newWorld()
			now := newServer(t)
			now.dead.Store(true)
			path := filepath.Join(t.TempDir(), "j")
			b := soakBench(t, path, watching1(now, nil, "5m"), automatic)
			ctx, kill := context.WithCancel(context.Background())
			defer kill()
			b.op.mute = func(q journal.Question) bool { return q.Kind == journal.AskCutover }
			b.op.check = func(q journal.Question) {
				if q.Kind == journal.AskCutover {
					kill()
				}
			}
			_, _ = b.Walk(ctx)
			for s := b.log.State(); len(s.Questions) > 0; s = b.log.State() {
				_ = b.append(journal.Event{Type: journal.Answered, Key: s.Questions[0].ID}, journal.Answer{Question: s.Questions[0].ID, Choice: "withdrawn"})
			}
			died(b)
			b.log.Close()

			b = soakBench(t, path, watching1(now, nil, "5m"), automatic)
			b.op.mute = countsDown
			b.op.check = func(q journal.Question) {
				s := b.log.State()
				if c := s.Soak.Countdown; countsDown(q) && (len(s.Questions) != 1 || c == nil || c.Question != q.ID || q.ID == "q90") {
					t.Errorf("asked %s; open: %+v; countdown %+v", q.ID, s.Questions, c)
				}
			}
			b.walk(t, context.Background(), journal.RolledBack)
			if got := b.types(); !slices.Contains(got, "countdown ran out") || len(b.log.State().Questions) > 0 {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestNoHealthyEndThatNobodySaw: belay was away at the end of a soak that went
// well as long as it looked on. It looks once more before it says so.
func TestNoHealthyEndThatNobodySaw(t *testing.T) {
	newWorld()
	now := newServer(t)
	path := filepath.Join(t.TempDir(), "j")
	limits := "{error_rate: 50%, for: 1s}"
	b := soakBench(t, path, watching1(now, nil, "30s"), limits)
	ctx, kill := context.WithCancel(context.Background())
	go func() {
		for b.log.State().Soak.Watched < 2*time.Second && t.Context().Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		kill()
	}()
	if _, err := b.Walk(ctx); err == nil {
		t.Fatal("the soak was over before belay could be ended")
	}
	b.log.Close()
	now.dead.Store(true)
	b = soakBench(t, path, watching1(now, nil, "30s"), limits, "soak=stop")
	b.Now = func() time.Time { return time.Now().Add(48 * time.Hour) }
	b.walk(t, context.Background(), journal.Stopped)
	if s := b.log.State().Soak; s.Verdict != soak.Degraded {
		t.Errorf("%s: %s", s.Verdict, s.Why)
	}
}
