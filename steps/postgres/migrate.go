package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// Migration is one version of a schema, as golang-migrate lays it out:
// 12_add_users.up.sql and, where there is a way back, 12_add_users.down.sql.
type Migration struct {
	Version  int64
	Name     string // add_users
	Up, Down string // names of the files; "" where there is none
}

// migrationFile is golang-migrate's own pattern (source/parse.go of v4).
var migrationFile = regexp.MustCompile(`^([0-9]+)_(.*)\.(down|up)\.(.*)$`)

// Migrations finds the versions among the names of a directory's files, in
// order. Names of another form are left out, as golang-migrate does; two files
// for the same direction of one version are refused, as it does, too.
func Migrations(names []string) ([]Migration, error) {
	found := map[int64]*Migration{}
	for _, name := range slices.Sorted(slices.Values(names)) {
		m := migrationFile.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		v, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: its version is too large", name)
		}
		if found[v] == nil {
			found[v] = &Migration{Version: v, Name: m[2]}
		}
		file := &found[v].Up
		if m[3] == "down" {
			file = &found[v].Down
		}
		if *file != "" {
			return nil, fmt.Errorf("%s and %s are both version %d", *file, name, v)
		}
		*file = name
	}
	var all []Migration
	for _, m := range found {
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b Migration) int { return int(max(-1, min(1, a.Version-b.Version))) })
	return all, nil
}

// NoVersion stands for a database without any migration.
const NoVersion int64 = -1

// Hop is one migration to be run.
type Hop struct {
	From, To int64 // versions before and after
	File     string
}

// Hops is the way from one version to another. Going up, versions without an
// up file are passed over with an empty one, as golang-migrate does; going
// down, a missing down file is refused: the changes of that version would stay
// while the tracking table says that they are gone.
func Hops(all []Migration, from, to int64) ([]Hop, error) {
	at := func(v int64) int { return slices.IndexFunc(all, func(m Migration) bool { return m.Version == v }) }
	for _, v := range []int64{from, to} {
		if v != NoVersion && at(v) < 0 {
			return nil, fmt.Errorf("version %d has no file", v)
		}
	}
	i, end := at(from), at(to) // -1 stands for NoVersion
	var hops []Hop
	for i < end {
		i++
		hops = append(hops, Hop{From: from, To: all[i].Version, File: all[i].Up})
		from = all[i].Version
	}
	for i > end {
		if all[i].Down == "" {
			return nil, fmt.Errorf("version %d has no down file, so there is no way from it to version %d", all[i].Version, to)
		}
		back := NoVersion
		if i > 0 {
			back = all[i-1].Version
		}
		hops = append(hops, Hop{From: all[i].Version, To: back, File: all[i].Down})
		i--
	}
	return hops, nil
}

// Tracking is golang-migrate's table: one row (version, dirty), none before
// the first migration (database/pgx/v5 of v4).
type Tracking struct{ Schema, Table string }

func (t Tracking) quoted() string { return QuoteName(t.Schema, t.Table) }

// Version reads the table. there is false where it does not exist yet.
func (t Tracking) Version(ctx context.Context, c *pgx.Conn) (version int64, dirty, there bool, err error) {
	err = c.QueryRow(ctx, "select exists (select from pg_catalog.pg_class k join pg_catalog.pg_namespace n on n.oid = k.relnamespace where n.nspname = $1 and k.relname = $2)",
		t.Schema, t.Table).Scan(&there)
	if err != nil || !there {
		return NoVersion, false, false, err
	}
	err = c.QueryRow(ctx, "select version, dirty from "+t.quoted()+" limit 1").Scan(&version, &dirty)
	if errors.Is(err, pgx.ErrNoRows) {
		return NoVersion, false, true, nil
	}
	return version, dirty, true, Explain("", 1, err)
}

// Create makes the table as golang-migrate does.
func (t Tracking) Create(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, "create table if not exists "+t.quoted()+" (version bigint not null primary key, dirty boolean not null)")
	return Explain("", 1, err)
}

// set is the statements that record a version. A NoVersion that is not dirty
// leaves no row.
func (t Tracking) set(version int64, dirty bool) string {
	sql := "truncate " + t.quoted()
	if version != NoVersion || dirty {
		sql += fmt.Sprintf("; insert into %s (version, dirty) values (%d, %t)", t.quoted(), version, dirty)
	}
	return sql
}

// Set records a version, in one transaction.
func (t Tracking) Set(ctx context.Context, c *pgx.Conn, version int64, dirty bool) error {
	return Run(ctx, c, "begin; "+t.set(version, dirty)+"; commit", nil)
}

// SetKnown records a version in a transaction of its own, whose number before
// gets, and must have on the disk when it returns, ahead of the COMMIT.
func (t Tracking) SetKnown(ctx context.Context, c *pgx.Conn, version int64, dirty bool, before func(xid int64) error) error {
	return pgx.BeginFunc(ctx, c, func(pgx.Tx) error {
		if err := t.SetWithin(ctx, c, version, dirty); err != nil {
			return err
		}
		xid, err := assigned(ctx, c)
		if err != nil {
			return err
		}
		return before(xid)
	})
}

// SetBy tells whether the row there now was written by that transaction.
func (t Tracking) SetBy(ctx context.Context, c *pgx.Conn, xid int64) (yes bool, err error) {
	err = c.QueryRow(ctx, "select exists (select from "+t.quoted()+" where xmin::text = ($1::bigint % 4294967296)::text)", xid).Scan(&yes)
	return yes, Explain("", 1, err)
}

// SetWithin records a version in the transaction that c is in.
func (t Tracking) SetWithin(ctx context.Context, c *pgx.Conn, version int64, dirty bool) error {
	return Run(ctx, c, t.set(version, dirty), nil)
}

// Mend is the SQL by which a person declares a version to be whole.
func (t Tracking) Mend(version int64) string {
	return "BEGIN; " + t.set(version, false) + "; COMMIT;"
}

// lockSalt and lockID are golang-migrate's (database/util.go of v4).
const lockSalt uint32 = 1486364155

func lockID(database, schema, table string) int64 {
	return int64(crc32.ChecksumIEEE([]byte(database+"\x00"+schema+"\x00"+table)) * lockSalt)
}

// LockedError says that somebody else is migrating.
type LockedError struct{ PID int32 }

func (e *LockedError) Error() string {
	return fmt.Sprintf("somebody else is migrating this database (server process %d holds golang-migrate's lock)", e.PID)
}

// Lock takes golang-migrate's advisory locks for the session, waiting for at
// most wait. There are two: given a URL it takes the database's name with the
// slash before it, given a connection it takes the name alone.
func (t Tracking) Lock(ctx context.Context, c *pgx.Conn, wait time.Duration) error {
	var database string
	if err := c.QueryRow(ctx, "select current_database()").Scan(&database); err != nil {
		return err
	}
	until := time.Now().Add(wait)
	for _, name := range []string{"/" + database, database} {
		id := lockID(name, t.Schema, t.Table)
		for {
			var got bool
			if err := c.QueryRow(ctx, "select pg_try_advisory_lock($1)", id).Scan(&got); err != nil {
				return err
			}
			if got {
				break
			}
			if time.Now().After(until) {
				held := &LockedError{}
				_ = c.QueryRow(ctx, "select pid from pg_catalog.pg_locks where locktype = 'advisory' and objsubid = 1 and classid = $1 and objid = $2 and granted",
					uint32(id>>32), uint32(id)).Scan(&held.PID)
				return held
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}
