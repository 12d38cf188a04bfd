package plan

import (
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits that no plan written by people meets, against files made to exhaust
// memory. Aliases count as often as they are used.
const (
	maxNodes = 1_000_000
	maxDepth = 64
)

type nodeKind int

const (
	scalar nodeKind = iota
	list
	mapping
)

func (k nodeKind) String() string { return [...]string{"a single value", "a list", "a mapping"}[k] }

// node is one value of a plan file with its place: aliases and merge keys are
// resolved, keys are plain words and unique.
type node struct {
	kind  nodeKind
	text  string // of a scalar
	tag   string // !!str, !!int, !!float, !!bool, !!null or !!timestamp
	style yaml.Style
	file  *source
	line  int
	col   int

	items []*node
	pairs []pair

	size   int  // nodes in it, itself included
	height int  // levels below it
	refs   bool // ${{ somewhere in it
	bad    bool // a problem was told: what follows from it is not worth telling
}

type pair struct{ key, val *node }

func (n *node) null() bool { return n.kind == scalar && n.tag == "!!null" }

// get returns the value under key, or nil.
func (n *node) get(key string) *node {
	if p := n.pair(key); p != nil {
		return p.val
	}
	return nil
}

func (n *node) pair(key string) *pair {
	for i := range n.pairs {
		if n.pairs[i].key.text == key {
			return &n.pairs[i]
		}
	}
	return nil
}

// without returns a copy of a mapping that lacks some keys.
func (n *node) without(keys ...string) *node {
	c := *n
	c.pairs = slices.DeleteFunc(slices.Clone(n.pairs), func(p pair) bool { return slices.Contains(keys, p.key.text) })
	return &c
}

// grow turns what the YAML parser made into nodes; nil when the file cannot be
// used at all.
func grow(s *source, c *collector, doc *yaml.Node) *node {
	g := grower{file: s, c: c, done: map[*yaml.Node]*node{}, open: map[*yaml.Node]bool{}}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		doc = doc.Content[0]
	}
	n := g.node(doc, 0)
	if g.fatal {
		return nil
	}
	return n
}

type grower struct {
	file  *source
	c     *collector
	done  map[*yaml.Node]*node // anchored ones, to be shared by their aliases
	open  map[*yaml.Node]bool
	fatal bool
}

func (g *grower) stop(y *yaml.Node, format string, args ...any) *node {
	n := g.place(y)
	n.bad = true
	if !g.fatal {
		g.c.add(n, format, args...)
	}
	g.fatal = true
	return n
}

func (g *grower) place(y *yaml.Node) *node {
	n := &node{tag: y.ShortTag(), text: y.Value, style: y.Style, file: g.file, line: max(y.Line, 1), col: max(y.Column, 1), size: 1}
	if last := g.file.count(); n.line > last { // nothing, after the end of the file
		n.line, n.col = last, utf8.RuneCountInString(g.file.line(last))+1
	}
	return n
}

func (g *grower) node(y *yaml.Node, depth int) *node {
	if depth > maxDepth {
		return g.stop(y, "nested more than %d levels deep", maxDepth)
	}
	if y.Kind == yaml.AliasNode {
		return g.alias(y, depth)
	}
	if y.Anchor != "" {
		g.open[y] = true
		defer delete(g.open, y)
	}
	n := g.place(y)
	switch y.Kind {
	case yaml.SequenceNode:
		n.kind = list
		g.items(n, y, depth)
	case yaml.MappingNode:
		n.kind = mapping
		g.pairs(n, y, depth)
	default:
		g.scalar(n)
	}
	g.tag(n)
	if n.size > maxNodes && !g.fatal {
		return g.stop(y, "more than %d values, aliases written out; that is no plan", maxNodes)
	}
	if y.Anchor != "" {
		g.done[y] = n
	}
	return n
}

func (g *grower) alias(y *yaml.Node, depth int) *node {
	n, ok := g.done[y.Alias]
	switch {
	case g.open[y.Alias] || !ok:
		return g.stop(y, "*%s stands inside what it repeats", y.Value)
	case depth+n.height > maxDepth:
		return g.stop(y, "nested more than %d levels deep", maxDepth)
	}
	return n
}

func (g *grower) adopt(n, child *node) {
	n.size = min(n.size+child.size, maxNodes+1)
	n.height = max(n.height, child.height+1)
	n.refs = n.refs || child.refs
}

func (g *grower) items(n *node, y *yaml.Node, depth int) {
	for _, item := range y.Content {
		child := g.node(item, depth+1)
		if g.fatal {
			return
		}
		n.items = append(n.items, child)
		g.adopt(n, child)
	}
}

func (g *grower) pairs(n *node, y *yaml.Node, depth int) {
	var merged []*node
	lines := map[string]int{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		yk := y.Content[i]
		val := g.node(y.Content[i+1], depth+1)
		if g.fatal {
			return
		}
		if yk.Kind == yaml.ScalarNode && yk.ShortTag() == "!!merge" {
			merged = append(merged, g.merges(val)...)
			continue
		}
		key := g.key(yk, depth)
		if key == nil {
			continue
		}
		if first, twice := lines[key.text]; twice {
			g.c.add(key, "key %s a second time; it already stands in line %d", quote(key.text), first)
			continue
		}
		lines[key.text] = key.line
		n.pairs = append(n.pairs, pair{key, val})
		g.adopt(n, val)
	}
	for _, m := range merged { // what stands here wins over what is merged in
		for _, p := range m.pairs {
			if _, have := lines[p.key.text]; !have {
				lines[p.key.text] = p.key.line
				n.pairs = append(n.pairs, p)
				g.adopt(n, p.val)
			}
		}
	}
}

// key accepts plain words only.
func (g *grower) key(y *yaml.Node, depth int) *node {
	k := g.node(y, depth+1)
	switch {
	case g.fatal:
		return nil
	case k.kind != scalar:
		g.c.add(k, "a key must be a word, not %s; put text with { or [ in quotes", k.kind)
		return nil
	case k.null():
		g.c.add(k, "a key is missing before the colon")
		return nil
	case strings.Contains(k.text, "${{"):
		g.c.add(k, "${{ }} is filled in values only, never in keys")
		return nil
	}
	return k
}

// merges returns the mappings that << takes in.
func (g *grower) merges(val *node) []*node {
	from := []*node{val}
	if val.kind == list {
		from = val.items
	}
	for _, m := range from {
		if m.kind != mapping {
			g.c.add(m, "<< takes in mappings (*name, or a list of them), not %s", m.kind)
			return nil
		}
	}
	return from
}

func (g *grower) scalar(n *node) {
	n.refs = strings.Contains(n.text, "${{")
	for _, r := range n.text {
		if r != '\n' && r != '\t' && !printable(r) {
			g.c.add(n, "%s must not be in a plan, not even escaped", nameRune(r))
			n.bad, n.text = true, ""
			return
		}
	}
}

// tag refuses what only programs write, such as !!binary or !custom.
func (g *grower) tag(n *node) {
	switch n.tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!map", "!!seq", "!!merge":
	default:
		g.c.add(n, "the YAML tag %s has no meaning in a plan", quote(n.tag))
		n.bad = true
	}
}
