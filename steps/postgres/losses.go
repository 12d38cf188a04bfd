package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Writes is what was written to one table since it was copied.
type Writes struct {
	Schema, Name string
	Added        int64 // rows; fewer than none is not told apart from deleted ones
	Changed      int64
	Deleted      int64
	About        bool // Added is by the server's estimate: the table is too large to count
}

// Sum is how many rows were written.
func (w Writes) Sum() int64 { return w.Added + w.Changed + w.Deleted }

func (w Writes) String() string {
	var said []string
	for _, p := range []struct {
		n    int64
		what string
	}{{w.Added, "added"}, {w.Changed, "changed"}, {w.Deleted, "deleted"}} {
		if p.n > 0 {
			said = append(said, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return Named(w.Schema, w.Name) + " " + strings.Join(said, ", ")
}

// countLimit is how many rows a table may have to be counted; countTime, how
// long that may take.
const (
	countLimit = 500_000
	countTime  = "3s"
)

// Since tells what was written to each table of s since it was copied, the most
// first; tables to which nothing was written are left out. What was changed and
// deleted, which no copy does, is known by the server's counts alone; forgot says
// that it has lost those since, so that it may be more. Dropped tables are not told of. s
// is not changed.
func Since(ctx context.Context, s Server, copied Copied) (all []Writes, forgot bool, err error) {
	conn, err := s.Connect(ctx)
	if err != nil {
		return nil, false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range []string{"set default_transaction_read_only = on", "set statement_timeout = '" + countTime + "'", "set lock_timeout = '1s'"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return nil, false, err
		}
	}
	counting, err := countingSince(ctx, conn)
	if err != nil {
		return nil, false, err
	}
	had := map[[2]string]int64{}
	for _, c := range copied.Tables {
		had[[2]string{c.Schema, c.Name}] = c.Rows
	}
	live := map[[2]string]int64{}
	err = query(ctx, conn, func(rows pgx.Rows) error {
		var w Writes
		var n int64
		err := rows.Scan(&w.Schema, &w.Name, &w.Changed, &w.Deleted, &n)
		all, live[[2]string{w.Schema, w.Name}] = append(all, w), n
		return err
	}, `select schemaname, relname, n_tup_upd, n_tup_del, n_live_tup from pg_catalog.pg_stat_user_tables t
		where (select relkind from pg_catalog.pg_class where oid = t.relid) = 'r' order by 1, 2`)
	if err != nil {
		return nil, false, err
	}
	for i := range all {
		w := &all[i]
		id := [2]string{w.Schema, w.Name}
		n, exact, err := rowsNow(ctx, conn, id, max(live[id], had[id]))
		if err != nil {
			return nil, false, err
		}
		if !exact {
			n, w.About = live[id], true
		}
		w.Added = max(0, n-had[id]+w.Deleted)
	}
	all = slices.DeleteFunc(all, func(w Writes) bool { return w.Sum() == 0 && !w.About })
	slices.SortStableFunc(all, func(a, b Writes) int { return cmp.Compare(b.Sum(), a.Sum()) })
	return all, forgotten(copied.Counting, counting), nil
}

// countingSince tells since when the counts of the database are kept, and since
// when those of the whole server, which begins anew after a crash. Either is ""
// where that is not told.
//
// https://www.postgresql.org/docs/current/monitoring-stats.html: "when starting
// from an unclean shutdown, all statistics counters are reset"; stats_reset of
// pg_stat_database moves with pg_stat_reset(), also for one table. Before 15 a
// database has none until the first is counted, which is then the moment.
func countingSince(ctx context.Context, conn *pgx.Conn) (at string, err error) {
	const when = `to_char(%s.stats_reset at time zone 'utc', 'YYYYMMDDHH24MISSUS')`
	err = conn.QueryRow(ctx, `select coalesce(`+fmt.Sprintf(when, "d")+`, case when current_setting('server_version_num')::int >= 150000 then 'never' else '' end)
			|| ' ' || coalesce(`+fmt.Sprintf(when, "b")+`, '')
		from pg_catalog.pg_stat_database d, pg_catalog.pg_stat_bgwriter b where d.datname = pg_catalog.current_database()`).Scan(&at)
	return at, err
}

// forgotten tells whether a server has begun to count anew.
func forgotten(was, is string) bool {
	db, server, _ := strings.Cut(was, " ")
	dbNow, serverNow, _ := strings.Cut(is, " ")
	differ := func(a, b string) bool { return a != "" && b != "" && a != b }
	return differ(db, dbNow) || differ(server, serverNow)
}

// Tuples are a table's counts of rows that were ever written, as its server
// keeps them: it forgets them in a crash.
type Tuples struct {
	Schema, Name               string
	Inserted, Updated, Deleted int64
}

// Counts are those of all tables, and since when they are kept.
type Counts struct {
	Tables   []Tuples `json:"tables"`
	Counting string   `json:"counting,omitempty"`
}

// Marked reads the counts of all tables of s, by which SinceMark can tell later
// what was written from now on. s is not changed, and no table is read.
func Marked(ctx context.Context, s Server) (Counts, error) {
	conn, err := s.Connect(ctx)
	if err != nil {
		return Counts{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "set default_transaction_read_only = on"); err != nil {
		return Counts{}, err
	}
	c := Counts{Tables: []Tuples{}}
	if c.Counting, err = countingSince(ctx, conn); err != nil {
		return Counts{}, err
	}
	err = query(ctx, conn, func(rows pgx.Rows) error {
		var t Tuples
		err := rows.Scan(&t.Schema, &t.Name, &t.Inserted, &t.Updated, &t.Deleted)
		c.Tables = append(c.Tables, t)
		return err
	}, `select schemaname, relname, n_tup_ins, n_tup_upd, n_tup_del from pg_catalog.pg_stat_user_tables t
		where (select relkind from pg_catalog.pg_class where oid = t.relid) = 'r' order by 1, 2`)
	return c, err
}

// SinceMark tells what was written to each table of s since the mark, the most
// first; known is false where the server has forgotten its counts meanwhile.
// Rows that a transaction wrote and gave up count, too.
func SinceMark(ctx context.Context, s Server, mark Counts) (all []Writes, known bool, err error) {
	now, err := Marked(ctx, s)
	if err != nil || forgotten(mark.Counting, now.Counting) {
		return nil, false, err
	}
	had := map[[2]string]Tuples{}
	for _, t := range mark.Tables {
		had[[2]string{t.Schema, t.Name}] = t
	}
	for _, t := range now.Tables {
		was := had[[2]string{t.Schema, t.Name}]
		w := Writes{Schema: t.Schema, Name: t.Name, Added: t.Inserted - was.Inserted, Changed: t.Updated - was.Updated, Deleted: t.Deleted - was.Deleted}
		if w.Added < 0 || w.Changed < 0 || w.Deleted < 0 {
			return nil, false, nil
		}
		if w.Sum() > 0 {
			all = append(all, w)
		}
	}
	slices.SortStableFunc(all, func(a, b Writes) int { return cmp.Compare(b.Sum(), a.Sum()) })
	return all, true, nil
}

// rowsNow counts a table, if that is soon done.
func rowsNow(ctx context.Context, conn *pgx.Conn, id [2]string, guess int64) (n int64, exact bool, err error) {
	if guess > countLimit {
		return 0, false, nil
	}
	err = conn.QueryRow(ctx, "select count(*) from only "+ident(id[0], id[1])).Scan(&n)
	var pgErr interface{ SQLState() string }
	switch {
	case err == nil:
		return n, true, nil
	case errors.As(err, &pgErr) && (pgErr.SQLState() == "57014" || pgErr.SQLState() == "55P03"): // took too long, or is locked
		return 0, false, nil
	case errors.As(err, &pgErr) && pgErr.SQLState() == "42P01": // dropped meanwhile
		return 0, true, nil
	}
	return 0, false, fmt.Errorf("count %s: %w", Named(id[0], id[1]), err)
}

// Followers names the logical slots of s that somebody reads now, with how many
// bytes each is behind.
func Followers(ctx context.Context, s Server) (map[string]int64, error) {
	conn, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	all := map[string]int64{}
	err = query(ctx, conn, func(rows pgx.Rows) error {
		var name string
		var behind int64
		err := rows.Scan(&name, &behind)
		all[name] = behind
		return err
	}, `select slot_name::text, coalesce(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), confirmed_flush_lsn), 0)::int8
		from pg_catalog.pg_replication_slots where slot_type = 'logical' and active and database = pg_catalog.current_database()`)
	return all, err
}
