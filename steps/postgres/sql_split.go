package postgres

import (
	"fmt"
	"slices"
	"strings"
)

// Statement is one statement of an SQL text.
type Statement struct {
	Text string
	Line int // on which it begins, from 1
	// Words are its bare words (key words and unquoted names) in upper case, in
	// order: the first 64.
	Words []string
}

// Split parts an SQL text into statements as psql does: a semicolon ends one
// unless it stands in quotes, a comment, parentheses or the BEGIN ATOMIC body
// of a routine (psqlscan.l of PostgreSQL 16). Comments alone are no statement.
// It refuses an unfinished quote, and psql's own backslash commands, which no
// server understands.
func Split(text string) ([]Statement, error) {
	sp := &splitter{text: text, line: 1}
	for sp.at < len(text) {
		if err := sp.token(); err != nil {
			return nil, err
		}
	}
	sp.end(len(text))
	return sp.all, nil
}

type splitter struct {
	text string
	at   int
	line int

	all    []Statement
	begin  int // of the statement under way
	first  int // line of its first token; 0: none yet
	words  []string
	paren  int
	atomic int // depth of BEGIN … END in a routine's body
}

func (sp *splitter) rest() string { return sp.text[sp.at:] }

// skip goes n bytes on.
func (sp *splitter) skip(n int) {
	sp.line += strings.Count(sp.text[sp.at:sp.at+n], "\n")
	sp.at += n
}

func (sp *splitter) token() error {
	rest := sp.rest()
	switch c := rest[0]; {
	case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
		sp.skip(1)
		return nil
	case strings.HasPrefix(rest, "--"):
		n := strings.IndexByte(rest, '\n')
		if n < 0 {
			n = len(rest)
		}
		sp.skip(n)
		return nil
	case strings.HasPrefix(rest, "/*"):
		return sp.comment()
	case c == ';' && sp.paren == 0 && sp.atomic == 0:
		sp.end(sp.at)
		sp.skip(1)
		sp.begin = sp.at
		return nil
	}
	if sp.first == 0 {
		sp.first, sp.begin = sp.line, sp.at
	}
	return sp.solid(rest)
}

// solid takes in a token that belongs to a statement.
func (sp *splitter) solid(rest string) error {
	switch c := rest[0]; {
	case c == '\'' || c == '"':
		return sp.quoted(c, false)
	case c == '$':
		return sp.dollar()
	case c == '\\':
		return fmt.Errorf("line %d: %.20q is a command of psql, which no server understands; write it in SQL, or run psql on the host by the kind run", sp.line, rest)
	case c == '(':
		sp.paren++
	case c == ')':
		sp.paren = max(0, sp.paren-1)
	case wordByte(c):
		return sp.word()
	}
	sp.skip(1)
	return nil
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func (sp *splitter) comment() error {
	from, depth := sp.line, 0
	for sp.at < len(sp.text) {
		switch rest := sp.rest(); {
		case strings.HasPrefix(rest, "/*"):
			depth++
			sp.skip(2)
		case strings.HasPrefix(rest, "*/"):
			sp.skip(2)
			if depth--; depth == 0 {
				return nil
			}
		default:
			sp.skip(1)
		}
	}
	return fmt.Errorf("line %d: the comment that begins here has no end", from)
}

// quoted takes in a string or a quoted name; a doubled quote does not end it,
// nor, in an E'…' string, one behind a backslash.
func (sp *splitter) quoted(q byte, escapes bool) error {
	from := sp.line
	sp.skip(1)
	for sp.at < len(sp.text) {
		switch c := sp.text[sp.at]; {
		case escapes && c == '\\' && sp.at+1 < len(sp.text):
			sp.skip(2)
		case c == q && strings.HasPrefix(sp.text[sp.at+1:], string(q)):
			sp.skip(2)
		case c == q:
			sp.skip(1)
			return nil
		default:
			sp.skip(1)
		}
	}
	return fmt.Errorf("line %d: the quote %c that begins here has no end", from, q)
}

// dollar takes in $tag$ … $tag$, or a parameter such as $1.
func (sp *splitter) dollar() error {
	from, rest := sp.line, sp.rest()
	n := 1
	for n < len(rest) && wordByte(rest[n]) && (n > 1 || rest[n] < '0' || rest[n] > '9') {
		n++
	}
	if n == len(rest) || rest[n] != '$' {
		sp.skip(1)
		return nil
	}
	tag := rest[:n+1]
	end := strings.Index(rest[len(tag):], tag)
	if end < 0 {
		return fmt.Errorf("line %d: the text that begins here with %s has no end", from, tag)
	}
	sp.skip(len(tag) + end + len(tag))
	return nil
}

func (sp *splitter) word() error {
	rest := sp.rest()
	n := 1
	for n < len(rest) && (wordByte(rest[n]) || rest[n] == '$') {
		n++
	}
	word := strings.ToUpper(rest[:n])
	sp.skip(n)
	if word == "E" && strings.HasPrefix(sp.rest(), "'") {
		return sp.quoted('\'', true)
	}
	if len(sp.words) < 64 {
		sp.words = append(sp.words, word)
	}
	if sp.paren == 0 && makesRoutine(sp.words) {
		switch {
		case word == "BEGIN", word == "CASE" && sp.atomic > 0:
			sp.atomic++
		case word == "END" && sp.atomic > 0:
			sp.atomic--
		}
	}
	return nil
}

func makesRoutine(words []string) bool {
	if len(words) > 3 && words[1] == "OR" && words[2] == "REPLACE" {
		words = append([]string{words[0]}, words[3:]...)
	}
	return len(words) > 1 && words[0] == "CREATE" && (words[1] == "FUNCTION" || words[1] == "PROCEDURE")
}

// end closes the statement that reaches to at.
func (sp *splitter) end(at int) {
	if sp.first > 0 {
		sp.all = append(sp.all, Statement{Text: strings.TrimSpace(sp.text[sp.begin:at]), Line: sp.first, Words: sp.words})
	}
	sp.first, sp.words, sp.paren, sp.atomic = 0, nil, 0, 0
}

// Controls tells whether the statement begins or ends a transaction.
func (s Statement) Controls() bool {
	w := append(slices.Clone(s.Words), "", "", "")
	switch w[0] {
	case "BEGIN", "COMMIT", "END", "ABORT":
		return true
	case "START", "PREPARE":
		return w[1] == "TRANSACTION"
	case "ROLLBACK":
		return w[1] != "TO" && w[2] != "TO" // ROLLBACK [WORK|TRANSACTION] TO savepoint
	}
	return false
}

// FromStdin tells whether the statement is a COPY that wants its data from
// the client.
func (s Statement) FromStdin() bool {
	if len(s.Words) == 0 || s.Words[0] != "COPY" {
		return false
	}
	i := slices.Index(s.Words, "STDIN")
	return i > 0 && s.Words[i-1] == "FROM"
}
