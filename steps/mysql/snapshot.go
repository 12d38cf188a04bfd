package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// Frozen is a source looked at by several sessions in one moment.
type Frozen struct {
	Lanes    []*sql.Conn
	Position string // in the binary log, or the GTID set; "" when the server keeps none or does not tell
}

// Close ends the sessions.
func (f *Frozen) Close() {
	for _, c := range f.Lanes {
		c.Close()
	}
}

// Freeze begins a snapshot in every one of n sessions, all of the same moment.
// It holds writers up for that moment by FLUSH TABLES WITH READ LOCK, and gives
// up, with everything as it was, when a running statement keeps it waiting for
// longer than wait: writers would wait behind it. When alone, nobody writes:
// then no lock is taken.
func (d *DB) Freeze(ctx context.Context, n int, wait time.Duration, alone bool) (_ *Frozen, err error) {
	f := &Frozen{}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	for range n {
		c, err := d.Conn(ctx)
		if err != nil {
			return nil, err
		}
		f.Lanes = append(f.Lanes, c)
	}
	if !alone {
		lock, err := d.lock(ctx, wait)
		if err != nil {
			return nil, err
		}
		// With the session the lock ends, also where UNLOCK does not arrive.
		defer func() {
			late, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer stop()
			if _, err := lock.ExecContext(late, "UNLOCK TABLES"); err != nil {
				_ = lock.Raw(func(any) error { return errDrop })
			}
			lock.Close()
		}()
	}
	for _, c := range f.Lanes {
		if err := snapshot(ctx, c); err != nil {
			return nil, err
		}
	}
	f.Position = d.position(ctx)
	return f, nil
}

// lock holds up all writers until the session ends.
func (d *DB) lock(ctx context.Context, wait time.Duration) (*sql.Conn, error) {
	c, err := d.Conn(ctx)
	if err != nil {
		return nil, err
	}
	seconds := max(1, int(wait.Seconds()))
	if _, err := c.ExecContext(ctx, fmt.Sprintf("SET SESSION lock_wait_timeout = %d", seconds)); err != nil {
		c.Close()
		return nil, err
	}
	if _, err := c.ExecContext(ctx, "FLUSH TABLES WITH READ LOCK"); err != nil {
		c.Close()
		switch Number(err) {
		case errLockWait:
			return nil, fmt.Errorf("the source could not be held for a moment: %s. Nothing was changed. End or await what runs so long, or stop the writers and say frozen: true", d.busy(ctx, wait))
		case errPrivilege:
			return nil, fmt.Errorf("the source cannot be held for a moment: %s lacks RELOAD. Nothing was changed. GRANT RELOAD ON *.* to it, or stop the writers and say frozen: true", d.server.User)
		}
		return nil, fmt.Errorf("hold the source for a moment: %w", err)
	}
	return c, nil
}

// busy says what runs for longer than wait.
func (d *DB) busy(ctx context.Context, wait time.Duration) string {
	rows, err := table(ctx, d, "SELECT id, user, time FROM information_schema.processlist WHERE command IN ('Query', 'Execute') AND time >= ? AND id <> CONNECTION_ID() ORDER BY time DESC LIMIT 3",
		int(wait.Seconds()))
	if err != nil || len(rows) == 0 {
		return fmt.Sprintf("something held the tables for more than %s", wait)
	}
	var all []string
	for _, r := range rows {
		all = append(all, fmt.Sprintf("session %s of %s runs a statement for %s s", r[0].String, r[1].String, r[2].String))
	}
	return strings.Join(all, "; ")
}

// position is where the binary log is; "" where it is off or may not be read.
func (d *DB) position(ctx context.Context) string {
	ask, status := "SELECT @@gtid_executed", "SHOW MASTER STATUS"
	switch {
	case d.Version.MariaDB:
		ask = "SELECT @@gtid_binlog_pos"
	case d.Version.atLeast(8, 2):
		status = "SHOW BINARY LOG STATUS"
	}
	if gtid, err := strs(ctx, d, ask); err == nil && len(gtid) == 1 && gtid[0] != "" {
		return "GTID " + strings.ReplaceAll(gtid[0], "\n", "")
	}
	if rows, err := table(ctx, d, status); err == nil && len(rows) == 1 && len(rows[0]) > 1 {
		return rows[0][0].String + ":" + rows[0][1].String
	}
	return ""
}
