package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// maxPrinted is how many problems Error shows; maxKept how many are kept at all.
const (
	maxPrinted = 50
	maxKept    = 2000
)

// Problem is one thing that is wrong with a plan file.
type Problem struct {
	File   string
	Line   int // from 1; 0 when it is about the whole file
	Col    int // in characters, from 1
	Text   string
	Source string // the offending line; "" when there is none
}

// Error shows the problem with its line and a caret:
//
//	plan.yaml:12:7: unknown key "prot" in check "port"; did you mean "port"?
//	  12 | - port: {prot: 8088}
//	     |          ^
func (p Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	head := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.Text)
	if strings.TrimSpace(p.Source) == "" {
		return head
	}
	line, caret := excerpt(p.Source, p.Col)
	no := strconv.Itoa(p.Line)
	return fmt.Sprintf("%s\n  %s | %s\n  %s | %s", head, no, line, strings.Repeat(" ", len(no)), caret)
}

// Problems are all that is wrong, by file and line. A plan with problems is
// not loaded, and no host has been contacted.
type Problems struct {
	List []Problem
	Lost int // more that were found but not kept
}

// Error shows the first 50.
func (ps *Problems) Error() string {
	var b strings.Builder
	for i, p := range ps.List {
		if i == maxPrinted {
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.Error())
	}
	if more := len(ps.List) + ps.Lost - maxPrinted; more > 0 {
		fmt.Fprintf(&b, "\nand %d more", more)
	}
	return b.String()
}

// Excerpts are cut to so many characters around the caret.
const (
	before = 100
	after  = 60
)

// excerpt makes line fit for a terminal, and a line that puts a caret under
// its col-th character: tabs stay tabs in both, wide characters count twice.
func excerpt(line string, col int) (string, string) {
	r := []rune(strings.ToValidUTF8(line, "�"))
	at := min(max(col-1, 0), len(r))
	from, to := max(0, at-before), min(len(r), at+after)
	var out, pad strings.Builder
	if from > 0 {
		out.WriteString("…")
		pad.WriteByte(' ')
	}
	for i := from; i < to; i++ {
		c := r[i]
		if c != '\t' && !printable(c) {
			c = '�'
		}
		out.WriteRune(c)
		if i >= at {
			continue
		}
		if c == '\t' {
			pad.WriteByte('\t')
		} else {
			pad.WriteString(strings.Repeat(" ", ansi.StringWidth(string(c))))
		}
	}
	if to < len(r) {
		out.WriteString("…")
	}
	return out.String(), pad.String() + "^"
}

// collector gathers problems; the same one at the same place counts once.
type collector struct {
	list []Problem
	seen map[Problem]bool
	n    int // ever told, also those not kept; to notice new ones
	lost int
}

// add tells a problem at n.
func (c *collector) add(n *node, format string, args ...any) {
	c.at(n.file, n.line, n.col, format, args...)
}

// hush tells a problem without showing the line: it may hold a secret.
func (c *collector) hush(n *node, format string, args ...any) {
	c.keep(Problem{File: n.file.path, Line: n.line, Col: n.col, Text: fmt.Sprintf(format, args...)}, "")
}

func (c *collector) at(f *source, line, col int, format string, args ...any) {
	c.keep(Problem{File: f.path, Line: line, Col: col, Text: fmt.Sprintf(format, args...)}, f.line(line))
}

func (c *collector) keep(p Problem, line string) {
	c.n++
	if c.seen[p] {
		return
	}
	if len(c.list) >= maxKept {
		c.lost++
		return
	}
	if c.seen == nil {
		c.seen = map[Problem]bool{}
	}
	c.seen[p] = true
	p.Source = line
	c.list = append(c.list, p)
}

// err returns what was gathered, sorted: the files in the given order, then by
// place.
func (c *collector) err(files []*source) error {
	if len(c.list) == 0 {
		return nil
	}
	rank := map[string]int{}
	for i, f := range files {
		rank[f.path] = i
	}
	slices.SortStableFunc(c.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank[a.File], rank[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return &Problems{List: c.list, Lost: c.lost}
}

// quote shows a piece of the file in a message, at most 60 characters of it.
func quote(s string) string {
	if r := []rune(s); len(r) > 60 {
		s = string(r[:59]) + "…"
	}
	return strconv.Quote(s)
}
