package steps

import (
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func filePlainValue(v any) (any, error) { return v, nil }

func TestFilesEditJSON(t *testing.T) {
	many := "{\r\n    \"b\": {\"x\": 1.0, \"y\" : [1,2]},\r\n    \"a\" : \"é\\u00e9\",\r\n    \"list\": [\r\n        1,\r\n        2\r\n    ]\r\n}"
	for name, c := range map[string]struct {
		in     string
		set    map[string]any
		remove []string
		want   string
	}{
		"scalar":          {in: `{"a": 1, "b" : 2}`, set: map[string]any{"b": "x<y"}, want: `{"a": 1, "b" : "x<y"}`},
		"same":            {in: `{"a":1}`, set: map[string]any{"a": 1}, want: `{"a":1}`},
		"compact add":     {in: `{"a":1}`, set: map[string]any{"b.c": true}, want: `{"a":1,"b":{"c":true}}`},
		"spaced add":      {in: `{"a": 1}` + "\n", set: map[string]any{"b": nil}, want: `{"a": 1, "b": null}` + "\n"},
		"crlf replace":    {in: many, set: map[string]any{"b.x": 2}, want: "{\r\n    \"b\": {\"x\": 2, \"y\" : [1,2]},\r\n    \"a\" : \"é\\u00e9\",\r\n    \"list\": [\r\n        1,\r\n        2\r\n    ]\r\n}"},
		"crlf append":     {in: many, set: map[string]any{"list.2": 3}, want: "{\r\n    \"b\": {\"x\": 1.0, \"y\" : [1,2]},\r\n    \"a\" : \"é\\u00e9\",\r\n    \"list\": [\r\n        1,\r\n        2,\r\n        3\r\n    ]\r\n}"},
		"nested render":   {in: "{\n\t\"a\": 1\n}\n", set: map[string]any{"b": map[string]any{"c": []any{1, "d"}}}, want: "{\n\t\"a\": 1,\n\t\"b\": {\n\t\t\"c\": [\n\t\t\t1,\n\t\t\t\"d\"\n\t\t]\n\t}\n}\n"},
		"into empty":      {in: "{\n  \"a\": {}\n}", set: map[string]any{"a.b": 1}, want: "{\n  \"a\": {\n    \"b\": 1\n  }\n}"},
		"new file":        {in: "", set: map[string]any{"a.b": 1}, want: "{\n  \"a\": {\n    \"b\": 1\n  }\n}\n"},
		"last twin":       {in: `{"a":1,"a":2}`, set: map[string]any{"a": 3}, want: `{"a":1,"a":3}`},
		"remove middle":   {in: "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}", remove: []string{"b"}, want: "{\n  \"a\": 1,\n  \"c\": 3\n}"},
		"remove last":     {in: "{\n  \"a\": 1,\n  \"b\": 2\n}", remove: []string{"b", "z.y"}, want: "{\n  \"a\": 1\n}"},
		"remove only":     {in: `{"a": {"b": 1} }`, remove: []string{"a.b"}, want: `{"a": {} }`},
		"remove items":    {in: `[1, 2, 3, 4]`, remove: []string{"1", "3"}, want: `[1, 3]`},
		"remove twins":    {in: `{"a":1,"b":0,"a":2}`, remove: []string{"a"}, want: `{"b":0}`},
		"dot in key":      {in: `{"a.b":1}`, set: map[string]any{`a\.b`: 2}, want: `{"a.b":2}`},
		"brackets inside": {in: `{"a":"}]\"{","b":1}`, set: map[string]any{"b": 2}, want: `{"a":"}]\"{","b":2}`},
	} {
		t.Run(name, func(t *testing.T) {
			ed := filePathEdit{Set: c.set, Remove: c.remove}
			got, err := ed.apply("json", c.in, fileJSONEdit, filePlainValue)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Fatalf("-want +got\n%s", d)
			}
			if len(c.remove) > 0 && c.in[0] == '[' {
				return // list items move up: removing by number is not repeated
			}
			if again, err := ed.apply("json", got, fileJSONEdit, filePlainValue); err != nil || again != got {
				t.Fatalf("a second time gives %q, %v", again, err)
			}
		})
	}
	for in, path := range map[string]string{`{"a":1}`: "a.b", `{"a":[1]}`: "a.5", `{"a":[]}`: "a.x", `{"a":1} x`: "a", `{a:1}`: "a", `{"a":1}}`: "a"} {
		ed := filePathEdit{Set: map[string]any{path: 2}}
		if out, err := ed.apply("json", in, fileJSONEdit, filePlainValue); err == nil {
			t.Errorf("%s set %s: not refused, gives %s", in, path, out)
		}
	}
}

// FuzzFilesEditJSON: what comes out is JSON, holds what was asked, and without
// that is what it was.
func FuzzFilesEditJSON(f *testing.F) {
	f.Add("{\n \"a\": {\"b\": [1, {\"c\": null}]}\n}", "a", "b", "v\"")
	f.Add(`[{"x":1}]`, "0", "x", "")
	f.Fuzz(func(t *testing.T, in, p1, p2, value string) {
		path := []string{p1, p2}
		if p1 == "" || p2 == "" || !utf8.ValidString(p1) || !utf8.ValidString(p2) || !utf8.ValidString(value) || !json.Valid([]byte(in)) {
			t.Skip()
		}
		out, err := fileJSONSet(in, path, value)
		if err != nil {
			t.Skip()
		}
		if !json.Valid([]byte(out)) {
			t.Fatalf("%q became %q", in, out)
		}
		if again, err := fileJSONSet(out, path, value); err != nil || again != out {
			t.Fatalf("not stable: %q then %q, %v", out, again, err)
		}
		gone, err := fileJSONRemove(out, path)
		if err != nil || !json.Valid([]byte(gone)) {
			t.Fatalf("remove from %q: %q, %v", out, gone, err)
		}
		before, err := fileJSONRemove(in, path)
		if errors.Is(err, errFileNoSuch) {
			return // the parent may be new
		}
		var a, b any
		_, _ = json.Unmarshal([]byte(gone), &a), json.Unmarshal([]byte(before), &b)
		if d := cmp.Diff(b, a); d != "" {
			t.Fatalf("something else changed in %q: %s", in, d)
		}
	})
}
