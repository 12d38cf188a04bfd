package mysql

import (
	"fmt"
	"strings"
)

// Limits above which a row's text might not fit into max_allowed_packet, 16 MiB
// by default: CONCAT would give NULL then, and the row would not count.
const (
	bigValue = 64 << 10
	bigRow   = 8 << 20
)

// hash is the function of the server that sums up rows. SHA-1 is taken against
// mistakes, not against people: the server computes it in half the time of MD5,
// for processors have instructions for it. CRC32, as older tools have it,
// collides too often, and a second CRC32 of the same text adds nothing, as both
// are linear.
type hash string

const (
	bySHA1 hash = "SHA1"
	byMD5  hash = "MD5" // of what older runs remember
)

func (h hash) of(text string) string { return string(h) + "(" + text + ")" }

// printed is the text of a column that has the same bytes on any server and
// any flavour, whatever the connection's character set. Of values that may be
// big it is the hash.
func (c Column) printed(h hash) string {
	name := Ident(c.Name)
	text := name
	switch c.Type {
	case "float":
		return name + " + 0e0" // its own text has 6 digits only
	case "bit":
		return name + " + 0"
	case "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		return h.of("CONCAT(ST_SRID(" + name + "), ':', HEX(ST_AsBinary(" + name + ")))")
	case "json", "uuid", "inet6", "inet4":
		return "CAST(" + name + " AS CHAR CHARACTER SET utf8mb4)"
	}
	switch c.Charset {
	case "", "ascii", "utf8", "utf8mb3", "utf8mb4", "binary":
	default:
		text = "CONVERT(" + name + " USING utf8mb4)"
	}
	if c.Length > bigValue {
		return h.of(text)
	}
	return text
}

// stringy are the columns whose values may hold the separator.
func (c Column) stringy() bool {
	switch c.Type {
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set",
		"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "json", "vector":
		return true
	}
	return false
}

// rowText is the text of a whole row: all values, then what tells NULL from
// nothing and where one value ends, so that no two different rows are alike.
// Computed columns take part: they must come out equal.
func (t *Table) rowText(h hash) string {
	var sum int64
	for _, c := range t.Columns {
		sum += min(c.Length, bigValue)
	}
	var values, marks []string
	for _, c := range t.Columns {
		p := c.printed(h)
		if sum > bigRow && c.Length > 255 && !strings.HasPrefix(p, string(h)+"(") {
			p = h.of(p)
		}
		values = append(values, p)
		switch {
		case c.stringy() && c.Nullable:
			marks = append(marks, "IFNULL(LENGTH("+Ident(c.Name)+"), 'N')")
		case c.stringy():
			marks = append(marks, "LENGTH("+Ident(c.Name)+")")
		case c.Nullable:
			marks = append(marks, "ISNULL("+Ident(c.Name)+")")
		}
	}
	return "CONCAT_WS('#', " + strings.Join(append(values, marks...), ", ") + ")"
}

// keyText is the text by which a row is found; of a table without a key, the row's.
func (t *Table) keyText() string {
	if len(t.Key) == 0 {
		return t.rowText(bySHA1)
	}
	var values []string
	for _, k := range t.Key {
		values = append(values, t.column(k).printed(bySHA1))
	}
	return "CONCAT_WS('#', " + strings.Join(values, ", ") + ")"
}

// printSums are the two columns that fingerprint rows: how many, and the sum
// of the upper 64 bits of each row's hash, which is exact (a DECIMAL) and does
// not depend on the order.
func (t *Table) printSums(h hash) string {
	return "COUNT(*), IFNULL(SUM(CAST(CONV(LEFT(" + h.of(t.rowText(h)) + ", 16), 16, 10) AS UNSIGNED)), 0)"
}

// bucketOf is the number of a row's bucket, from 0.
func (t *Table) bucketOf(buckets int) string {
	return fmt.Sprintf("CRC32(%s) %% %d", t.keyText(), buckets)
}
