package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/soak"
)

// watching looks with all probes of a soak, and folds what they see. What an
// earlier belay saw is in it from the beginning; the time in which none looked
// on is left out, and is neither good nor bad.
type watching struct {
	e     *Engine
	spec  *plan.Soak
	begun time.Time     // by the clock that nobody can set
	had   time.Duration // what was watched before

	mu     sync.Mutex
	probes map[string]*probing

	stop func()
}

// probing is one probe of it.
type probing struct {
	plan.Probe
	series *soak.Series
	looks  []journal.Look
	sent   int // of looks: how many are in the journal
	last   string
	unit   string
	told   map[int]bool // triggers that were noted
	memory map[string]string
	kept   map[string]string // what the journal has of memory
}

func (e *Engine) watching(ctx context.Context, spec *plan.Soak) *watching {
	s := e.Log.State().Soak
	w := &watching{e: e, spec: spec, begun: time.Now(), had: s.Watched, probes: map[string]*probing{}}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, p := range spec.Watch {
		rules := e.rules(spec, p)
		q := &probing{Probe: p, series: soak.New(rules), told: map[int]bool{}, memory: map[string]string{}}
		maps.Copy(q.memory, s.Memory[p.ID])
		q.kept = maps.Clone(q.memory)
		for _, l := range s.Looks[p.ID] {
			q.series.Add(l)
		}
		for _, r := range rules {
			same := func(other soak.Rule) bool { return r.Tell && other.Trigger == r.Trigger }
			if _, _, ok := q.series.Broken(same); ok {
				q.told[r.Trigger] = true // by the belay that saw it
			}
		}
		q.looks = append(q.looks, s.Looks[p.ID]...)
		q.sent, q.last, q.unit = len(q.looks), s.Probes[p.ID].Last, s.Probes[p.ID].Unit
		w.probes[p.ID] = q
		wg.Go(func() { w.look(ctx, q) })
	}
	w.stop = func() { cancel(); wg.Wait() }
	return w
}

// watched is how long belay has looked on in all.
func (w *watching) watched() time.Duration { return w.had + time.Since(w.begun) }

// look looks again and again until ctx ends.
func (w *watching) look(ctx context.Context, p *probing) {
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	for {
		w.mu.Lock()
		memory := maps.Clone(p.memory)
		w.mu.Unlock()
		if f, ok := w.e.sample(ctx, p.Do, memory); ok {
			w.mu.Lock()
			l := lookOf(f)
			l.At = w.watched().Milliseconds()
			p.looks, p.last, p.memory = append(p.looks, l), f.Text, memory
			if f.Unit != "" {
				p.unit = f.Unit
			}
			p.series.Add(l)
			w.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func lookOf(f checks.Finding) journal.Look {
	l := journal.Look{Was: journal.LookUnknown}
	switch f.Level {
	case checks.Pass, checks.Warn:
		l.Was, l.Took = journal.LookGood, f.Took
	case checks.Block:
		l.Was = journal.LookBad
	}
	return l
}

// sample looks once. The worst finding counts, and the longest measure; a look
// that was cut short by the end of the watch does not.
func (e *Engine) sample(ctx context.Context, do checks.Check, memory map[string]string) (checks.Finding, bool) {
	world := checks.World{Hosts: e.looking(), Secret: e.Secret, Prove: e.provedFinding, Memory: memory}
	if n, ok := do.(checks.FactReader); ok && n.NeedsFacts() {
		world.Facts, world.Unreached = checks.GatherAll(ctx, world.Hosts)
	}
	found, err := do.Assess(ctx, world)
	worst := checks.Finding{Level: checks.Unknown, Text: "the check said nothing"}
	switch {
	case ctx.Err() != nil:
		return worst, false
	case err != nil:
		worst.Text = err.Error()
		return worst, true
	}
	for i, f := range found {
		took := max(worst.Took, f.Took)
		if i == 0 || worse(f.Level, worst.Level) {
			worst = f
		}
		worst.Took = took
	}
	return worst, true
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

// left is for how long to watch: until the soak is over, by the wall clock, and
// never longer than the whole. Where nobody looked on for a while, that is no
// shorter than the time that the limits take, for the end of a soak that nobody
// saw says nothing.
func (w *watching) left(until time.Time) time.Duration {
	k, now := w.e.Log.State().Soak, w.e.Now()
	limits := time.Duration(0)
	for _, t := range w.spec.RollbackWhen {
		limits = max(limits, t.For)
	}
	unseen := now.Sub(k.Since) - k.Watched
	return min(max(until.Sub(now), min(unseen, limits)), w.spec.For)
}

// watch waits until the soak is over or a limit is passed for long enough. It
// measures by the clock that nobody can set: the wall clock is only asked when
// a watch begins.
func (w *watching) watch(until time.Time) (judged, error) {
	left := w.left(until)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	recorded := w.begun
	for {
		select {
		case <-w.e.halts.ctx().Done():
			return judged{}, w.e.halts.cause()
		case <-tick.C:
		}
		found, fired := w.fired()
		over := time.Since(w.begun) >= left
		if fired || over || time.Since(recorded) >= time.Second {
			recorded = time.Now()
			if err := w.record(); err != nil {
				return judged{}, err
			}
		}
		switch {
		case fired:
			return found, nil
		case over:
			return w.end(), nil
		}
	}
}

// fired is the first limit that has been passed for the whole of its time. One
// that rolls back by itself goes first, whatever else is passed.
func (w *watching) fired() (judged, bool) {
	if found, ok := w.byItself(); ok {
		return found, true
	}
	return w.broken(func(r soak.Rule) bool { return !r.Tell })
}

// byItself is the first limit of those that roll back by themselves.
func (w *watching) byItself() (judged, bool) {
	return w.broken(func(r soak.Rule) bool { return w.spec.RollbackWhen[r.Trigger].Then == plan.Automatic })
}

func (w *watching) broken(wanted func(soak.Rule) bool) (judged, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.spec.Watch {
		if rule, why, ok := w.probes[p.ID].series.Broken(wanted); ok {
			return judged{soak.Degraded, p.Title + ": " + why, &w.spec.RollbackWhen[rule.Trigger]}, true
		}
	}
	return judged{}, false
}

// end is what the whole watch comes to.
func (w *watching) end() judged {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := judged{verdict: soak.Healthy}
	var said []string
	watched := w.watched()
	for _, p := range w.spec.Watch {
		verdict, why := w.probes[p.ID].series.End(watched)
		if verdict == soak.Degraded || verdict == soak.Inconclusive && j.verdict == soak.Healthy {
			j.verdict = verdict
		}
		if why != "" {
			said = append(said, p.Title+": "+why)
		}
	}
	k := w.e.Log.State().Soak
	if whole := min(k.Until.Sub(k.Since), w.spec.For); watched < whole/2 {
		if j.verdict == soak.Healthy {
			j.verdict = soak.Inconclusive
		}
		said = append(said, fmt.Sprintf("belay itself looked on for only %s of %s", soak.Span(watched), soak.Span(whole)))
	}
	j.why = strings.Join(said, "\n")
	if j.verdict == soak.Healthy && j.why == "" {
		j.why = "every probe stayed within its limits"
	}
	return j
}

// record writes what is new since the last time into the journal.
func (w *watching) record() error {
	for _, p := range w.spec.Watch {
		for _, ev := range w.news(p.ID) {
			if err := w.e.Log.Append(ev); err != nil {
				return err
			}
		}
	}
	return nil
}

// news are the events of one probe that are not written yet.
func (w *watching) news(id string) []journal.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.probes[id]
	if p.sent == len(p.looks) {
		return nil
	}
	var all []journal.Event
	add := func(what journal.Type, data any) {
		if b, err := json.Marshal(data); err == nil { // of our own types: it always is
			all = append(all, journal.Event{Type: what, Key: id, Data: b})
		}
	}
	if !maps.Equal(p.memory, p.kept) {
		p.kept = maps.Clone(p.memory)
		add(journal.Marked, p.kept)
	}
	t := journal.Tally{Probe: p.Title, Last: p.last, Unit: p.unit, Over: p.series.Over(), Looks: p.looks[p.sent:]}
	soak.Count(&t, p.looks)
	p.sent = len(p.looks)
	add(journal.Probed, t)
	untold := func(r soak.Rule) bool { return r.Tell && !p.told[r.Trigger] }
	if rule, why, ok := p.series.Broken(untold); ok {
		p.told[rule.Trigger] = true
		all = append(all, journal.Event{Type: journal.Noted, Key: "soak, only observed: " + p.Title + ": " + why})
	}
	return all
}

// mark has the probes that count from the cutover on note where that is.
func (e *Engine) mark(ctx context.Context) error {
	if e.Plan.Soak == nil {
		return nil
	}
	for _, p := range e.Plan.Soak.Watch {
		m, ok := p.Do.(checks.Marker)
		if _, done := e.Log.State().Soak.Memory[p.ID]; !ok || !m.Marks() || done {
			continue
		}
		memory := map[string]string{}
		if err := m.Mark(ctx, checks.World{Hosts: e.looking(), Memory: memory}); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := e.noteOnce(fmt.Sprintf("%s: nobody knows where the log ended before the cutover, so that the soak will not judge it: %v", p.Title, err)); err != nil {
				return err
			}
		}
		b, err := json.Marshal(memory)
		if err != nil {
			return err
		}
		if err := e.Log.Append(journal.Event{Type: journal.Marked, Key: p.ID, Data: b}); err != nil {
			return err
		}
	}
	return nil
}
