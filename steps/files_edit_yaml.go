package steps

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fileYAMLEdit changes a YAML text in place, so that comments, order, quotes
// and spacing elsewhere stay. Afterwards the result is parsed and must hold
// exactly what the same change makes of the parsed old text: a form of YAML
// that this file does not understand is refused, never spoiled.
var fileYAMLEdit = fileTextEdit{set: fileYAMLSet, remove: fileYAMLRemove}

var errFileYAML = errors.New("the YAML there has a form that cannot be edited without touching the rest; " +
	"use lines, or files.copy with the whole file")

func fileYAMLSet(text string, path []string, v any) (string, error) {
	y, err := fileYAMLParse(text)
	if err != nil {
		return "", err
	}
	want, err := fileYAMLData(y.root).set(path, v)
	if err != nil {
		return "", err
	}
	if reflect.DeepEqual(want, fileYAMLData(y.root)) {
		return text, nil
	}
	out, err := y.set(path, v)
	if err != nil {
		return "", err
	}
	return out, fileYAMLSame(out, want)
}

func fileYAMLRemove(text string, path []string) (string, error) {
	y, err := fileYAMLParse(text)
	if err != nil {
		return "", err
	}
	want, err := fileYAMLData(y.root).remove(path)
	if err != nil {
		return "", err
	}
	out, err := y.remove(path)
	if err != nil {
		return "", err
	}
	return out, fileYAMLSame(out, want)
}

func fileYAMLSame(text string, want *fileYAMLTree) error {
	y, err := fileYAMLParse(text)
	if err != nil || !reflect.DeepEqual(fileYAMLData(y.root), want) {
		return errFileYAML
	}
	return nil
}

// fileYAMLTree is what a YAML text means, for comparing: tags and values of
// scalars, keys in their order, aliases by name.
type fileYAMLTree struct {
	kind   yaml.Kind // 0: nothing
	tag    string
	value  string
	anchor string
	keys   []string
	items  []*fileYAMLTree
}

func fileYAMLData(n *yaml.Node) *fileYAMLTree {
	if n == nil {
		return &fileYAMLTree{kind: yaml.MappingNode, tag: "!!map"}
	}
	t := &fileYAMLTree{kind: n.Kind, anchor: n.Anchor, tag: n.ShortTag(), value: n.Value}
	if n.Kind == yaml.ScalarNode && t.tag == "!!null" {
		t.value = ""
	}
	if n.Kind != yaml.MappingNode {
		for _, c := range n.Content {
			t.items = append(t.items, fileYAMLData(c))
		}
		return t
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		t.keys = append(t.keys, n.Content[i].Value)
		t.items = append(t.items, fileYAMLData(n.Content[i+1]))
	}
	return t
}

func (t *fileYAMLTree) find(seg string) (int, error) {
	switch {
	case t.kind == yaml.SequenceNode:
		return fileIndex(seg, len(t.items))
	case t.kind == yaml.MappingNode:
		for i, k := range t.keys {
			if k == seg {
				return i, nil
			}
		}
		return len(t.items), nil
	case t.kind == yaml.ScalarNode && t.tag == "!!null":
		return 0, nil
	case t.kind == yaml.AliasNode:
		return 0, fmt.Errorf("%s would be inside of an alias (*%s), and change what others share", seg, t.value)
	}
	return 0, fmt.Errorf("%s would be inside of something that is neither a mapping nor a list", seg)
}

func (t *fileYAMLTree) set(path []string, v any) (*fileYAMLTree, error) {
	if len(path) == 0 {
		var n yaml.Node
		if err := n.Encode(v); err != nil {
			return nil, err
		}
		return fileYAMLData(&n), nil
	}
	i, err := t.find(path[0])
	if err != nil {
		return nil, err
	}
	c := *t
	c.items = append([]*fileYAMLTree(nil), t.items...)
	c.keys = append([]string(nil), t.keys...)
	if i < len(c.items) {
		c.items[i], err = t.items[i].set(path[1:], v)
		return &c, err
	}
	nested, err := fileNest(path[1:], v)
	if err != nil {
		return nil, err
	}
	item, err := (&fileYAMLTree{}).set(nil, nested)
	if c.kind == yaml.ScalarNode { // null becomes a mapping
		if _, err := fileNest(path, v); err != nil {
			return nil, err
		}
		c = fileYAMLTree{kind: yaml.MappingNode, tag: "!!map", anchor: t.anchor}
	}
	c.items = append(c.items, item)
	if c.kind == yaml.MappingNode {
		c.keys = append(c.keys, path[0])
	}
	return &c, err
}

func (t *fileYAMLTree) remove(path []string) (*fileYAMLTree, error) {
	i, err := t.find(path[0])
	if err != nil || i >= len(t.items) {
		return nil, errFileNoSuch
	}
	c := *t
	if len(path) > 1 {
		c.items = append([]*fileYAMLTree(nil), t.items...)
		c.items[i], err = t.items[i].remove(path[1:])
		return &c, err
	}
	c.items = append(append([]*fileYAMLTree(nil), t.items[:i]...), t.items[i+1:]...)
	if len(c.items) == 0 {
		c.items = nil
	}
	if t.kind == yaml.MappingNode {
		c.keys = append(append([]string(nil), t.keys[:i]...), t.keys[i+1:]...)
		if len(c.keys) == 0 {
			c.keys = nil
		}
	}
	return &c, nil
}

// fileYAMLFile is a YAML text with its one document.
type fileYAMLFile struct {
	text  string
	lines []string
	root  *yaml.Node // nil: nothing in it
	unit  int        // columns of one level
}

func fileYAMLParse(text string) (*fileYAMLFile, error) {
	if strings.ContainsAny(text, "\u0085\u2028\u2029") || strings.Contains(strings.ReplaceAll(text, "\r\n", "\n"), "\r") {
		return nil, errors.New("the file has line breaks of an unusual kind; edit it by hand")
	}
	y := &fileYAMLFile{text: text, lines: fileLines(text), unit: 2}
	dec := yaml.NewDecoder(strings.NewReader(text))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if strings.TrimSpace(text) == "" || err.Error() == "EOF" {
			return y, nil
		}
		return nil, fmt.Errorf("the file is not YAML: %w", err)
	}
	if dec.Decode(&second) == nil {
		return nil, errors.New("the file holds several YAML documents; only one can be edited by path")
	}
	if len(doc.Content) == 1 {
		y.root = doc.Content[0]
		if y.root.Kind == yaml.ScalarNode && y.root.ShortTag() == "!!null" && y.root.Value == "" {
			y.root = nil
		}
	}
	if y.root != nil {
		y.unit = max(fileYAMLUnit(y.root), 1)
	}
	return y, nil
}

// fileYAMLUnit is how far the first nested block mapping is indented.
func fileYAMLUnit(n *yaml.Node) int {
	if n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle == 0 {
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			if v.Kind == yaml.MappingNode && v.Style&yaml.FlowStyle == 0 && v.Line > k.Line && v.Column > k.Column {
				return v.Column - k.Column
			}
		}
	}
	for _, c := range n.Content {
		if u := fileYAMLUnit(c); u > 0 {
			return u
		}
	}
	if n.Kind == yaml.DocumentNode || n.Line == 1 {
		return 2
	}
	return 0
}
