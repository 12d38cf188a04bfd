package steps

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"belay/checks"
	"belay/remote"
	"belay/steps/postgres"
)

// pgTrace is what is remembered of the newest execution of SQL. Of a
// transaction it is on the disk, with the transaction's Mark, before anything
// is sent, so that the server can be asked later how it ended.
type pgTrace struct {
	N      int            `json:"n"`
	Mark   *postgres.Mark `json:"mark,omitempty"`   // of the transaction
	Told   bool           `json:"told,omitempty"`   // how it ended is known, and was said
	OK     bool           `json:"ok,omitempty"`     // committed, or all statements done
	Undone bool           `json:"undone,omitempty"` // taken back since

	Sum  string `json:"sum,omitempty"`  // of the text, where each statement stands by itself
	Done int    `json:"done,omitempty"` // statements that are done
	PID  uint32 `json:"pid,omitempty"`  // of the session that was sent statement Done and has not answered
}

const pgTraceKey = "sql"

func pgUndoKey(n int) string { return fmt.Sprintf("undo.%d", n) }

func pgTraceOf(e Env, key string) (t pgTrace, found bool, err error) {
	found, err = e.Memory.Get(key, &t)
	return t, found, err
}

// pgPlain is the server with the session settings that people expect, and its
// notices in the log.
func pgPlain(ctx context.Context, e Env, s postgresStore) (postgres.Server, error) {
	srv, err := s.server(ctx, e)
	srv.Plain, srv.Notice = true, pgNotice(e)
	return srv, err
}

// pgLogin is a session of that server.
func pgLogin(ctx context.Context, e Env, s postgresStore) (*pgx.Conn, error) {
	srv, err := pgPlain(ctx, e, s)
	if err != nil {
		return nil, err
	}
	return srv.Connect(ctx)
}

func pgLogout(c *pgx.Conn) {
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	_ = c.Close(ctx)
}

// pgOnce runs do in a transaction, unless the newest one of this key turns out
// to have been committed. What was begun and not told goes on from what the
// server knows of it.
func pgOnce(ctx context.Context, e Env, srv postgres.Server, key string, do func(context.Context, *pgx.Conn) error) error {
	t, found, err := pgTraceOf(e, key)
	if err != nil {
		return err
	}
	if found && !t.Told {
		done, err := pgResolve(ctx, e, srv, key, &t)
		if err != nil || done {
			return err
		}
	}
	fresh := pgTrace{N: t.N + 1}
	err = postgres.Atomic(ctx, srv, func(m postgres.Mark) error {
		fresh.Mark = &m
		return e.Memory.Put(key, fresh)
	}, do)
	undecided, open := errors.AsType[*postgres.UndecidedError](err)
	switch {
	case open:
		return &remote.LostError{Host: srv.Host.Name, Err: undecided}
	case ctx.Err() != nil:
		// Left open: whoever comes next asks the server.
		return fmt.Errorf("%w; the transaction was not committed", context.Cause(ctx))
	case fresh.Mark == nil:
		return fmt.Errorf("%w; nothing was changed", err) // it never began
	}
	fresh.Told, fresh.OK = true, err == nil
	if err != nil {
		err = fmt.Errorf("%w; nothing was changed: the transaction was taken back", err)
	}
	return errors.Join(err, e.Memory.Put(key, fresh))
}

// pgResolve asks how the open execution ended.
func pgResolve(ctx context.Context, e Env, srv postgres.Server, key string, t *pgTrace) (done bool, err error) {
	fate, err := postgres.Outcome(ctx, srv, *t.Mark)
	if err != nil {
		return false, fmt.Errorf("ask the server how the transaction of the last attempt ended: %w; nothing was started now", err)
	}
	switch fate {
	case postgres.Committed:
		fmt.Fprintln(e.Log, "-- the transaction of the last attempt was committed: it is not run again")
		t.Told, t.OK = true, true
		return true, e.Memory.Put(key, t)
	case postgres.Forgotten:
		t.Told = true
		err := fmt.Errorf("transaction %d of the last attempt: the server does not know any more how it ended, or is another server now; "+
			"look whether its changes are there, then retry (which runs the statements again) or skip the step; nothing was started now", t.Mark.XID)
		return false, errors.Join(err, e.Memory.Put(key, t))
	}
	fmt.Fprintln(e.Log, "-- the transaction of the last attempt was not committed: it is run again")
	return false, nil
}

// applyEach runs the statements one by one, each in a transaction of its own
// or in none. After a failure it goes on with the one that failed.
func (s *postgresSQL) applyEach(ctx context.Context, e Env, srv postgres.Server, text string) error {
	all, err := postgres.Split(text)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(text))
	t, found, err := pgTraceOf(e, pgTraceKey)
	if err != nil {
		return err
	}
	if !found || t.OK || t.Sum != hex.EncodeToString(sum[:]) {
		t = pgTrace{N: t.N + 1, Sum: hex.EncodeToString(sum[:])}
	}
	c, err := srv.Connect(ctx)
	if err != nil {
		return err
	}
	defer pgLogout(c)
	if err := pgSessionOver(ctx, e, c, t.PID); err != nil {
		return err
	}
	if err := s.settings(ctx, c, ""); err != nil {
		return err
	}
	if t.Done > 0 {
		fmt.Fprintf(e.Log, "-- going on with statement %d of %d; those before are done\n", t.Done+1, len(all))
	}
	for ; t.Done < len(all); t.Done++ {
		if err := t.one(ctx, e, c, all); err != nil {
			return err
		}
	}
	t.Told, t.OK, t.PID = true, true, 0
	return e.Memory.Put(pgTraceKey, t)
}

// one runs the next statement.
func (t *pgTrace) one(ctx context.Context, e Env, c *pgx.Conn, all []postgres.Statement) error {
	st := all[t.Done]
	t.Told, t.PID = false, c.PgConn().PID()
	if err := e.Memory.Put(pgTraceKey, t); err != nil {
		return err
	}
	e.Say(Progress{Done: int64(t.Done), Total: int64(len(all)), Unit: "statements", Text: checks.OneLine(st.Text, 80)})
	err := postgres.Run(ctx, c, st.Text, pgSaid(e))
	switch {
	case err == nil:
		return nil
	case postgres.Code(err) == "" || c.IsClosed():
		return &remote.LostError{Host: e.Host.Name, Err: fmt.Errorf("line %d: %w; statements before it are done", st.Line, err)}
	}
	t.Told, t.PID = true, 0
	err = fmt.Errorf("statement %d of %d, which begins on line %d: %w; the statements before it are done and stand", t.Done+1, len(all), st.Line, err)
	return errors.Join(err, e.Memory.Put(pgTraceKey, t))
}

// pgSessionOver waits until a session whose answer was never heard has ended,
// so that its statement does not run twice at the same time.
func pgSessionOver(ctx context.Context, e Env, c *pgx.Conn, pid uint32) error {
	for told := false; pid != 0; told = true {
		var busy bool
		const q = `select count(*) > 0 from pg_catalog.pg_stat_activity
			where pid = $1 and application_name = 'belay' and usename = current_user and state <> 'idle'`
		if err := c.QueryRow(ctx, q, int32(pid)).Scan(&busy); err != nil || !busy {
			return err
		}
		if !told {
			fmt.Fprintf(e.Log, "-- the statement of the last attempt still runs on the server (process %d): waiting for its end\n", pid)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// pgSaid writes what statements did into the log.
func pgSaid(e Env) func(string) {
	return func(tag string) { fmt.Fprintln(e.Log, tag) }
}

// pgNotice writes what the server says beside its answers.
func pgNotice(e Env) func(*pgconn.Notice) {
	return func(n *pgconn.Notice) {
		fmt.Fprintf(e.Log, "%s: %s\n", strings.ToLower(n.Severity), n.Message)
		if n.Detail != "" {
			fmt.Fprintf(e.Log, "  %s\n", n.Detail)
		}
	}
}
