package steps

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// offset is the place in the text of a line and a column, both from 1; columns
// are counted in characters.
func (y *fileYAMLFile) offset(line, col int) int {
	if line < 1 || line > len(y.lines) {
		return len(y.text)
	}
	at := 0
	for _, l := range y.lines[:line-1] {
		at += len(l)
	}
	for i := range y.lines[line-1] {
		if col--; col == 0 {
			return at + i
		}
	}
	return at + len(fileBare(y.lines[line-1]))
}

func (y *fileYAMLFile) start(n *yaml.Node) int { return y.offset(n.Line, n.Column) }

// token is where a node stands that begins and ends on one line or in its own
// brackets or quotes. inFlow: it stands within brackets.
func (y *fileYAMLFile) token(n *yaml.Node, inFlow bool) (from, to int, ok bool) {
	if n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 || n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return 0, 0, false
	}
	from = y.start(n)
	s := y.text[from:]
	switch {
	case n.Kind == yaml.AliasNode:
		return from, from + len("*") + len(n.Value), true
	case n.Kind != yaml.ScalarNode:
		if n.Style&yaml.FlowStyle == 0 || s == "" {
			return 0, 0, false
		}
		to = fileYAMLBracket(s)
		return from, from + to, to > 0
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		to = fileYAMLQuote(s)
		return from, from + to, to > 0
	}
	to = fileYAMLPlain(s, inFlow)
	return from, from + to, n.Value == s[:to]
}

// fileYAMLQuote is the length of the quoted scalar at the beginning of s.
func fileYAMLQuote(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[0] == '"' && s[i] == '\\':
			i++
		case s[0] == '\'' && s[i] == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
		case s[i] == s[0]:
			return i + 1
		}
	}
	return 0
}

// fileYAMLPlain is the length of the plain scalar at the beginning of s, on
// its first line.
func fileYAMLPlain(s string, inFlow bool) int {
	s, _, _ = strings.Cut(s, "\n")
	s = strings.TrimRight(s, " \t\r")
	for i := range len(s) {
		next := byte(' ')
		if i+1 < len(s) {
			next = s[i+1]
		}
		space := next == ' ' || next == '\t'
		switch {
		case s[i] == '#' && i > 0 && (s[i-1] == ' ' || s[i-1] == '\t'),
			s[i] == ':' && (space || inFlow && strings.IndexByte(",[]{}", next) >= 0),
			inFlow && strings.IndexByte(",[]{}", s[i]) >= 0:
			return len(strings.TrimRight(s[:i], " \t"))
		}
	}
	return len(s)
}

// fileYAMLBracket is the length of the flow collection that s begins with.
func fileYAMLBracket(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		case (c == '"' || c == '\'') && strings.IndexByte("[{,: \t\n", s[i-1]) >= 0:
			n := fileYAMLQuote(s[i:])
			if n == 0 {
				return 0
			}
			i += n - 1
		case c == '#' && strings.IndexByte(" \t\n", s[i-1]) >= 0:
			n := strings.IndexByte(s[i:], '\n')
			if n < 0 {
				return 0
			}
			i += n
		}
	}
	return 0
}

// fileYAMLIndent is the number of spaces that a line begins with; -1 for a
// line with nothing but space.
func fileYAMLIndent(l string) int {
	if strings.TrimSpace(l) == "" {
		return -1
	}
	return len(l) - len(strings.TrimLeft(l, " "))
}

// blockEnd is the line (from 1) on which the entry ends that begins on line
// and whose key or dash is indented by indent. Blank lines and outer comments
// behind it are not part of it.
func (y *fileYAMLFile) blockEnd(line, indent int, v *yaml.Node) int {
	seq := v != nil && v.Kind == yaml.SequenceNode && v.Style&yaml.FlowStyle == 0 && v.Column-1 == indent
	literal := v != nil && v.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	end := line
	floor := line // the entry reaches at least to where its last node begins
	if v != nil {
		floor = min(max(line, fileYAMLLast(v)), len(y.lines))
	}
	for i := line + 1; i <= len(y.lines); i++ {
		l := y.lines[i-1]
		in := fileYAMLIndent(l)
		body := strings.TrimLeft(l, " ")
		switch {
		case in < 0:
			continue
		case in > indent || i <= floor:
			end = i
		case seq && in == indent && (strings.HasPrefix(body, "- ") || strings.TrimSpace(body) == "-"):
			end = i
		case strings.HasPrefix(body, "#") && !literal:
			continue
		default:
			return max(end, floor)
		}
	}
	return max(end, floor)
}

func fileYAMLLast(n *yaml.Node) int {
	last := n.Line
	for _, c := range n.Content {
		last = max(last, fileYAMLLast(c))
	}
	return last
}

// lineSpan is the text of the lines from … to, both from 1.
func (y *fileYAMLFile) lineSpan(from, to int) (start, end int) {
	start = y.offset(from, 1)
	end = start
	for _, l := range y.lines[min(from-1, len(y.lines)):min(to, len(y.lines))] {
		end += len(l)
	}
	return start, end
}

func (y *fileYAMLFile) replace(from, to int, s string) string {
	return y.text[:from] + s + y.text[to:]
}

// insertAfter puts whole lines (each with a line break) behind line number n,
// and leaves a missing break at the end of the file missing.
func (y *fileYAMLFile) insertAfter(n int, s string) string {
	at := 0
	for _, l := range y.lines[:min(n, len(y.lines))] {
		at += len(l)
	}
	if n > 0 && !strings.HasSuffix(y.text[:at], "\n") {
		br := fileBreak(y.text)
		return y.text[:at] + br + strings.TrimSuffix(s, br)
	}
	return y.text[:at] + s + y.text[at:]
}
