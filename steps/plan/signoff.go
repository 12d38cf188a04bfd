package plan

import (
	"fmt"
	"reflect"
	"strings"

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
