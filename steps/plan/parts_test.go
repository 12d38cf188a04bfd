package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const rehearsed = `belay: 1
name: shop
rehearsal: {max_age: 30d}
hosts: {a: {}, b: {}}
vars: {size: 1}
window: {start: 2026-12-01T22:00Z, length: 40m}
assess:
  - disk: {on: a, path: /, free: 1GiB}
prepare:
  - {step: One, on: a, run: "echo ${{ size }}"}
  - together:
      - lane: left
        steps:
          - {step: Two, on: a, run: "true"}
          - {step: Two, id: again, on: a, run: "true"}
      - {step: Three, on: b, run: "true"}
signoff: [People know]
cutover:
  - {step: Four, on: a, run: "true"}
`

func names(p *Plan) (all []string) {
	for _, part := range p.Parts {
		all = append(all, part.Name)
	}
	return all
}

func TestParts(t *testing.T) {
	load := func(text string, over ...string) *Plan {
		t.Helper()
		var files []File
		for _, o := range over {
			files = append(files, File{Path: "over.yaml", Source: []byte(o)})
		}
		p, err := Load("plan.yaml", []byte(text), All(), files...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := load(rehearsed)
	if p.Rehearsal == nil || p.Rehearsal.MaxAge != 30*24*time.Hour {
		t.Errorf("rehearsal: %+v", p.Rehearsal)
	}
	want := []string{"name", "assess: disk", "prepare: One", "prepare: together", "prepare: left", "prepare: Two", "prepare: Two (2)", "prepare: Three", "signoff: People know", "cutover: Four"}
	if d := cmp.Diff(want, names(p)); d != "" {
		t.Error(d)
	}
	same := []*Plan{
		load(rehearsed, "vars: {size: 9}\nhosts: {a: {address: a.lab}, b: {address: b.lab}}\nenvironment: staging\n"),
		load(strings.Replace(rehearsed, `{step: Four, on: a, run: "true"}`, "# at last\n    run: 'true'\n    on: a\n    step: Four", 1)),
		load(strings.Replace(rehearsed, "2026-12-01", "2026-12-02", 1)),
		load(strings.Replace(rehearsed, "{max_age: 30d}", "required", 1)),
	}
	for i, o := range same {
		if d := cmp.Diff(p.Parts, o.Parts); d != "" {
			t.Errorf("%d: %s", i, d)
		}
	}
	// Whether a step stands beside others or after them is not the same.
	moved := load(strings.Replace(rehearsed, `      - {step: Three, on: b, run: "true"}`, `  - {step: Three, on: b, run: "true"}`, 1))
	if cmp.Equal(p.Parts, moved.Parts) {
		t.Error("a step that left its group is the same plan")
	}
	other := load(strings.Replace(rehearsed, `- {step: Three, on: b, run: "true"}`, `- {step: Three, on: b, run: "false"}`, 1))
	changed := 0
	for i, part := range other.Parts {
		if part != p.Parts[i] {
			changed++
			if part.Name != "prepare: Three" {
				t.Errorf("%s differs", part.Name)
			}
		}
	}
	if changed != 1 {
		t.Errorf("%d parts differ", changed)
	}
}
