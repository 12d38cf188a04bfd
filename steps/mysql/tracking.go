package mysql

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Tracking is what a tracking table says.
type Tracking struct {
	Versions []string // the newest first, where the table tells when
	Dirty    bool     // golang-migrate's mark of a migration that stopped half way
}

// ReadTracking reads a tracking table; one that is not there is empty.
func ReadTracking(ctx context.Context, q Queryer, database, name string) (t Tracking, err error) {
	columns, err := trackingColumns(ctx, q, database, name)
	if err != nil || len(columns) == 0 {
		return t, err
	}
	if !slices.Contains(columns, "version") {
		return t, fmt.Errorf("table %s.%s has no column version", database, name)
	}
	order := ""
	if slices.Contains(columns, "applied_at") {
		order = " ORDER BY applied_at DESC"
	}
	if t.Versions, err = strs(ctx, q, "SELECT version FROM "+Dotted(database, name)+order); err != nil {
		return t, err
	}
	if slices.Contains(columns, "dirty") {
		dirty, err := strs(ctx, q, "SELECT version FROM "+Dotted(database, name)+" WHERE dirty")
		if err != nil {
			return t, err
		}
		t.Dirty = len(dirty) > 0
	}
	return t, nil
}

func trackingColumns(ctx context.Context, q Queryer, database, name string) ([]string, error) {
	return strs(ctx, q, "SELECT LOWER(column_name) FROM information_schema.columns WHERE table_schema = ? AND table_name = ?", database, name)
}

// Farthest is the version that is farthest along a path: several may have been
// written down within one second. A newest one that is not on the path is the
// answer itself, and so is the newest if none is.
func (t Tracking) Farthest(at func(string) int) string {
	best := t.Versions[0]
	if at(best) < 0 {
		return best
	}
	for _, v := range t.Versions {
		if at(v) > at(best) {
			best = v
		}
	}
	return best
}

// Record writes down that a version was reached, in the way that the table
// has; one that is not there is made.
func Record(ctx context.Context, db *DB, database, name, version string) error {
	columns, err := trackingColumns(ctx, db, database, name)
	if err != nil {
		return err
	}
	where := Dotted(database, name)
	if slices.Contains(columns, "dirty") {
		if _, err := db.ExecContext(ctx, "DELETE FROM "+where); err != nil {
			return err
		}
		_, err = db.ExecContext(ctx, "INSERT INTO "+where+" (version, dirty) VALUES (?, 0)", version)
		return err
	}
	if len(columns) == 0 {
		_, err := db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+where+" (version varchar(255) PRIMARY KEY, applied_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, description text)")
		if err != nil {
			return err
		}
		columns = []string{"version", "applied_at", "description"}
	}
	cols, values := []string{"version"}, []any{version}
	if slices.Contains(columns, "description") {
		cols, values = append(cols, "description"), append(values, "by belay")
	}
	_, err = db.ExecContext(ctx, "INSERT INTO "+where+" ("+strings.Join(cols, ", ")+") VALUES "+in(len(cols)), values...)
	return err
}

// Lock takes a lock of that name on the server, for as long as the session
// lives, and waits for it.
func (s Server) Lock(ctx context.Context, name string, wait time.Duration) (unlock func(), err error) {
	db, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		db.Close()
		return nil, err
	}
	key := fmt.Sprintf("belay %.28x", sha256.Sum256([]byte(name))) // at most 64 characters
	unlock = func() {
		// At once, for who comes next; else it ends with the session, soon.
		late, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer stop()
		_, _ = conn.ExecContext(late, "DO RELEASE_LOCK(?)", key)
		conn.Close()
		db.Close()
	}
	got, err := strs(ctx, conn, "SELECT GET_LOCK(?, ?)", key, int(wait.Seconds()))
	if err == nil && got[0] != "1" {
		err = errors.New("another belay is at work on it; nothing was changed")
	}
	if err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}
