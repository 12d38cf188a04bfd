package plan

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"belay/checks"
	"belay/steps"

	"github.com/charmbracelet/x/ansi"
)

// Manual returns the manual of the kind of step or check of that name; of
// both, if both are called so. The error says what it might have meant.
// The name "step" stands for what every step may say around its kind,
// "rollback" for the ways back of a plan, "approvers" for whose go it wants,
// "soak" for what is watched.
func Manual(kinds Kinds, name string) (string, error) {
	var all []string
	switch name {
	case "step":
		return stepFieldsManual(), nil
	case "rollback":
		return waysManual(), nil
	case "approvers":
		return approversManual(), nil
	case "soak":
		return soakManual(), nil
	}
	if k, ok := kinds.Steps[name]; ok {
		all = append(all, StepManual(k))
	}
	if k, ok := kinds.Checks[name]; ok {
		all = append(all, CheckManual(k))
	}
	if len(all) == 0 {
		return "", fmt.Errorf("no kind of step or check is called %s%s", quote(name), didYouMean(name, append(keys(kinds.Steps), keys(kinds.Checks)...)))
	}
	return strings.Join(all, "\n"), nil
}

// StepManual is the manual of one kind of step, for a terminal of 80 columns.
func StepManual(k steps.Kind) string {
	do := k.New()
	var b strings.Builder
	fmt.Fprintf(&b, "%s (step)\n", k.Name)
	wrap(&b, "  ", sentence(k.Summary))
	parameters(&b, reflect.TypeOf(do).Elem(), k.Name, false)
	b.WriteByte('\n')
	facts := []string{"Runs on    " + runsOn(k), "Way back   " + wayBack(do), "Repeated   " + repeated(do)}
	for _, f := range facts {
		fmt.Fprintf(&b, "  %s\n", f)
	}
	exampleOf(&b, k.Example)
	return b.String()
}

// stepFieldsManual is what every kind has in common.
func stepFieldsManual() string {
	var b strings.Builder
	b.WriteString("every step\n")
	wrap(&b, "  ", "These stand around a step's kind; exactly one other key, the kind, holds the kind's own parameters.")
	parameters(&b, reflect.TypeFor[stepFields](), "step", false)
	exampleOf(&b, stepFieldsExample)
	return b.String()
}

const stepFieldsExample = `
- step: Start Fluxer
  id: start-fluxer
  why: The old chat has freed the port.
  on: chat
  compose.up: {dir: /root/fluxer/dev, wait: 5m, follow: [server]}
  progress: {match: 'Applied migration: (\d+)', total: 12, unit: migrations}
  takes: 2m
  timeout: 10m
  retry: 2
  undo: {compose.down: {dir: /root/fluxer/dev}}
  hints:
    - match: already allocated
      cause: the old chat owns the port
      fix: run the step before again
`

// CheckManual is the manual of one kind of check.
func CheckManual(k checks.Kind) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (check)\n", k.Name)
	wrap(&b, "  ", sentence(k.Summary))
	parameters(&b, reflect.TypeOf(k.New()).Elem(), k.Name, true)
	exampleOf(&b, k.Example)
	return b.String()
}

func runsOn(k steps.Kind) string {
	switch {
	case k.NoHost:
		return "no host; `on` is refused"
	case k.Optional:
		return "the hosts of `on`, which may be left out"
	}
	return "the hosts of `on`"
}

func wayBack(do steps.Step) string {
	if _, ok := do.(steps.WayBacker); ok {
		return "depends on the parameters; `undo:` gives one in any case"
	}
	if _, ok := do.(steps.Undoer); ok {
		return "yes, by itself"
	}
	return "none by itself; the plan may give one with `undo:`"
}

func repeated(do steps.Step) string {
	if _, ok := do.(steps.Repeater); ok {
		return "with `retry:`, where its parameters allow it"
	}
	return "never by itself"
}

// parameters writes the table; parameters of parameters are indented.
func parameters(b *strings.Builder, t reflect.Type, kind string, check bool) {
	if t.Kind() != reflect.Struct || formOf(t) != structForm {
		fmt.Fprintf(b, "\n  It takes %s.\n", typeWords(t, nil))
		return
	}
	s := shapeOf(t)
	if len(s.fields) == 0 {
		b.WriteString("\n  It takes no parameters.\n")
		return
	}
	b.WriteString("\n  Parameters\n")
	rows(b, t, "    ", check, map[reflect.Type]bool{})
	if s.scalar != nil {
		fmt.Fprintf(b, "\n  Short form: `%s: …` gives %q alone.\n", kind, s.scalar.name)
	}
}

func rows(b *strings.Builder, t reflect.Type, indent string, check bool, seen map[reflect.Type]bool) {
	seen[t] = true
	for _, f := range shapeOf(t).fields {
		head := indent + f.name + "  " + typeWords(f.typ, &f)
		switch {
		case f.required && check && f.name == "on":
			head += ", required if the plan has several hosts"
		case f.required:
			head += ", required"
		case f.hasDef && f.def != "":
			head += ", default " + f.def
		}
		b.WriteString(head + "\n")
		wrap(b, indent+"    ", f.doc)
		if in := inner(f.typ); in != nil && in != refType && !seen[in] {
			rows(b, in, indent+"      ", false, seen)
		}
	}
}

// inner is the struct inside pointers, lists and maps; nil when there is none.
func inner(t reflect.Type) reflect.Type {
	for t != rawType && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map) {
		if f := t; f.Kind() != reflect.Pointer && formOf(f) != listForm && formOf(f) != mapForm {
			return nil
		}
		t = t.Elem()
	}
	if t == rawType || t.Kind() != reflect.Struct || formOf(t) != structForm {
		return nil
	}
	return t
}

// typeWords says what a parameter takes.
func typeWords(t reflect.Type, f *field) string {
	if t != rawType && t.Kind() == reflect.Pointer {
		return typeWords(t.Elem(), f)
	}
	if f != nil && len(f.enum) > 0 {
		return "one of " + strings.Join(f.enum, ", ")
	}
	what := wants(t)
	switch {
	case f != nil && f.secret:
		what = "name of a secret"
	case f != nil && f.host:
		what = "name of a host"
	}
	switch formOf(t) {
	case listForm:
		if what != wants(t) {
			return "list, each the " + what
		}
		return "list of " + plural(wants(t.Elem()))
	case mapForm:
		return "mapping of names to " + plural(wants(t.Elem()))
	}
	return strings.TrimPrefix(strings.TrimPrefix(what, "a "), "an ")
}

func plural(what string) string {
	switch what {
	case "true or false", "{secret: name}":
		return what
	case "any value":
		return "any values"
	}
	return strings.TrimPrefix(strings.TrimPrefix(what, "a "), "an ") + "s"
}

// sentence gives a summary its capital letter and its full stop.
func sentence(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return strings.TrimSuffix(string(unicode.ToUpper(r))+s[n:], ".") + "."
}

func wrap(b *strings.Builder, indent, text string) {
	for line := range strings.SplitSeq(ansi.Wordwrap(text, 78-len(indent), ""), "\n") {
		b.WriteString(indent + line + "\n")
	}
}

func exampleOf(b *strings.Builder, text string) {
	b.WriteString("\n  Example\n")
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		b.WriteString(strings.TrimRight("    "+line, " ") + "\n")
	}
}

// Index lists all kinds with their summaries, for a terminal.
func Index(kinds Kinds) string {
	var b strings.Builder
	list := func(title string, names []string, summary func(string) string) {
		width := 0
		for _, n := range names {
			width = max(width, len(n))
		}
		fmt.Fprintf(&b, "%s\n", title)
		for _, n := range names {
			lines := strings.Split(ansi.Wordwrap(sentence(summary(n)), 78-width-4, ""), "\n")
			fmt.Fprintf(&b, "  %-*s  %s\n", width, n, strings.Join(lines, "\n"+strings.Repeat(" ", width+4)))
		}
	}
	b.WriteString("belay kinds NAME prints a manual; belay kinds step, what every step may say;\nbelay kinds rollback, how a plan says its ways back.\n\n")
	list("Steps", keys(kinds.Steps), func(n string) string { return kinds.Steps[n].Summary })
	b.WriteByte('\n')
	list("Checks", keys(kinds.Checks), func(n string) string { return kinds.Checks[n].Summary })
	return b.String()
}

// MarkdownTable is the README's table of kinds.
func MarkdownTable(kinds Kinds) string {
	var b strings.Builder
	cell := strings.NewReplacer("|", "\\|", "\n", " ").Replace
	b.WriteString("| step | what it does | way back |\n|---|---|---|\n")
	for _, n := range keys(kinds.Steps) {
		k := kinds.Steps[n]
		back := "—"
		do := k.New()
		_, some := do.(steps.WayBacker)
		_, always := do.(steps.Undoer)
		switch {
		case some:
			back = "depends"
		case always:
			back = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", n, cell(sentence(k.Summary)), back)
	}
	b.WriteString("\n| check | what it judges |\n|---|---|\n")
	for _, n := range keys(kinds.Checks) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", n, cell(sentence(kinds.Checks[n].Summary)))
	}
	return b.String()
}

// Names lists every kind of step and check, for completion.
func (k Kinds) Names() []string {
	return slices.Compact(slices.Sorted(slices.Values(append(keys(k.Steps), keys(k.Checks)...))))
}
