package kubernetes

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func object(t *testing.T, text string) Object {
	t.Helper()
	all, err := Parse([]byte("apiVersion: v1\nkind: Thing\nmetadata: {name: x}\n" + text))
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	return all[0]
}

func TestBack(t *testing.T) {
	for _, c := range []struct{ name, before, applied, after, now, back, foreign string }{
		{
			name:   "changed, added and removed",
			before: "spec: {a: 1, b: 2, gone: {x: 1}, other: 9}", applied: "spec: {a: 5, new: 6}",
			after: "spec: {a: 5, b: 2, new: 6, other: 9}", now: "spec: {a: 5, b: 2, new: 6, other: 10}",
			back: `{"a":1,"gone":{"x":1}}`,
		},
		{
			name:   "a list is taken whole",
			before: "spec: {l: [{n: a, v: 1}, {n: b}], k: 1}", applied: "spec: {l: [{n: a, v: 2}]}",
			after: "spec: {l: [{n: a, v: 2}, {n: b}], k: 1}", now: "spec: {l: [{n: a, v: 2}, {n: b}], k: 1}",
			back: `{"l":[{"n":"a","v":1},{"n":"b"}]}`,
		},
		{
			name:   "somebody else",
			before: "spec: {a: 1, m: {b: 1}}", applied: "spec: {a: 2, m: {b: 2}}", after: "spec: {a: 2, m: {b: 2}}", now: "spec: {a: 2, m: {b: 3}}",
			back: `{"a":1,"m":{"b":1}}`, foreign: "spec.m.b",
		},
		{
			name:   "somebody else was there before us",
			before: "spec: {a: 1}", applied: "spec: {a: 2}", after: "spec: {a: 2}", now: "spec: {a: 1}",
			back: `{"a":1}`,
		},
		{
			name:   "what was taken away deep below what was not applied",
			before: "spec: {m: {deep: {a: 1, b: 2}}}", applied: "spec: {n: 1}", after: "spec: {n: 1, m: {deep: {b: 2}}}", now: "spec: {n: 1, m: {deep: {b: 2}}}",
			back: `{"m":{"deep":{"a":1}}}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			back, foreign := Back(object(t, c.before), object(t, c.applied), object(t, c.after), object(t, c.now))
			spec, err := json.Marshal(back["spec"])
			if err != nil {
				t.Fatal(err)
			}
			if string(spec) != c.back || strings.Join(foreign, " ") != c.foreign {
				t.Errorf("back %s, foreign %v; want %s, %s", spec, foreign, c.back, c.foreign)
			}
			if r := back.Ref(); r != (Ref{Version: "v1", Kind: "Thing", Name: "x"}) {
				t.Errorf("it is %+v", r)
			}
		})
	}
}

func TestParse(t *testing.T) {
	all, err := Parse([]byte("# comment\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: n, labels: {day: 2026-01-02, on: \"yes\"}}\nspec: {mode: 0644, x: &x {k: 1}, y: *x}\n---\napiVersion: v1\nkind: ConfigMapList\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Object{
		{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "a", "namespace": "n", "labels": map[string]any{"day": "2026-01-02", "on": "yes"}},
			"spec": map[string]any{"mode": 420, "x": map[string]any{"k": 1}, "y": map[string]any{"k": 1}}},
		{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "b"}},
	}
	if d := cmp.Diff(want, all); d != "" {
		t.Error(d)
	}
	for text, said := range map[string]string{
		"a: b":                      "document 1: it has no apiVersion",
		"[1]":                       "document 1 is not an object",
		"apiVersion: v1\nkind: Pod": "a Pod has no name",
		"apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}":   "generateName",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: --all}":        `"--all" cannot be`,
		"apiVersion: v1\nkind: List\nitems: [3]":                    "no object",
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\nx: [": "document 2",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), said) {
			t.Errorf("%q: %v, want %s", text, err, said)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: A, metadata: {name: b}}]"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := Parse(b)
		if err != nil {
			return
		}
		for _, o := range all {
			if r := o.Ref(); r.Name == "" || r.Kind == "" {
				t.Errorf("%+v was let through", r)
			}
			if _, err := Stdin([]Object{o}); err != nil {
				t.Errorf("%v cannot be written: %v", o, err)
			}
		}
	})
}
