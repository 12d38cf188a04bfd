package plan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mustEndWell loads src and insists on what Load promises: a Plan or Problems, and
// Problems that can be shown.
func mustEndWell(t *testing.T, src []byte) {
	t.Helper()
	p, err := Load("plan.yaml", src, fakeKinds())
	var ps *Problems
	switch {
	case (p == nil) == (err == nil):
		t.Fatalf("plan %v and error %v", p != nil, err)
	case err == nil:
		p.Needs()
		seen := map[string]bool{}
		for _, s := range p.Steps() {
			if s.ID == "" || seen[s.ID] || s.Do == nil || s.Title == "" {
				t.Fatalf("step %+v", s)
			}
			seen[s.ID] = true
		}
		return
	case !errors.As(err, &ps) || len(ps.List) == 0:
		t.Fatalf("not Problems: %v", err)
	}
	lines := strings.Count(string(src), "\n") + 1
	for _, q := range ps.List {
		if q.Text == "" || q.Line < 0 || q.Line > lines || strings.Contains(q.Text, "\n") {
			t.Fatalf("problem %+v of a file with %d lines", q, lines)
		}
	}
	for _, r := range err.Error() {
		if r != '\n' && r != '\t' && !printable(r) {
			t.Fatalf("unprintable %U in %q", r, err.Error())
		}
	}
}

// TestHalfTyped cuts a valid plan at every byte: that is what an editor's
// check sees while somebody types.
func TestHalfTyped(t *testing.T) {
	for i := range len(full) {
		mustEndWell(t, []byte(full[:i]))
	}
}

// TestHoles takes a byte out here and there of a valid plan, and puts in others.
func TestHoles(t *testing.T) {
	for _, put := range []string{"", "\t", "{", "}", "&a ", "*a", "\"", "${{", ": ", "- ", "\n"} {
		for i := 0; i < len(full); i += 17 + len(put)*2 {
			mustEndWell(t, []byte(full[:i]+put+full[i+1:]))
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(full))
	shipped, err := filepath.Glob("shipped/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, k := range All().Steps {
		f.Add([]byte(inPrepare + k.Example))
	}
	for _, k := range All().Checks {
		f.Add([]byte(head + "assess:\n" + k.Example))
	}
	for _, path := range shipped {
		src, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src)
	}
	for _, seed := range []string{
		"", "#", "---", "...", "%YAML 1.1\n---\n", "a: &a [*a]", "a: &a {b: *a}", "? [x]\n: y", "? &k x\n: *k", "<<: *x", "<<: [*a, *b]",
		"{", "[[[[", "- - - -", "!!binary aGk=", "!!set {a}", "\ufeffbelay: 1", "belay: 1\n? |\n  x\n: 2", "a: |9\n x", "'", "\"\\x00\"", "\"\\ud800\"",
		inPrepare + "- step: ${{ \n  run: }}\n", inPrepare + "- each: {a: [1]}\n  step: ${{ a }}${{ a }}\n  on: db\n  run: $${{ ${{ a }}\n",
		inPrepare + "- together: [{lane: a, steps: [{step: x, on: [], run: y}], each: {q: [{name: ~}]}}]\n",
		inPrepare + "- &s {step: a, on: db, run: *t}\n- <<: *s\n", inPrepare + "- step: a\n  on: db\n  undo: {undo: {run: x}}\n  run: 1\n",
		head + "soak: {watch: [{port: {port: ~, on: [], title: [], every: {}}}], for: 9999999999d}\n",
		head + "signoff: [~, [], {check: }, {check: [], text: {}}]\nassess: [{port: 1, each: {x: [1, 2]}}]\n",
		strings.Repeat("a: {", 80), strings.Repeat("- ", 200), "vars: {a: \"${{ a }}\"}", "hosts: &h {a: {jump: *h}}", "a: !<tag:yaml.org,2002:int> x",
	} {
		f.Add([]byte(seed))
		f.Add([]byte(head + seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 1<<16 {
			return
		}
		mustEndWell(t, src)
		if p, err := Load("plan.yaml", src, All()); (p == nil) == (err == nil) { // the Validate of real kinds
			t.Fatalf("plan %v and error %v", p != nil, err)
		}
	})
}

func BenchmarkLoad5000(b *testing.B) {
	var src strings.Builder
	src.WriteString(head + "prepare:\n")
	for i := range 5000 {
		fmt.Fprintf(&src, `  - step: Step number %d
    why: Because the plan says so and somebody wrote a reason here.
    on: chat
    timeout: 5m
    files.copy:
      from: /var/lib/source/%d
      to: /var/lib/target/%d
      limit: 5GiB
      set: {A: "${{ port }}", B: two}
    hints:
      - {match: "port .* allocated", cause: the old one owns it, fix: try again}
    undo: {run: echo back, on: chat}
`, i, i, i)
	}
	text := []byte(src.String())
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if p, err := Load("plan.yaml", text, fakeKinds()); err != nil || len(p.Steps()) != 5000 {
			b.Fatal(err)
		}
	}
}
