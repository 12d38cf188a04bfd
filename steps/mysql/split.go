package mysql

import (
	"fmt"
	"strings"
)

// Statement is one of a script.
type Statement struct {
	Text string
	Line int // where it begins, from 1
}

func (s Statement) String() string {
	first, rest, more := strings.Cut(strings.TrimSpace(s.Text), "\n")
	if len(first) > 80 {
		first, more = first[:80], true
	}
	if more && strings.TrimSpace(rest) != "" || len(s.Text) > len(first)+1 && more {
		first += " …"
	}
	return first
}

// Split cuts a script into statements as the mysql client does: at the
// delimiter, which DELIMITER changes, outside of quotes and comments. Comments
// that the server reads (/*! and /*+) are kept, others are left out.
func Split(text string) ([]Statement, error) {
	var all []Statement
	var b strings.Builder
	delimiter, line, begun := ";", 1, 0
	flush := func() {
		if t := strings.TrimSpace(b.String()); t != "" {
			all = append(all, Statement{t, begun})
		}
		b.Reset()
		begun = 0
	}
	for i := 0; i < len(text); {
		rest := text[i:]
		atStart := strings.TrimSpace(b.String()) == ""
		n := 0
		keep := true
		switch {
		case atStart && len(rest) > 10 && strings.EqualFold(rest[:9], "delimiter") && (rest[9] == ' ' || rest[9] == '\t'):
			word, _, _ := strings.Cut(rest[10:], "\n")
			if delimiter = strings.TrimSpace(word); delimiter == "" {
				return nil, fmt.Errorf("line %d: DELIMITER without one", line)
			}
			n, keep = 10+len(word), false
		case strings.HasPrefix(rest, delimiter):
			flush()
			n, keep = len(delimiter), false
		case rest[0] == '#', strings.HasPrefix(rest, "--") && (len(rest) == 2 || rest[2] <= ' '):
			n, keep = len(rest), false
			if end := strings.IndexByte(rest, '\n'); end >= 0 {
				n = end
			}
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return nil, fmt.Errorf("line %d: a comment that does not end", line)
			}
			n = end + 4
			keep = strings.HasPrefix(rest, "/*!") || strings.HasPrefix(rest, "/*+") || strings.HasPrefix(rest, "/*M!")
		default:
			if n = skip(text, i) - i; n > 1 && rest[n-1] != rest[0] || n == 1 && strings.IndexByte("'\"`", rest[0]) >= 0 {
				return nil, fmt.Errorf("line %d: a quote that does not end", line)
			}
		}
		if keep {
			if begun == 0 && rest[0] > ' ' {
				begun = line
			}
			b.WriteString(rest[:n])
		} else if n > 0 && rest[n-1] != '\n' {
			b.WriteByte(' ')
		}
		line += strings.Count(rest[:n], "\n")
		i += n
	}
	flush()
	return all, nil
}

// Session tells whether a statement only sets up its session, so that it has
// to be said again in another one.
func (s Statement) Session() bool {
	head := strings.ToUpper(strings.TrimSpace(s.Text))
	return strings.HasPrefix(head, "USE ") || strings.HasPrefix(head, "SET ") && !strings.HasPrefix(head, "SET GLOBAL") && !strings.HasPrefix(head, "SET PASSWORD") && !strings.HasPrefix(head, "SET PERSIST")
}
