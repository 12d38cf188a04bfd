package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Mark names one transaction of one server, so that it can be asked later how
// it ended: whether the COMMIT that nobody saw answered had come through.
type Mark struct {
	System string `json:"system"` // of pg_control_system: a server made anew is another one
	XID    int64  `json:"xid"`    // with its epoch
	PID    uint32 `json:"pid"`    // of the server's process
}

// Fate is how a transaction ended.
type Fate string

// The fates. Forgotten: the server does not know any more (some hundred
// million transactions later), or it is not the same server.
const (
	Committed Fate = "committed"
	Aborted   Fate = "aborted"
	Forgotten Fate = "forgotten"
)

// UndecidedError says that a transaction's COMMIT was sent and not answered,
// and that the server could not be asked yet how it ended. Outcome can be
// asked later.
type UndecidedError struct {
	Mark Mark
	Err  error
}

func (e *UndecidedError) Error() string {
	return fmt.Sprintf("whether transaction %d was committed is not known yet: %v", e.Mark.XID, e.Err)
}
func (e *UndecidedError) Unwrap() error { return e.Err }

// Atomic runs do in one transaction on a session of its own. Before do begins,
// remember gets the transaction's Mark, and must have it on the disk when it
// returns: whoever comes after a crash asks Outcome. nil is committed,
// *UndecidedError is unknown, any other error means that nothing was changed.
//
// It needs nothing in the database: the number is the server's own
// (txid_current, txid_status; PostgreSQL 10 and later). A number that has not
// reached the server's disk could be given out again after the server crashed;
// so a second session commits behind it first, durably.
func Atomic(ctx context.Context, s Server, remember func(Mark) error, do func(context.Context, *pgx.Conn) error) error {
	c, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	if _, err := c.Exec(ctx, "begin"); err != nil {
		return err
	}
	m := Mark{PID: c.PgConn().PID()}
	if m.System, err = system(ctx, c); err != nil {
		return err
	}
	if err := c.QueryRow(ctx, "select txid_current()").Scan(&m.XID); err != nil {
		return err
	}
	if err := pin(ctx, s); err != nil {
		return err
	}
	if err := remember(m); err != nil {
		return err
	}
	if err := do(ctx, c); err != nil {
		return err // the session ends without a COMMIT
	}
	if still, err := assigned(ctx, c); err != nil {
		return err
	} else if still != m.XID {
		return fmt.Errorf("the SQL ended belay's transaction by a COMMIT or ROLLBACK of its own: what of it stands is not known; look at it before anything is repeated")
	}
	return commit(ctx, s, c, m)
}

func commit(ctx context.Context, s Server, c *pgx.Conn, m Mark) error {
	tag, err := c.Exec(ctx, "commit")
	switch {
	case Code(err) != "":
		return Explain("", 1, err) // a deferred constraint, say
	case err != nil:
		late, stop := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer stop()
		fate, oerr := Outcome(late, s, m)
		switch {
		case oerr == nil && fate == Committed:
			return nil
		case oerr == nil && fate == Aborted:
			return fmt.Errorf("the transaction was not committed: %w", err)
		}
		return &UndecidedError{m, errors.Join(err, oerr)}
	case tag.String() != "COMMIT":
		return fmt.Errorf("the server answered the COMMIT by %s: a statement of the transaction had failed", tag)
	}
	return nil
}

// assigned is the number of the transaction under way, 0 for none.
func assigned(ctx context.Context, c *pgx.Conn) (int64, error) {
	var id *int64
	err := c.QueryRow(ctx, "select txid_current_if_assigned()").Scan(&id)
	if err != nil || id == nil {
		return 0, err
	}
	return *id, nil
}

// system is the cluster's own identity.
func system(ctx context.Context, c *pgx.Conn) (id string, err error) {
	err = c.QueryRow(ctx, "select system_identifier::text from pg_control_system()").Scan(&id)
	return id, err
}

// pin commits something durably, so that every number given out before is on
// the disk too. A message in the log needs no right and leaves nothing behind.
func pin(ctx context.Context, s Server) error {
	c, err := s.Connect(ctx)
	if err != nil {
		return fmt.Errorf("a second session beside the first: %w", err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	return Run(ctx, c, "begin; set local synchronous_commit = on; select pg_logical_emit_message(true, 'belay', ''); commit", nil)
}

// Outcome asks how a transaction ended. One that is still open belongs to a
// session that lost its client: it is ended first, and then asked again.
func Outcome(ctx context.Context, s Server, m Mark) (Fate, error) {
	c, err := s.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	id, err := system(ctx, c)
	if err != nil {
		return "", err
	}
	if id != m.System {
		return Forgotten, nil
	}
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		var status *string
		err := c.QueryRow(ctx, "select txid_status($1)", m.XID).Scan(&status)
		switch {
		case Code(err) == "22023": // in the future: this server was put back to an earlier time
			return Forgotten, nil
		case err != nil:
			return "", err
		case status == nil:
			return Forgotten, nil
		case *status == "committed":
			return Committed, nil
		case *status == "aborted":
			return Aborted, nil
		}
		// By pid and by transaction: the pid may be somebody else's by now.
		const end = `select pg_terminate_backend(pid) from pg_stat_activity
			where pid = $1 and backend_xid::text = ($2::bigint % 4294967296)::text`
		if _, err := c.Exec(ctx, end, m.PID, m.XID); err != nil {
			return "", err
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}
