package plan

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits against variables that multiply when they are filled in.
const (
	maxValue   = 1 << 20  // bytes of one text after filling in
	maxFilled  = 64 << 20 // bytes of all texts
	maxWritten = 3_000_000
)

// piece is a part of a template: literal text, or a reference.
type piece struct {
	text string // literal, or for a reference what stands in the file
	ref  string // name; "" for literal text
	err  string // what is wrong with the reference
}

var refName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$`)

// pieces takes a text apart at its ${{ name }}; $${{ stands for ${{ itself.
func pieces(text string) []piece {
	var all []piece
	for {
		i := strings.Index(text, "${{")
		if i < 0 {
			return append(all, piece{text: text})
		}
		if i > 0 && text[i-1] == '$' {
			all = append(all, piece{text: text[:i-1] + "${{"})
			text = text[i+3:]
			continue
		}
		all = append(all, piece{text: text[:i]})
		j := strings.Index(text[i:], "}}")
		if nl := strings.IndexByte(text[i:], '\n'); j < 0 || nl >= 0 && nl < j {
			return append(all, piece{text: text[i:], ref: "?", err: "${{ is never closed by }}; write $${{ for the characters themselves"})
		}
		p := piece{text: text[i : i+j+2], ref: strings.TrimSpace(text[i+3 : i+j])}
		if !refName.MatchString(p.ref) {
			p.err = fmt.Sprintf("%s is not the name of a variable; write $${{ for the characters themselves", quote(p.ref))
			p.ref = "?"
		}
		all = append(all, p)
		text = text[i+j+2:]
	}
}

// uses tells whether a text refers to the variable name or to a part of it.
func uses(text, name string) bool {
	return slices.ContainsFunc(pieces(text), func(p piece) bool {
		return p.ref == name || strings.HasPrefix(p.ref, name+".")
	})
}

// scope is what ${{ }} may name at one place.
type scope struct {
	vars map[string]*node // filled in
	each []turn           // outermost first
	more []string         // names for "did you mean" only
}

// turn is one value of an `each`.
type turn struct {
	name   string
	value  *node // filled in
	suffix string
}

func (s scope) with(t turn) scope {
	return scope{vars: s.vars, each: append(slices.Clone(s.each), t)}
}

// names lists everything that may be named.
func (s scope) names() []string {
	all := append(slices.Collect(maps.Keys(s.vars)), s.more...)
	for _, t := range s.each {
		all = append(all, t.parts()...)
	}
	return all
}

func (t turn) parts() []string {
	if t.value.kind != mapping {
		return []string{t.name}
	}
	var all []string
	for _, p := range t.value.pairs {
		all = append(all, t.name+"."+p.key.text)
	}
	return all
}

// lookup finds the value of a name, or says what is wrong.
func (s scope) lookup(name string) (*node, string) {
	for _, t := range slices.Backward(s.each) {
		part, dotted := strings.CutPrefix(name, t.name+".")
		switch {
		case name == t.name && t.value.kind == scalar:
			return t.value, ""
		case name == t.name && t.value.kind == mapping:
			return nil, fmt.Sprintf("%s has several values; say which: %s", quote(name), strings.Join(t.parts(), ", "))
		case dotted && t.value.kind == mapping:
			if v := t.value.get(part); v != nil {
				return v, ""
			}
		}
	}
	if v, ok := s.vars[name]; ok {
		return v, ""
	}
	return nil, "undefined variable " + quote(name) + didYouMean(name, s.names())
}

// filler fills in ${{ }} and keeps to the limits.
type filler struct {
	c       *collector
	written int // nodes
	bytes   int
	full    bool
}

// fill returns n with every ${{ }} replaced; n itself when there is none.
func (f *filler) fill(n *node, s scope) *node {
	if !n.refs || f.full {
		return n
	}
	f.written += n.size
	c := *n
	switch n.kind {
	case scalar:
		f.text(&c, s)
	case list:
		c.items = make([]*node, len(n.items))
		for i, item := range n.items {
			c.items[i] = f.fill(item, s)
		}
	case mapping:
		c.pairs = make([]pair, len(n.pairs))
		for i, p := range n.pairs {
			c.pairs[i] = pair{p.key, f.fill(p.val, s)}
		}
	}
	if (f.written > maxWritten || f.bytes > maxFilled) && !f.full {
		f.full = true
		f.c.add(n, "the plan becomes too large when `each` and variables are written out")
	}
	return &c
}

func (f *filler) text(n *node, s scope) {
	parts := pieces(n.text)
	var out strings.Builder
	tag, whole := "", true
	for _, p := range parts {
		if p.ref == "" {
			out.WriteString(p.text)
			whole = whole && p.text == ""
			continue
		}
		wrong := p.err
		var v *node
		if wrong == "" {
			v, wrong = s.lookup(p.ref)
		}
		if wrong != "" {
			line, col := n.find(p.text)
			f.c.at(n.file, line, col, "%s", wrong)
			n.bad = true
			continue
		}
		n.bad = n.bad || v.bad
		whole = whole && tag == ""
		tag = v.tag
		out.WriteString(v.text)
		if out.Len() > maxValue {
			f.c.add(n, "longer than 1 MiB when it is filled in")
			n.bad = true
			break
		}
	}
	f.bytes += out.Len()
	n.text, n.refs = out.String(), false
	switch {
	case whole && tag != "": // "${{ port }}" is what port is
		n.tag = tag
	case n.style == 0:
		n.tag = (&yaml.Node{Kind: yaml.ScalarNode, Value: n.text}).ShortTag()
	default:
		n.tag = "!!str"
	}
}

// find returns where a piece of a scalar's text stands in the file. Quoted and
// block texts begin later than the node does.
func (n *node) find(text string) (line, col int) {
	first := strings.SplitN(text, "\n", 2)[0]
	for no := n.line; no <= n.line+strings.Count(n.text, "\n")+1; no++ {
		src := n.file.line(no)
		from := 0
		if no == n.line {
			from = min(len(string([]rune(src)[:min(n.col-1, len([]rune(src)))])), len(src))
		}
		if i := strings.Index(src[from:], first); i >= 0 {
			return no, len([]rune(src[:from+i])) + 1
		}
	}
	return n.line, n.col
}
