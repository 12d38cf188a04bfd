package plan

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/steps"
	"belay/steps/journal"
)

type soakFields struct {
	For          remote.Duration `yaml:"for" required:"" doc:"how long it is watched"`
	Watch        *node           `yaml:"watch" required:"" doc:"checks that are repeated, each with its own every"`
	RollbackWhen []triggerFields `yaml:"rollback_when" doc:"limits; one that is passed for long enough proposes a rollback"`
}

type triggerFields struct {
	ErrorRate  percent         `yaml:"error_rate" doc:"share of a probe's looks that fail, such as 5%"`
	Latency    remote.Duration `yaml:"latency" doc:"of the slowest twentieth of a probe's looks (p95)"`
	SlowerThan times           `yaml:"slower_than" doc:"so many times what the old server took, in the middle (p50) or in the slowest twentieth (p95): 2x; of probes that have old"`
	MoreErrors percent         `yaml:"more_errors" doc:"share of failing looks above the old server's, such as 2%; of probes that have old"`
	For        remote.Duration `yaml:"for" required:"" doc:"how long a limit must be exceeded"`
	Of         []string        `yaml:"of" doc:"titles of the probes that are judged by this; all when left out"`
	Then       string          `yaml:"then" enum:"propose|tell|automatic" default:"propose" doc:"what comes of it: a proposal to a person, a note and nothing more, or a rollback by itself after a countdown that any answer stops"`
	Countdown  remote.Duration `yaml:"countdown" doc:"of then: automatic; 60s when left out"`
	Way        string          `yaml:"way" doc:"way back that then: automatic takes, where the plan has several"`
}

// percent is a share: 5% is 0.05.
type percent float64

func (p *percent) UnmarshalText(b []byte) error {
	var x float64
	var rest string
	if n, _ := fmt.Sscanf(string(b), "%f%s", &x, &rest); n != 2 || rest != "%" || !(x > 0 && x <= 100) {
		return fmt.Errorf("%s is not a share between 0 and 100, such as 5%%", quote(string(b)))
	}
	*p = percent(x / 100)
	return nil
}

// times is a factor above 1: 2x.
type times float64

func (t *times) UnmarshalText(b []byte) error {
	var x float64
	var rest string
	if n, _ := fmt.Sscanf(string(b), "%f%s", &x, &rest); n != 2 || rest != "x" || !(x > 1 && x <= 1e6) {
		return fmt.Errorf("%s is not so many times as much, such as 1.5x or 2x", quote(string(b)))
	}
	*t = times(x)
	return nil
}

// What holds where a plan says nothing. DefaultSlower and DefaultMore are for
// plans with baselines.
const (
	DefaultSlower    = 2
	DefaultMore      = 0.05
	DefaultCountdown = time.Minute
	minCountdown     = time.Second
	minEvery         = 10 * time.Millisecond // keeps a probe from flooding a server
)

// soak reads what is watched; n is where it stands.
func (b *builder) soak(f *soakFields, n *node) {
	if f == nil || n == nil {
		return
	}
	s := &Soak{For: time.Duration(f.For)}
	if at := n.get("for"); s.For == 0 && at != nil && !at.bad {
		b.c.add(at, "a soak has a length")
	}
	taken := map[string]bool{}
	told := b.c.n
	b.eachCheck(f.Watch, "watch", func(item *node) {
		if p, ok := b.probe(item, taken); ok {
			s.Watch = append(s.Watch, p)
		}
	})
	if f.Watch != nil && !f.Watch.bad && (f.Watch.null() || f.Watch.kind == list && len(f.Watch.items) == 0) {
		b.c.add(f.Watch, "nothing is watched; give at least one check, or remove `soak`")
	}
	whole := b.c.n == told
	at := []*node{n.get("rollback_when")}
	if at[0] != nil && at[0].kind == list {
		at = at[0].items
	}
	for i, t := range f.RollbackWhen {
		if i < len(at) && !at[i].bad {
			s.RollbackWhen = append(s.RollbackWhen, b.trigger(t, at[i], s, whole))
		}
	}
	s.compare()
	b.plan.Soak = s
}

// probe reads one item under watch.
func (b *builder) probe(item *node, taken map[string]bool) (Probe, bool) {
	var own watchOwn
	kind, do := b.check(item, "an item under watch", &own)
	if do == nil || !b.provable(item, do) {
		return Probe{}, false
	}
	if time.Duration(own.Every) < minEvery {
		b.c.add(item, "`every` is at least %v", minEvery)
		return Probe{}, false
	}
	p := Probe{Check: Check{Title: own.Title, Kind: kind, Do: do, Line: item.line}, Every: time.Duration(own.Every)}
	if p.Title == "" {
		p.Title = describe(kind.Name, do)
	}
	p.ID = slug(p.Title)
	for i := 2; taken[p.ID]; i++ {
		p.ID = fmt.Sprintf("%s-%d", slug(p.Title), i)
	}
	taken[p.ID] = true
	if own.Old != nil && !own.Old.bad {
		p.Old = b.old(own.Old, item.get(kind.Name), kind, do)
	}
	return p, true
}

// old is the same check, of the old server: with the parameters that old gives
// instead of the probe's own.
func (b *builder) old(old, own *node, kind checks.Kind, do checks.Check) checks.Check {
	if _, ok := do.(*checks.StepCheck); ok {
		b.c.add(old, "a step proves what is the same on both servers; it has no `old`")
		return nil
	}
	if m, ok := do.(checks.Marker); ok && m.Marks() {
		b.c.add(old, "what is counted since the cutover was not there before it; it has no `old`")
		return nil
	}
	if old.kind == scalar && old.text == "same" {
		return do
	}
	t := reflect.TypeOf(do).Elem()
	w := in{what: fmt.Sprintf("check %q", kind.Name), key: old}
	s := shapeOf(t)
	over, base := b.asMapping(old, t, s, w), b.asMapping(own, t, s, w)
	if over == nil || base == nil {
		return nil
	}
	merged := *base.without(shapeOf(reflect.TypeFor[watchOwn]()).names()...)
	merged.line, merged.col = old.line, old.col
	for _, p := range over.pairs {
		merged.pairs = append(merged.without(p.key.text).pairs, p)
	}
	told := b.c.n
	other := kind.New()
	b.params(&merged, old, other, fmt.Sprintf("old of check %q", kind.Name), true)
	if b.c.n > told {
		return nil
	}
	return other
}

// provable refuses a watch over a step that proves nothing.
func (b *builder) provable(item *node, do checks.Check) bool {
	c, ok := do.(*checks.StepCheck)
	if !ok {
		return true
	}
	st := b.plan.Step(c.ID)
	switch {
	case st == nil && b.ids[c.ID] == 0:
		b.c.add(item, "no step is called %s%s", quote(c.ID), didYouMean(c.ID, keys(b.ids)))
	case st == nil: // it has problems of its own
	case st.Stage == journal.GoingBack:
		b.c.add(item, "step %s belongs to a way back, so it has not run while the soak is watched", quote(c.ID))
	default:
		if _, ok := st.Do.(steps.Prover); ok {
			return true
		}
		b.c.add(item, "step %s is a %s, which proves nothing that could be proved again; a compare does", quote(c.ID), st.Kind.Name)
	}
	return false
}

// trigger reads one limit; whole says that all probes are known.
func (b *builder) trigger(f triggerFields, n *node, s *Soak, whole bool) Trigger {
	t := Trigger{ErrorRate: float64(f.ErrorRate), Latency: time.Duration(f.Latency), SlowerThan: float64(f.SlowerThan),
		MoreErrors: float64(f.MoreErrors), For: time.Duration(f.For), Then: f.Then, Countdown: time.Duration(f.Countdown), Way: f.Way}
	given := func(names ...string) bool {
		return n.kind == mapping && slices.ContainsFunc(names, func(name string) bool { return n.get(name) != nil })
	}
	if n.kind == mapping && !given("error_rate", "latency", "slower_than", "more_errors") {
		b.c.add(n, "rollback_when has no limit; give error_rate or latency, or slower_than or more_errors to compare with the old server")
	}
	if t.For > s.For && s.For > 0 {
		b.c.add(n.getOr("for"), "longer than the whole soak, so it could never come true")
	}
	if whole {
		for _, title := range f.Of {
			i := slices.IndexFunc(s.Watch, func(p Probe) bool { return p.Title == title || p.ID == title })
			if i < 0 {
				b.c.add(n.getOr("of"), "no probe has the title %s%s", quote(title), didYouMean(title, s.titles()))
				continue
			}
			t.Of = append(t.Of, s.Watch[i].ID)
		}
		if given("slower_than", "more_errors") && !slices.ContainsFunc(s.Watch, func(p Probe) bool { return p.Old != nil && t.Judges(p) }) {
			b.c.add(n, "no probe has `old`, so there is nothing to compare with")
		}
	}
	b.automatic(&t, n, given)
	return t
}

// automatic sees to what a rollback needs that nobody is asked about.
func (b *builder) automatic(t *Trigger, n *node, given func(...string) bool) {
	if t.Then != Automatic {
		if given("countdown", "way") {
			b.c.add(n, "`countdown` and `way` belong to `then: automatic`")
		}
		return
	}
	switch {
	case !given("countdown"):
		t.Countdown = DefaultCountdown
	case t.Countdown < minCountdown:
		b.c.add(n.getOr("countdown"), "nobody could stop it: `countdown` is at least %v", minCountdown)
	}
	var names []string
	for _, w := range b.plan.Ways {
		names = append(names, w.Name)
	}
	switch {
	case t.Way != "" && !slices.Contains(names, t.Way):
		b.c.add(n.getOr("way"), "no way back is called %s%s", quote(t.Way), didYouMean(t.Way, names))
	case t.Way == "" && len(names) == 1:
		t.Way = names[0]
	case t.Way == "" && len(names) > 1:
		b.c.add(n, "nobody is there to choose a way back: `way` is one of %s", strings.Join(names, ", "))
	}
}

// compare adds what holds of baselines where the plan says nothing of them.
func (s *Soak) compare() {
	said := slices.ContainsFunc(s.RollbackWhen, func(t Trigger) bool { return t.SlowerThan > 0 || t.MoreErrors > 0 })
	if said || !slices.ContainsFunc(s.Watch, func(p Probe) bool { return p.Old != nil }) {
		return
	}
	t := Trigger{SlowerThan: DefaultSlower, MoreErrors: DefaultMore, For: s.For / 2, Then: Propose, Default: true}
	if len(s.RollbackWhen) > 0 {
		t.For = s.RollbackWhen[0].For
	}
	s.RollbackWhen = append(s.RollbackWhen, t)
}

func (s *Soak) titles() []string {
	var all []string
	for _, p := range s.Watch {
		all = append(all, p.Title)
	}
	return all
}

// Judges tells whether the trigger is about a probe.
func (t Trigger) Judges(p Probe) bool { return len(t.Of) == 0 || slices.Contains(t.Of, p.ID) }

// soakManual is what a plan may say of its soak.
func soakManual() string {
	var b strings.Builder
	b.WriteString("soak (section of a plan)\n")
	wrap(&b, "  ", "What is watched after the cutover. The verdict is healthy, degraded or inconclusive; only healthy goes on by itself. "+
		"Degraded: a limit was passed for the whole of its `for`. Inconclusive: too few answers, a limit that was passed again and again but never for long (flapping), "+
		"or in sum, no baseline to compare with; then a person is asked to watch longer, to end the soak or to roll back. A look that could not be made is neither good nor bad.")
	wrap(&b, "  ", fmt.Sprintf("A probe with `old` is measured on the old server too, from prepare until the cutover's gate is passed; what was seen stays in the journal. "+
		"Where no limit names slower_than or more_errors, %dx and %d%% hold. Differences that nobody would notice (25 ms, a quarter of a CPU's load) never count. "+
		"The gate of the cutover waits until it gave 12 good answers, or 24 in all; until then it is asked every 5s at least. "+
		"With fewer than 12 good answers there is no baseline, and the verdict is inconclusive at best.", DefaultSlower, int(DefaultMore*100)))
	wrap(&b, "  ", "`then: automatic` begins a rollback when its countdown has run out, also when nobody looks on: that is its sense. One key (h) stops the countdown, "+
		"which is written down with the name; from then on belay only asks, for the rest of the run. It begins only while the limit is still seen to be passed: recovered, the countdown ends. "+
		"While a proposal waits for a person, belay looks on: it holds up no limit of this kind. "+
		"Headless, the answer to the question soak is hold, rollback, extend, accept or stop; without one in the file the countdown goes on. "+
		"After a restart in the middle of a countdown belay trusts nothing that it did not see itself: it looks again, and counts down anew in full. "+
		"Nor does a soak end healthy where nobody looked on at its end: then belay looks for as long as the limits take.")
	b.WriteString("\n  Parameters\n")
	rows(&b, reflect.TypeFor[soakFields](), "    ", false, map[reflect.Type]bool{})
	b.WriteString("\n  Each probe, beside its kind\n")
	rows(&b, reflect.TypeFor[watchOwn](), "    ", false, map[reflect.Type]bool{})
	exampleOf(&b, soakExample)
	return b.String()
}

const soakExample = `
soak:
  for: 1h
  watch:
    - http: {on: new, url: "http://127.0.0.1:8080/health"}
      title: The API answers
      every: 5s
      old: {on: old, url: "http://127.0.0.1:3000/health"}
    - log: {on: new, unit: api, absent: "panic|FATAL", since: cutover, at_most: 3}
      title: The API does not panic
    - load: {on: new, cpu: 2, memory: 90%, disk: 90%}
      title: The new server has room
      old: {on: old}
  rollback_when:
    - {error_rate: 5%, for: 10m, then: automatic, countdown: 60s}
    - {slower_than: 1.5x, for: 10m}
    - {latency: 300ms, for: 5m, of: The API answers, then: tell}
`
