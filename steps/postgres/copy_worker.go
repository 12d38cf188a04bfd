package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// worker has a session on each side, made when first needed and anew when
// broken.
type worker struct {
	c    *copying
	from *pgx.Conn
	to   *pgx.Conn

	builder bool // does builds only
	again   bool // the job was begun before, and failed
	alone   bool // no other worker had or could have a job when it was begun
}

func (w *worker) source(ctx context.Context) (*pgx.Conn, error) {
	if w.from != nil && !w.from.IsClosed() {
		return w.from, nil
	}
	conn, err := w.c.snap.Join(ctx)
	if err == nil {
		err = w.c.encode(ctx, conn)
	}
	if err != nil {
		return nil, err
	}
	w.from = conn
	return conn, nil
}

func (w *worker) target(ctx context.Context) (*pgx.Conn, error) {
	if w.to != nil && !w.to.IsClosed() {
		return w.to, nil
	}
	conn, err := w.c.To.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.c.prepare(ctx, conn); err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("prepare a session of %s: %w", w.c.To, err)
	}
	w.to = conn
	return conn, nil
}

func (w *worker) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, c := range []*pgx.Conn{w.from, w.to} {
		if c != nil {
			c.Close(ctx)
		}
	}
}

// tries is how often a job is begun before its error counts.
const tries = 4

// do runs a job in one transaction of the target. It tries again what a broken
// session or a deadlock stopped, as long as the snapshot is held: nothing of a
// try that did not end is in the target.
func (w *worker) do(ctx context.Context, j *job) error {
	for try := 1; ; try++ {
		w.again = try > 1
		err := j.run(ctx, w)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case try == tries || !passing(err):
			return fmt.Errorf("%s: %w", j.what, err)
		}
		if lost := w.c.snap.Check(ctx); lost != nil {
			return fmt.Errorf("%s: %w (%w)", j.what, err, lost)
		}
		w.c.log("%s: %v; trying again", j.what, err)
		w.reset(ctx)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Duration(try) * time.Second):
		}
	}
}

// reset leaves a transaction that failed.
func (w *worker) reset(ctx context.Context) {
	if w.to != nil && !w.to.IsClosed() {
		if _, err := w.to.Exec(ctx, "rollback"); err != nil {
			w.to.Close(context.WithoutCancel(ctx))
		}
	}
	// A source session whose statement failed has lost its snapshot.
	if w.from != nil && w.from.PgConn().TxStatus() != 'T' {
		w.from.Close(context.WithoutCancel(ctx))
		w.from = nil
	}
}

// passing tells whether an error may be gone at the next try: a session that
// broke, a server that restarts, a deadlock, no free connection.
func passing(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case "40P01", "40001", "57P01", "57P02", "57P03", "53300", "55P03":
			return true
		}
		return false
	}
	if _, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		return false
	}
	return true
}

// within runs statements, and notes that what is done, in one transaction of
// the target.
func (w *worker) within(ctx context.Context, what string, n int64, sql string) error {
	to, err := w.target(ctx)
	if err != nil {
		return err
	}
	if _, done, err := w.c.noted(ctx, w, to, what); done || err != nil {
		return err
	}
	_, err = to.PgConn().Exec(ctx, "begin;\n"+sql+"\n;"+mark(what, n)+";\ncommit").ReadAll()
	if err != nil {
		w.reset(ctx)
	}
	return err
}
