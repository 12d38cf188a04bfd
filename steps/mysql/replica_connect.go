package mysql

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// quietly runs statements that hold a password, or make a login, in a session
// whose statements go neither to the general log nor to replicas, as far as
// the login may have that. An error never quotes a statement.
func quietly(ctx context.Context, db *DB, run []string) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() {
		_ = conn.Raw(func(any) error { return errDrop })
		conn.Close()
	}()
	for _, set := range []string{"SET SESSION sql_log_off = 1", "SET SESSION slow_query_log = 0", "SET SESSION sql_log_bin = 0"} {
		if _, err := conn.ExecContext(ctx, set); err != nil && Number(err) == 0 {
			return err
		}
	}
	for _, q := range run {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			what, _, _ := strings.Cut(q, "IDENTIFIED")
			what, _, _ = strings.Cut(what, "PASSWORD")
			if n := Number(err); n == 1064 || n == 1396 { // which quote the statement
				return fmt.Errorf("%s …: error %d", what, n)
			}
			return fmt.Errorf("%s …: %w", what, err)
		}
	}
	return nil
}

// Connect makes the login on the source with a password that nobody keeps but
// the target's server, tells the target of it, and waits until they talk. It
// is called again whenever the link is lost for good, and goes on where the
// target is. Where lock is true the login is locked again as soon as it is
// used, and MySQL is told not to start replicas by itself: then a target that
// was started anew, and forgot which databases it may follow, cannot go on by
// itself, nor apply what it had got of others.
func (r Replica) Connect(ctx context.Context, source, target *DB, lock bool) error {
	host, port, err := net.SplitHostPort(r.From)
	if err != nil {
		return fmt.Errorf("address %q: %w", r.From, err)
	}
	l := r.link(target.Version)
	l.host = host
	if l.port, err = strconv.Atoi(port); err != nil {
		return fmt.Errorf("address %q: %w", r.From, err)
	}
	l.password = rand.Text()[:24] + ".a1Z" // what rules for passwords ask for
	st, err := l.status(ctx, target)
	if err == nil {
		if l.held = st.held; lock && !l.held {
			l.held, err = target.startsReplicas(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	if st.there {
		if err := stopLink(ctx, target, l); err != nil {
			return err
		}
	}
	if err := source.whileSuper(ctx, func() error { return quietly(ctx, source, l.account(source.Version)) }); err != nil {
		return fmt.Errorf("login %s on the source: %w", r.Name, err)
	}
	run := []string{l.change()}
	if l.held {
		run = append(run, "SET PERSIST_ONLY skip_replica_start = ON")
	}
	run = append(run, l.filter()...)
	if err := quietly(ctx, target, append(run, l.start())); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	if err := r.await(ctx, target, l); err != nil {
		return err
	}
	if lock {
		return source.whileSuper(ctx, func() error {
			return quietly(ctx, source, []string{"ALTER USER " + Account{User: r.Name, Host: "%"}.sql() + " ACCOUNT LOCK"})
		})
	}
	return nil
}

// startsReplicas tells whether a server of MySQL, when it is started anew, goes
// on by itself with what its replicas had got, and nobody has said that it
// should not. (MariaDB throws away what it had got, and asks for it again.
// MySQL before 8.0.26 has another word for it, and is left alone.)
func (d *DB) startsReplicas(ctx context.Context) (bool, error) {
	if d.Version.MariaDB {
		return false, nil
	}
	off, err := strs(ctx, d, "SELECT @@global.skip_replica_start OR EXISTS (SELECT 1 FROM performance_schema.persisted_variables WHERE variable_name = 'skip_replica_start')")
	if Number(err) == errUnknownVariable {
		return false, nil
	}
	return err == nil && off[0] == "0", err
}

// HoldRights are the rights that belay's login lacks to keep a target of MySQL
// from going on by itself; none where it does not.
func (d *DB) HoldRights(ctx context.Context) ([]string, error) {
	if starts, err := d.startsReplicas(ctx); err != nil || !starts {
		return nil, err
	}
	lacks, err := d.Lacks(ctx, "SYSTEM_VARIABLES_ADMIN")
	if err != nil {
		return nil, err
	}
	has, err := privileged(ctx, d, "PERSIST_RO_VARIABLES_ADMIN") // for which SUPER does not stand
	if !has {
		lacks = append(lacks, "PERSIST_RO_VARIABLES_ADMIN")
	}
	return lacks, err
}

func stopLink(ctx context.Context, target *DB, l link) error {
	if _, err := target.ExecContext(ctx, l.stop()); err != nil {
		return fmt.Errorf("target: %s: %w", l.stop(), err)
	}
	return nil
}

const (
	awaitFor   = 30 * time.Second
	awaitTries = 8 * time.Second // with an error: one more try of the target's, at least
)

// await waits until the target has logged in to the source.
func (r Replica) await(ctx context.Context, target *DB, l link) error {
	var st linkStatus
	var err error
	for until := time.Now().Add(awaitFor); time.Now().Before(until); {
		if st, err = l.status(ctx, target); err != nil {
			return fmt.Errorf("target: %w", err)
		}
		if st.io && st.ioNumber == 0 {
			return nil
		}
		if st.ioNumber != 0 && time.Until(until) < awaitFor-awaitTries ||
			st.ioNumber == 1236 || st.ioNumber == 1593 || st.ioNumber == 1045 {
			break // it will not do better
		}
		if err := rest(ctx); err != nil {
			return err
		}
	}
	return r.explain(st)
}

// explain says why a link does not live.
func (r Replica) explain(st linkStatus) error {
	switch {
	case st.sqlError != "":
		return fmt.Errorf("the target cannot apply a change: %s. Mend it there and try again (the replication goes on with that change), or undo", st.sqlError)
	case st.ioNumber == 1236:
		return fmt.Errorf("the source has thrown away binary log that the target had not got yet, or never wrote it: %s: undo, keep the log for longer (binlog_expire_logs_seconds), and begin again", st.ioError)
	case st.ioError != "":
		return fmt.Errorf("the target's server cannot log in to the source's at %s as %s: %s", r.From, r.Name, st.ioError)
	}
	return fmt.Errorf("the target's server does not reach the source's at %s", r.From)
}

func rest(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(100 * time.Millisecond):
		return nil
	}
}
