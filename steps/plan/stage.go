package plan

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"belay/steps/journal"
)

// maxSteps is how many steps a plan may have once `each` is written out.
const maxSteps = 20_000

// builder is one reading of a plan.
type builder struct {
	decoder
	filler
	c      *collector // the same one in all three
	plan   *Plan
	vars   scope
	stage  journal.Stage
	ids    map[string]int // step id → line
	steps  int
	titles map[string]int // check title → how many; for sign-off

	yamlOut  writer
	untitled bool // a check has problems, so that its title is not known
}

type togetherFields struct {
	Together *node  `yaml:"together" required:"" doc:"steps that run at the same time; or lanes, {lane: title, steps: […]}, each a sequence of steps"`
	Title    string `yaml:"title" doc:"how the screens call the whole"`
	Each     *node  `yaml:"each" doc:"write every lane once for every value: {db: [shop, blog]}, then ${{ db }}"`
}

type laneFields struct {
	Lane  string `yaml:"lane" required:"" doc:"title"`
	Steps *node  `yaml:"steps" required:"" doc:"steps, one after the other"`
	Each  *node  `yaml:"each" doc:"write the lane once for every value"`
}

// groups reads the steps of a stage.
func (b *builder) groups(n *node, stage journal.Stage) []Group {
	return b.groupList(n, string(stage), stage)
}

// groupList reads the list of steps under the key name.
func (b *builder) groupList(n *node, name string, stage journal.Stage) []Group {
	if n == nil || n.bad || n.null() {
		return nil
	}
	b.stage = stage
	if n.kind != list {
		b.decoder.c.add(n, "%s takes a list of steps, each beginning with `- step:`, not %s", quote(name), n.describe())
		return nil
	}
	var all []Group
	for _, item := range n.items {
		if item.kind == mapping && item.get("together") != nil {
			all = append(all, b.together(item))
			continue
		}
		for _, st := range b.stepsOf(item, b.vars) {
			all = append(all, Group{Title: st.Title, Lanes: []Lane{{Title: st.Title, Steps: []*Step{st}}}, Line: st.Line})
		}
	}
	return all
}

// stepsOf reads one item of a list of steps: several with `each`. Steps with
// problems are left out.
func (b *builder) stepsOf(item *node, s scope) []*Step {
	if item.bad {
		return nil
	}
	if item.kind != mapping {
		b.c.add(item, "a step is a mapping that begins with `step:` and its title, not %s", item.describe())
		return nil
	}
	if item.get("together") != nil {
		b.c.add(item.pair("together").key, "`together` cannot stand inside another; lanes hold steps only")
		return nil
	}
	var all []*Step
	b.every(item, s, func(body *node, s scope) {
		if b.steps++; b.steps > maxSteps {
			b.tooMany(item)
			return
		}
		if st := b.step(b.fill(body, s), body, s); st != nil {
			all = append(all, st)
		}
	})
	return all
}

func (b *builder) tooMany(n *node) {
	b.full = true
	b.c.add(n, "the plan has more than %d steps", maxSteps)
}

// together reads lanes that run at the same time.
func (b *builder) together(item *node) Group {
	g := Group{Line: item.line}
	var f togetherFields
	head := item.without("together", "each")
	b.structure(b.withRaw(head, item, "together", "each", b.vars), reflect.ValueOf(&f).Elem(), in{what: "together"}, nil)
	g.Title = f.Title
	lanes := item.get("together")
	if lanes.kind != list || len(lanes.items) == 0 {
		b.c.add(lanes, "`together` takes a list of steps or of lanes, not %s", lanes.describe())
		return g
	}
	b.every(item, b.vars, func(_ *node, s scope) {
		for _, lane := range lanes.items {
			g.Lanes = append(g.Lanes, b.lanes(lane, s)...)
		}
	})
	return g
}

// withRaw fills head in and puts the named values of item back unfilled: they
// are filled in one by one, with what `each` says.
func (b *builder) withRaw(head, item *node, one, two string, s scope) *node {
	n := *b.fill(head, s)
	for _, name := range []string{one, two} {
		if p := item.pair(name); p != nil {
			n.pairs = append(n.pairs, *p)
		}
	}
	return &n
}

// lanes reads one item under together.
func (b *builder) lanes(item *node, s scope) []Lane {
	var all []Lane
	if item.kind != mapping || item.get("lane") == nil && item.get("steps") == nil {
		for _, st := range b.stepsOf(item, s) {
			all = append(all, Lane{Title: st.Title, Steps: []*Step{st}})
		}
		return all
	}
	b.every(item, s, func(body *node, s scope) {
		var f laneFields
		head := b.withRaw(body.without("steps"), item, "steps", "", s)
		b.structure(head, reflect.ValueOf(&f).Elem(), in{what: "a lane"}, nil)
		b.title(head, "lane", f.Lane)
		l := Lane{Title: f.Lane}
		for _, t := range s.each {
			if raw := body.get("lane"); raw != nil && !uses(raw.text, t.name) {
				l.Title += " (" + t.suffix + ")"
			}
		}
		switch {
		case f.Steps == nil:
		case f.Steps.kind != list || len(f.Steps.items) == 0:
			b.c.add(f.Steps, "`steps` of a lane takes a list of steps, not %s", f.Steps.describe())
		default:
			for _, st := range f.Steps.items {
				l.Steps = append(l.Steps, b.stepsOf(st, s)...)
			}
		}
		all = append(all, l)
	})
	return all
}

var eachName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// every calls write with item and its scope: once, or with `each` once a value.
func (b *builder) every(item *node, s scope, write func(*node, scope)) {
	p := item.pair("each")
	if p == nil {
		write(item, s)
		return
	}
	body := item.without("each")
	n := b.fill(p.val, s)
	if n.bad {
		return
	}
	if n.kind != mapping || len(n.pairs) != 1 {
		b.c.add(p.val, "`each` takes one name with its values: {db: [shop, blog]}")
		return
	}
	name, values := n.pairs[0].key, n.pairs[0].val
	switch {
	case !eachName.MatchString(name.text):
		b.c.add(name, "%s cannot name a variable: letters, digits, - and _ only", quote(name.text))
		return
	case s.has(name.text):
		b.c.add(name, "there is a variable %s already; take another name", quote(name.text))
		return
	case values.kind != list || len(values.items) == 0:
		b.c.add(values, "`each` takes a list of values, not %s", values.describe())
		return
	}
	seen := map[string]int{}
	for i, v := range values.items {
		if b.full {
			return
		}
		suffix, ok := b.turnName(v, i)
		if !ok {
			continue
		}
		if first, twice := seen[slug(suffix)]; twice {
			b.c.add(v, "too like the value in line %d to tell their steps apart", first)
			continue
		}
		seen[slug(suffix)] = v.line
		write(body, s.with(turn{name.text, v, suffix}))
	}
}

// turnName is what tells the steps of one value from those of the others: the
// value, or of a map the value under name, else its first.
func (b *builder) turnName(v *node, i int) (string, bool) {
	if v.bad {
		return "", false
	}
	if v.kind == scalar && !v.null() {
		return v.text, true
	}
	if v.kind != mapping || len(v.pairs) == 0 {
		b.c.add(v, "a value of `each` is a single value or a mapping of them, not %s", v.describe())
		return "", false
	}
	for _, p := range v.pairs {
		if p.val.kind != scalar {
			b.c.add(p.val, "a mapping under `each` holds single values, not %s", p.val.kind)
			return "", false
		}
	}
	if named := v.get("name"); named != nil {
		return named.text, true
	}
	if v.pairs[0].val.text == "" {
		return fmt.Sprint(i + 1), true
	}
	return v.pairs[0].val.text, true
}

func (s scope) has(name string) bool {
	for _, t := range s.each {
		if t.name == name {
			return true
		}
	}
	for v := range s.vars {
		if v == name || strings.HasPrefix(v, name+".") {
			return true
		}
	}
	return false
}
