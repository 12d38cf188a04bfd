package mysql

import (
	"cmp"
	"context"
	"database/sql"
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

// Since tells which tables of the target have another number of rows than were
// copied, the one that grew most first; tables that were not copied count from
// none. Changed rows are not seen; nor are large tables, of which it says how
// many there are. The target is not changed.
func (c *Copy) Since(ctx context.Context) (grown []Grown, large int, err error) {
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
	if len(dbs) == 0 {
		return nil, 0, nil
	}
	rows, err := table(ctx, conn, "SELECT table_schema, table_name, COALESCE(table_rows, 0) FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema IN "+in(len(dbs)), anys(dbs)...)
	if err != nil {
		return nil, 0, err
	}
	for _, r := range rows {
		g, ok, err := c.grown(ctx, conn, r)
		switch {
		case err != nil:
			return nil, 0, err
		case !ok:
			large++
		case g.Has != g.Had:
			grown = append(grown, g)
		}
	}
	slices.SortStableFunc(grown, func(a, b Grown) int { return cmp.Compare(b.Has-b.Had, a.Has-a.Had) })
	return grown, large, nil
}

// grown counts a table; ok is false for a large one.
func (c *Copy) grown(ctx context.Context, conn *sql.Conn, r []sql.NullString) (_ Grown, ok bool, err error) {
	g := Grown{Table: r[0].String + "." + r[1].String}
	g.Had = c.State.Prints[g.Table].Rows
	if _, err := fmt.Sscan(r[2].String, &g.Has); err != nil {
		return g, false, fmt.Errorf("table %s: rows %q: %w", g.Table, r[2].String, err)
	}
	if max(g.Has, g.Had) > countLimit {
		return g, false, nil
	}
	err = conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+Dotted(r[0].String, r[1].String)).Scan(&g.Has)
	if err != nil {
		return g, false, fmt.Errorf("count %s: %w", g.Table, err)
	}
	return g, true, nil
}
