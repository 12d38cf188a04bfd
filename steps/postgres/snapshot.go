package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Snapshot is one frozen moment of a database, held open by a session of its
// own: any number of sessions see the same rows in it. While it is held, the
// server cannot clean up rows that died since.
type Snapshot struct {
	ID      string // as SET TRANSACTION SNAPSHOT and pg_dump --snapshot take it
	At      string // which transactions it sees: when two are equal, so is all the data (not sequences)
	Version int    // of the server: 150020 is 15.20

	s    Server
	mu   sync.Mutex // of conn
	conn *pgx.Conn
	stop context.CancelFunc
	done chan struct{}
	lost chan struct{} // closed when the session broke
	why  error
}

// snapshotBeat is how often the holding session says something, lest it is
// taken for dead on the way.
const snapshotBeat = 15 * time.Second

// Hold takes a snapshot of s.Database. End it with Close.
func Hold(ctx context.Context, s Server) (*Snapshot, error) {
	conn, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	h := &Snapshot{s: s, conn: conn, done: make(chan struct{}), lost: make(chan struct{})}
	err = func() error {
		if err := steady(ctx, conn); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, "begin isolation level repeatable read read only"); err != nil {
			return err
		}
		if err := conn.QueryRow(ctx, "select current_setting('server_version_num')::int").Scan(&h.Version); err != nil {
			return err
		}
		now := "pg_current_snapshot()"
		if h.Version < 130000 {
			now = "txid_current_snapshot()"
		}
		return conn.QueryRow(ctx, "select pg_export_snapshot(), "+now+"::text").Scan(&h.ID, &h.At)
	}()
	if err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("take a snapshot of %s: %w", s, err)
	}
	beat, stop := context.WithCancel(context.WithoutCancel(ctx))
	h.stop = stop
	go h.keep(beat)
	return h, nil
}

// steady is for sessions that copy or compare: rows that a policy hides are an
// error rather than silently left out, and the server does not end a session
// that waits for the other side.
func steady(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, `select set_config('row_security', 'off', false),
		(select count(set_config(name, '0', false)) from pg_catalog.pg_settings where name in ('idle_session_timeout', 'transaction_timeout'))`)
	return err
}

func (h *Snapshot) keep(ctx context.Context) {
	defer close(h.done)
	tick := time.NewTicker(snapshotBeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		h.mu.Lock()
		answer, cancel := context.WithTimeout(ctx, 2*snapshotBeat)
		_, err := h.conn.Exec(answer, "select 1")
		cancel()
		h.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			h.why = err
			close(h.lost)
			return
		}
	}
}

// ErrSnapshotLost says that the session which held the snapshot has ended: the
// same moment cannot be looked at again.
var ErrSnapshotLost = errors.New("the snapshot of the source is lost")

// Check asks whether the snapshot is still held, and wraps ErrSnapshotLost if not.
func (h *Snapshot) Check(ctx context.Context) error {
	select {
	case <-h.lost:
		return fmt.Errorf("%w: %w", ErrSnapshotLost, h.why)
	default:
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	answer, cancel := context.WithTimeout(ctx, 2*snapshotBeat)
	defer cancel()
	if _, err := h.conn.Exec(answer, "select 1"); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshotLost, err)
	}
	return nil
}

// Join opens one more session that sees the snapshot. Who gets it closes it.
func (h *Snapshot) Join(ctx context.Context) (*pgx.Conn, error) {
	conn, err := h.s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err = steady(ctx, conn); err == nil {
		_, err = conn.PgConn().Exec(ctx, "begin isolation level repeatable read read only; set transaction snapshot "+literal(h.ID)).ReadAll()
	}
	if err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("join the snapshot of %s: %w", h.s, err)
	}
	return conn, nil
}

// Query asks in the holding session itself.
func (h *Snapshot) Query(ctx context.Context, each func(pgx.Rows) error, sql string, args ...any) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return query(ctx, h.conn, each, sql, args...)
}

// Close ends the snapshot.
func (h *Snapshot) Close() {
	h.stop()
	<-h.done
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = h.conn.Close(ctx) // read-only: there is nothing to lose
}

// query calls each for every row.
func query(ctx context.Context, c *pgx.Conn, each func(pgx.Rows) error, sql string, args ...any) error {
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
