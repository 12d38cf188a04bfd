package widget

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Width is how many cells s takes.
func Width(s string) int { return ansi.StringWidth(s) }

// Cut shortens s to w cells, ending in an ellipsis when something was lost.
func Cut(s string, w int) string {
	if w <= 0 {
		return ""
	}
	return ansi.Truncate(s, w, "…")
}

// CutMiddle shortens s to w cells by what stands in its middle: of two long
// titles that begin alike, the ends tell which is which. In a narrow column the
// beginning says more.
func CutMiddle(s string, w int) string {
	n := Width(s)
	if n <= w || w < 24 {
		return Cut(s, w)
	}
	tail := (w - 1) * 2 / 5
	end := ansi.TruncateLeft(s, n-tail, "")
	if at := strings.IndexByte(end, ' '); at >= 0 && at < len(end)/2 { // not from the middle of a word
		end = end[at+1:]
	}
	return strings.TrimRight(ansi.Truncate(s, w-1-Width(end), ""), " ") + "…" + end
}

// Fit makes s exactly w cells wide.
func Fit(s string, w int) string {
	s = Cut(s, w)
	if n := w - Width(s); n > 0 {
		s += strings.Repeat(" ", n)
	}
	return s
}

// FitRight makes s exactly w cells wide, pushed to the right.
func FitRight(s string, w int) string {
	s = Cut(s, w)
	if n := w - Width(s); n > 0 {
		s = strings.Repeat(" ", n) + s
	}
	return s
}

// Spread puts left and right at the ends of a line of w cells; when both do
// not fit, left gives way.
func Spread(left, right string, w int) string {
	rw := Width(right)
	if rw == 0 {
		return Cut(left, w)
	}
	if rw >= w {
		return Cut(right, w)
	}
	return Fit(left, w-rw-1) + " " + right
}

// Wrap breaks clean text into lines of at most w cells, at spaces where it can
// and never losing a letter; a word that no line can hold is broken behind a
// slash, a comma or a hyphen, or else anywhere.
func Wrap(s string, w int) []string {
	if w < 1 {
		return nil
	}
	var out []string
	for _, l := range strings.Split(strings.TrimRight(s, "\n"), "\n") {
		out = append(out, wrapLine(l, w)...)
	}
	return out
}

// wrapLine is Wrap for a single line. (ansi.Wrap makes lines one cell too long
// where a comma would stand at the edge.)
func wrapLine(s string, w int) (out []string) {
	line, width := "", 0
	end := func() { out, line, width = append(out, line), "", 0 }
	for more, between := true, 0; more; between = 1 {
		word := ""
		text := strings.TrimLeft(s, " ")
		gap := between + len(s) - len(text)
		word, s, more = strings.Cut(text, " ")
		if word == "" {
			break
		}
		need := Width(word)
		if width > 0 && width+gap+need > w {
			end()
		}
		if width == 0 && between == 1 {
			gap = 0
		}
		if width == 0 { // an indentation stays, as far as there is room
			gap = max(0, min(gap, w-need, w/2))
		}
		if need > w {
			pieces := broken(word, w)
			out = append(out, pieces[:len(pieces)-1]...)
			word, gap = pieces[len(pieces)-1], 0
		}
		line += strings.Repeat(" ", gap) + word
		width += gap + Width(word)
	}
	end()
	return out
}

// broken cuts a word that is longer than a line.
func broken(word string, w int) (out []string) {
	piece := ""
	for _, part := range strings.FieldsFunc(marked.Replace(word), func(r rune) bool { return r == 0 }) {
		switch {
		case Width(piece+part) <= w:
			piece += part
			continue
		case piece != "":
			out = append(out, piece)
		}
		hard := strings.Split(ansi.Hardwrap(part, w, true), "\n")
		out, piece = append(out, hard[:len(hard)-1]...), hard[len(hard)-1]
	}
	return append(out, piece)
}

// marked puts a NUL, which clean text has none of, behind where a word may be
// broken.
var marked = strings.NewReplacer("/", "/\x00", ",", ",\x00", "-", "-\x00")

// Chop breaks one clean line hard at w cells, as a terminal would: what stands
// in a log must be read as it was written.
func Chop(s string, w int) []string {
	if w < 1 || len(s) <= w {
		return []string{s}
	}
	if !plain(s) {
		return strings.Split(ansi.Hardwrap(s, w, true), "\n")
	}
	var out []string
	for len(s) > w {
		out = append(out, s[:w])
		s = s[w:]
	}
	return append(out, s)
}

// Focused marks the title of the block that has the focus.
const Focused = "▌"

// Rule is a line across, with a title at the left and a note at the right.
func Rule(t Theme, title, note string, w int) string {
	left := t.Paint(Dim, "── ")
	if title == "" {
		left = t.Paint(Dim, "─")
	} else {
		if rest, ok := strings.CutPrefix(title, Focused); ok {
			left, title = t.Paint(Dim, "─")+t.Paint(Accent, "▐ "), rest
		}
		left += t.Paint(Strong, Cut(title, w-6)) + " "
	}
	if note != "" {
		note = " " + note + " "
	}
	if Width(left)+Width(note)+4 > w {
		note = ""
	}
	tail := t.Paint(Dim, "──")
	n := w - Width(left) - Width(note) - 2
	if n < 0 {
		return Cut(left, w)
	}
	return left + t.Paint(Dim, strings.Repeat("─", n)) + note + tail
}

// From returns the first of n rows to show in h so that cursor is in view,
// without keeping any state: the cursor stays in the middle when it can.
func From(cursor, n, h int) int {
	return max(0, min(cursor-h/2, n-h))
}

// Fill makes exactly h lines of lines.
func Fill(lines []string, h int) []string {
	if len(lines) > h {
		return lines[:max(h, 0)]
	}
	for len(lines) < h {
		lines = append(lines, "")
	}
	return lines
}

// Beside joins two blocks of lines with a bar between them.
func Beside(t Theme, left, right []string, lw, rw int) []string {
	out := make([]string, max(len(left), len(right)))
	bar := t.Paint(Dim, " │ ")
	for i := range out {
		var l, r string
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) {
			r = right[i]
		}
		out[i] = Fit(l, lw) + bar + Cut(r, rw)
	}
	return out
}
