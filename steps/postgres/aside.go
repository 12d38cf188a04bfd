package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Written tells whether anybody wrote to s since it was copied: a table has
// more or fewer rows than the copy, is new and not empty, or is gone, or the
// server has counted an updated or deleted row, which no copy makes. (The
// server forgets its count in a crash; an update before it goes unseen.)
func Written(ctx context.Context, s Server, copied []Count) (bool, error) {
	conn, err := s.Connect(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var changed bool
	if err := conn.QueryRow(ctx, "select coalesce(sum(n_tup_upd + n_tup_del), 0) > 0 from pg_catalog.pg_stat_user_tables").Scan(&changed); err != nil || changed {
		return changed, err
	}
	want := map[[2]string]int64{}
	for _, c := range copied {
		want[[2]string{c.Schema, c.Name}] = c.Rows
	}
	var now [][2]string
	err = query(ctx, conn, func(rows pgx.Rows) error {
		var t [2]string
		err := rows.Scan(&t[0], &t[1])
		now = append(now, t)
		return err
	}, `select n.nspname, c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where c.relkind = 'r' and n.nspname <> 'information_schema' and n.nspname !~ '^pg_' order by 1, 2`)
	if err != nil {
		return false, err
	}
	for _, t := range now {
		var n int64
		if err := conn.QueryRow(ctx, "select count(*) from only "+ident(t[0], t[1])).Scan(&n); err != nil {
			return false, fmt.Errorf("count %s: %w", Named(t[0], t[1]), err)
		}
		if n != want[t] {
			return true, nil
		}
		delete(want, t)
	}
	return len(want) > 0, nil
}

// SetAside renames s.Database, if it is the one that was made, so that what was
// written to it is not lost, and lets nobody but superusers log in to it. It
// returns the name that it has now; "" when there is no such database.
func SetAside(ctx context.Context, s Server, made Made, now time.Time) (name string, err error) {
	is, found, err := Identify(ctx, s)
	if err != nil || !found {
		return "", err
	}
	if is != made {
		return "", fmt.Errorf("%s is not the database that this step made: somebody dropped that one and made another; it is left alone", s)
	}
	conn, err := s.admin(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	name = asideName(s.Database, now)
	for _, sql := range []string{
		"alter database " + ident(s.Database) + " connection limit 0",
		"select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity where pid <> pg_catalog.pg_backend_pid() and datname = " + literal(s.Database),
		"alter database " + ident(s.Database) + " rename to " + ident(name),
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return "", fmt.Errorf("set aside %s: %w; it was not dropped", s, err)
		}
	}
	return name, nil
}

// asideName fits into the 63 bytes that a name has, and breaks no character.
func asideName(database string, now time.Time) string {
	suffix := now.UTC().Format("_rolled_back_20060102_150405")
	return strings.ToValidUTF8(database[:min(len(database), 63-len(suffix))], "") + suffix
}
