package mysql

import (
	"context"
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
	bySHA2 hash = "SHA2" // with 256 bits; slower, and every server has it
	byMD5  hash = "MD5"  // of what older runs remember
)

// acrossFlavours follows a hash by which MySQL is compared with MariaDB.
const acrossFlavours = " across flavours"

// function is the server's name of it.
func (h hash) function() string { return strings.TrimSuffix(string(h), acrossFlavours) }

// across tells whether MySQL and MariaDB are compared.
func (h hash) across() bool { return strings.HasSuffix(string(h), acrossFlavours) }

func (h hash) of(text string) string {
	if f := h.function(); f != string(bySHA2) {
		return f + "(" + text + ")"
	}
	return "SHA2(" + text + ", 256)"
}

// hash is what the server can sum up rows by. MySQL 9.6 took SHA1 and MD5 out
// into a component that few install (component_classic_hashing).
func (d *DB) hash(ctx context.Context) (hash, error) {
	if d.Version.MariaDB || !d.Version.atLeast(9, 0) {
		return bySHA1, nil
	}
	switch _, err := strs(ctx, d, "SELECT SHA1('')"); {
	case err == nil:
		return bySHA1, nil
	case Number(err) == 0:
		return "", err
	}
	return bySHA2, nil
}

// hashOf is what both servers have.
func hashOf(ctx context.Context, a, b *DB) (hash, error) {
	one, err := a.hash(ctx)
	if err != nil {
		return "", err
	}
	other, err := b.hash(ctx)
	return common(a.Version, b.Version, one, other), err
}

func common(a, b Version, one, other hash) hash {
	if one != other {
		one = bySHA2
	}
	if a.MariaDB != b.MariaDB {
		one += acrossFlavours
	}
	return one
}

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
		if h.across() { // MySQL writes latitudes first, MariaDB as they are kept
			return h.of("HEX(" + name + ")")
		}
		return h.of("CONCAT(ST_SRID(" + name + "), ':', HEX(ST_AsBinary(" + name + ")))")
	case "vector": // functions of strings refuse it, but for this one
		text = "HEX(" + name + ")"
	case "json":
		// MySQL's JSON may hold a DECIMAL or a DATE, of which a copy by text makes
		// a DOUBLE, or a string. MariaDB keeps the text of what MySQL wrote.
		text = "CAST(" + name + " AS CHAR CHARACTER SET utf8mb4)"
		if !h.across() {
			text = "CAST(CAST(" + text + " AS JSON) AS CHAR CHARACTER SET utf8mb4)"
		}
		return h.of(text)
	case "uuid", "inet6", "inet4":
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
		if sum > bigRow && c.Length > 255 && !strings.HasPrefix(p, h.function()+"(") {
			p = h.of(p)
		}
		values = append(values, p)
		switch {
		case c.Type == "json" && !h.across() && c.Nullable:
			marks = append(marks, "ISNULL("+Ident(c.Name)+")")
		case c.Type == "json" && !h.across(): // its text has many lengths, and the hash one
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
func (t *Table) keyText(h hash) string {
	if len(t.Key) == 0 {
		return t.rowText(h)
	}
	var values []string
	for _, k := range t.Key {
		values = append(values, t.column(k).printed(h))
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
func (t *Table) bucketOf(h hash, buckets int) string {
	return fmt.Sprintf("CRC32(%s) %% %d", t.keyText(h), buckets)
}
