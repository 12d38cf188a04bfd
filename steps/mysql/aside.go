package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Handed is how the target was when a copy was whole, so that what somebody
// did to it since can be told.
type Handed struct {
	// Objects has a print of every definition and next number, by kind and name.
	Objects map[string]string `json:"objects"`
	// Touched is when the server last saw a table written to, by database.table.
	// It is asked only where rows were counted and not fingerprinted.
	Touched map[string]string `json:"touched,omitempty"`
}

func (c *Copy) databases() []string {
	return append(slices.Clone(c.State.Made), c.State.Empty...)
}

// hand looks at the target as it is now, without the rows: those are in Prints.
func (c *Copy) hand(ctx context.Context, to *DB) (*Handed, error) {
	h := &Handed{}
	conn, err := to.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if c.CountsOnly {
		// The time is in whole seconds: whoever writes after this writes later.
		limit := time.Now().Add(time.Minute)
		for fresh := []string{""}; len(fresh) > 0; {
			if time.Now().After(limit) {
				return nil, errors.New("somebody keeps writing to the databases on the target, or its clock was set back: the copy cannot be told from what is written there")
			}
			fresh, err = strs(ctx, conn, "SELECT SLEEP(0.2) FROM DUAL WHERE EXISTS (SELECT 1 FROM information_schema.tables WHERE update_time >= NOW(0) AND table_schema IN "+in(len(c.databases()))+")", anys(c.databases())...)
			if err != nil {
				return nil, err
			}
		}
		if h.Touched, err = touched(ctx, conn, c.databases()); err != nil {
			return nil, err
		}
	}
	h.Objects, err = definitions(ctx, to, conn, c.databases())
	return h, err
}

func touched(ctx context.Context, q Queryer, databases []string) (map[string]string, error) {
	rows, err := table(ctx, q, "SELECT table_schema, table_name, update_time FROM information_schema.tables WHERE update_time IS NOT NULL AND table_schema IN "+in(len(databases)), anys(databases)...)
	all := map[string]string{}
	for _, r := range rows {
		all[r[0].String+"."+r[1].String] = r[2].String
	}
	return all, err
}

// definitions has a print of every object of the databases but their rows.
func definitions(ctx context.Context, to *DB, conn *sql.Conn, databases []string) (map[string]string, error) {
	s := &Side{db: to, conn: conn, databases: databases}
	tables, err := s.tableObjects(ctx)
	if err != nil {
		return nil, err
	}
	stored, err := s.storedObjects(ctx)
	all := map[string]string{}
	for _, o := range append(tables, stored...) {
		all[o.Kind+" "+o.Name] = fmt.Sprintf("%.16x", sha256.Sum256([]byte(o.Print)))
	}
	return all, err
}

// written tells what somebody did to a database since it was copied; "" when
// nobody did anything. What cannot be told counts as done. A table that is
// missing is nothing that could be lost.
func (c *Copy) written(ctx context.Context, to *DB, database string) (string, error) {
	conn, err := to.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if why, err := c.strange(ctx, conn, database); why != "" || err != nil || !c.State.Loaded {
		return why, err // a copy that is not whole was never anybody else's
	}
	tables, err := Tables(ctx, conn, []string{database})
	if err != nil {
		return "", err
	}
	var seen map[string]string
	if c.CountsOnly {
		if seen, err = touched(ctx, conn, []string{database}); err != nil {
			return "", err
		}
	}
	for _, t := range tables {
		got, err := c.print(ctx, conn, t)
		if err != nil {
			return "", fmt.Errorf("table %s: %w", t, err)
		}
		name := t.String()
		switch want, known := c.State.Prints[name]; {
		case !known || got != want:
			return fmt.Sprintf("table %s does not hold what was copied (%d rows, and %d were copied)", t, got.Rows, want.Rows), nil
		case c.CountsOnly && got.Rows > 0 && c.State.Done && (c.State.Handed == nil || seen[name] == "" || seen[name] != c.State.Handed.Touched[name]):
			return fmt.Sprintf("table %s was written to, or the server was started anew and does not know", t), nil
		}
	}
	if c.State.Handed == nil {
		return "", nil
	}
	now, err := definitions(ctx, to, conn, []string{database})
	for _, o := range slices.Sorted(maps.Keys(now)) {
		if err == nil && now[o] != c.State.Handed.Objects[o] {
			return o + " is not as it was copied", nil
		}
	}
	return "", err
}

// strange is an object of the database that the copy did not make.
func (c *Copy) strange(ctx context.Context, q Queryer, database string) (string, error) {
	if slices.Contains(c.State.Empty, database) {
		return "", nil // such ones are left where they are
	}
	ours := map[Object]bool{}
	for _, o := range c.State.Objects {
		ours[o] = true
	}
	have, err := names(ctx, q, []string{database})
	if err != nil {
		return "", err
	}
	tables, err := Tables(ctx, q, []string{database})
	if err != nil {
		return "", err
	}
	for _, t := range tables {
		have[Object{"table", t.Database, t.Name}] = true
	}
	for o := range have {
		if !ours[o] {
			return fmt.Sprintf("%s %s.%s was made there by somebody else", o.Kind, o.Database, o.Name), nil
		}
	}
	return "", nil
}

// asideCode is the table that keeps the code of a database that was set aside.
const asideCode = "belay_aside_code"

// asideName fits into the 64 characters that a name has.
func asideName(database string, now time.Time) string {
	suffix := now.UTC().Format("_belay_aside_20060102_150405")
	r := []rune(database)
	return string(r[:min(len(r), 64-len(suffix))]) + suffix
}

// aside sees to it that no database is dropped that somebody wrote to since:
// its tables are renamed into another one. written says why; "" lets the
// database be dropped.
func (c *Copy) aside(ctx context.Context, to *DB, written func(context.Context, *DB, string) (string, error)) error {
	for _, d := range c.databases() {
		if c.State.Aside[d] == "" {
			_, options, err := Holds(ctx, to, d)
			if err != nil {
				return err
			}
			if options == "" {
				continue // it is gone
			}
			why, err := written(ctx, to, d)
			if err != nil {
				return fmt.Errorf("whether database %q was written to since it was copied: %w; nothing was dropped", d, err)
			}
			if why == "" {
				continue
			}
			name := asideName(d, time.Now())
			if _, taken, err := Holds(ctx, to, name); err != nil {
				return err
			} else if taken != "" {
				return fmt.Errorf("database %q was written to since it was copied (%s), and %q, as which it would be set aside, is there already; nothing was dropped: roll back again", d, why, name)
			}
			fmt.Fprintf(c.Log, "database %q was written to since it was copied, so it is not dropped but set aside: %s\n", d, why)
			err = c.save(func(s *State) {
				if s.Aside == nil {
					s.Aside = map[string]string{}
				}
				s.Aside[d] = name
			})
			if err != nil {
				return err
			}
		}
		if err := c.setAside(ctx, to, d, c.State.Aside[d]); err != nil {
			return fmt.Errorf("database %q was written to since it was copied, and could not be set aside as %q: %w; no row was dropped: save what may be missed, drop it yourself, and roll back again", d, c.State.Aside[d], err)
		}
		fmt.Fprintf(c.Log, "what was in database %q is in %q now, and its views and code are text in %s there; drop it when nobody misses what is in it\n", d, c.State.Aside[d], asideCode)
	}
	return nil
}

// setAside moves tables and sequences, with their rows, and writes down what
// RENAME cannot move. It may be called again after a crash.
func (c *Copy) setAside(ctx context.Context, to *DB, database, name string) error {
	_, options, err := Holds(ctx, to, database)
	if err != nil || options == "" {
		return err
	}
	conn, err := to.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stored, err := StoredObjects(ctx, conn, []string{database})
	if err != nil {
		return err
	}
	run := []string{"SET SESSION lock_wait_timeout = 60", "CREATE DATABASE IF NOT EXISTS " + Ident(name) + " " + options,
		"CREATE TABLE IF NOT EXISTS " + Dotted(name, asideCode) + " (kind varchar(20), name varchar(64), definer varchar(400), sql_mode text, text longtext, PRIMARY KEY (kind, name)) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"}
	var moved []string
	for _, o := range stored {
		switch {
		case !c.takes(o.Kind, database, o.Name):
			continue
		case o.Kind == Sequence:
			moved = append(moved, o.Name)
			continue
		case o.Kind == Trigger: // with one, a table cannot change its database
			run = append(run, "DROP TRIGGER "+Dotted(database, o.Name))
		}
		run = slices.Insert(run, 3, "REPLACE INTO "+Dotted(name, asideCode)+" VALUES ("+
			strings.Join([]string{String(o.Kind), String(o.Name), String(o.Definer), String(o.Mode), String(o.Text)}, ", ")+")")
	}
	tables, err := Tables(ctx, conn, []string{database})
	if err != nil {
		return err
	}
	for _, t := range tables {
		if c.takes("table", database, t.Name) {
			moved = append(moved, t.Name)
		}
	}
	var pairs []string
	for _, t := range moved {
		pairs = append(pairs, Dotted(database, t)+" TO "+Dotted(name, t))
	}
	if len(pairs) > 0 {
		run = append(run, "RENAME TABLE "+strings.Join(pairs, ", "))
	}
	for _, q := range run {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%.200s: %w", q, err)
		}
	}
	return nil
}

// takes tells whether an object goes with its database: all of one that was
// made, and of one that was there before what the copy put into it.
func (c *Copy) takes(kind, database, name string) bool {
	return slices.Contains(c.State.Made, database) || slices.Contains(c.State.Objects, Object{kind, database, name})
}
