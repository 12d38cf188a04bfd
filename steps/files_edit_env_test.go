package steps

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func fileEnvPlain(v fileValue) (string, error) { return v.Text, nil }

func TestFilesEditEnv(t *testing.T) {
	set := func(kv ...string) fileEnvEdit {
		ed := fileEnvEdit{Set: map[string]fileValue{}}
		for i := 0; i < len(kv); i += 2 {
			ed.Set[kv[i]] = fileValue{Text: kv[i+1]}
		}
		return ed
	}
	for name, c := range map[string]struct {
		in   string
		ed   fileEnvEdit
		want string
	}{
		"comment and order stay":   {"# x\n\nA=1\nB=2 # two\n", set("B", "3"), "# x\n\nA=1\nB=3 # two\n"},
		"no final newline":         {"A=1\nB=2", set("B", "3"), "A=1\nB=3"},
		"no final newline, add":    {"A=1", set("B", "3"), "A=1\nB=3"},
		"add":                      {"A=1\n", set("B", "x y"), "A=1\nB='x y'\n"},
		"empty file":               {"", set("B", "1"), "B=1\n"},
		"crlf":                     {"A=1\r\nB=2\r\n", set("B", "3", "C", "4"), "A=1\r\nB=3\r\nC=4\r\n"},
		"export and spaces":        {"  export A = 1\n", set("A", "2"), "  export A = 2\n"},
		"last one counts":          {"A=1\nB=0\nA=2\n", set("A", "3"), "A=1\nB=0\nA=3\n"},
		"same meaning, no change":  {"A=\"1\" \n", set("A", "1"), "A=\"1\" \n"},
		"double quotes stay":       {`A="old value" # c` + "\n", set("A", `a "b" $c`), `A="a \"b\" \$c" # c` + "\n"},
		"single quotes stay":       {"A='old'\n", set("A", "a $b"), "A='a $b'\n"},
		"single quotes cannot":     {"A='old'\n", set("A", "it's"), "A=\"it's\"\n"},
		"several lines":            {"K=\"a\nb\nc\"\nB=1\n", set("K", "x"), "K=\"x\"\nB=1\n"},
		"line breaks in value":     {"K=1\n", set("K", "a\nb"), "K=\"a\\nb\"\n"},
		"open quote is a value":    {"A='tis\nB=x'\n", set("A", "1"), "A=1\nB=x'\n"},
		"empty value":              {"A=\nB=1\n", set("A", "x"), "A=x\nB=1\n"},
		"empty value with comment": {"A= # c\n", set("A", "x"), "A= x # c\n"},
		"commented out is not it":  {"#A=1\n", set("A", "2"), "#A=1\nA=2\n"},
		"similar keys":             {"AA=1\nA_B=2\nA=3\n", set("A", "4"), "AA=1\nA_B=2\nA=4\n"},
		"url with #":               {"U=http://x/#a\n", set("V", "1"), "U=http://x/#a\nV=1\n"},
		"rename":                   {"A = 'x' # c\nexport A=2\n", fileEnvEdit{Rename: map[string]string{"A": "B"}}, "B = 'x' # c\nexport B=2\n"},
		"rename twice is once":     {"B=1\n", fileEnvEdit{Rename: map[string]string{"A": "B"}}, "B=1\n"},
		"remove":                   {"A=1\nB=\"x\ny\"\nC=3\nB=2\n", fileEnvEdit{Remove: []string{"B", "Z"}}, "A=1\nC=3\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.ed.apply(c.in, fileEnvPlain)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Fatalf("-want +got\n%s", d)
			}
			again, err := c.ed.apply(got, fileEnvPlain)
			if err != nil || again != got {
				t.Fatalf("a second time gives %q, %v", again, err)
			}
		})
	}
	if _, err := (fileEnvEdit{Rename: map[string]string{"A": "B"}}).apply("A=1\nB=2\n", fileEnvPlain); err == nil {
		t.Error("renaming onto a key that is there was not refused")
	}
}

func FuzzFilesEditEnv(f *testing.F) {
	f.Add("A=1\nB='x\n y'\n#c\n", "B", "v\"$ '\n")
	f.Add("export A = \"a\\\"b\" # c\r\nA=", "A", "")
	f.Fuzz(func(t *testing.T, in, key, value string) {
		if !fileEnvKey.MatchString(key) || strings.ContainsRune(value, 0) {
			t.Skip()
		}
		old := fileEnvParse(in)
		joined := ""
		for _, l := range old {
			joined += l.String()
		}
		if joined != in {
			t.Fatalf("parsing loses bytes: %q", joined)
		}
		ed := fileEnvEdit{Set: map[string]fileValue{key: {Text: value}}}
		out, err := ed.apply(in, fileEnvPlain)
		if err != nil {
			t.Fatal(err)
		}
		lines := fileEnvParse(out)
		last := -1
		for i, l := range lines {
			if l.key == key {
				last = i
			}
		}
		if last < 0 || fileEnvText(lines[last].value) != value {
			t.Fatalf("%q was not set to %q in %q", key, value, out)
		}
		if again, _ := ed.apply(out, fileEnvPlain); again != out {
			t.Fatalf("not stable: %q then %q", out, again)
		}
		// Everything else is as it was.
		rest := func(lines []fileEnvLine, but int) (all []string) {
			for i, l := range lines {
				if i != but {
					all = append(all, strings.TrimRight(l.String(), "\r\n"))
				}
			}
			return all
		}
		but := -1
		for i, l := range old {
			if l.key == key {
				but = i
			}
		}
		if !slices.Equal(rest(old, but), rest(lines, last)) {
			t.Fatalf("other lines changed: %q to %q", in, out)
		}
	})
}

func TestFilesEditLines(t *testing.T) {
	ed := fileLineEdit{
		Ensure:  []string{"include /etc/x;", "a"},
		Remove:  []string{`^\s*#old`},
		Replace: []fileLineReplace{{Match: `^(port)\s+\d+$`, With: "$1 8080"}},
	}
	got, err := ed.apply("a\r\n#old x\r\nport 80\r\n\tport 80\r\nlast")
	if err != nil {
		t.Fatal(err)
	}
	if want := "a\r\nport 8080\r\n\tport 80\r\nlast\r\ninclude /etc/x;"; got != want {
		t.Errorf("got %q", got)
	}
	unstable := fileLineEdit{Replace: []fileLineReplace{{Match: "foo", With: "foobar"}}}
	if _, err := unstable.apply("foo\n"); err == nil {
		t.Error("a replacement that grows each time was not refused")
	}
	if errs := (fileLineEdit{Remove: []string{"("}, Ensure: []string{"a\nb"}}).validate(); len(errs) != 2 {
		t.Errorf("refusals: %v", errs)
	}
}
