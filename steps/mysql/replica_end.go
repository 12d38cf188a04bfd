package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// StopTarget ends the replication on the target, without asking the source.
// was tells whether there was one.
func (r Replica) StopTarget(ctx context.Context, target *DB) (was bool, err error) {
	l := r.link(target.Version)
	st, err := l.status(ctx, target)
	if err != nil || !st.there {
		return false, err
	}
	if err := stopLink(ctx, target, l); err != nil {
		return true, err
	}
	end := []string{l.forget()}
	if st.held {
		end = []string{"RESET PERSIST IF EXISTS skip_replica_start", l.forget()}
	}
	for _, q := range end {
		if _, err := target.ExecContext(ctx, q); err != nil {
			return true, fmt.Errorf("target: %s: %w", q, err)
		}
	}
	return true, nil
}

// Pause stops the replication on the target, which keeps its place.
func (r Replica) Pause(ctx context.Context, target *DB) error {
	l := r.link(target.Version)
	st, err := l.status(ctx, target)
	if err != nil || !st.there {
		return err
	}
	return stopLink(ctx, target, l)
}

// DropCanary drops the canary's database on one side, in a session of belay's domain.
func (r Replica) DropCanary(ctx context.Context, db *DB) error {
	return db.whileSuper(ctx, func() error {
		_, err := db.ExecContext(ctx, "DROP DATABASE IF EXISTS "+Ident(r.Name))
		return err
	})
}

// StopSource drops the login and the canary on the source, and ends whoever
// reads its log by that login. It needs nothing of the target.
func (r Replica) StopSource(ctx context.Context, source *DB) error {
	err := source.whileSuper(ctx, func() error {
		return quietly(ctx, source, []string{"DROP USER IF EXISTS " + Account{User: r.Name, Host: "%"}.sql()})
	})
	if err != nil {
		return err
	}
	if err := r.DropCanary(ctx, source); err != nil {
		return err
	}
	left, err := strs(ctx, source, "SELECT id FROM information_schema.processlist WHERE user = ?", r.Name)
	for _, id := range left {
		if _, err := source.ExecContext(ctx, "KILL CONNECTION "+id); err != nil && Number(err) != errNoSuchThread {
			return err
		}
	}
	return err
}

// Drain waits until the target has applied all that the source has, and a row
// that is written after that is there. The source must be frozen: if it moves
// on by anything but that row, that is an error. mend is called when the link
// does not live.
func (r Replica) Drain(ctx context.Context, source, target *DB, id string, said func(Lag), mend func(Lag) error) error {
	level := func() (string, error) {
		for {
			l, err := r.Lag(ctx, source, target)
			if err != nil {
				return "", err
			}
			said(l)
			if !l.There || !l.Running || !l.Filtered {
				err = mend(l)
			} else if l.Behind == 0 {
				return l.Source, nil
			}
			if err == nil {
				err = rest(ctx)
			}
			if err != nil {
				return "", fmt.Errorf("%w: the target lacks %d transactions of the source, which is at %s", err, l.Behind, l.Source)
			}
		}
	}
	if _, err := level(); err != nil {
		return err
	}
	if err := r.insertCanary(ctx, source, id); err != nil {
		return err
	}
	last, err := level()
	if err != nil {
		return err
	}
	there, err := r.hasCanary(ctx, target, id)
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("the canary row is not on the target, which says that it has all up to %s", last)
	}
	now, err := source.GTID(ctx)
	if err == nil && now != last {
		err = fmt.Errorf("the source went on from %s to %s: somebody writes in spite of read_only; lock that account (mysql.freeze, lock)", last, now)
	}
	return err
}

func (r Replica) insertCanary(ctx context.Context, source *DB, id string) error {
	return source.whileSuper(ctx, func() error {
		if _, err := source.ExecContext(ctx, "INSERT IGNORE INTO "+Dotted(r.Name, canary)+" VALUES (?)", id); err != nil {
			return fmt.Errorf("canary row: %w", err)
		}
		return nil
	})
}

func (r Replica) hasCanary(ctx context.Context, target *DB, id string) (bool, error) {
	there, err := strs(ctx, target, "SELECT 1 FROM "+Dotted(r.Name, canary)+" WHERE id = ?", id)
	if Number(err) == errNoSuchTable || Number(err) == errUnknownDatabase {
		return false, nil
	}
	return len(there) > 0, err
}

// Arrives writes a canary row on the source and waits until it is on the target.
func (r Replica) Arrives(ctx context.Context, source, target *DB, id string) error {
	if err := r.insertCanary(ctx, source, id); err != nil {
		return err
	}
	for {
		there, err := r.hasCanary(ctx, target, id)
		if err != nil || there {
			return err
		}
		if l, err := r.Lag(ctx, source, target); err != nil || l.Trouble != nil {
			return errors.Join(err, l.Trouble)
		}
		if err := rest(ctx); err != nil {
			return fmt.Errorf("%w: a canary row has not arrived", err)
		}
	}
}

// Received waits until the target has applied what it has got, whether or not
// its source is there.
func (r Replica) Received(ctx context.Context, target *DB) error {
	l := r.link(target.Version)
	for {
		st, err := l.status(ctx, target)
		if err != nil || !st.there {
			return err
		}
		if st.sqlError != "" {
			return r.explain(st)
		}
		if there, err := r.Reached(ctx, target, st.received); err != nil || there {
			return err
		}
		if err := rest(ctx); err != nil {
			return err
		}
	}
}

// Sequences moves every sequence of the target to where the source's is
// (MariaDB). It returns how many there are.
func (r Replica) Sequences(ctx context.Context, source, target *DB) (int, error) {
	if !source.Version.MariaDB || len(r.Databases) == 0 {
		return 0, nil
	}
	rows, err := table(ctx, source, storedQueries[0].query+in(len(r.Databases)), anys(r.Databases)...)
	if err != nil {
		return 0, err
	}
	for _, s := range rows {
		name := Dotted(s[0].String, s[1].String)
		next, err := strs(ctx, source, "SELECT next_not_cached_value FROM "+name)
		if err != nil {
			return 0, err
		}
		if _, err := target.ExecContext(ctx, "DO SETVAL("+name+", "+next[0]+", 0)"); err != nil {
			return 0, fmt.Errorf("sequence %s on the target: %w", name, err)
		}
	}
	return len(rows), nil
}

// EnabledEvents lists the scheduled events of the replica's databases that run.
func (r Replica) EnabledEvents(ctx context.Context, source *DB) ([]Object, error) {
	rows, err := table(ctx, source, "SELECT event_schema, event_name FROM information_schema.events WHERE status = 'ENABLED' AND event_schema IN "+in(len(r.Databases)), anys(r.Databases)...)
	var all []Object
	for _, e := range rows {
		all = append(all, Object{Event, e[0].String, e[1].String})
	}
	return all, err
}

// SwitchEvents enables or disables events of the target, and leaves them else
// as they are: an ALTER EVENT takes definer, sql_mode and time zone of whoever
// gives it. One that is not there is passed over.
func (r Replica) SwitchEvents(ctx context.Context, target *DB, events []Object, on bool) error {
	if len(events) == 0 {
		return nil
	}
	conn, err := target.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() {
		_ = conn.Raw(func(any) error { return errDrop })
		conn.Close()
	}()
	// Not into the log: a replica would take it for an order, and switch its own off.
	_, _ = conn.ExecContext(ctx, "SET SESSION sql_log_bin = 0") // where that is not allowed, it is logged
	word := map[bool]string{true: "ENABLE", false: "DISABLE"}[on]
	stored, err := StoredObjects(ctx, target, r.Databases)
	if err != nil {
		return err
	}
	want := map[Object]bool{}
	for _, e := range events {
		want[e] = true
	}
	for _, o := range stored {
		if !want[Object{o.Kind, o.Database, o.Name}] {
			continue
		}
		user, host, _ := cutLast(o.Definer, "@")
		for _, q := range []string{"SET SESSION sql_mode = " + String(o.Mode) + ", character_set_client = " + o.Client + ", collation_connection = " + o.Connection,
			"SET SESSION time_zone = " + String(o.Zone), "ALTER DEFINER = " + Account{User: user, Host: host}.sql() + " EVENT " + Dotted(o.Database, o.Name) + " " + word} {
			if err := target.whileSuper(ctx, func() error { _, err := conn.ExecContext(ctx, q); return err }); err != nil {
				return fmt.Errorf("%s: %s it: %w", o, strings.ToLower(word), err)
			}
		}
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
