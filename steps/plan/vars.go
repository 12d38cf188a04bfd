package plan

import (
	"regexp"
	"strings"
)

var varForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// variables fills in the plan's variables, which may use one another in any
// order.
func (b *builder) variables(n *node) {
	v := &resolver{b: b, raw: map[string]*node{}, open: map[string]bool{}}
	b.vars = scope{vars: map[string]*node{}}
	pairs := b.section(n, "vars")
	for _, p := range pairs {
		name := p.key.text
		switch {
		case !varForm.MatchString(name):
			b.c.add(p.key, "%s cannot name a variable: letters, digits, - and _ only", quote(name))
			continue
		case p.val.kind != scalar:
			b.c.add(p.val, "variable %s takes a single value, not %s", quote(name), p.val.kind)
			p.val = &node{tag: "!!str", file: p.val.file, line: p.val.line, col: p.val.col, bad: true}
		case p.val.null():
			b.c.add(p.key, "variable %s has no value; write \"\" for an empty text", quote(name))
			p.val = &node{tag: "!!str", file: p.val.file, line: p.val.line, col: p.val.col, bad: true}
		}
		v.raw[name] = p.val
		v.order = append(v.order, name)
	}
	for _, name := range v.order {
		v.resolve(name)
	}
	for name, val := range b.vars.vars {
		b.plan.Vars[name] = val.text
	}
}

// resolver walks from a variable to those that it uses.
type resolver struct {
	b     *builder
	raw   map[string]*node
	order []string
	open  map[string]bool
	way   []string
}

func (v *resolver) resolve(name string) {
	n := v.raw[name]
	if n == nil || v.b.vars.vars[name] != nil {
		return
	}
	if v.open[name] {
		v.b.c.add(n, "variables refer to each other in a circle: %s", strings.Join(append(v.way, name), " → "))
		broken := *n
		broken.bad, broken.refs = true, false
		v.b.vars.vars[name] = &broken
		return
	}
	v.open[name] = true
	v.way = append(v.way, name)
	for _, p := range pieces(n.text) {
		if p.ref != "" {
			v.resolve(p.ref)
		}
	}
	v.way = v.way[:len(v.way)-1]
	if v.b.vars.vars[name] != nil { // a circle came back here
		return
	}
	// What is not filled in by now is not defined. Those whose turn is still to
	// come are named only for "did you mean".
	v.b.vars.vars[name] = v.b.fill(n, scope{vars: v.b.vars.vars, more: v.order})
}
