package report

import (
	"fmt"
	"strings"
	"unicode"

	"belay/tui/widget"
)

// page is Markdown in the making. Whatever comes from a plan, a person or a
// host goes through inline, cell or fence.
type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// head begins a section; text is already safe.
func (p *page) head(level int, text string) { p.line("\n%s %s\n", strings.Repeat("#", level), text) }

// fence shows text that must keep its lines, exactly as it is but for what a
// terminal would obey. indent puts it into a list item.
func (p *page) fence(indent, language, text string) {
	text = strings.TrimRight(text, "\n")
	marks := strings.Repeat("`", max(3, longestRun(text, '`')+1))
	p.line("%s%s%s", indent, marks, language)
	for l := range strings.SplitSeq(text, "\n") {
		if l != "" {
			l = indent + l
		}
		p.line("%s", l)
	}
	p.line("%s%s", indent, marks)
}

// output is text of a host or a person, without its colours and redrawings.
func output(s string) string { return widget.Clean(strings.ToValidUTF8(s, "\uFFFD")) }

// exact is text whose every character counts: commands and diffs. Tabs become
// spaces up to the next eighth column; what cannot be printed is shown as an
// escape, because left out it would hide what was run.
func exact(s string) string {
	var b strings.Builder
	col := 0
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '\n':
			b.WriteByte('\n')
			col = 0
			continue
		case r == '\t':
			n := 8 - col%8
			b.WriteString(strings.Repeat(" ", n))
			col += n
			continue
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u{%x}`, r)
		}
		col++
	}
	return b.String()
}

// plain is hostile text on one line, for where Markdown means nothing.
func plain(s string) string { return strings.Join(strings.Fields(output(s)), " ") }

// inline is hostile text on one line, safe within a sentence: no markup, no
// links, no HTML. It escapes as little as it can, to stay readable as it is.
func inline(s string) string {
	s = plain(s)
	runes := []rune(s)
	pairs := map[rune]bool{} // alone these mean nothing
	for _, r := range "~$_" {
		pairs[r] = strings.Count(s, string(r)) > 1
	}
	var b strings.Builder
	for i, r := range runes {
		switch {
		case strings.ContainsRune("\\`*[]|", r),
			r == '_' && pairs[r] && !(i > 0 && i+1 < len(runes) && wordy(runes[i-1]) && wordy(runes[i+1])),
			r != '_' && pairs[r],
			i == 0 && strings.ContainsRune("#+-=>", r),
			(r == '.' || r == ')') && numbered(runes[:i]) && (i+1 == len(runes) || runes[i+1] == ' '):
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '&' && entity(runes[i+1:]):
			b.WriteString("&amp;")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func wordy(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// numbered tells whether text that begins so would become a numbered list.
func numbered(before []rune) bool {
	if len(before) == 0 || len(before) > 9 {
		return false
	}
	for _, r := range before {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}

// entity tells whether what follows an ampersand could make it an entity.
func entity(after []rune) bool {
	return len(after) > 0 && (after[0] == '#' || after[0] < 0x80 && unicode.IsLetter(after[0]))
}

func inlines(all []string) string {
	safe := make([]string, len(all))
	for i, s := range all {
		safe[i] = inline(s)
	}
	return strings.Join(safe, ", ")
}

func longestRun(s string, of rune) int {
	longest, n := 0, 0
	for _, r := range s {
		if r != of {
			n = 0
			continue
		}
		n++
		longest = max(longest, n)
	}
	return longest
}

// widest is how far a column is padded; a longer text sticks out.
const widest = 64

// table draws rows of safe cells under titles. A title that ends in ":" has
// its column aligned to the right.
func (p *page) table(titles []string, rows [][]string) {
	width, right := make([]int, len(titles)), make([]bool, len(titles))
	head := make([]string, len(titles))
	for i, t := range titles {
		head[i], right[i] = strings.CutSuffix(t, ":")
	}
	for _, row := range append([][]string{head}, rows...) {
		for i, c := range row {
			width[i] = max(width[i], 3, min(widest, widget.Width(c)))
		}
	}
	p.row(head, width, right)
	for i, w := range width {
		rule := strings.Repeat("-", w)
		if right[i] {
			rule = rule[1:] + ":"
		}
		p.WriteString("| " + rule + " ")
	}
	p.WriteString("|\n")
	for _, row := range rows {
		p.row(row, width, right)
	}
}

func (p *page) row(cells []string, width []int, right []bool) {
	for i, c := range cells {
		pad := strings.Repeat(" ", max(0, width[i]-widget.Width(c)))
		if right[i] {
			c = pad + c
		} else {
			c += pad
		}
		p.WriteString("| " + c + " ")
	}
	p.WriteString("|\n")
}
