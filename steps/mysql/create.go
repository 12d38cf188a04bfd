package mysql

import (
	"regexp"
	"strings"
)

// Create is a SHOW CREATE TABLE taken apart.
type Create struct {
	Head    string   // "CREATE TABLE `t`"
	Columns []string // definitions, as they stand
	Primary string   // "PRIMARY KEY (`id`)"; "" when there is none
	Keys    []string // the other keys: "UNIQUE KEY `a` (`a`)"
	Foreign []string // "CONSTRAINT `f` FOREIGN KEY …"
	Checks  []string // "CONSTRAINT `c` CHECK (…)", PERIOD FOR …
	Options string   // what follows: engine, charset, partitions
}

// ParseCreate takes a SHOW CREATE TABLE apart at the commas of its outermost
// parentheses, whatever stands in quotes. ok is false when it is not one.
func ParseCreate(text string) (c Create, ok bool) {
	open := next(text, 0, "(")
	if open < 0 {
		return c, false
	}
	c.Head = strings.TrimSpace(text[:open])
	depth, from := 0, open+1
	for i := open; i < len(text); {
		switch text[i] {
		case '(':
			depth++
		case ')':
			depth--
			if depth == 0 {
				c.take(strings.TrimSpace(text[from:i]))
				c.Options = strings.TrimSpace(text[i+1:])
				return c, true
			}
		case ',':
			if depth == 1 {
				c.take(strings.TrimSpace(text[from:i]))
				from = i + 1
			}
		}
		i = skip(text, i)
	}
	return c, false
}

func (c *Create) take(part string) {
	switch {
	case strings.HasPrefix(part, "`"):
		c.Columns = append(c.Columns, part)
	case strings.HasPrefix(part, "PRIMARY KEY"):
		c.Primary = part
	case strings.HasPrefix(part, "CONSTRAINT ") && isForeign(part):
		c.Foreign = append(c.Foreign, part)
	case strings.HasPrefix(part, "CONSTRAINT "), strings.HasPrefix(part, "CHECK "), strings.HasPrefix(part, "PERIOD "):
		c.Checks = append(c.Checks, part)
	default:
		c.Keys = append(c.Keys, part)
	}
}

func isForeign(part string) bool {
	i := skip(part, len("CONSTRAINT ")) // past the quoted name
	return strings.HasPrefix(strings.TrimSpace(part[i:]), "FOREIGN KEY")
}

// next is where any of the bytes stands first from i on, outside of quotes; -1 for nowhere.
func next(s string, i int, any string) int {
	for i < len(s) {
		if strings.IndexByte(any, s[i]) >= 0 {
			return i
		}
		i = skip(s, i)
	}
	return -1
}

// skip is past the byte at i, or past what is quoted if a quote begins there.
func skip(s string, i int) int {
	quote := s[i]
	if quote != '\'' && quote != '`' && quote != '"' {
		return i + 1
	}
	for i++; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quote != '`':
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return len(s)
}

// autoColumn is the quoted name of the AUTO_INCREMENT column; "" for none.
func (c Create) autoColumn() string {
	for _, col := range c.Columns {
		end := skip(col, 0)
		if strings.Contains(unquoted(col[end:]), "AUTO_INCREMENT") {
			return col[:end]
		}
	}
	return ""
}

// unquoted is s without what is quoted.
func unquoted(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		j := skip(s, i)
		if j == i+1 {
			b.WriteByte(s[i])
		}
		i = j
	}
	return b.String()
}

// Split says how to make the table for loading, and what is added after: keys
// and foreign keys. Kept from the beginning are the primary key, the unique
// ones where there is no primary key, and what an AUTO_INCREMENT column needs.
func (c Create) Split() (make string, later, foreign []string) {
	parts := append([]string{}, c.Columns...)
	if c.Primary != "" {
		parts = append(parts, c.Primary)
	}
	auto := c.autoColumn()
	for _, k := range c.Keys {
		_, cols, _ := strings.Cut(k, "(")
		if name := next(k, 0, "("); name >= 0 {
			cols = k[name+1:]
		}
		inPrimary := strings.Contains(c.Primary, "("+auto)
		switch {
		case auto != "" && !inPrimary && strings.Contains(cols, auto),
			c.Primary == "" && strings.HasPrefix(k, "UNIQUE"):
			parts = append(parts, k)
		default:
			later = append(later, k)
		}
	}
	parts = append(parts, c.Checks...)
	return c.Head + " (\n  " + strings.Join(parts, ",\n  ") + "\n) " + c.Options, later, c.Foreign
}

// name is the quoted name of a key or a constraint.
func keyName(def string) string {
	i := strings.IndexByte(def, '`')
	if i < 0 {
		return ""
	}
	return def[i:skip(def, i)]
}

var (
	autoValue = regexp.MustCompile(`(^| )AUTO_INCREMENT=\d+`)
	intWidth  = regexp.MustCompile(`\b((?:small|medium|big)?int|tinyint)\((\d+)\)( unsigned)?( zerofill)?`)
	yearWidth = regexp.MustCompile(`\byear\(4\)`)
	nowValue  = regexp.MustCompile(`(?i)\bcurrent_timestamp\b(\(\))?`)
	oldUTF8   = regexp.MustCompile(`\butf8mb3(_\w+)?\b`)
)

// Same is a definition without what differs between servers and means the
// same: display widths, the old name of a charset, the next number.
func Same(def string) string {
	def = autoValue.ReplaceAllString(def, "")
	def = intWidth.ReplaceAllStringFunc(def, func(s string) string {
		m := intWidth.FindStringSubmatch(s)
		if m[4] != "" || m[1] == "tinyint" && m[2] == "1" {
			return s
		}
		return m[1] + m[3]
	})
	def = yearWidth.ReplaceAllString(def, "year")
	def = nowValue.ReplaceAllString(def, "current_timestamp")
	def = oldUTF8.ReplaceAllString(def, "utf8$1")
	return strings.TrimSpace(def)
}
