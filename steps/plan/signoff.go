package plan

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/steps"
	"belay/steps/journal"
)

type itemFields struct {
	Check string `yaml:"check" doc:"what the machine fills in: a stage (assess or prepare), the id of a step of prepare, or the title of a check under assess"`
	Text  string `yaml:"text" scalar:"" doc:"what a person confirms; or how the checklist words the check"`
	ID    string `yaml:"id" doc:"name of the item for answers; made from the text when left out"`
}

// signoff reads the checklist; assess and all steps have been read.
func (b *builder) signoff(n *node) {
	if n == nil || n.bad || n.null() {
		return
	}
	if n.kind != list {
		b.c.add(n, "\"signoff\" takes a list: a text for people, {check: …} for the machine; not %s", n.describe())
		return
	}
	ids := map[string]int{}
	for _, raw := range n.items {
		told := b.c.n
		item := b.fill(raw, b.vars)
		var f itemFields
		b.value(item, reflect.ValueOf(&f).Elem(), &field{}, in{what: "a sign-off item"})
		if b.c.n > told || item.bad {
			continue
		}
		it := Item{Text: strings.TrimSpace(f.Text), ID: f.ID, Line: item.line}
		if f.Check != "" {
			b.machineItem(&it, f.Check, item.get("check"))
		}
		if it.Text == "" && b.c.n == told {
			b.c.add(item, "a sign-off item has a text, or a `check`")
		}
		if b.c.n > told {
			continue
		}
		if it.ID == "" {
			it.ID = slug(it.Text)
		}
		if first, twice := ids[it.ID]; twice {
			b.c.add(item, "sign-off item %s is the same as the one in line %d; give one of them another `id`", quote(it.ID), first)
		}
		ids[it.ID] = it.Line
		b.plan.Signoff = append(b.plan.Signoff, it)
	}
}

// machineItem finds what `check:` refers to.
func (b *builder) machineItem(it *Item, ref string, at *node) {
	text := ""
	switch st := b.plan.Step(ref); {
	case ref == string(journal.Assess):
		it.Stage, text = journal.Assess, "the assessment has passed"
	case ref == string(journal.Prepare):
		it.Stage, text = journal.Prepare, "every step of prepare is done"
	case ref == "cutover" || ref == "soak" || ref == "close" || ref == "signoff" || ref == "sign-off":
		b.c.add(at, "%s comes after the sign-off, so the checklist cannot wait for it", quote(ref))
	case st != nil && st.Stage == journal.Prepare:
		it.Step, text = st.ID, fmt.Sprintf("step “%s” is done", st.Title)
	case st != nil && st.Stage == journal.GoingBack:
		b.c.add(at, "step %s belongs to a way back, so the checklist cannot wait for it", quote(ref))
	case st != nil:
		b.c.add(at, "step %s belongs to %s, which comes after the sign-off", quote(ref), st.Stage)
	case b.titles[ref] == 1:
		it.Finding, text = ref, ref
	case b.titles[ref] > 1:
		b.c.add(at, "%d checks under assess have the title %s; give this one a `title` of its own", b.titles[ref], quote(ref))
	default:
		b.unknownItem(ref, at)
	}
	if it.Text == "" {
		it.Text = text
	}
}

func (b *builder) unknownItem(ref string, at *node) {
	if b.ids[ref] != 0 || b.untitled { // it may be what has problems of its own
		return
	}
	known := append(keys(b.ids), "assess", "prepare")
	known = append(known, keys(b.titles)...)
	b.c.add(at, "no stage, step or check is called %s%s", quote(ref), didYouMean(ref, known))
}

// assess reads the plan's own checks.
func (b *builder) assess(n *node) {
	b.eachCheck(n, "assess", func(item *node) {
		var own assessOwn
		kind, do := b.check(item, "an item under assess", &own)
		c := Check{Title: own.Title, Kind: kind, Do: do, Line: item.line}
		switch {
		case c.Title == "" && do == nil:
			b.untitled = true
			return
		case c.Title == "":
			c.Title = describe(kind.Name, do)
		}
		b.titles[c.Title]++
		if do != nil {
			b.plan.Assess = append(b.plan.Assess, c)
		}
	})
}

func (b *builder) eachCheck(n *node, name string, read func(*node)) {
	if n == nil || n.bad || n.null() {
		return
	}
	if n.kind != list {
		b.c.add(n, "%s takes a list of checks such as `- port: {port: 8088}`, not %s", quote(name), n.describe())
		return
	}
	for _, raw := range n.items {
		b.every(raw, b.vars, func(body *node, s scope) { read(b.fill(body, s)) })
	}
}

type soakFields struct {
	For          remote.Duration `yaml:"for" required:"" doc:"how long it is watched"`
	Watch        *node           `yaml:"watch" required:"" doc:"checks that are repeated, each with its own every"`
	RollbackWhen *triggerFields  `yaml:"rollback_when" doc:"when a rollback is proposed"`
}

type triggerFields struct {
	ErrorRate percent         `yaml:"error_rate" doc:"share of probes that fail, such as 5%"`
	Latency   remote.Duration `yaml:"latency" doc:"of the slowest twentieth of the probes (p95)"`
	For       remote.Duration `yaml:"for" required:"" doc:"how long a limit must be exceeded"`
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

// minEvery keeps a probe from flooding a server.
const minEvery = 10 * time.Millisecond

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
	b.eachCheck(f.Watch, "watch", func(item *node) {
		var own watchOwn
		kind, do := b.check(item, "an item under watch", &own)
		if do == nil || !b.provable(item, do) {
			return
		}
		if time.Duration(own.Every) < minEvery {
			b.c.add(item, "`every` is at least %v", minEvery)
			return
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
		s.Watch = append(s.Watch, p)
	})
	if f.Watch != nil && !f.Watch.bad && (f.Watch.null() || f.Watch.kind == list && len(f.Watch.items) == 0) {
		b.c.add(f.Watch, "nothing is watched; give at least one check, or remove `soak`")
	}
	s.RollbackWhen = b.trigger(f.RollbackWhen, n.get("rollback_when"), s.For)
	b.plan.Soak = s
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

func (b *builder) trigger(f *triggerFields, n *node, soak time.Duration) *Trigger {
	if f == nil || n == nil || n.bad {
		return nil
	}
	t := &Trigger{ErrorRate: float64(f.ErrorRate), Latency: time.Duration(f.Latency), For: time.Duration(f.For)}
	if n.kind == mapping && n.get("error_rate") == nil && n.get("latency") == nil {
		b.c.add(n, "rollback_when has no limit; give error_rate or latency")
	}
	if t.For > soak && soak > 0 {
		b.c.add(n.getOr("for"), "longer than the whole soak, so it could never come true")
	}
	return t
}
