package postgres

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// entry is one object of a plain dump, with all the statements that make it.
type entry struct {
	Type, Schema, Name string // as the dump's comment says it: "FK CONSTRAINT"; for people and for the order
	SQL                string

	n     int  // place in its dump
	begun bool // a job was made of it
}

// key names the entry among the marks of what is done: the same snapshot, or
// the same frozen schema, is always dumped in the same order.
func (e entry) key() string { return fmt.Sprintf("entry %d %s", e.n, e) }

func (e entry) String() string {
	if e.Schema == "" || e.Schema == "-" {
		return strings.ToLower(e.Type) + " " + e.Name
	}
	return strings.ToLower(e.Type) + " " + e.Schema + "." + e.Name
}

// dump is what pg_dump wrote as plain SQL.
type dump struct {
	head    []string // settings of the session
	entries []entry
}

var dumpHeader = regexp.MustCompile(`^-- (?:Data for )?Name: (.*); Type: ([A-Z][A-Z0-9 ]*); Schema: (.*); Owner: ?(.*)$`)

// parseDump cuts a plain dump at the comments that pg_dump writes before each
// object. Text that only looks like such a comment, in a function's body or a
// default, is left alone; so are semicolons: the server splits statements.
// Commands of psql (\restrict, \connect) are dropped.
func parseDump(text string) dump {
	var d dump
	var scan sqlScan
	var cur strings.Builder
	var at *entry
	flush := func() {
		sql := cur.String()
		cur.Reset()
		if at != nil {
			at.SQL, at.n = sql, len(d.entries)
			d.entries = append(d.entries, *at)
			return
		}
		for line := range strings.Lines(sql) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--") {
				d.head = append(d.head, line)
			}
		}
	}
	for line := range strings.Lines(text) {
		if scan.plain() {
			if strings.HasPrefix(line, `\`) {
				continue
			}
			if m := dumpHeader.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
				flush()
				at = &entry{Name: m[1], Type: m[2], Schema: m[3]}
			}
		}
		scan.line(line)
		cur.WriteString(line)
	}
	flush()
	return d
}

// sqlScan knows, line by line, whether it is within a quoted text or comment.
type sqlScan struct {
	in    byte   // 0: in none; ' E " $ or *
	tag   string // of a dollar quote, with both dollars
	depth int    // of nested comments
}

func (s *sqlScan) plain() bool { return s.in == 0 }

func (s *sqlScan) line(l string) {
	for i := 0; i < len(l); {
		switch s.in {
		case 0:
			n := s.open(l, i)
			if n < 0 {
				return // the rest is a comment
			}
			i += n
		case '\'', '"':
			if l[i] == s.in {
				s.in = 0 // a doubled quote closes and opens again
			}
			i++
		case 'E':
			if l[i] == '\\' {
				i++
			} else if l[i] == '\'' {
				s.in = 0
			}
			// A doubled quote does not close it.
			i++
			if s.in == 0 && i < len(l) && l[i] == '\'' {
				s.in = 'E'
				i++
			}
		case '$':
			if strings.HasPrefix(l[i:], s.tag) {
				i += len(s.tag)
				s.in = 0
			} else {
				i++
			}
		case '*':
			i += s.comment(l[i:])
		}
	}
}

var dollarTag = regexp.MustCompile(`^\$([A-Za-z_\x{80}-\x{10ffff}][A-Za-z0-9_\x{80}-\x{10ffff}]*)?\$`)

// open looks at one place outside of quotes, and returns how many bytes it
// took; -1 for a comment to the end of the line.
func (s *sqlScan) open(l string, i int) int {
	word := i > 0 && isWord(l[i-1])
	switch c := l[i]; {
	case c == '\'':
		s.in = '\''
		if i > 0 && (l[i-1] == 'E' || l[i-1] == 'e') && (i < 2 || !isWord(l[i-2])) {
			s.in = 'E'
		}
	case c == '"':
		s.in = '"'
	case c == '$' && !word:
		if m := dollarTag.FindString(l[i:]); m != "" {
			s.in, s.tag = '$', m
			return len(m)
		}
	case strings.HasPrefix(l[i:], "--"):
		return -1
	case strings.HasPrefix(l[i:], "/*"):
		s.in, s.depth = '*', 1
		return 2
	}
	return 1
}

func (s *sqlScan) comment(l string) int {
	switch {
	case strings.HasPrefix(l, "/*"):
		s.depth++
		return 2
	case strings.HasPrefix(l, "*/"):
		if s.depth--; s.depth == 0 {
			s.in = 0
		}
		return 2
	}
	return 1
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// literal quotes a string constant; standard_conforming_strings is on in every
// session of belay's.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// ident quotes a name, or a path of names.
func ident(names ...string) string {
	names = slices.Clone(names)
	for i, n := range names {
		names[i] = `"` + strings.ReplaceAll(n, `"`, `""`) + `"`
	}
	return strings.Join(names, ".")
}
