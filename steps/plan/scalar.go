package plan

import (
	"encoding"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"belay/remote"

	"go.yaml.in/yaml/v3"
)

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// scalar decodes a single value.
func (d *decoder) scalar(n *node, v reflect.Value, f *field, w in) {
	if n.kind != scalar {
		d.mismatch(n, v.Type(), w)
		return
	}
	if n.null() {
		d.c.add(n, "%s is empty; it takes %s", w.label(), wants(v.Type()))
		return
	}
	if len(f.enum) > 0 && !slices.Contains(f.enum, n.text) {
		d.c.add(n, "%s must be one of %s, not %s%s", w.label(), strings.Join(f.enum, ", "), quote(n.text), didYouMean(n.text, f.enum))
		return
	}
	if !d.setScalar(n, v, w) {
		d.mismatch(n, v.Type(), w)
	}
}

// setScalar is false when the text does not fit the type.
func (d *decoder) setScalar(n *node, v reflect.Value, w in) bool {
	switch formOf(v.Type()) {
	case textForm:
		v.SetString(n.text)
	case ownTextForm:
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.text)); err != nil {
			d.c.add(n, "%s: %v", w.label(), err)
		}
	case durationForm:
		var dur remote.Duration
		if err := dur.UnmarshalText([]byte(n.text)); err != nil {
			d.c.add(n, "%s: %v", w.label(), err)
		}
		v.SetInt(int64(time.Duration(dur)))
	case boolForm:
		switch n.text {
		case "true", "false":
			v.SetBool(n.text == "true")
		default:
			return false
		}
	case intForm:
		i, err := strconv.ParseInt(n.text, 10, 64)
		if err != nil || v.OverflowInt(i) || !decimal(n.text) {
			return false
		}
		v.SetInt(i)
	case uintForm:
		u, err := strconv.ParseUint(n.text, 10, 64)
		if err != nil || v.OverflowUint(u) || !decimal(n.text) {
			return false
		}
		v.SetUint(u)
	case floatForm:
		x, err := strconv.ParseFloat(n.text, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
		v.SetFloat(x)
	}
	return true
}

// decimal refuses 0644, which is octal to some and decimal to others.
func decimal(s string) bool {
	s = strings.TrimLeft(s, "+-")
	return len(s) == 1 || !strings.HasPrefix(s, "0")
}

// ownYAML lets a type read itself.
func (d *decoder) ownYAML(n *node, v reflect.Value, w in) {
	if err := v.Addr().Interface().(yaml.Unmarshaler).UnmarshalYAML(n.yaml()); err != nil {
		text := strings.TrimPrefix(strings.Join(strings.Fields(err.Error()), " "), "yaml: ")
		d.c.add(n, "%s cannot be read: %s", w.label(), text)
	}
}

// plain returns what YAML means by n: nil, bool, int, float64, string, []any
// or map[string]any. Timestamps stay texts.
func (n *node) plain() any {
	switch n.kind {
	case list:
		all := make([]any, len(n.items))
		for i, item := range n.items {
			all[i] = item.plain()
		}
		return all
	case mapping:
		m := make(map[string]any, len(n.pairs))
		for _, p := range n.pairs {
			m[p.key.text] = p.val.plain()
		}
		return m
	}
	switch n.tag {
	case "!!null":
		return nil
	case "!!int", "!!float", "!!bool":
		var x any
		if err := n.yaml().Decode(&x); err == nil {
			return x
		}
	}
	return n.text
}

// yaml turns n back into what the YAML library works with.
func (n *node) yaml() *yaml.Node {
	y := &yaml.Node{Value: n.text, Style: n.style &^ yaml.TaggedStyle, Line: n.line, Column: n.col}
	switch n.kind {
	case list:
		y.Kind, y.Tag = yaml.SequenceNode, "!!seq"
		for _, item := range n.items {
			y.Content = append(y.Content, item.yaml())
		}
	case mapping:
		y.Kind, y.Tag = yaml.MappingNode, "!!map"
		for _, p := range n.pairs {
			y.Content = append(y.Content, p.key.yaml(), p.val.yaml())
		}
	default:
		y.Kind, y.Tag = yaml.ScalarNode, n.tag
		if n.tag != "!!str" {
			y.Style = 0 // "${{ port }}" was quoted, 8088 need not be
		}
	}
	return y
}
