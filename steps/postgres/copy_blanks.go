package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A column of type char(n) is filled up with blanks to n characters, and its
// type fills it up again wherever it is written. So blanks need not be sent;
// to count them is a good part of what a target does with such a row.
const (
	blanksTable = 16 << 20 // smaller tables are not looked at
	blanksPages = 200      // of a larger one
	blanksWorth = 32       // bytes a row: to take fewer off costs more than it saves
)

// blanks learns in which columns of large tables the blanks are worth taking
// off. Only the binary form can do without them cheaply: a cast to text goes
// through every character. (Version 14 brought rtrim for bytea.)
func (c *copying) blanks(ctx context.Context) error {
	if !c.binary || c.snap.Version < 140000 {
		return nil
	}
	for i := range c.tables {
		t := &c.tables[i]
		if !t.binary || len(t.padded) == 0 || t.Bytes < blanksTable || !t.heap {
			continue
		}
		var asks, names []string
		for _, name := range t.padded {
			asks = append(asks, "coalesce(avg(octet_length("+ident(name)+") - octet_length("+trimmed(name)+")), 0)::float8")
			names = append(names, ident(name))
		}
		var saved []float64
		err := c.snap.Query(ctx, func(rows pgx.Rows) error { return rows.Scan(&saved) },
			fmt.Sprintf("select array[%s] from (select %s from only %s tablesample system (%.6f) limit 2000) few",
				strings.Join(asks, ", "), strings.Join(names, ", "), t.ident(), min(100, 100*blanksPages/float64(max(t.pages, 1)))))
		if err != nil {
			return fmt.Errorf("look for blanks in %s of %s: %w", t, c.From, err)
		}
		for k, name := range t.padded {
			if k < len(saved) && saved[k] >= blanksWorth {
				t.trim = append(t.trim, name)
			}
		}
	}
	return nil
}

// trimmed is a char(n) column as it is sent in the binary form, but for blanks
// at its end.
func trimmed(column string) string {
	return "pg_catalog.rtrim(pg_catalog.bpcharsend(" + ident(column) + "), '\\x20'::pg_catalog.bytea)"
}

// selected is the list of columns for a SELECT.
func (t Table) selected(binary bool) string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		if names[i] = ident(c); binary && slices.Contains(t.trim, c) {
			names[i] = trimmed(c)
		}
	}
	return strings.Join(names, ", ")
}
