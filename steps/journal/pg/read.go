package pg

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"belay/steps/journal"
)

// Entry is one run of a store.
type Entry struct {
	ID    string
	State *journal.State
	Live  *journal.Holder // who holds it now; nil when nobody does
	Last  *journal.Holder // who held it last; nil when nobody ever did
	Err   error           // its journal is damaged; State is what was before
}

// number finds a run.
func number(ctx context.Context, c *pgx.Conn, run string) (num int32, err error) {
	var there bool
	if err := c.QueryRow(ctx, `select to_regclass('belay.run') is not null`).Scan(&there); err != nil {
		return 0, err
	}
	if !there {
		return 0, ErrNoRun
	}
	err = c.QueryRow(ctx, `select num from belay.run where id = $1`, run).Scan(&num)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNoRun
	}
	return num, err
}

// load adds to the chain what the database has beyond it, and proves that
// nothing is missing from the end: the head is read first, so it may lag
// behind the lines, never run ahead.
func load(ctx context.Context, c *pgx.Conn, num int32, chain *journal.Chain) error {
	var head uint64
	var headSum string
	if err := c.QueryRow(ctx, `select seq, sum from belay.run where num = $1`, num).Scan(&head, &headSum); err != nil {
		return err
	}
	rows, err := c.Query(ctx, `select line from belay.event where run = $1 and seq > $2 order by seq`, num, int64(chain.Seq()))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var line []byte
		if err := rows.Scan(&line); err != nil {
			return err
		}
		if err := chain.Add(line); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return chain.Reaches(head, headSum)
}

// with does something over a connection of its own.
func (s *Store) with(ctx context.Context, run string, do func(c *pgx.Conn, num int32) error) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer hangUp(c)
	if _, err := version(ctx, c); err != nil {
		return s.wrap(run, err)
	}
	num, err := number(ctx, c, run)
	if err == nil {
		err = do(c, num)
	}
	return s.wrap(run, err)
}

// Read returns the events of a run that another process may be writing. After
// damage they are those before it, with the *journal.DamageError.
func (s *Store) Read(ctx context.Context, run string) ([]journal.Event, error) {
	chain := journal.NewChain(s.name(run))
	err := s.with(ctx, run, func(c *pgx.Conn, num int32) error { return load(ctx, c, num, chain) })
	return chain.Events(0), err
}

// Files returns the files that are kept beside the journal, as they were given
// to Create.
func (s *Store) Files(ctx context.Context, run string) (files []File, err error) {
	err = s.with(ctx, run, func(c *pgx.Conn, num int32) error {
		rows, err := c.Query(ctx, `select name, body from belay.file where run = $1 order by n`, num)
		if err != nil {
			return err
		}
		files, err = pgx.CollectRows(rows, pgx.RowToStructByPos[File])
		return err
	})
	return files, err
}

// List returns the runs, newest first. A database that was never used has none.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	c, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer hangUp(c)
	if v, err := version(ctx, c); err != nil || v == 0 {
		return nil, err
	}
	rows, err := c.Query(ctx, `select num, id from belay.run order by begun desc, num desc`)
	if err != nil {
		return nil, err
	}
	type row struct {
		Num int32
		ID  string
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return nil, err
	}
	var list []Entry
	for _, r := range all {
		e, err := s.look(ctx, c, r.Num, r.ID)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// Look returns one run.
func (s *Store) Look(ctx context.Context, run string) (e Entry, err error) {
	err = s.with(ctx, run, func(c *pgx.Conn, num int32) (err error) {
		e, err = s.look(ctx, c, num, run)
		return err
	})
	return e, err
}

func (s *Store) look(ctx context.Context, c *pgx.Conn, num int32, run string) (Entry, error) {
	e := Entry{ID: run}
	chain := journal.NewChain(s.name(run))
	if err := load(ctx, c, num, chain); err != nil {
		var damage *journal.DamageError
		if !errors.As(err, &damage) {
			return e, err
		}
		e.Err = err
	}
	e.State = chain.State()
	var err error
	if e.Live, err = holding(ctx, c, num); err != nil {
		return e, err
	}
	e.Last, err = held(ctx, c, num)
	return e, err
}
