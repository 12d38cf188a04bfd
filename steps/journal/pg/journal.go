package pg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"belay/steps/journal"
)

// Journal is an open journal in a database, held by this process. Its methods
// are safe for concurrent use.
type Journal struct {
	store  *Store
	run    string
	num    int32
	holder string

	mu      sync.Mutex
	c       *pgx.Conn
	backend int32 // of the server, that serves c
	chain   *journal.Chain
	broken  error
}

// File is a file that is kept beside the journal: the plan, then its overlays.
type File struct {
	Name string
	Body []byte
}

// ErrNoRun says that the database does not keep that run.
var ErrNoRun = errors.New("no such run in this database")

// Create begins the journal of a new run and holds it. fs.ErrExist when there
// is one of that name.
func (s *Store) Create(ctx context.Context, run string, files []File, h journal.Holder) (*Journal, error) {
	c, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	return s.open(ctx, c, run, h, func() error {
		if err := ready(ctx, c); err != nil {
			return err
		}
		return insert(ctx, c, run, files)
	})
}

func insert(ctx context.Context, c *pgx.Conn, run string, files []File) error {
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var num int32
	err = tx.QueryRow(ctx, `insert into belay.run (id) values ($1) on conflict do nothing returning num`, run).Scan(&num)
	if errors.Is(err, pgx.ErrNoRows) {
		return fs.ErrExist
	}
	for n, f := range files {
		if err == nil {
			_, err = tx.Exec(ctx, `insert into belay.file (run, n, name, body) values ($1, $2, $3, $4)`, num, n, f.Name, f.Body)
		}
	}
	if err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// Open takes up the journal of a run and holds it, after it has proved every
// line: *journal.DamageError, *journal.LockedError, ErrNoRun.
func (s *Store) Open(ctx context.Context, run string, h journal.Holder) (*Journal, error) {
	c, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	return s.open(ctx, c, run, h, func() error {
		_, err := version(ctx, c)
		return err
	})
}

func (s *Store) open(ctx context.Context, c *pgx.Conn, run string, h journal.Holder, first func() error) (*Journal, error) {
	j := &Journal{store: s, run: run, c: c, chain: journal.NewChain(s.name(run))}
	b, err := json.Marshal(h)
	if err == nil {
		j.holder = string(b)
		err = first()
	}
	if err == nil {
		j.num, err = number(ctx, c, run)
	}
	if err == nil {
		j.backend, err = take(ctx, c, j.num, run, j.holder)
	}
	if err == nil {
		err = load(ctx, c, j.num, j.chain)
	}
	if err != nil {
		hangUp(c)
		return nil, s.wrap(run, err)
	}
	return j, nil
}

// wrap says which journal an error is about, unless it does so itself.
func (s *Store) wrap(run string, err error) error {
	var locked *journal.LockedError
	var damage *journal.DamageError
	var off *UnreachableError
	if err == nil || errors.As(err, &locked) || errors.As(err, &damage) || errors.As(err, &off) {
		return err
	}
	return fmt.Errorf("journal %s: %w", s.name(run), err)
}

// State returns a snapshot.
func (j *Journal) State() *journal.State {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.chain.State()
}

// Events returns the events after seq.
func (j *Journal) Events(seq uint64) []journal.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.chain.Events(seq)
}

// Close gives the run back.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken == nil {
		j.broken = fs.ErrClosed
	}
	if j.c.IsClosed() {
		return nil
	}
	ctx, done := context.WithTimeout(context.Background(), 5*time.Second)
	defer done()
	_ = release(ctx, j.c, j.num) // the end of the connection does it too, if later
	return j.c.Close(ctx)
}

// writeLimit is how long one append may take before its connection is given up.
const writeLimit = 15 * time.Second

// Append gives e its number and time, writes it, and returns when it is on the
// server's disk. After an error nothing more can be appended.
func (j *Journal) Append(e journal.Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	e, line, sum, err := j.chain.Next(e, time.Now())
	if err != nil {
		return err
	}
	err = j.write(e.Seq, sum, line)
	if err != nil && !refused(err, j.c) && !errors.Is(err, errNotOurs) {
		err = j.settle(err, e.Seq, sum, line)
	}
	if err != nil {
		j.broken = fmt.Errorf("journal %s: event %d (%s): %w; nothing further was started: mend that, then take it up with: belay resume %s",
			j.store.name(j.run), e.Seq, e.Type, err, j.run)
		hangUp(j.c)
		return j.broken
	}
	j.chain.Take(e, sum)
	return nil
}

var errNotOurs = errors.New("not written: the run is no longer held by this belay, or its journal has gone on without it")

// write appends one line in one statement, which is one transaction: the head
// moves on only from the line before, only for the connection that holds the
// run, and with the line or not at all.
func (j *Journal) write(seq uint64, sum string, line []byte) error {
	ctx, done := context.WithTimeout(context.Background(), writeLimit)
	defer done()
	var n int
	err := j.c.QueryRow(ctx, `
		with head as (
			update belay.run set seq = $2, sum = $3
			where num = $1 and seq = $2 - 1 and sum = $4 and backend = pg_backend_pid() and holder = $6 returning num, id
		), written as (
			insert into belay.event (run, seq, sum, line) select num, $2, $3, $5 from head returning run
		)
		select count(pg_notify('belay', head.id)::text) from head, written`,
		j.num, int64(seq), sum, j.chain.Sum(), string(line), j.holder).Scan(&n)
	if err == nil && n != 1 {
		return errNotOurs
	}
	return err
}

// settle finds out what became of a line whose connection broke, with a new
// connection: it is there, or it is written now. nil means that it is there.
func (j *Journal) settle(lost error, seq uint64, sum string, line []byte) error {
	hangUp(j.c)
	deadline := time.Now().Add(j.store.Patience)
	for pause := 50 * time.Millisecond; time.Now().Before(deadline); pause = min(2*pause, time.Second) {
		time.Sleep(pause)
		err := j.again(deadline)
		if locked := (*journal.LockedError)(nil); errors.As(err, &locked) {
			return fmt.Errorf("the connection to the database was lost, and meanwhile %w", err)
		}
		if err != nil {
			continue
		}
		var have uint64
		var haveSum string
		ctx, done := context.WithDeadline(context.Background(), deadline)
		err = j.c.QueryRow(ctx, `select seq, sum from belay.run where num = $1`, j.num).Scan(&have, &haveSum)
		done()
		switch {
		case err == nil && have == seq && haveSum == sum:
			return nil
		case err == nil:
			err = j.write(seq, sum, line)
		}
		if err == nil || errors.Is(err, errNotOurs) || refused(err, j.c) {
			return err
		}
		hangUp(j.c)
	}
	return fmt.Errorf("the connection to the database was lost, and whether the event was written is not known until it is back: %w", said(lost))
}

// again connects anew and takes the run back from our own former connection.
func (j *Journal) again(deadline time.Time) error {
	ctx, done := context.WithDeadline(context.Background(), deadline)
	defer done()
	c, err := j.store.connect(ctx)
	if err != nil {
		return err
	}
	backend := int32(0)
	if err = endFormer(ctx, c, j.num, j.backend, j.holder); err == nil {
		backend, err = take(ctx, c, j.num, j.run, j.holder)
	}
	if err != nil {
		hangUp(c)
		return err
	}
	j.c, j.backend = c, backend
	return nil
}

// said is the short form of what went wrong on a connection.
func said(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return errors.New(pg.Message)
	}
	return err
}
