package plan

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"belay/checks"

	"go.yaml.in/yaml/v3"
)

// TestKinds holds every kind to the law of doc.go: its example loads, is valid
// to the schema, and its manual says everything.
func TestKinds(t *testing.T) {
	for _, set := range []Kinds{fakeKinds(), All()} {
		schema := decodeJSON(t, Schema(set))
		for name, k := range set.Steps {
			t.Run("step/"+name, func(t *testing.T) {
				do := k.New()
				stage := "prepare"
				if k.Close {
					stage = "close"
				}
				tryKind(t, set, schema, name, k.Name, k.Summary, k.Example, stage, do)
				if d, ok := do.(checks.Hoster); ok {
					d.HostNames() // of the zero value: must not panic
				}
			})
		}
		for name, k := range set.Checks {
			t.Run("check/"+name, func(t *testing.T) {
				tryKind(t, set, schema, name, k.Name, k.Summary, k.Example, "assess", k.New())
			})
		}
	}
}

func tryKind(t *testing.T, set Kinds, schema any, key, name, summary, example, stage string, do any) {
	t.Helper()
	if key != name || summary == "" || strings.Contains(summary, "\n") {
		t.Errorf("name %q, summary %q: a summary is one line", name, summary)
	}
	for _, wrong := range lint(reflect.TypeOf(do), name) {
		t.Error(wrong)
	}
	src := wrapExample(t, set, example, stage)
	p, err := Load("example.yaml", src, set)
	if err != nil {
		t.Fatalf("the example does not load:\n%v\n%s", err, src)
	}
	if len(p.Steps())+len(p.Assess) == 0 {
		t.Fatalf("the example holds nothing:\n%s", src)
	}
	var doc any
	if err := yaml.Unmarshal(src, &doc); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range conforms(schema.(map[string]any), schema.(map[string]any), doc, "plan") {
		t.Errorf("schema: %s\n%s", wrong, src)
	}
	text, err := Manual(set, name)
	if err != nil || !strings.Contains(text, name) || !strings.Contains(text, "Example") {
		t.Errorf("manual (%v):\n%s", err, text)
	}
	if !strings.Contains(Index(set), name) || !strings.Contains(MarkdownTable(set), "`"+name+"`") {
		t.Error("missing in the index or in the table")
	}
}

// wrapExample makes a plan around one list item, with the hosts, secrets and
// variables that the item names.
func wrapExample(t *testing.T, set Kinds, example, stage string) []byte {
	t.Helper()
	c := &collector{}
	root := (&source{path: "example", text: []byte(example)}).parse(c)
	if root == nil || root.kind != list {
		t.Fatalf("the example is no list item: %v\n%s", c.err(nil), example)
	}
	hosts, secrets, vars := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, item := range root.items {
		if on := item.get("on"); on != nil {
			(&decoder{}).eachText(on, func(_ *node, h string) { hosts[h] = true })
		}
		for _, p := range item.pairs {
			switch sk, ck := set.Steps[p.key.text], set.Checks[p.key.text]; {
			case sk.New != nil && stage != "assess":
				named(reflect.ValueOf(sk.New()), p.val, false, hosts, secrets, set)
			case ck.New != nil && stage == "assess":
				named(reflect.ValueOf(ck.New()), p.val, true, hosts, secrets, set)
			}
		}
	}
	for _, m := range regexp.MustCompile(`\$\{\{ *(\w+)`).FindAllStringSubmatch(example, -1) {
		vars[m[1]] = true
	}
	if len(hosts) == 0 {
		hosts["only"] = true
	}
	var b strings.Builder
	b.WriteString("belay: 1\nname: example\nhosts:\n")
	for _, h := range keys(hosts) {
		fmt.Fprintf(&b, "  %s: {}\n", h)
	}
	if len(secrets) > 0 {
		b.WriteString("secrets:\n")
	}
	for _, s := range keys(secrets) {
		fmt.Fprintf(&b, "  %s: {prompt: ask}\n", s)
	}
	if len(vars) > 0 {
		b.WriteString("vars:\n")
	}
	for _, v := range keys(vars) {
		fmt.Fprintf(&b, "  %s: 1\n", v)
	}
	fmt.Fprintf(&b, "%s:\n%s\n", stage, strings.TrimRight(example, "\n"))
	return []byte(b.String())
}

// named decodes a kind's parameters only to learn which hosts and secrets they
// name: whatever is unknown is taken as a problem's text would have it.
func named(do reflect.Value, n *node, check bool, hosts, secrets map[string]bool, set Kinds) {
	c := &collector{}
	d := decoder{c: c, kinds: set, secrets: map[string]bool{}}
	d.value(n, do.Elem(), &field{}, in{what: "example", check: check})
	if h, ok := do.Interface().(checks.Hoster); ok {
		for _, name := range h.HostNames() {
			hosts[name] = true
		}
	}
	host := regexp.MustCompile(`^unknown host "(.+?)"`)
	sec := regexp.MustCompile(`^secret "(.+?)" is not declared`)
	for _, p := range c.list {
		if m := host.FindStringSubmatch(p.Text); m != nil {
			hosts[m[1]] = true
		}
		if m := sec.FindStringSubmatch(p.Text); m != nil {
			secrets[m[1]] = true
		}
	}
}

func decodeJSON(t *testing.T, b []byte) any {
	t.Helper()
	var x any
	if err := json.Unmarshal(b, &x); err != nil {
		t.Fatal(err)
	}
	return x
}

// conforms is as much of JSON Schema as Schema writes.
func conforms(root, s map[string]any, x any, at string) []string {
	var wrong []string
	fail := func(format string, args ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, args...)) }
	if ref, ok := s["$ref"].(string); ok {
		def, ok := root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		if !ok {
			return []string{at + ": " + ref + " is not defined"}
		}
		wrong = append(wrong, conforms(root, def, x, at)...)
	}
	if want := s["type"]; want != nil {
		var names []string
		if one, ok := want.(string); ok {
			names = []string{one}
		} else {
			for _, n := range want.([]any) {
				names = append(names, n.(string))
			}
		}
		is := jsonType(x)
		if !slices.Contains(names, is) && !(is == "integer" && slices.Contains(names, "number")) {
			fail("is %s, not one of %v", is, names)
			return wrong
		}
	}
	if p, ok := s["pattern"].(string); ok {
		if text, isText := x.(string); isText && !regexp.MustCompile(p).MatchString(text) {
			fail("%q does not match %s", text, p)
		}
	}
	if e, ok := s["enum"].([]any); ok && !slices.ContainsFunc(e, func(v any) bool { return fmt.Sprint(v) == fmt.Sprint(x) }) {
		fail("%v is none of %v", x, e)
	}
	for _, word := range []string{"anyOf", "oneOf"} {
		forms, ok := s[word].([]any)
		if !ok {
			continue
		}
		fits, whys := 0, []string{}
		for _, f := range forms {
			why := conforms(root, f.(map[string]any), x, at)
			if len(why) == 0 {
				fits++
			}
			whys = append(whys, why...)
		}
		if fits == 0 || word == "oneOf" && fits > 1 {
			fail("%s: %d fit: %s", word, fits, strings.Join(whys, "; "))
		}
	}
	switch x := x.(type) {
	case []any:
		if items, ok := s["items"].(map[string]any); ok {
			for i, item := range x {
				wrong = append(wrong, conforms(root, items, item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		}
		if n, ok := s["minItems"].(float64); ok && len(x) < int(n) {
			fail("has %d items", len(x))
		}
	case map[string]any:
		wrong = append(wrong, conformsObject(root, s, x, at)...)
	}
	return wrong
}

func conformsObject(root, s map[string]any, x map[string]any, at string) []string {
	var wrong []string
	if need, ok := s["required"].([]any); ok {
		for _, n := range need {
			if _, have := x[n.(string)]; !have {
				wrong = append(wrong, at+": "+n.(string)+" is missing")
			}
		}
	}
	if n, ok := s["maxProperties"].(float64); ok && len(x) > int(n) {
		wrong = append(wrong, at+": too many keys")
	}
	props, _ := s["properties"].(map[string]any)
	for key, v := range x {
		here := at + "." + key
		if p, ok := props[key].(map[string]any); ok {
			wrong = append(wrong, conforms(root, p, v, here)...)
			continue
		}
		switch more := s["additionalProperties"].(type) {
		case bool:
			wrong = append(wrong, here+": unknown key")
		case map[string]any:
			wrong = append(wrong, conforms(root, more, v, here)...)
		}
	}
	return wrong
}

func jsonType(x any) string {
	switch x.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case int, uint64:
		return "integer"
	case float64:
		return "number"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	}
	return "string" // timestamps too: a schema sees them as they are written
}

func TestSchema(t *testing.T) {
	schema := decodeJSON(t, Schema(fakeKinds())).(map[string]any)
	for src, ok := range map[string]bool{
		full:                                     true,
		head:                                     true,
		wayPlan:                                  true,
		head + "rollback:\n":                     true,
		head + "rollback: {quick: {about: x}}\n": false,
		head + "rollback: {quick: {loses: x, before: [{step: A}]}}\n": false,
		head + "prepair: []\n":                                                  false,
		inPrepare + "- {step: A, run: x, manual: y}\n":                          false,
		inPrepare + "- {step: A}\n":                                             false,
		inPrepare + "- {step: A, files.copy: {from: a, to: b, port: x}}\n":      false,
		inPrepare + "- {step: A, files.copy: {from: a}}\n":                      false,
		inPrepare + "- {step: A, run: {script: x, secrets: pw}, timeout: 5x}\n": false,
		inPrepare + "- {step: A, files.copy: {from: a, to: b, proto: q}}\n":     false,
		head + "soak: {for: 1m, watch: []}\n":                                   false,
		head + "assess: [{port: {port: 1, on: db, every: 1s}}]\n":               false,
	} {
		var doc any
		if err := yaml.Unmarshal([]byte(src), &doc); err != nil {
			t.Fatal(err)
		}
		wrong := conforms(schema, schema, doc, "plan")
		if ok != (len(wrong) == 0) {
			t.Errorf("want valid=%v, got %v for:\n%s", ok, wrong, src)
		}
	}
}
