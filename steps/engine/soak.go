package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/steps/journal"
	"belay/steps/plan"
)

// soak watches for as long as the plan says, and proposes rollback when a
// limit is passed. Only a healthy verdict goes on by itself.
func (e *Engine) soak(ctx context.Context) error {
	spec := e.Plan.Soak
	if spec == nil {
		return nil
	}
	leave := e.countLosses(ctx, max(lossEvery, spec.For/120), lossEvery)
	defer leave()
	until := e.Log.State().Soak.Until
	if until.IsZero() {
		until = e.Now().Add(spec.For).UTC()
		if err := e.append(journal.Event{Type: journal.SoakBegun}, journal.SoakPlan{Until: until}); err != nil {
			return err
		}
	}
	for {
		verdict, why, err := e.watch(ctx, spec, until)
		if err != nil {
			return err
		}
		if err := e.append(journal.Event{Type: journal.Verdict, Key: verdict, Err: why}, nil); err != nil {
			return err
		}
		if verdict == healthy {
			return nil
		}
		a, err := e.askSoak(ctx, verdict, why, until)
		if err != nil {
			return err
		}
		if a.Choice == "accept" {
			return nil
		}
		if !e.Now().Before(until) {
			until = e.Now().Add(spec.For).UTC()
		}
		if err := e.append(journal.Event{Type: journal.SoakBegun}, journal.SoakPlan{Until: until}); err != nil {
			return err
		}
	}
}

// The verdicts of a soak.
const (
	healthy      = "healthy"
	degraded     = "degraded"
	inconclusive = "inconclusive"
)

func (e *Engine) askSoak(ctx context.Context, verdict, why string, until time.Time) (journal.Answer, error) {
	text := why
	if left := until.Sub(e.Now()).Round(time.Second); left > 0 {
		text += fmt.Sprintf("\nThe soak has %s to go.", left)
	}
	return e.decide(ctx, journal.Question{
		Kind: journal.AskSoak, Title: "Soak is " + verdict + ". Roll back?", Text: text,
		Options: []journal.Option{
			optRollback,
			{Choice: "extend", Label: "keep watching", Needs: "reason"},
			{Choice: "accept", Label: "accept it as it is and end the soak", Needs: "reason", Danger: true},
			optStop,
		},
	})
}

// sample is one look of a probe.
type sample struct {
	at    time.Time
	level checks.Level
	ms    float64
	text  string
}

// watched gathers the samples of all probes of one watch.
type watched struct {
	mu      sync.Mutex
	samples map[string][]sample
}

func (w *watched) add(probe string, s sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples[probe] = append(w.samples[probe], s)
}

func (w *watched) of(probe string) []sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.samples[probe])
}

// since returns the samples of all probes from t on.
func (w *watched) since(t time.Time) []sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []sample
	for _, ss := range w.samples {
		for _, s := range ss {
			if !s.at.Before(t) {
				all = append(all, s)
			}
		}
	}
	return all
}

// watch probes until the soak is over or a limit is passed for long enough. It
// measures by the clock that nobody can set: the wall clock only says, when a
// watch begins, how much of the soak an earlier belay has left, and never more
// than the whole.
func (e *Engine) watch(ctx context.Context, spec *plan.Soak, until time.Time) (verdict, why string, err error) {
	w := &watched{samples: map[string][]sample{}}
	begun, left := time.Now(), min(until.Sub(e.Now()), spec.For)
	probing, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for _, p := range spec.Watch {
		wg.Go(func() { e.probe(probing, p, w) })
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	recorded := begun
	for {
		select {
		case <-e.halts.ctx().Done():
			return "", "", e.halts.cause()
		case <-tick.C:
		}
		now := time.Now()
		over := now.Sub(begun) >= left
		if over || now.Sub(recorded) >= time.Second {
			recorded = now
			if err := e.tallies(spec, w); err != nil {
				return "", "", err
			}
		}
		if t := spec.RollbackWhen; t != nil && now.Sub(begun) >= t.For {
			if why := exceeded(*t, w.since(now.Add(-t.For))); why != "" {
				return degraded, why, e.tallies(spec, w)
			}
		}
		if over {
			verdict, why := judgeSoak(spec, w)
			return verdict, why, nil
		}
	}
}

// probe looks again and again until ctx ends.
func (e *Engine) probe(ctx context.Context, p plan.Probe, w *watched) {
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	for {
		if s, ok := e.sample(ctx, p); ok {
			w.add(p.ID, s)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sample looks once. The worst finding counts; a look that was cut short by
// the end of the soak does not.
func (e *Engine) sample(ctx context.Context, p plan.Probe) (sample, bool) {
	begun := time.Now()
	s := sample{at: begun, level: checks.Unknown}
	world := checks.World{Hosts: e.looking(), Secret: e.Secret, Prove: e.provedFinding}
	if n, ok := p.Do.(interface{ NeedsFacts() bool }); ok && n.NeedsFacts() {
		world.Facts, world.Unreached = checks.GatherAll(ctx, world.Hosts)
	}
	found, err := p.Do.Assess(ctx, world)
	if ctx.Err() != nil {
		return s, false
	}
	s.ms = float64(time.Since(begun).Microseconds()) / 1000
	if err != nil {
		s.text = err.Error()
		return s, true
	}
	for i, f := range found {
		if i == 0 || worse(f.Level, s.level) {
			s.level, s.text = f.Level, f.Text
		}
	}
	return s, true
}

// worse orders levels for a probe: what blocks, then what nobody knows.
func worse(a, b checks.Level) bool {
	rank := map[checks.Level]int{checks.Pass: 0, checks.Warn: 1, checks.Unknown: 2, checks.Block: 3}
	return rank[a] > rank[b]
}

func (e *Engine) looking() remote.Hosts {
	hosts := make(remote.Hosts, len(e.Hosts))
	for name, h := range e.Hosts {
		hosts[name] = remote.ReadOnly(h)
	}
	return hosts
}

// tallies records what each probe has seen so far.
func (e *Engine) tallies(spec *plan.Soak, w *watched) error {
	for _, p := range spec.Watch {
		ss := w.of(p.ID)
		if len(ss) == 0 {
			continue
		}
		t := journal.Tally{Probe: p.Title, Last: ss[len(ss)-1].text}
		t.Good, t.Bad, t.Unknown = count(ss)
		t.P50, t.P95 = quantile(ss, 0.50), quantile(ss, 0.95)
		for _, s := range ss[max(0, len(ss)-60):] {
			ms := s.ms
			if s.level == checks.Block || s.level == checks.Unknown {
				ms = -1
			}
			t.Recent = append(t.Recent, ms)
		}
		if err := e.append(journal.Event{Type: journal.Probed, Key: p.ID}, t); err != nil {
			return err
		}
	}
	return nil
}

func count(ss []sample) (good, bad, unknown int) {
	for _, s := range ss {
		switch s.level {
		case checks.Block:
			bad++
		case checks.Unknown:
			unknown++
		default:
			good++
		}
	}
	return good, bad, unknown
}

// quantile is over the looks that succeeded, in milliseconds; 0 without any.
func quantile(ss []sample, q float64) float64 {
	var ms []float64
	for _, s := range ss {
		if s.level == checks.Pass || s.level == checks.Warn {
			ms = append(ms, s.ms)
		}
	}
	if len(ms) == 0 {
		return 0
	}
	slices.Sort(ms)
	return ms[min(len(ms)-1, int(q*float64(len(ms))))]
}

// exceeded says which limit the samples pass; "" when none.
func exceeded(t plan.Trigger, ss []sample) string {
	good, bad, _ := count(ss)
	if n := good + bad; t.ErrorRate > 0 && n > 0 {
		if rate := float64(bad) / float64(n); rate > t.ErrorRate {
			return fmt.Sprintf("%.1f%% of %d looks failed in the last %s; the limit is %.1f%%", 100*rate, n, t.For, 100*t.ErrorRate)
		}
	}
	if p95 := time.Duration(quantile(ss, 0.95) * float64(time.Millisecond)); t.Latency > 0 && p95 > t.Latency {
		return fmt.Sprintf("95%% of looks took up to %s in the last %s; the limit is %s", p95.Round(time.Millisecond), t.For, t.Latency)
	}
	return ""
}

// judgeSoak says what the whole watch amounts to. Too little seen is
// inconclusive, never healthy.
func judgeSoak(spec *plan.Soak, w *watched) (verdict, why string) {
	limit := plan.Trigger{For: spec.For}
	if spec.RollbackWhen != nil {
		limit.ErrorRate, limit.Latency = spec.RollbackWhen.ErrorRate, spec.RollbackWhen.Latency
	}
	var said []string
	verdict = healthy
	for _, p := range spec.Watch {
		ss := w.of(p.ID)
		good, bad, unknown := count(ss)
		switch {
		case exceeded(limit, ss) != "":
			verdict = degraded
			said = append(said, p.Title+": "+exceeded(limit, ss))
		case limit.ErrorRate == 0 && bad > 0:
			verdict = degraded
			said = append(said, fmt.Sprintf("%s: %d of %d looks failed", p.Title, bad, len(ss)))
		case good+bad < 3 || unknown*5 > len(ss):
			if verdict == healthy {
				verdict = inconclusive
			}
			said = append(said, fmt.Sprintf("%s: only %d of %d looks gave an answer", p.Title, good+bad, len(ss)))
		}
	}
	if verdict == healthy {
		return verdict, "every probe stayed within its limits"
	}
	return verdict, strings.Join(said, "\n")
}
