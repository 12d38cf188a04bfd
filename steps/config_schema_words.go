package steps

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// configTold is how many violations, and how many unknown options, are told.
const configTold = 500

// configWords says violations by the path of the option that is wrong. The
// values that it has are left out: they may be secret.
type configWords struct{ root *configNode }

func (c *configWords) all(e *jsonschema.ValidationError) []string {
	all := c.leaves(e)
	slices.Sort(all)
	all = slices.Compact(all)
	if more := len(all) - configTold; more > 0 {
		all = append(all[:configTold], fmt.Sprintf("and %d more", more))
	}
	return all
}

func (c *configWords) causes(e *jsonschema.ValidationError) (all []string) {
	for _, x := range e.Causes {
		all = append(all, c.leaves(x)...)
	}
	return all
}

func (c *configWords) leaves(e *jsonschema.ValidationError) []string {
	path := configPath(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return c.each(k.Missing, func(name string) string { return c.below(e, name) + " is missing" })
	case *kind.AdditionalProperties:
		n := c.node(e.InstanceLocation)
		return c.each(k.Properties, func(name string) string { return c.below(e, name) + " is no option here" + n.nearest(name) })
	case *kind.AnyOf:
		return c.nearestForm(path, e)
	case *kind.OneOf:
		if len(k.Subschemas) == 0 {
			return c.nearestForm(path, e)
		}
		return []string{fmt.Sprintf("%s matches %d of the forms of which it may have one", path, len(k.Subschemas))}
	}
	if len(e.Causes) > 0 {
		return c.causes(e)
	}
	told := path + " " + configRule(e.ErrorKind)
	if _, no := e.ErrorKind.(*kind.FalseSchema); no && len(e.InstanceLocation) > 0 {
		last := len(e.InstanceLocation) - 1
		told += c.node(e.InstanceLocation[:last]).nearest(e.InstanceLocation[last])
	}
	return []string{told}
}

func (c *configWords) below(e *jsonschema.ValidationError, name string) string {
	return configPath(append(slices.Clone(e.InstanceLocation), name))
}

func (c *configWords) each(names []string, say func(string) string) []string {
	var all []string
	for _, n := range names[:min(len(names), configTold)] {
		all = append(all, say(n))
	}
	return all
}

// node finds a place; an empty one where it is none.
func (c *configWords) node(path []string) *configNode {
	n := c.root
	for _, p := range path {
		var i int
		switch {
		case n.kids[p] != nil:
			n = n.kids[p]
		case len(n.items) > 0:
			if _, err := fmt.Sscan(p, &i); err != nil || i < 0 || i >= len(n.items) {
				return &configNode{}
			}
			n = n.items[i]
		default:
			return &configNode{}
		}
	}
	return n
}

// nearestForm tells what is wrong with the form that is nearest: the one with
// the fewest faults among those whose faults lie inside of the value.
func (c *configWords) nearestForm(path string, e *jsonschema.ValidationError) []string {
	var best []string
	for _, x := range e.Causes {
		told := c.leaves(x)
		if slices.ContainsFunc(told, func(s string) bool {
			return strings.HasPrefix(s, path+" is ") || strings.HasPrefix(s, path+" must be ")
		}) {
			continue
		}
		if best == nil || len(told) < len(best) {
			best = told
		}
	}
	if best == nil {
		return []string{fmt.Sprintf("%s has none of the %d forms that it may have", path, len(e.Causes))}
	}
	out := slices.Clone(best)
	for i := range out {
		out[i] += fmt.Sprintf(" (in the nearest of the %d forms of %s)", len(e.Causes), path)
	}
	return out
}

// configRule says a rule that was broken.
func configRule(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("is of type %s, not %s", k.Got, strings.Join(k.Want, " or "))
	case *kind.Enum:
		return "must be one of " + configSome(k.Want)
	case *kind.Const:
		return "must be " + configSome([]any{k.Want})
	case *kind.Pattern:
		return fmt.Sprintf("does not match the pattern %.200q", k.Want)
	case *kind.Format:
		return fmt.Sprintf("is not of the format %.80q", k.Want)
	case *kind.MinLength:
		return fmt.Sprintf("is shorter than %d", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("is longer than %d", k.Want)
	case *kind.Minimum:
		return "is less than " + configNumber(k.Want)
	case *kind.Maximum:
		return "is more than " + configNumber(k.Want)
	case *kind.ExclusiveMinimum:
		return "is not more than " + configNumber(k.Want)
	case *kind.ExclusiveMaximum:
		return "is not less than " + configNumber(k.Want)
	case *kind.MultipleOf:
		return "is no multiple of " + configNumber(k.Want)
	}
	return configRuleOfMany(k)
}

// configRuleOfMany is configRule for what holds several values.
func configRuleOfMany(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.MinItems:
		return fmt.Sprintf("has %d items, and needs %d", k.Got, k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("has %d items, and may have %d", k.Got, k.Want)
	case *kind.MinProperties:
		return fmt.Sprintf("has %d options, and needs %d", k.Got, k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("has %d options, and may have %d", k.Got, k.Want)
	case *kind.UniqueItems:
		return fmt.Sprintf("has equal items, numbers %d and %d", k.Duplicates[0], k.Duplicates[1])
	case *kind.AdditionalItems:
		return fmt.Sprintf("has %d items too many", k.Count)
	case *kind.DependentRequired:
		return fmt.Sprintf("needs %.200q beside %.80q", k.Missing, k.Prop)
	case *kind.Dependency:
		return fmt.Sprintf("needs %.200q beside %.80q", k.Missing, k.Prop)
	case *kind.PropertyNames:
		return fmt.Sprintf("has an option whose name is not allowed: %.80q", k.Property)
	case *kind.Contains, *kind.MinContains, *kind.MaxContains:
		return "does not hold the items that it must"
	case *kind.Not, *kind.FalseSchema:
		return "is not allowed here"
	case *kind.RefCycle:
		return "cannot be judged: the schema refers to itself without end"
	}
	return fmt.Sprintf("breaks the rule %q", strings.Join(k.KeywordPath(), "/"))
}

// configSome lists values of the schema.
func configSome(all []any) string {
	var some []string
	for i, v := range all {
		if i == 12 {
			some = append(some, fmt.Sprintf("and %d more", len(all)-i))
			break
		}
		some = append(some, fmt.Sprintf("%.80q", fmt.Sprint(v)))
	}
	return strings.Join(some, ", ")
}

func configNumber(r *big.Rat) string {
	if r.IsInt() {
		return fmt.Sprintf("%.40s", r.Num().String())
	}
	f, _ := r.Float64()
	return fmt.Sprint(f)
}
