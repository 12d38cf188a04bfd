package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// schemaVersion is the newest version of the schema that this belay knows.
const schemaVersion = 1

// schema makes version 1. A run's num is also the second half of its lock's
// key; backend is the connection that holds it, or held it last.
const schema = `
create schema if not exists belay;
create table belay.version (version int not null);
create table belay.run (
	num     int generated always as identity primary key,
	id      text not null unique,
	begun   timestamptz not null default now(),
	seq     bigint not null default 0,
	sum     text not null default '',
	holder  text not null default '',
	backend int not null default 0
);
create table belay.event (
	run  int not null references belay.run,
	seq  bigint not null,
	sum  text not null,
	line text not null,
	primary key (run, seq)
);
create table belay.file (
	run  int not null references belay.run,
	n    int not null,
	name text not null,
	body bytea not null,
	primary key (run, n)
);
insert into belay.version values (1);
`

// lockClass is the first half of every advisory lock of ours: "bela".
const lockClass = 0x62656c61

// ready makes the schema if there is none.
func ready(ctx context.Context, c *pgx.Conn) error {
	have, err := version(ctx, c)
	if err != nil || have == schemaVersion {
		return err
	}
	// One at a time: two bastions may begin the first two runs together. The lock
	// is taken before the transaction begins, which else could look into a cache
	// that does not know yet what the other has made.
	if _, err := c.Exec(ctx, `select pg_advisory_lock($1, 0)`, lockClass); err != nil {
		return err
	}
	defer func() { _, _ = c.Exec(context.WithoutCancel(ctx), `select pg_advisory_unlock($1, 0)`, lockClass) }()
	if have, err = version(ctx, c); err != nil || have == schemaVersion {
		return err
	}
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, schema); err != nil {
		return fmt.Errorf("make schema belay: %w (the role needs CREATE on the database for the first use)", err)
	}
	return tx.Commit(ctx)
}

// version is that of the schema; 0 when there is none.
func version(ctx context.Context, c *pgx.Conn) (v int, err error) {
	var there bool
	if err := c.QueryRow(ctx, `select to_regclass('belay.version') is not null`).Scan(&there); err != nil || !there {
		return 0, err
	}
	if err := c.QueryRow(ctx, `select max(version) from belay.version`).Scan(&v); err != nil {
		return 0, err
	}
	if v != schemaVersion {
		return 0, fmt.Errorf("schema belay is of version %d and this belay knows %d: use the belay that made it; nothing was done", v, schemaVersion)
	}
	return v, nil
}

// refused tells whether the server itself has said no to a statement, over a
// connection that goes on: then nothing of the statement was done.
func refused(err error, c *pgx.Conn) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && said.SeverityUnlocalized == "ERROR" && !c.IsClosed()
}
