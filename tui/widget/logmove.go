package widget

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Scroll moves the view by rows; up gives up following, and coming to the end
// does not take it up again: only the reader does that.
func (p *LogPane) Scroll(rows int) {
	p.release()
	for ; rows < 0; rows++ {
		switch {
		case p.sub > 0:
			p.sub--
		case p.top > 0:
			p.top--
			p.sub = p.rowsOf(p.top) - 1
		}
	}
	for ; rows > 0; rows-- {
		switch {
		case p.sub+1 < p.rowsOf(p.top):
			p.sub++
		case p.top+1 < p.n:
			p.top++
			p.sub = 0
		}
	}
}

func (p *LogPane) rowsOf(line int) int {
	if !p.Wrap || p.Source == nil {
		return 1
	}
	ls := p.Source.Lines(line, 1)
	if len(ls) == 0 {
		return 1
	}
	return len(p.wrapped(line, ls[0]))
}

func (p *LogPane) release() {
	if p.Follow {
		p.Follow, p.left = false, p.n
	}
}

// Page moves by n pages.
func (p *LogPane) Page(n int) { p.Scroll(n * max(1, p.h-1)) }

// Start goes to the first line.
func (p *LogPane) Start() { p.release(); p.top, p.sub = 0, 0 }

// End goes to the last line and follows.
func (p *LogPane) End() { p.Follow, p.hit = true, 0 }

// ToggleFollow stops at what is in view, or goes to the end.
func (p *LogPane) ToggleFollow() {
	if p.Follow {
		p.release()
		return
	}
	p.End()
}

// Sideways scrolls a pane that does not wrap.
func (p *LogPane) Sideways(cols int) {
	if !p.Wrap {
		p.X = max(0, p.X+cols)
	}
}

// GoTo brings a line into the upper third of the view and marks it.
func (p *LogPane) GoTo(line int) {
	p.release()
	p.top, p.sub, p.hit = max(0, line-p.h/3), 0, line+1
}

// Mark is the line that the last search came to; -1: none.
func (p *LogPane) Mark() int { return p.hit - 1 }

// cutFrom returns w cells of s from column x on; what is cut off at either end
// is shown by an ellipsis.
func cutFrom(s string, x, w int) string {
	if x == 0 && len(s) <= w {
		return s
	}
	if x > 0 {
		if s = ansi.TruncateLeft(s, x, ""); s != "" {
			s = "…" + ansi.TruncateLeft(s, 1, "")
		}
	}
	return Cut(s, w)
}

// Match tells whether a line is what somebody looks for.
type Match func(text string) bool

// Contains makes a Match: letters match either case unless the query has a
// capital in it.
func Contains(query string) Match {
	if query != strings.ToLower(query) {
		return func(s string) bool { return strings.Contains(s, query) }
	}
	return func(s string) bool { return foldIndex(s, query) >= 0 }
}

var failures = []string{"error", "fail", "fatal", "panic", "denied", "refused", "not found", "no such", "traceback", "exception", "cannot", "killed", "timed out"}

// Failure matches lines that tell of trouble, in the words that programs use.
func Failure(text string) bool {
	for _, w := range failures {
		if foldIndex(text, w) >= 0 {
			return true
		}
	}
	return false
}

// foldIndex is strings.Index for a lower-case needle and either case, without
// making a copy of s. It folds ASCII only.
func foldIndex(s, low string) int {
	if low == "" {
		return -1
	}
	up := low[0]
	if up >= 'a' && up <= 'z' {
		up -= 'a' - 'A'
	}
next:
	for i := 0; i+len(low) <= len(s); i++ {
		if s[i] != low[0] && s[i] != up {
			continue
		}
		for j := 1; j < len(low); j++ {
			c := s[i+j]
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			if c != low[j] {
				continue next
			}
		}
		return i
	}
	return -1
}

// FindChunk is how many lines Find reads at once.
const FindChunk = 4096

// Find looks at up to limit lines from the given one on (backwards when back)
// and returns the line that matches, or -1 and where to go on; next is -1 when
// the end was reached. Call it from the background.
func Find(src Source, match Match, from, limit int, back bool) (line, next int) {
	n := src.Len()
	for limit > 0 && from >= 0 && from < n {
		at, size := from, min(FindChunk, limit, n-from)
		if back {
			size = min(FindChunk, limit, from+1)
			at = from - size + 1
		}
		ls := src.Lines(at, size)
		for i := range ls {
			k := i
			if back {
				k = len(ls) - 1 - i
			}
			if match(ls[k].Text) {
				return at + k, at + k
			}
		}
		limit -= size
		if from += size; back {
			from = at - 1
		}
	}
	if from < 0 || from >= n {
		return -1, -1
	}
	return -1, from
}

// highlight paints every place where query stands in text.
func highlight(t Theme, text, query string) string {
	if query == "" {
		return text
	}
	index := func(s string) int { return strings.Index(s, query) }
	if query == strings.ToLower(query) {
		index = func(s string) int { return foldIndex(s, query) }
	}
	var b strings.Builder
	for {
		i := index(text)
		if i < 0 {
			return b.String() + text
		}
		b.WriteString(text[:i] + t.Paint(Found, text[i:i+len(query)]))
		text = text[i+len(query):]
	}
}
