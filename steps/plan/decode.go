package plan

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"belay/checks"
	"belay/remote/secret"
	"belay/steps"
)

// Kinds are the kinds of step and check that a plan may use, by name.
type Kinds struct {
	Steps  map[string]steps.Kind
	Checks map[string]checks.Kind
}

// All returns every kind that belay has.
func All() Kinds {
	all := checks.All()
	maps.Copy(all, steps.Checks())
	return Kinds{steps.All(), all}
}

// decoder fills Go values from nodes and tells what does not fit.
type decoder struct {
	c       *collector
	kinds   Kinds
	hosts   []string        // names that may be used
	only    string          // the plan's only host; "" when there are several
	secrets map[string]bool // declared
}

// in says for messages where a value stands.
type in struct {
	what  string // `check "port"`: unknown keys are unknown in this
	name  string // the parameter; "" for the whole
	key   *node  // what to point at when something is missing
	check bool   // the parameter `on` names hosts
}

func (w in) label() string {
	if w.name == "" {
		return w.what
	}
	return quote(w.name)
}

// value decodes n into v. f is the field that v is, or the zero field.
func (d *decoder) value(n *node, v reflect.Value, f *field, w in) {
	if n.bad {
		return
	}
	t := v.Type()
	if t == rawType {
		v.Set(reflect.ValueOf(n))
		return
	}
	if t.Kind() == reflect.Pointer {
		v.Set(reflect.New(t.Elem()))
		d.value(n, v.Elem(), f, w)
		return
	}
	switch formOf(t) {
	case structForm:
		if w.name != "" {
			w.what = quote(w.name) + " of " + w.what
		}
		d.structure(n, v, w, nil)
	case listForm:
		d.list(n, v, f, w)
	case mapForm:
		d.mapping(n, v, f, w)
	case anyForm:
		if x := n.plain(); x != nil {
			v.Set(reflect.ValueOf(x))
		}
	case checkForm:
		if _, do := d.check(n, w.label(), nil); do != nil {
			v.Set(reflect.ValueOf(do))
		}
	case ownYAMLForm:
		d.ownYAML(n, v, w)
	default:
		d.scalar(n, v, f, w)
	}
}

func (d *decoder) mismatch(n *node, t reflect.Type, w in) {
	d.c.add(n, "%s takes %s, not %s", w.label(), wants(t), n.describe())
}

// describe says in words what stands there.
func (n *node) describe() string {
	switch {
	case n.null():
		return "nothing"
	case n.kind != scalar && n.size == 1:
		return strings.Replace(n.kind.String(), "a ", "an empty ", 1)
	case n.kind != scalar:
		return n.kind.String()
	case n.tag == "!!str":
		return "the text " + quote(n.text)
	}
	return quote(n.text)
}

func (d *decoder) list(n *node, v reflect.Value, f *field, w in) {
	items := n.items
	switch {
	case n.null():
		return
	case n.kind != list:
		items = []*node{n} // a single value stands for a list of one
	}
	s := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		w.key = item
		d.value(item, s.Index(i), f, w)
	}
	v.Set(s)
}

func (d *decoder) mapping(n *node, v reflect.Value, f *field, w in) {
	if n.null() {
		return
	}
	if n.kind != mapping {
		d.mismatch(n, v.Type(), w)
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.pairs))
	for _, p := range n.pairs {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(p.val, e, f, in{what: w.what, name: strings.TrimPrefix(w.name+"."+p.key.text, "."), key: p.key})
		m.SetMapIndex(reflect.ValueOf(p.key.text).Convert(v.Type().Key()), e)
	}
	v.Set(m)
}

// structure decodes a mapping into a struct. Keys without a field are given to
// extra, if there is one, and are problems otherwise.
func (d *decoder) structure(n *node, v reflect.Value, w in, extra func(pair)) {
	s := shapeOf(v.Type())
	n = d.asMapping(n, v.Type(), s, w)
	if n == nil {
		return
	}
	given := map[string]*node{}
	for _, p := range n.pairs {
		f := s.byName[p.key.text]
		if f == nil {
			if extra != nil {
				extra(p)
				continue
			}
			d.c.add(p.key, "unknown key %s in %s%s", quote(p.key.text), w.what, orElse(didYouMean(p.key.text, s.names()), "; it has: ", s.names()))
			continue
		}
		given[f.name] = p.val
		d.field(p, v.FieldByIndex(f.index), f, w)
	}
	for i := range s.fields {
		if f := &s.fields[i]; given[f.name] == nil {
			d.absent(n, v.FieldByIndex(f.index), f, w)
		}
	}
	d.differ(s, v, given)
	if v.Type() == refType {
		d.knownSecret(given["secret"], v.Interface().(secret.Ref).Name)
	}
}

// asMapping writes the short form `run: make` out as `run: {script: make}`.
func (d *decoder) asMapping(n *node, t reflect.Type, s *shape, w in) *node {
	short := s.scalar != nil && (n.kind == scalar || n.kind == list && formOf(s.scalar.typ) == listForm)
	switch {
	case n.kind == mapping:
		return n
	case n.null():
		return &node{kind: mapping, file: n.file, line: n.line, col: n.col}
	case short:
		key := &node{text: s.scalar.name, tag: "!!str", file: n.file, line: n.line, col: n.col}
		return &node{kind: mapping, file: n.file, line: n.line, col: n.col, pairs: []pair{{key, n}}}
	case t == refType: // it may well be the secret itself: not repeated anywhere
		d.c.hush(n, "%s takes {secret: name}, with the name of a secret that is declared under secrets", w.label())
		return nil
	}
	d.mismatch(n, t, w)
	return nil
}

// field decodes one given parameter and sees to its tags.
func (d *decoder) field(p pair, v reflect.Value, f *field, w in) {
	told := d.c.n
	d.value(p.val, v, f, in{what: w.what, name: f.name, key: p.key})
	if d.c.n > told || p.val.bad {
		return
	}
	if f.required && emptied(v) {
		d.c.add(p.val, "%s must not be empty", quote(f.name))
		return
	}
	if f.host || w.check && f.name == "on" {
		d.eachText(p.val, d.knownHost)
	}
	if f.secret {
		d.eachText(p.val, d.knownSecret)
	}
}

func emptied(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String, reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	return false
}

// absent sees to a parameter that was left out.
func (d *decoder) absent(n *node, v reflect.Value, f *field, w in) {
	at := n
	if w.key != nil {
		at = w.key
	}
	switch {
	case w.check && f.name == "on" && d.only != "":
		d.value(&node{text: d.only, tag: "!!str", file: at.file, line: at.line, col: at.col}, v, f, w)
	case f.required:
		d.c.add(at, "%s is missing in %s", quote(f.name), w.what)
	case f.hasDef:
		def := &node{text: f.def, tag: "!!str", file: at.file, line: at.line, col: at.col}
		d.value(def, v, f, in{what: w.what, name: f.name})
	}
}

// differ sees to `differs`: a source that is its own target.
func (d *decoder) differ(s *shape, v reflect.Value, given map[string]*node) {
	for i := range s.fields {
		f := &s.fields[i]
		other := s.byName[f.differs]
		if f.differs == "" || other == nil || given[f.name] == nil || given[other.name] == nil {
			continue
		}
		a, b := v.FieldByIndex(f.index), v.FieldByIndex(other.index)
		if !a.IsZero() && fmt.Sprint(a) == fmt.Sprint(b) {
			d.c.add(given[f.name], "%s and %s are the same", quote(f.name), quote(other.name))
		}
	}
}

func (d *decoder) eachText(n *node, tell func(*node, string)) {
	if n.kind == list {
		for _, item := range n.items {
			tell(item, item.text)
		}
		return
	}
	tell(n, n.text)
}

func (d *decoder) knownHost(n *node, name string) {
	if n.bad || name == "" || slices.Contains(d.hosts, name) {
		return
	}
	d.c.add(n, "unknown host %s%s", quote(name), orElse(didYouMean(name, d.hosts), "; hosts of this plan: ", d.hosts))
}

func (d *decoder) knownSecret(n *node, name string) {
	if n == nil || n.bad || name == "" || d.secrets[name] {
		return
	}
	d.c.add(n, "secret %s is not declared under secrets%s", quote(name), didYouMean(name, keys(d.secrets)))
}

// orElse returns first, or the list when it is short.
func orElse(first, text string, all []string) string {
	if first != "" || len(all) == 0 || len(all) > 8 {
		return first
	}
	return text + strings.Join(all, ", ")
}
