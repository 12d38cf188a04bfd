package steps

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// configNode is one value of a configuration, and what is known of it.
type configNode struct {
	path  []string
	value any
	size  int64 // values in it
	kids  map[string]*configNode
	items []*configNode
	names map[string]*configNode // an object's keys as values

	known      map[string]bool // options that some schema of this object names
	open       bool            // some schema takes any option
	deprecated string
}

// configWalk meets every schema that a value may be judged by, without judging.
// It finds what options are known, and what judging will cost at most: it meets
// a schema once a value, where the judge may come by again and again.
type configWalk struct {
	memo map[configPair]int64
	err  error
}

type configPair struct {
	s    *jsonschema.Schema
	n    *configNode
	sure bool
}

func (w *configWalk) tree(path []string, v any) *configNode {
	n := &configNode{path: path, value: v, size: 1, known: map[string]bool{}}
	at := func(key string, x any) *configNode {
		kid := w.tree(append(path[:len(path):len(path)], key), x)
		n.size += kid.size
		return kid
	}
	switch v := v.(type) {
	case map[string]any:
		n.kids, n.names = map[string]*configNode{}, map[string]*configNode{}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			n.kids[key] = at(key, v[key])
			n.names[key] = &configNode{path: n.kids[key].path, value: key, size: 1}
		}
	case []any:
		for i, x := range v {
			n.items = append(n.items, at(strconv.Itoa(i), x))
		}
	}
	return n
}

var (
	errConfigDear    = errors.New("judging this configuration by it takes too many steps; it is not judged")
	errConfigChain   = fmt.Errorf("more than %d of its parts refer to each other in a row; it is not judged", configChain)
	errConfigDynamic = errors.New("it uses $dynamicRef or $recursiveRef, which belay does not judge by; write $ref")
)

// visit meets s at n and returns what judging costs. sure is false in a branch
// that may not be the one that counts.
func (w *configWalk) visit(s *jsonschema.Schema, n *configNode, sure bool, deep int) int64 {
	key := configPair{s, n, sure}
	if s == nil || w.err != nil {
		return 0
	}
	if cost, met := w.memo[key]; met {
		return cost // 1 while it is met further up: the judge ends there
	}
	switch {
	case deep > configChain:
		w.err = errConfigChain
	case len(w.memo) > configCost/4:
		w.err = errConfigDear
	case s.DynamicRef != nil || s.RecursiveRef != nil:
		w.err = errConfigDynamic
	}
	if w.err != nil {
		return 0
	}
	w.memo[key] = 1
	cost := w.own(s, n)
	for _, e := range s.Extensions {
		if note, ok := e.(configNote); ok && sure && n.deprecated == "" {
			n.deprecated = note.deprecated
		}
	}
	cost += w.here(s, n, sure, deep+1)
	switch {
	case n.kids != nil:
		cost += w.object(s, n, sure, deep+1)
	case n.items != nil:
		cost += w.array(s, n, sure, deep+1)
	}
	if cost > configCost {
		w.err = errConfigDear
	}
	w.memo[key] = cost
	return cost
}

// own is what the rules of s alone cost.
func (w *configWalk) own(s *jsonschema.Schema, n *configNode) int64 {
	cost := 1 + int64(len(n.kids)+len(n.items)+len(s.Required))/4
	if s.Enum != nil {
		cost += int64(len(s.Enum.Values)) * (1 + n.size/4)
	}
	if s.Const != nil || s.UniqueItems {
		cost += n.size
	}
	if text, ok := n.value.(string); ok && s.Pattern != nil {
		cost += configMatch(s.Pattern, text)
	}
	return cost
}

func configMatch(re jsonschema.Regexp, text string) int64 {
	if p, ok := re.(configPattern); ok {
		return 1 + p.cost*int64(len(text))/50
	}
	return 1
}

// here meets the schemas that judge the same value.
func (w *configWalk) here(s *jsonschema.Schema, n *configNode, sure bool, deep int) (cost int64) {
	cost += w.visit(s.Ref, n, sure, deep)
	for _, x := range s.AllOf {
		cost += w.visit(x, n, sure, deep)
	}
	for _, x := range slices.Concat(s.AnyOf, s.OneOf, []*jsonschema.Schema{s.Not, s.If, s.Then, s.Else}) {
		cost += w.visit(x, n, false, deep)
	}
	for _, x := range s.DependentSchemas {
		cost += w.visit(x, n, false, deep)
	}
	for _, x := range s.Dependencies {
		if x, ok := x.(*jsonschema.Schema); ok {
			cost += w.visit(x, n, false, deep)
		}
	}
	return cost
}

// object meets the schemas of an object's options, and notes which are known.
func (w *configWalk) object(s *jsonschema.Schema, n *configNode, sure bool, deep int) (cost int64) {
	for name := range s.Properties {
		n.known[name] = true
	}
	rest, takesAll := s.AdditionalProperties.(*jsonschema.Schema)
	if all, ok := s.AdditionalProperties.(bool); ok && all {
		n.open = true
	}
	n.open = n.open || takesAll || s.UnevaluatedProperties != nil && s.UnevaluatedProperties.Bool == nil
	for name, kid := range n.kids {
		own := false
		if x := s.Properties[name]; x != nil {
			own = true
			cost += w.visit(x, kid, sure, deep)
		}
		for re, x := range s.PatternProperties {
			cost += configMatch(re, name)
			if re.MatchString(name) {
				own, n.known[name] = true, true
				cost += w.visit(x, kid, sure, deep)
			}
		}
		if !own {
			cost += w.visit(rest, kid, sure, deep)
		}
		cost += w.visit(s.UnevaluatedProperties, kid, false, deep)
		cost += w.visit(s.PropertyNames, n.names[name], false, deep)
	}
	return cost
}

func (w *configWalk) array(s *jsonschema.Schema, n *configNode, sure bool, deep int) (cost int64) {
	first := s.PrefixItems
	var rest []*jsonschema.Schema
	switch items := s.Items.(type) {
	case []*jsonschema.Schema:
		first = items
		if more, ok := s.AdditionalItems.(*jsonschema.Schema); ok {
			rest = append(rest, more)
		}
	case *jsonschema.Schema:
		rest = append(rest, items)
	}
	rest = append(rest, s.Items2020)
	for i, kid := range n.items {
		if i < len(first) {
			cost += w.visit(first[i], kid, sure, deep)
		} else {
			for _, x := range rest {
				cost += w.visit(x, kid, sure, deep)
			}
		}
		cost += w.visit(s.Contains, kid, false, deep)
		cost += w.visit(s.UnevaluatedItems, kid, false, deep)
	}
	return cost
}

// options tells of the options that no schema names, and of deprecated ones. An
// object of which no schema names any option takes all.
func (n *configNode) options(v *configVerdict) {
	if n.deprecated != "" && len(n.path) > 0 {
		v.Deprecated = append(v.Deprecated, configPath(n.path)+": "+n.deprecated)
	}
	for _, name := range slices.Sorted(maps.Keys(n.kids)) {
		kid := n.kids[name]
		if len(n.known) > 0 && !n.open && !n.known[name] {
			told := configPath(kid.path) + " is not an option that the schema knows" + n.nearest(name)
			// What the schema forbids is told as a violation.
			forbidden := slices.ContainsFunc(v.Violations, func(s string) bool {
				return strings.HasPrefix(s, configPath(kid.path)+" is no option") || strings.HasPrefix(s, configPath(kid.path)+" is not allowed")
			})
			if !forbidden && len(v.Unknown) < configTold {
				v.Unknown = append(v.Unknown, told)
			}
			continue
		}
		kid.options(v)
	}
	for _, kid := range n.items {
		kid.options(v)
	}
}

// nearest is the known option that was perhaps meant, and is not there itself.
func (n *configNode) nearest(name string) string {
	best, at := "", 1+max(0, len(name)-2)/3+1
	if len(name) > 64 {
		return ""
	}
	for i, other := range slices.Sorted(maps.Keys(n.known)) {
		if i > 2000 || len(other) > 80 || n.kids[other] != nil {
			continue
		}
		if d := configDistance(strings.ToLower(name), strings.ToLower(other)); d < at && d < len(other) {
			best, at = other, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// configDistance is Levenshtein's, over bytes, with two letters the wrong way
// round counting as one error.
func configDistance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			swap := last[j-1]
			if a[i-1] != b[j-1] {
				swap++
			}
			row[j] = min(swap, row[j-1]+1, last[j]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

var configPlainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,79}$`)

// configPath is a place as people write it: services.queue.data_dir, peers[2].
func configPath(path []string) string {
	var b strings.Builder
	for _, p := range path {
		_, err := strconv.Atoi(p)
		switch {
		case err == nil:
			b.WriteString("[" + p + "]")
		case !configPlainName.MatchString(p):
			fmt.Fprintf(&b, "[%.80q]", p)
		default:
			b.WriteString("." + p)
		}
	}
	if b.Len() == 0 {
		return "(the whole)"
	}
	return strings.TrimPrefix(b.String(), ".")
}
