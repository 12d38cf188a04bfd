package tui

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"belay/steps/journal"
	"belay/tui/widget"
)

// Parts that a page has to have, so that nobody is left without an answer.
var pageParts = []string{"What you are looking at", "What you can do now", "If you do nothing, or your link drops"}

const signPart = "What the signs mean"

func TestEveryScreenHasAPage(t *testing.T) {
	for _, s := range append(newModel(newFake(), Options{}.filled("run")).screens, nil) {
		name := "held"
		if s != nil {
			name = s.name()
		}
		wantParts(t, name, append(pageParts, signPart)...)
	}
	for _, dialog := range []string{"leave", "details", "ask-turn", "ask-undo-failed", "ask-undo-by-hand"} {
		wantParts(t, dialog, pageParts...)
	}
}

// Each question of belay init, and each dialog of it, has its own. What has
// signs explains them.
func TestEveryQuestionOfTheInterviewHasAPage(t *testing.T) {
	for _, p := range interviewPages() {
		wantParts(t, helpOf(p), pageParts...)
	}
	for _, o := range []overlay{&leaving{}, &replacing{}, &readOver{}} {
		wantParts(t, (&interview{top: o}).pageName(), pageParts...)
	}
	for _, name := range []string{"init-look", "init-what", "init-plan"} {
		wantParts(t, name, signPart)
	}
}

func wantParts(t *testing.T, name string, parts ...string) {
	t.Helper()
	p, ok := pages[name]
	if !ok || p.title == "" {
		t.Errorf("there is no help page %q", name)
		return
	}
	for _, want := range parts {
		i := slices.IndexFunc(p.parts, func(part pagePart) bool { return part.head == want })
		if i < 0 || len(p.parts[i].lines) == 0 {
			t.Errorf("page %q does not say: %s", name, want)
		}
	}
}

// The kinds of question are read from the journal's source, so that a new one
// cannot be forgotten.
func TestEveryQuestionHasAPage(t *testing.T) {
	kinds := 0
	literals(t, "../steps/journal/event.go", func(n ast.Node) {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Type != nil || !strings.HasPrefix(spec.Names[0].Name, "Ask") {
			return
		}
		kinds++
		wantParts(t, "ask-"+text(t, spec.Values[0]), pageParts...)
	})
	if kinds < 12 {
		t.Errorf("only %d kinds of question were found", kinds)
	}
}

// So are the choices that the engine offers.
func TestEveryChoiceIsExplained(t *testing.T) {
	explained := map[string]bool{}
	for _, p := range pages {
		for _, part := range p.parts {
			for _, l := range part.lines {
				if l.mark == '@' {
					explained[l.word] = true
				}
			}
		}
	}
	files, err := filepath.Glob("../steps/engine/*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		literals(t, f, func(n ast.Node) {
			lit, ok := n.(*ast.CompositeLit)
			if !ok {
				return
			}
			choice, label := "", false
			for _, e := range lit.Elts {
				kv, ok := e.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				switch key := kv.Key.(type) {
				case *ast.Ident:
					if v, ok := kv.Value.(*ast.BasicLit); ok && key.Name == "Choice" {
						choice = text(t, v)
					}
					label = label || key.Name == "Label"
				}
			}
			if choice == "" || !label {
				return
			}
			seen++
			if !explained[choice] {
				t.Errorf("%s: no help page explains the choice %q", f, choice)
			}
		})
	}
	if seen < 20 {
		t.Errorf("only %d choices were found", seen)
	}
}

func literals(t *testing.T, file string, visit func(ast.Node)) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool { visit(n); return true })
}

func text(t *testing.T, e ast.Expr) string {
	t.Helper()
	s, err := strconv.Unquote(e.(*ast.BasicLit).Value)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every option of every question of the golden moments is explained by the
// page that opens for it.
func TestQuestionsOfTheMomentsAreExplained(t *testing.T) {
	for name, moment := range moments {
		f := moment()
		sc := newModel(f, Options{}.filled("run")).sc
		for _, q := range f.st.Questions {
			for _, o := range q.Options {
				part := pages[sc.askPage(q)].parts[1]
				if part.explains(o) == "" {
					t.Errorf("%s: page %s does not explain %q", name, sc.askPage(q), o.Choice)
				}
			}
		}
	}
}

func TestPagesFit(t *testing.T) {
	sc := newModel(cutoverMoment(), Options{}.filled("/run/belay/2026-12-01-stoat")).sc
	for name, p := range pages {
		if len(p.parts) == 0 {
			t.Errorf("page %q says nothing", name)
		}
		for _, part := range p.parts {
			for _, l := range part.lines {
				if l.mark == '=' && widget.MarkOf(l.word) == widget.MarkOf("no such word") && l.word != "unknown" && l.word != "inconclusive" {
					t.Errorf("page %q explains %q, which has no sign", name, l.word)
				}
			}
		}
		for _, w := range []int{minW, 80, 120} {
			for _, l := range sc.pageText(name, nil, nil, w) {
				if n := ansi.StringWidth(l); n > min(w, readWidth) {
					t.Errorf("page %q at %d columns: a line takes %d: %q", name, w, n, ansi.Strip(l))
				}
				if strings.ContainsAny(l, "`{}…") {
					t.Errorf("page %q: what was to be replaced or was cut stands in %q", name, l)
				}
			}
		}
	}
}

// The page opens in front of every screen and question, tells what it is
// about, scrolls to its end, and leaves all as it was.
func TestHelpEverywhere(t *testing.T) {
	for name, moment := range moments {
		for _, keys := range [][]string{nil, goldenKeys[name][:min(1, len(goldenKeys[name]))]} {
			r := drive(t, moment(), 80, 24, Options{})
			r.press(keys...)
			before, page := r.screen(), pages[r.m.pageName()]
			ask := "?"
			if r.m.place() == inPrompt {
				ask = "f1"
			}
			r.press(ask)
			r.shows(page.title, "help", page.parts[0].head)
			r.press("G").shows("the end").press("g").shows(page.title).press("esc")
			if after := r.screen(); after != before {
				t.Errorf("%s: help left another screen:\n%s\nthan before:\n%s", name, after, before)
			}
			r.sent()
		}
	}
}

// Help explains what is asked, with the very keys, also while an answer is
// typed, and loses nothing of it.
func TestHelpOfAQuestion(t *testing.T) {
	r := drive(t, failedMoment(), 80, 40, Options{})
	r.press("enter", "?").shows("r  try again", "Does the step again.", "c  I fixed it", "s  skip this step").press("esc")
	r.press("s").write("because?").press("f1").shows("Question: a step failed").press("esc").shows("because?")
	r.press("ctrl+c").shows("leave?").press("?").shows("Leaving this screen", "closes the screen").press("?").shows("Filter", "leaving").press("esc", "esc", "esc").shows("because?")
}

// A question that is answered elsewhere while its page is read is closed
// behind it.
func TestHelpOfAWithdrawnQuestion(t *testing.T) {
	f := failedMoment()
	r := drive(t, f, 80, 24, Options{})
	r.press("enter", "?")
	st := *f.st
	st.Seq++
	st.Questions = nil
	f.st = &st
	r.ticks(10).shows("Question: a step failed").press("esc").shows("answered elsewhere or withdrawn")
}

func TestPlainHelp(t *testing.T) {
	f := closes(failedMoment())
	out, err := plainRun(t, f, "?\n3\n?\nnot needed\nVish\nyes\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"?  explain this question", "Question: a step failed", "1  try again", "Goes on without this step.", "If you do nothing"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if n := strings.Count(out, "Question: a step failed"); n != 2 {
		t.Errorf("the page was said %d times, not twice", n)
	}
	if len(f.answers) != 1 || f.answers[0].Reason != "not needed" {
		t.Errorf("answers: %+v", f.answers)
	}
	for i, l := range strings.Split(out, "\n") {
		if strings.ContainsAny(l, "`\x1b") {
			t.Errorf("line %d: %q", i, l)
		}
	}
}

// A way back by hand is asked under the kind of a manual step; what its answers
// do is another thing.
func TestUndoByHandHasItsPage(t *testing.T) {
	sc := &scene{st: journal.NewState()}
	q := journal.Question{Kind: journal.AskManual, Step: "old"}
	if p := sc.askPage(q); p != "ask-manual" {
		t.Errorf("forward: %s", p)
	}
	sc.st.Apply(journal.Event{Type: journal.UndoStarted, Step: "old"})
	if p := sc.askPage(q); p != "ask-undo-by-hand" {
		t.Errorf("back: %s", p)
	}
}
