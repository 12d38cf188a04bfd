package steps

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

const fileComposeYAML = `# The stack
version: "3.8"   # old

services:
  web:
    image: nginx:1.25 # pinned
    ports:
      - "8080:80"   # public
      - 443:443
    environment: {A: 1, B: "x, y"}
    command: ['run', "--x"]
    # end of web

  db:
    image: 'postgres:15'
    environment:
    - POSTGRES_DB=app
    - POSTGRES_USER=app
    healthcheck:
      test: |
        # not a comment
        pg_isready

  empty:
volumes:
  data: {}
`

func TestFilesEditYAML(t *testing.T) {
	for name, c := range map[string]struct {
		in       string // "" means fileComposeYAML
		set      map[string]any
		remove   []string
		old, new string // the only text that changes
		want     string // or the whole
	}{
		"scalar":           {set: map[string]any{"services.web.image": "nginx:1.27"}, old: "nginx:1.25 #", new: "nginx:1.27 #"},
		"double quoted":    {set: map[string]any{"version": "3.9"}, old: `"3.8"`, new: `"3.9"`},
		"single quoted":    {set: map[string]any{"services.db.image": "it's"}, old: `'postgres:15'`, new: `'it''s'`},
		"list item":        {set: map[string]any{"services.web.ports.0": "9090:80"}, old: `"8080:80"`, new: `"9090:80"`},
		"list append":      {set: map[string]any{"services.web.ports.2": "1:1"}, old: "      - 443:443\n", new: "      - 443:443\n      - \"1:1\"\n"},
		"flow scalar":      {set: map[string]any{"services.web.environment.B": "z"}, old: `"x, y"`, new: `"z"`},
		"flow add":         {set: map[string]any{"services.web.environment.C": "a,b"}, old: `"x, y"}`, new: `"x, y", C: "a,b"}`},
		"flow remove":      {remove: []string{"services.web.environment.A"}, old: `{A: 1, B:`, new: `{B:`},
		"flow remove last": {remove: []string{"services.web.command.1"}, old: `['run', "--x"]`, new: `['run']`},
		"add key":          {set: map[string]any{"services.db.restart": "always"}, old: "        pg_isready\n", new: "        pg_isready\n    restart: always\n"},
		"indentless list":  {set: map[string]any{"services.db.environment.2": "C=1"}, old: "    - POSTGRES_USER=app\n", new: "    - POSTGRES_USER=app\n    - C=1\n"},
		"nested new":       {set: map[string]any{"services.new.image": "x"}, old: "  empty:\n", new: "  empty:\n  new:\n    image: x\n"},
		"null to mapping":  {set: map[string]any{"services.empty.image": "x"}, old: "  empty:\n", new: "  empty:\n    image: x\n"},
		"null to scalar":   {set: map[string]any{"services.empty": 1}, old: "  empty:\n", new: "  empty: 1\n"},
		"into empty flow":  {set: map[string]any{"volumes.data.driver": "local"}, old: "{}", new: "{driver: local}"},
		"block to scalar":  {set: map[string]any{"services.db.healthcheck": nil}, old: "healthcheck:\n      test: |\n        # not a comment\n        pg_isready\n", new: "healthcheck: null\n"},
		"literal replaced": {set: map[string]any{"services.db.healthcheck.test": "x"}, old: "|\n        # not a comment\n        pg_isready\n", new: "x\n"},
		"scalar to list":   {set: map[string]any{"services.db.image": []any{"a", 1}}, old: "image: 'postgres:15'\n", new: "image:\n      - a\n      - 1\n"},
		"remove key":       {remove: []string{"services.web.image"}, old: "    image: nginx:1.25 # pinned\n", new: ""},
		"remove block":     {remove: []string{"services.db.environment"}, old: "    environment:\n    - POSTGRES_DB=app\n    - POSTGRES_USER=app\n", new: ""},
		"remove item":      {remove: []string{"services.web.ports.0"}, old: "      - \"8080:80\"   # public\n", new: ""},
		"remove only":      {remove: []string{"volumes.data"}, old: "volumes:\n  data: {}\n", new: "volumes: {}\n"},
		"remove missing":   {remove: []string{"services.x.y"}, old: "", new: ""},
		"string as number": {set: map[string]any{"services.db.image": "15"}, old: `'postgres:15'`, new: `'15'`},
		"same":             {set: map[string]any{"services.web.environment.A": 1}, old: "", new: ""},
		"items of maps":    {in: "a:\n- name: x # first\n  port: 1\n- name: y\n", remove: []string{"a.0.name"}, want: "a:\n- port: 1\n- name: y\n"},
		"add to item":      {in: "a:\n  - name: x\n  - name: y\n", set: map[string]any{"a.0.port": 1}, want: "a:\n  - name: x\n    port: 1\n  - name: y\n"},
		"append map item":  {in: "a:\n  - name: x\n", set: map[string]any{"a.1": map[string]any{"name": "y", "z": 1}}, want: "a:\n  - name: x\n  - name: \"y\"\n    z: 1\n"},
		"no newline":       {in: "a: 1\nb: 2", set: map[string]any{"c": 3}, want: "a: 1\nb: 2\nc: 3"},
		"no newline gone":  {in: "a: 1\nb: 2", remove: []string{"b"}, want: "a: 1"},
		"crlf":             {in: "a:\r\n    b: 1\r\n", set: map[string]any{"a.c.d": 2}, want: "a:\r\n    b: 1\r\n    c:\r\n        d: 2\r\n"},
		"only comments":    {in: "# nothing\n", set: map[string]any{"a": "yes"}, want: "# nothing\na: \"yes\"\n"},
		"new file":         {in: "\n", set: map[string]any{"a.b": 1}, want: "\na:\n  b: 1\n"},
		"document marks":   {in: "---\na: 1\n...\n", set: map[string]any{"b": 2}, want: "---\na: 1\nb: 2\n...\n"},
		"wide characters":  {in: "ä: {ö: ü, x: 1}\n", set: map[string]any{"ä.x": 2}, want: "ä: {ö: ü, x: 2}\n"},
		"colon in plain":   {in: "a: http://x:1/#y # c\n", set: map[string]any{"a": "http://z"}, want: "a: http://z # c\n"},
		"several lines":    {in: "a: one\n  two\nb: 1\n", set: map[string]any{"a": "x"}, want: "a: x\nb: 1\n"},
		"text with breaks": {in: "a: 1\n", set: map[string]any{"a": "x\ny"}, want: "a: \"x\\ny\"\n"},
		"root emptied":     {in: "# c\na: 1\n", remove: []string{"a"}, want: "# c\n{}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			in := c.in
			if in == "" {
				in = fileComposeYAML
			}
			want := c.want
			if want == "" {
				if strings.Count(in, c.old) != 1 && c.old != "" {
					t.Fatalf("%q is not there once", c.old)
				}
				want = in
				if c.old != "" {
					want = strings.Replace(in, c.old, c.new, 1)
				}
			}
			ed := filePathEdit{Set: c.set, Remove: c.remove}
			got, err := ed.apply("yaml", in, fileYAMLEdit, filePlainValue)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("-want +got\n%s", d)
			}
		})
	}
}

func TestFilesEditYAMLRefuses(t *testing.T) {
	for in, path := range map[string]string{
		"a: &x {b: 1}\nc: *x\n": "c.b",   // would change a, too
		"a: 1\n---\nb: 2\n":     "a",     // two documents
		"a: [1, 2\n":            "a.0",   // not YAML
		"a: 1\n":                "a.b.c", // inside of a number
		"a: !tag x\n":           "a",     // the tag would be lost
		"? [a, b]\n: 1\n":       "x.y.0",
	} {
		ed := filePathEdit{Set: map[string]any{path: 3}}
		if out, err := ed.apply("yaml", in, fileYAMLEdit, filePlainValue); err == nil {
			t.Errorf("%q set %s: not refused, gives %q", in, path, out)
		}
	}
}

// FuzzFilesEditYAML: an edit is refused, or gives YAML that is the old one but
// for what was asked; all lines with comments stay as long as nothing is
// replaced.
func FuzzFilesEditYAML(f *testing.F) {
	f.Add(fileComposeYAML, "services", "web", "x")
	f.Add("a:\n- b: 1\n  c: [1, {d: 2}]\n", "a", "0", "#x: y")
	f.Add("? a\n: - b\n  - c\n", "a", "1", "")
	f.Add("a: 'x'' #y'\n\"b c\" : z", "b c", "d", "v")
	f.Fuzz(func(t *testing.T, in, p1, p2, value string) {
		if p1 == "" || p2 == "" || len(in) > 1<<12 || !utf8.ValidString(p1) || !utf8.ValidString(p2) || !utf8.ValidString(value) {
			t.Skip()
		}
		var doc yaml.Node
		if yaml.Unmarshal([]byte(in), &doc) != nil {
			t.Skip()
		}
		for _, path := range [][]string{{p1}, {p1, p2}} {
			out, err := fileYAMLSet(in, path, value)
			if err != nil {
				continue
			}
			if again, err := fileYAMLSet(out, path, value); err != nil || again != out {
				t.Fatalf("not stable: %q then %q, %v", out, again, err)
			}
			gone, err := fileYAMLRemove(out, path)
			if err != nil {
				continue
			}
			before, err := fileYAMLRemove(in, path)
			if errors.Is(err, errFileNoSuch) {
				before = in
			} else if err != nil {
				continue
			}
			a, errA := fileYAMLParse(gone)
			b, errB := fileYAMLParse(before)
			if errA != nil || errB != nil {
				t.Fatalf("%v, %v", errA, errB)
			}
			if len(path) == 1 && !reflect.DeepEqual(fileYAMLData(a.root), fileYAMLData(b.root)) && b.root != nil && b.root.Kind == yaml.MappingNode && len(b.root.Content) > 0 {
				t.Fatalf("something else changed: %q, %q, %q, %q", in, out, gone, before)
			}
		}
	})
}
