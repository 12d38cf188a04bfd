package pg

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"belay/steps/journal"
)

// A held lock may be that of a process that has just died, which the server is
// about to notice: so long is it tried again before anybody is told.
const (
	lockTries = 20
	lockPause = 50 * time.Millisecond
)

// take makes c the holder of run num and returns which backend of the server
// serves it; *journal.LockedError when another holds the run.
func take(ctx context.Context, c *pgx.Conn, num int32, run string, holder string) (backend int32, err error) {
	for try := range lockTries {
		if try > 0 {
			time.Sleep(lockPause)
		}
		var got bool
		if err := c.QueryRow(ctx, `select pg_try_advisory_lock($1, $2)`, lockClass, num).Scan(&got); err != nil {
			return 0, err
		}
		if got {
			err := c.QueryRow(ctx, `update belay.run set holder = $2, backend = pg_backend_pid() where num = $1 returning backend`,
				num, holder).Scan(&backend)
			return backend, err
		}
	}
	locked := &journal.LockedError{Run: run}
	h, err := holding(ctx, c, num)
	if err != nil {
		return 0, err
	}
	if h != nil {
		locked.Holder = *h
	}
	return 0, locked
}

// holding is who holds run num now; nil when nobody does. The lock itself
// tells, not the record: that is only as true as the lock beside it.
func holding(ctx context.Context, c *pgx.Conn, num int32) (*journal.Holder, error) {
	for try := 0; ; try++ {
		var pid, backend int
		var text string
		err := c.QueryRow(ctx, `
			select coalesce((select l.pid from pg_locks l where l.locktype = 'advisory' and l.granted and l.classid = $1::int4::oid and l.objid = $2::int4::oid and l.objsubid = 2
			         and l.database = (select oid from pg_database where datname = current_database()) limit 1), 0),
			       r.backend, r.holder
			from belay.run r where r.num = $2`, lockClass, num).Scan(&pid, &backend, &text)
		if err != nil || pid == 0 {
			return nil, err
		}
		if pid != backend && try < lockTries {
			time.Sleep(lockPause) // it has the lock and is about to write its name
			continue
		}
		h := &journal.Holder{}
		_ = json.Unmarshal([]byte(text), h)
		return h, nil
	}
}

// release gives the run back. It is done before the connection is closed, so
// that who comes next in the same breath finds it free.
func release(ctx context.Context, c *pgx.Conn, num int32) error {
	_, err := c.Exec(ctx, `select pg_advisory_unlock($1, $2)`, lockClass, num)
	return err
}

// endFormer ends the connection that this holder itself has lost, if the
// server still believes in it: it would keep our own lock from us.
func endFormer(ctx context.Context, c *pgx.Conn, num int32, backend int32, holder string) error {
	_, err := c.Exec(ctx, `
		select pg_terminate_backend(l.pid) from pg_locks l, belay.run r
		where l.locktype = 'advisory' and l.granted and l.classid = $1::int4::oid and l.objid = $2::int4::oid and l.objsubid = 2
		  and l.database = (select oid from pg_database where datname = current_database())
		  and l.pid = $3 and r.num = $2 and r.backend = $3 and r.holder = $4`, lockClass, num, backend, holder)
	return err
}

// held is who held run num last; nil when nobody ever did.
func held(ctx context.Context, c *pgx.Conn, num int32) (*journal.Holder, error) {
	var text string
	if err := c.QueryRow(ctx, `select holder from belay.run where num = $1`, num).Scan(&text); err != nil || text == "" {
		return nil, err
	}
	h := &journal.Holder{}
	_ = json.Unmarshal([]byte(text), h)
	return h, nil
}
