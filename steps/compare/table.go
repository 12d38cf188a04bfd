package compare

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// The verdicts, each with its mark.
const (
	same     = "✓ MATCH"
	mismatch = "✗ MISMATCH"
	unknown  = "? NOT COMPARED"
)

// Verdict is MATCH, MISMATCH or NOT COMPARED, with a mark before it. What is
// known to differ counts for more than what is not known.
func (o Outcome) Verdict() string {
	switch {
	case o.count() > 0:
		return mismatch
	case !o.Known():
		return unknown
	}
	return same
}

// Table is the outcome of every pair in a line, no wider than width columns
// (60 at least), and the sum of all below.
func (r Result) Table(width int) string {
	lines := append([][]string{{"SERVICE", "OLD", "NEW", ""}}, r.Cells()...)
	var w [4]int
	for _, l := range lines {
		for i, cell := range l {
			w[i] = max(w[i], ansi.StringWidth(cell))
		}
	}
	squeeze(&w, max(width, 60))
	var b strings.Builder
	for _, l := range lines {
		row := ""
		for i, cell := range l {
			cell = ansi.Truncate(cell, w[i], "…")
			row += cell + strings.Repeat(" ", w[i]-ansi.StringWidth(cell)+2)
		}
		b.WriteString(strings.TrimRight(row, " ") + "\n")
	}
	b.WriteString(r.sum() + "\n")
	return b.String()
}

// Cells are a pair's name, old, new and verdict, a line each.
func (r Result) Cells() [][]string {
	var all [][]string
	for _, o := range r.Pairs {
		all = append(all, []string{visible(o.Name), o.Old.text(o), o.New.text(o), o.Verdict()})
	}
	return all
}

// squeeze takes columns from the widest of name, old and new until all fit.
func squeeze(w *[4]int, width int) {
	for w[0]+w[1]+w[2]+w[3]+6 > width {
		i := 0
		for j := range 3 {
			if w[j] > w[i] {
				i = j
			}
		}
		if w[i] <= 4 {
			return
		}
		w[i]--
	}
}

// Summary is the whole in one line: "3 of 3 MATCH, 1 204 331 rows".
func (r Result) Summary() string {
	text := r.score()
	var not []string
	for _, o := range r.Pairs {
		if !o.Equal() {
			not = append(not, visible(o.Name)+" "+strings.TrimLeft(o.Verdict(), "✗? "))
		}
	}
	if len(not) > 0 {
		text += "; " + strings.Join(not, ", ")
	}
	return text
}

func (r Result) score() string {
	equal, rows := 0, int64(0)
	for _, o := range r.Pairs {
		rows += o.Old.Rows
		if o.Equal() {
			equal++
		}
	}
	return fmt.Sprintf("%d of %d MATCH, %s", equal, len(r.Pairs), counted(rows, r.noun()))
}

func (r Result) sum() string {
	return fmt.Sprintf("%s; compared in %s, at %s", r.score(), took(r.Took), r.Ended().UTC().Format("2006-01-02 15:04:05 MST"))
}

func took(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

// Detail names what differs, what could not be compared and what was left out,
// a line each; "" when there is nothing to say.
func (r Result) Detail(width int) string {
	var b strings.Builder
	for _, o := range r.Pairs {
		b.WriteString(o.detail(max(width, 60)))
	}
	return b.String()
}

func (o Outcome) detail(width int) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString(ansi.Truncate("  "+visible(fmt.Sprintf(format, args...)), width, "…") + "\n")
	}
	if n := o.count(); n > 0 {
		least := ""
		if o.AtLeast {
			least = "at least "
		}
		fmt.Fprintf(&b, "%s: %s%s\n", visible(o.Name), least, counted(n, "differences"))
	} else if len(o.Errs)+len(o.Ignored)+len(o.Notes) > 0 {
		fmt.Fprintf(&b, "%s\n", visible(o.Name))
	}
	for _, d := range o.Differs {
		line("%-9s  %s", d.How, d.subject())
		if d.Old != "" && d.How == Different {
			line("           old  %s", d.Old)
			line("           new  %s", d.New)
		}
	}
	if o.More > 0 {
		line("and %s more", thousands(o.More))
	}
	for _, e := range o.Errs {
		b.WriteString("  not compared: " + visible(e) + "\n")
	}
	for _, i := range o.Ignored {
		line("left out: %s (%s)", i.Object, i.Why)
	}
	for _, n := range o.Notes {
		line("note: %s", n)
	}
	return b.String()
}

// subject is what differs: "table public.users  id=17".
func (d Differs) subject() string {
	text := strings.TrimSpace(d.Kind + " " + d.Object)
	if d.Key != "" {
		text += "  " + d.Key
	}
	if d.Times > 1 {
		text += fmt.Sprintf("  (%d times)", d.Times)
	}
	if d.How == Unsteady {
		text += "  is being written to: no two looks agree; freeze it and compare again"
	}
	return text
}

// Brief is the first thing that is wrong, in few words that fit a line of a
// checklist: "uploads MISMATCH: extra d/new"; "" when all is equal.
func (r Result) Brief() string {
	for _, o := range r.Pairs {
		text := visible(o.Name) + " " + strings.TrimLeft(o.Verdict(), "✗? ")
		switch {
		case len(o.Differs) > 0:
			d := o.Differs[0]
			what := d.Key
			if what == "" {
				what = strings.TrimSpace(d.Kind + " " + d.Object)
			}
			text += ": " + d.How + " " + visible(what)
		case len(o.Errs) > 0:
			text += ": " + visible(o.Errs[0])
		case o.Equal():
			continue
		}
		return ansi.Truncate(text, briefWidth, "…")
	}
	return ""
}

const briefWidth = 58 // leaves room for its age on a screen of 80 columns

// FirstDiffer is the first difference in a line; "" when there is none.
func (r Result) FirstDiffer() string {
	for _, o := range r.Pairs {
		for _, d := range o.Differs {
			return visible(fmt.Sprintf("%s: %s %s", o.Name, d.How, d.subject()))
		}
	}
	for _, o := range r.Pairs {
		for _, e := range o.Errs {
			return visible(fmt.Sprintf("%s: not compared: %s", o.Name, e))
		}
	}
	return ""
}

// nouns are what the objects of a kind, and what is in them, are called.
var nouns = map[string][2]string{
	"":          {"objects", "rows"},
	"table":     {"tables", "rows"},
	"key space": {"key spaces", "keys"},
	"directory": {"directories", "entries"},
}

func (t Tally) text(o Outcome) string {
	if t.Said != "" {
		return t.Said
	}
	if t.Objects == 0 && !o.Known() {
		return "-"
	}
	n, ok := nouns[t.Kind]
	if !ok {
		n = [2]string{t.Kind, "rows"}
	}
	if t.Tables == 1 && t.Kind != "table" {
		return counted(t.Rows, n[1])
	}
	return counted(t.Tables, n[0]) + ", " + counted(t.Rows, n[1])
}

// noun is what all pairs have, where they agree.
func (r Result) noun() string {
	kinds := map[string]bool{}
	for _, o := range r.Pairs {
		kinds[o.Old.Kind] = true
	}
	for k := range kinds {
		if n, ok := nouns[k]; ok && len(kinds) == 1 {
			return n[1]
		}
	}
	return "rows"
}

// counted is a number with its plural noun, or the singular of it for one.
func counted(n int64, noun string) string {
	if n == 1 {
		switch {
		case strings.HasSuffix(noun, "ries"):
			noun = strings.TrimSuffix(noun, "ies") + "y"
		default:
			noun = strings.TrimSuffix(noun, "s")
		}
	}
	return thousands(n) + " " + noun
}

// thousands writes a number with a space between thousands.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

// visible writes what would not show, or would move the cursor, as escapes:
// names and keys come from the stores.
func visible(s string) string {
	plain := true
	for _, r := range s {
		plain = plain && r != unicode.ReplacementChar && unicode.IsPrint(r)
	}
	if plain {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if r != unicode.ReplacementChar && unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRuneToASCII(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}
