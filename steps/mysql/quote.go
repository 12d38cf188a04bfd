package mysql

import "strings"

// Ident quotes a name, whatever is in it.
func Ident(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// Dotted quotes a name of a database's: `shop`.`messages`.
func Dotted(database, name string) string { return Ident(database) + "." + Ident(name) }

// String quotes a string for the pinned sql_mode, in which backslashes escape.
func String(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case 0:
			b.WriteString(`\0`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case 0x1a:
			b.WriteString(`\Z`)
		case '\'', '\\', '"':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
