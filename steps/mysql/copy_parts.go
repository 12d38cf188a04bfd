package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"

	"belay/steps/compare"
)

// board is what the lanes take their parts from.
type board struct {
	mu    sync.Mutex
	freed *sync.Cond // a table is not busy any more
	works []*work
}

// next is a part of the table that has the most left, of those that are not
// kept from it; false when there is none any more, or ctx is done.
func (b *board) next(ctx context.Context) (p part, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ctx.Err() == nil {
		var best *work
		waiting := false
		for _, w := range b.works {
			switch {
			case len(w.parts) == 0:
			case w.alone && w.busy:
				waiting = true
			case best == nil || len(w.parts) > len(best.parts):
				best = w
			}
		}
		if best != nil {
			p = part{best, best.parts[0]}
			best.parts, best.busy = best.parts[1:], true
			return p, true
		}
		if !waiting {
			break
		}
		b.freed.Wait()
	}
	return p, false
}

// done takes note of a part; it tells whether it was the table's last.
func (b *board) done(p part, rows int64) (last bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.left--
	p.rows += rows
	p.busy = false
	b.freed.Broadcast()
	return p.left == 0
}

// copyParts gives parts to lanes until none is left or one fails.
func (c *Copy) copyParts(ctx context.Context, lanes []*sql.Conn, to *DB, works []*work) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	b := &board{works: works}
	b.freed = sync.NewCond(&b.mu)
	defer context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.freed.Broadcast()
	})()
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, lane := range lanes {
		all.Go(func() {
			if err := c.lane(ctx, lane, to, b); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
				stop(err)
			}
		})
	}
	all.Wait()
	// The first is the cause; the others ended because of it.
	if len(errs) > 0 {
		return errs[0]
	}
	return context.Cause(ctx)
}

func (c *Copy) lane(ctx context.Context, from *sql.Conn, to *DB, b *board) error {
	conn, err := to.Conn(ctx)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	defer conn.Close()
	for _, q := range laneSettings(to.Version) {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	for {
		p, ok := b.next(ctx)
		if !ok {
			return context.Cause(ctx)
		}
		rows, err := c.part(ctx, from, conn, to.Version, p)
		if err != nil {
			return fmt.Errorf("table %s: %w", p.table, err)
		}
		if b.done(p, rows) {
			if err := c.finish(ctx, from, conn, p.work); err != nil {
				return fmt.Errorf("table %s: %w", p.table, err)
			}
		}
	}
}

// laneSettings are those of a session that loads rows, beyond the pinned ones.
// With unique_checks off, MariaDB 10.6 and later sort the first rows of an
// empty table in files of their own and hold its lock meanwhile, which took
// twice the processor time of plain inserts (10.11, rows in the order of their
// key), and made other lanes wait. On, it only reads what it writes anyway:
// but for tables without a primary key, unique keys are made later.
func laneSettings(v Version) []string {
	all := []string{"SET SESSION innodb_lock_wait_timeout = 3600"}
	if v.MariaDB && v.atLeast(10, 6) {
		all = append(all, "SET SESSION unique_checks = 1")
	}
	return all
}

// part copies one part, unless it is there already as the snapshot has it.
func (c *Copy) part(ctx context.Context, from, to *sql.Conn, v Version, p part) (int64, error) {
	t := p.table
	if !p.fresh {
		// FOR UPDATE waits until the session of an attempt that was cut off has
		// ended, whose rows nobody sees before.
		some, err := strs(ctx, to, "SELECT 1 FROM "+t.sql()+p.where+" LIMIT 1 FOR UPDATE")
		if err != nil {
			return 0, err
		}
		if len(some) > 0 {
			if same, rows, err := equal(ctx, t, c.State.hash(), from, to, p.where); same || err != nil {
				return rows, err
			}
			if err := empty(ctx, to, t, p.where); err != nil {
				return 0, err
			}
		}
	}
	rows, warnings, err := t.pour(ctx, from, to, v, p.where, func(n int) { c.moved(n, "table "+t.String()) })
	if err != nil || len(warnings) == 0 {
		return rows, err
	}
	c.logf("table %s: the target warns: %s", t, strings.Join(warnings, "; "))
	same, _, err := equal(ctx, t, c.State.hash(), from, to, p.where)
	if err == nil && !same {
		err = fmt.Errorf("%w: %s", errNotEqual, strings.Join(warnings, "; "))
	}
	return rows, err
}

func empty(ctx context.Context, to *sql.Conn, t *Table, where string) error {
	q := "TRUNCATE TABLE " + t.sql()
	if where != "" {
		q = "DELETE FROM " + t.sql() + where
	}
	_, err := to.ExecContext(ctx, q)
	return err
}

// equal compares a part of a table in two sessions, at the same time.
func equal(ctx context.Context, t *Table, h hash, a, b *sql.Conn, where string) (bool, int64, error) {
	var rows [2]string
	var sums [2]string
	var errs [2]error
	var both sync.WaitGroup
	for i, conn := range []*sql.Conn{a, b} {
		both.Go(func() { rows[i], sums[i], errs[i] = t.sums(ctx, conn, h, where) })
	}
	both.Wait()
	var n int64
	fmt.Sscan(rows[0], &n)
	return rows[0] == rows[1] && sums[0] == sums[1], n, errors.Join(errs[:]...)
}

func (c *Copy) moved(n int, text string) {
	c.saving.Lock()
	c.done += int64(n)
	c.total = max(c.total, c.done)
	done, total := c.done, c.total
	c.saving.Unlock()
	c.telling.Lock()
	defer c.telling.Unlock()
	c.Say(done, total, text)
}

func (c *Copy) logf(format string, args ...any) {
	c.telling.Lock()
	defer c.telling.Unlock()
	fmt.Fprintf(c.Log, format+"\n", args...)
}

// finish adds a table's keys, and remembers what the source has in it.
func (c *Copy) finish(ctx context.Context, from, to *sql.Conn, w *work) error {
	have, err := w.table.present(ctx, to)
	if err != nil {
		return err
	}
	for _, q := range w.table.keysSQL(w.later, have) {
		c.moved(0, "keys of "+w.table.String())
		if _, err := to.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("add keys: %w", err)
		}
	}
	p, err := c.print(ctx, from, w.table)
	if err != nil {
		return err
	}
	c.logf("table %s: %d rows", w.table, p.Rows)
	return c.save(func(s *State) { s.Prints[w.table.String()] = p })
}

func (c *Copy) print(ctx context.Context, q Queryer, t *Table) (p compare.Print, err error) {
	query := "SELECT " + t.printSums(c.State.hash()) + " FROM " + t.sql()
	if c.CountsOnly {
		query = "SELECT COUNT(*), '' FROM " + t.sql()
	}
	r, err := table(ctx, q, query)
	if err != nil {
		return p, err
	}
	_, err = fmt.Sscan(r[0][0].String, &p.Rows)
	p.Sum = r[0][1].String
	return p, err
}

func (c *Copy) foreignKeys(ctx context.Context, to *DB, w *work) error {
	have, err := w.table.present(ctx, to)
	if err != nil {
		return err
	}
	for _, q := range w.table.keysSQL(w.foreign, have) {
		if _, err := to.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("table %s: add foreign keys: %w", w.table, err)
		}
	}
	return nil
}
