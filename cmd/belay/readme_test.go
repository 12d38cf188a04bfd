package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"belay/steps/plan"
)

var updateReadme = flag.Bool("update-readme", false, "write the README's table of kinds anew (make readme)")

const (
	readme     = "../../README.md"
	kindsBegin = "<!-- kinds: made by `make readme` -->\n"
	kindsEnd   = "<!-- end -->"
)

// The table of kinds in the README is what `belay kinds --markdown` prints.
func TestReadmeTableOfKinds(t *testing.T) {
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), kindsBegin)
	table, after, ok2 := strings.Cut(rest, kindsEnd)
	if !ok || !ok2 {
		t.Fatal("the README has lost the marks around its table of kinds")
	}
	want := plan.MarkdownTable(plan.All())
	if *updateReadme {
		if err := os.WriteFile(readme, []byte(before+kindsBegin+want+kindsEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Error("the table of kinds is not up to date: make readme")
	}
}

// Every plan that the README shows is a plan without problems.
func TestReadmePlans(t *testing.T) {
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, block := range strings.Split(string(b), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		if !strings.HasPrefix(text, "belay: 1") {
			continue
		}
		shown++
		if _, err := plan.Load("README.md", []byte(text), plan.All()); err != nil {
			t.Error(err)
		}
	}
	if shown == 0 {
		t.Error("the README shows no plan")
	}
}

// The commands that the README names exist.
func TestReadmeCommands(t *testing.T) {
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, c := range newRoot().Commands() {
		known[c.Name()] = true
	}
	for _, part := range strings.Split(string(b), "`belay ")[1:] {
		if word, _, _ := strings.Cut(strings.TrimRight(strings.SplitN(part, "`", 2)[0], "\n"), " "); !known[word] {
			t.Errorf("the README speaks of `belay %s`, which is no command", word)
		}
	}
}
