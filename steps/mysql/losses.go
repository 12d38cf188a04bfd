package mysql

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// Grown is a table that has another number of rows than were copied.
type Grown struct {
	Table    string
	Had, Has int64
}

// countLimit is how many rows a table may have to be counted. What the server
// guesses of larger ones is of no use: it may be off by half.
const countLimit = 500_000

// Since tells which tables of the target have another number of rows than had
// says, the one that grew most first; a table that had does not name counts
// from none. Changed rows are not seen; nor are large tables, of which it says
// how many there are. The target is not changed.
func (c *Copy) Since(ctx context.Context, had map[string]int64) (grown []Grown, large int, err error) {
	has, large, err := c.Rows(ctx)
	for name, n := range has {
		if n != had[name] {
			grown = append(grown, Grown{Table: name, Had: had[name], Has: n})
		}
	}
	slices.SortFunc(grown, func(a, b Grown) int {
		return cmp.Or(cmp.Compare(b.Has-b.Had, a.Has-a.Had), cmp.Compare(a.Table, b.Table))
	})
	return grown, large, err
}

// Copied is how many rows of each table were copied.
func (c *Copy) Copied() map[string]int64 {
	had := map[string]int64{}
	for name, p := range c.State.Prints {
		had[name] = p.Rows
	}
	return had
}

// Rows counts the target's tables, but for large ones, of which it says how
// many there are. The target is not changed.
func (c *Copy) Rows(ctx context.Context) (has map[string]int64, large int, err error) {
	to, err := c.To.Open(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer to.Close()
	conn, err := to.Conn(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SET SESSION TRANSACTION READ ONLY"); err != nil {
		return nil, 0, err
	}
	dbs := c.databases()
	has = map[string]int64{}
	if len(dbs) == 0 {
		return has, 0, nil
	}
	rows, err := table(ctx, conn, "SELECT table_schema, table_name, COALESCE(table_rows, 0) FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema IN "+in(len(dbs)), anys(dbs)...)
	if err != nil {
		return nil, 0, err
	}
	for _, r := range rows {
		name, n := r[0].String+"."+r[1].String, int64(0)
		if _, err := fmt.Sscan(r[2].String, &n); err != nil {
			return nil, 0, fmt.Errorf("table %s: rows %q: %w", name, r[2].String, err)
		}
		if max(n, c.State.Prints[name].Rows) > countLimit {
			large++
			continue
		}
		if err := conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+Dotted(r[0].String, r[1].String)).Scan(&n); err != nil {
			return nil, 0, fmt.Errorf("count %s: %w", name, err)
		}
		has[name] = n
	}
	return has, large, nil
}
