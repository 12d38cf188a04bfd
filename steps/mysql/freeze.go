package mysql

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// ReadOnly is how far a server refuses writes.
type ReadOnly struct {
	On    bool `json:"on"`    // those of ordinary accounts
	Super bool `json:"super"` // everybody's; MySQL only
}

// ReadOnly asks the server.
func (d *DB) ReadOnly(ctx context.Context) (ReadOnly, error) {
	query := "SELECT @@global.read_only, 0"
	if !d.Version.MariaDB {
		query = "SELECT @@global.read_only, @@global.super_read_only"
	}
	rows, err := table(ctx, d, query)
	if err != nil {
		return ReadOnly{}, err
	}
	on := func(s string) bool { return s != "0" && !strings.EqualFold(s, "OFF") }
	return ReadOnly{on(rows[0][0].String), on(rows[0][1].String)}, nil
}

// readOnlySQL are the statements that make it so. On MySQL super_read_only
// implies read_only, and has to go first where it shall not be.
func readOnlySQL(v Version, r ReadOnly) []string {
	word := map[bool]string{true: "ON", false: "OFF"}
	switch {
	case v.MariaDB:
		return []string{"SET GLOBAL read_only = " + word[r.On || r.Super]}
	case r.Super:
		return []string{"SET GLOBAL super_read_only = ON"}
	}
	return []string{"SET GLOBAL super_read_only = OFF", "SET GLOBAL read_only = " + word[r.On]}
}

// SetReadOnly makes it so. It waits, at most for wait, until statements that
// write have ended.
func (d *DB) SetReadOnly(ctx context.Context, r ReadOnly, wait time.Duration) error {
	c, err := d.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	run := append([]string{fmt.Sprintf("SET SESSION lock_wait_timeout = %d", max(1, int(wait.Seconds())))}, readOnlySQL(d.Version, r)...)
	for _, q := range run {
		if _, err := c.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	return nil
}

// Session is somebody's connection.
type Session struct {
	ID         string
	User, From string
	Writing    bool // in a transaction that has changed rows
}

func (s Session) String() string {
	return fmt.Sprintf("session %s of %s from %s", s.ID, s.User, s.From)
}

// Sessions lists the connections of others, without the server's own and
// those of replicas.
func (d *DB) Sessions(ctx context.Context) ([]Session, error) {
	rows, err := table(ctx, d, `SELECT p.id, p.user, IFNULL(p.host, ''), IFNULL(t.trx_rows_modified, 0) > 0 FROM information_schema.processlist p
		LEFT JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = p.id
		WHERE p.id <> CONNECTION_ID() AND p.user NOT IN ('system user', 'event_scheduler') AND p.command NOT LIKE 'Binlog Dump%'
		AND p.command NOT IN ('Daemon', 'Connect', 'Killed') AND p.command NOT LIKE 'Slave%' ORDER BY p.id`)
	var all []Session
	for _, r := range rows {
		all = append(all, Session{r[0].String, r[1].String, r[2].String, r[3].String == "1"})
	}
	return all, err
}

const errNoSuchThread = 1094

// EndSessions ends all sessions of others: those that write, once they are
// done with their transaction or grace has passed.
func (d *DB) EndSessions(ctx context.Context, grace time.Duration) ([]Session, error) {
	deadline := time.Now().Add(grace)
	var ended []Session
	for {
		all, err := d.Sessions(ctx)
		if err != nil {
			return ended, err
		}
		late, waiting := !time.Now().Before(deadline), false
		for _, s := range all {
			if s.Writing && !late {
				waiting = true
				continue
			}
			if _, err := d.ExecContext(ctx, "KILL CONNECTION "+s.ID); err != nil && Number(err) != errNoSuchThread {
				return ended, fmt.Errorf("end %s: %w", s, err)
			}
			ended = append(ended, s)
		}
		if !waiting {
			return ended, nil
		}
		select {
		case <-ctx.Done():
			return ended, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Position is where the binary log is; "" where it is off or may not be read.
func (d *DB) Position(ctx context.Context) string { return d.position(ctx) }
