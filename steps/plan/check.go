package plan

import (
	"fmt"
	"maps"
	"reflect"
	"strings"

	"belay/checks"
	"belay/remote"
)

// A check of the assessment, or a probe of the soak, may say these beside its
// kind or among the kind's parameters.
type assessOwn struct {
	Title string `yaml:"title" doc:"how the table of findings calls it"`
}

type watchOwn struct {
	Title string          `yaml:"title" doc:"how the soak screen calls it"`
	Every remote.Duration `yaml:"every" default:"5s" doc:"time between two probes"`
	Old   *node           `yaml:"old" doc:"asks the old server the same before the cutover, to compare with: the parameters that differ there, such as {on: old}, or same"`
}

// check decodes one check, `{port: {port: 8088}}`. own points to the struct of
// what may stand beside it, or is nil. Without problems, the check is not nil.
func (d *decoder) check(n *node, what string, own any) (checks.Kind, checks.Check) {
	if n.bad {
		return checks.Kind{}, nil
	}
	if n.kind != mapping {
		d.c.add(n, "%s takes a check such as `port: {port: 8088}`, not %s", what, n.describe())
		return checks.Kind{}, nil
	}
	told := d.c.n
	var names []string
	if own != nil {
		names = shapeOf(reflect.TypeOf(own).Elem()).names()
	}
	p, kind := oneKind(d, n, what, names, d.kinds.Checks)
	if p == nil {
		return kind, nil
	}
	do := kind.New()
	body := p.val
	if own != nil {
		body = d.own(n, p, reflect.TypeOf(do), own)
	}
	d.params(body, p.key, do, fmt.Sprintf("check %q", kind.Name), true)
	if d.c.n > told || body.bad {
		return kind, nil
	}
	return kind, do
}

// own decodes what belongs to the item and returns the kind's parameters
// without it. Where a kind has a parameter of that name itself, it is the kind's.
func (d *decoder) own(n *node, p *pair, kind reflect.Type, own any) *node {
	s := shapeOf(reflect.TypeOf(own).Elem())
	mine := &node{kind: mapping, file: n.file, line: n.line, col: n.col}
	for _, name := range s.names() {
		if q := n.pair(name); q != nil {
			mine.pairs = append(mine.pairs, *q)
		}
		if kind.Elem().Kind() == reflect.Struct && shapeOf(kind.Elem()).byName[name] != nil {
			continue
		}
		if q := p.val.pair(name); q != nil {
			if n.get(name) != nil {
				d.c.add(q.key, "%s stands both beside the check and in it", quote(name))
			}
			mine.pairs = append(mine.pairs, *q)
		}
	}
	d.structure(mine, reflect.ValueOf(own).Elem(), in{what: fmt.Sprintf("check %q", p.key.text)}, nil)
	if p.val.kind == mapping {
		var names []string
		for _, q := range mine.pairs {
			if p.val.get(q.key.text) == q.val {
				names = append(names, q.key.text)
			}
		}
		return p.val.without(names...)
	}
	return p.val
}

// params fills a kind's parameters and asks the kind about them, unless they
// have problems already.
func (d *decoder) params(n, key *node, do any, what string, check bool) {
	told := d.c.n
	d.value(n, reflect.ValueOf(do).Elem(), &field{}, in{what: what, key: key, check: check})
	if d.c.n > told || n.bad {
		return
	}
	if v, ok := do.(checks.Validator); ok { // steps.Validator has the same method
		if err := v.Validate(); err != nil {
			d.refusals(err, n, key)
		}
	}
	if h, ok := do.(checks.Hoster); ok {
		for _, name := range h.HostNames() {
			at := holding(n, name)
			if at == nil {
				at = key
			}
			d.knownHost(at, name)
		}
	}
}

// describe is the title of a check: "port 8088 on chat".
func describe(kind string, do checks.Check) string {
	if s, ok := do.(fmt.Stringer); ok {
		return s.String()
	}
	title := kind
	v := reflect.Indirect(reflect.ValueOf(do))
	if v.Kind() != reflect.Struct {
		return title
	}
	s := shapeOf(v.Type())
	if s.scalar != nil {
		if text := words(v.FieldByIndex(s.scalar.index)); text != "" {
			title += " " + text
		}
	}
	if on := s.byName["on"]; on != nil && on != s.scalar {
		if text := words(v.FieldByIndex(on.index)); text != "" {
			title += " on " + text
		}
	}
	return title
}

func words(v reflect.Value) string {
	if v.IsZero() {
		return ""
	}
	v = reflect.Indirect(v)
	if all, ok := v.Interface().([]string); ok {
		return strings.Join(all, ", ")
	}
	return oneLine(fmt.Sprint(v.Interface()))
}

// Needs returns the checks that the plan's steps rely on, each once, in the
// order of the steps, with what the steps before them bring.
func (p *Plan) Needs() []Check {
	kinds := checks.All()
	var all []Check
	seen, brought := map[string]bool{}, map[string]string{}
	for _, s := range p.AllSteps() {
		for _, do := range s.needs() {
			name := checks.Name(do)
			c := Check{Title: describe(name, do), Kind: kinds[name], Do: do, Line: s.Line, Brought: maps.Clone(brought)}
			id := fmt.Sprintf("%T %s %+v", do, c.Title, reflect.Indirect(reflect.ValueOf(do)))
			if !seen[id] {
				seen[id] = true
				all = append(all, c)
			}
		}
		for _, what := range s.brings() {
			if brought[what] == "" {
				brought[what] = s.Title
			}
		}
	}
	return all
}
