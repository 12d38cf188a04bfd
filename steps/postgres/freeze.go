package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// frozenNote is how the comment of a frozen database begins: there everybody
// sees it, and the owner of the database can write it.
const frozenNote = "frozen by belay: "

// Frozen is what a frozen database was like before, and who froze it.
type Frozen struct {
	ID    string    `json:"id"`              // who: belay's step, the same on every attempt
	At    time.Time `json:"at"`              // by the server's clock
	Limit int       `json:"limit"`           // CONNECTION LIMIT before
	Roles []string  `json:"roles,omitempty"` // roles that could log in before, and were refused

	Comment *string `json:"comment,omitempty"` // of the database before
}

// Freezing says how a database is frozen.
type Freezing struct {
	ID    string
	Roles []string      // roles that may not log in meanwhile, to any database: for superusers, whom no limit stops
	Grace time.Duration // how long transactions under way may take to end by themselves
	Said  func(string)  // a line for the log; nil: dropped
}

// Session is somebody logged in to a database.
type Session struct {
	PID                        int32
	User, App, Addr, State, Do string
	Super                      bool
}

func (s Session) String() string {
	return fmt.Sprintf("%s (process %d, user %s, from %s, %s)", s.App, s.PID, s.User, s.Addr, s.State)
}

// control is a session beside the database: one that its limit does not hold
// back. s is where to look; any database but the frozen one.
func (s Server) control(ctx context.Context) (*pgx.Conn, error) {
	var errs []error
	for _, other := range []string{"postgres", "template1"} {
		if other == s.Database {
			continue
		}
		c, err := s.With(other).Connect(ctx)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("a session beside database %s is needed, in postgres or template1: %w", s.Database, errors.Join(errs...))
}

// FrozenBy tells how the database is frozen; nil when it is not.
func FrozenBy(ctx context.Context, s Server) (*Frozen, error) {
	c, err := s.control(ctx)
	if err != nil {
		return nil, err
	}
	defer bye(c)
	return frozenBy(ctx, c, s.Database)
}

func frozenBy(ctx context.Context, c *pgx.Conn, database string) (*Frozen, error) {
	text, err := databaseComment(ctx, c, database)
	if err != nil || text == nil || !strings.HasPrefix(*text, frozenNote) {
		return nil, err
	}
	var f Frozen
	if err := json.Unmarshal([]byte((*text)[len(frozenNote):]), &f); err != nil {
		return nil, fmt.Errorf("database %s: its comment is not as belay wrote it: %.100q", database, *text)
	}
	return &f, nil
}

// databaseComment is nil where there is none.
func databaseComment(ctx context.Context, c interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, database string) (text *string, err error) {
	err = c.QueryRow(ctx, "select pg_catalog.shobj_description(oid, 'pg_database') from pg_catalog.pg_database where datname = $1", database).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return text, err
}

// commentOn is the statement that sets a database's comment.
func commentOn(database string, text *string) string {
	value := "null"
	if text != nil {
		value = QuoteLiteral(*text)
	}
	return "comment on database " + QuoteName(database) + " is " + value
}

// FrozenByOtherError says that somebody else froze the database.
type FrozenByOtherError struct {
	Database string
	By       Frozen
}

func (e *FrozenByOtherError) Error() string {
	return fmt.Sprintf("database %s is frozen by another run or step (%s, since %s): nothing was changed; thaw it by postgres.thaw or that run's rollback first",
		e.Database, e.By.ID, e.By.At.Format(time.RFC3339))
}

// Freeze lets nobody but superusers into the database and ends the sessions of
// all others: those without a transaction at once, the rest after the grace.
// Spared are belay's own sessions, and those of replication. What was there
// before stands in the database's comment, in the same transaction as the
// limit; freezing again by the same ID only ends sessions.
func Freeze(ctx context.Context, s Server, o Freezing) (*Frozen, error) {
	c, err := s.control(ctx)
	if err != nil {
		return nil, err
	}
	defer bye(c)
	f, err := frozenBy(ctx, c, s.Database)
	switch {
	case err != nil:
		return nil, err
	case f != nil && f.ID != o.ID:
		return nil, &FrozenByOtherError{s.Database, *f}
	case f == nil:
		if f, err = shut(ctx, c, s, o); err != nil {
			return nil, err
		}
	}
	return f, evict(ctx, c, s, o)
}

// shut refuses new sessions.
func shut(ctx context.Context, c *pgx.Conn, s Server, o Freezing) (*Frozen, error) {
	f := &Frozen{ID: o.ID}
	return f, pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, "select datconnlimit, clock_timestamp() from pg_catalog.pg_database where datname = $1", s.Database).Scan(&f.Limit, &f.At)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("there is no database %s", s.Database)
		} else if err != nil {
			return err
		}
		if f.Roles, err = loginRoles(ctx, tx, o.Roles); err != nil {
			return err
		}
		if slices.Contains(f.Roles, s.User) {
			return fmt.Errorf("role %s is belay's own: refused, it could not come back to thaw", s.User)
		}
		if f.Comment, err = databaseComment(ctx, tx, s.Database); err != nil {
			return err
		}
		bare, err := json.Marshal(f)
		if err != nil {
			return err
		}
		note := frozenNote + string(bare)
		name := QuoteName(s.Database)
		sql := []string{"alter database " + name + " connection limit 0",
			commentOn(s.Database, &note)}
		for _, r := range f.Roles {
			sql = append(sql, "alter role "+QuoteName(r)+" nologin")
		}
		for _, q := range sql {
			if _, err := tx.Exec(ctx, q); err != nil {
				return Explain("", 1, err)
			}
		}
		return nil
	})
}

// loginRoles are those of names that may log in now.
func loginRoles(ctx context.Context, tx pgx.Tx, names []string) ([]string, error) {
	rows, err := tx.Query(ctx, "select rolname from pg_catalog.pg_roles where rolname = any($1) and rolcanlogin order by 1", names)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// evict ends sessions until none is left, or for 30 seconds beyond the grace.
func evict(ctx context.Context, c *pgx.Conn, s Server, o Freezing) error {
	hard := time.Now().Add(o.Grace)
	for until := hard.Add(30 * time.Second); ; {
		all, err := Others(ctx, c, s)
		if err != nil || len(all) == 0 {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("database %s does not become quiet, for somebody comes back who is a superuser, or does not go: %s; stop that program, or name its role under roles. "+
				"New sessions of other roles are refused since", s.Database, all[0])
		}
		for _, one := range all {
			if one.State != "idle" && time.Now().Before(hard) {
				continue
			}
			if o.Said != nil {
				o.Said("ending " + one.String())
			}
			if _, err := c.Exec(ctx, "select pg_catalog.pg_terminate_backend($1)", one.PID); err != nil {
				return fmt.Errorf("end %s: %w", one, Explain("", 1, err))
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Others are the sessions in the database that a freeze ends. c may be in any
// database.
func Others(ctx context.Context, c *pgx.Conn, s Server) ([]Session, error) {
	// backend_type (PostgreSQL 10): workers of the server itself and senders of
	// replication are not clients. Background workers such as pg_cron's are.
	const q = `select a.pid, coalesce(a.usename, ''), coalesce(nullif(a.application_name, ''), 'a program without a name'),
			coalesce(a.client_addr::text, 'this host'), coalesce(a.state, 'at work'), coalesce(r.rolsuper, false)
		from pg_catalog.pg_stat_activity a left join pg_catalog.pg_roles r on r.oid = a.usesysid
		where a.datname = $1 and a.pid <> pg_backend_pid()
			and a.backend_type not in ('walsender', 'autovacuum worker', 'parallel worker') and a.backend_type not like 'logical replication%'
			and not (a.application_name = 'belay' and a.usename = $2)
		order by a.pid`
	rows, err := c.Query(ctx, q, s.Database, s.User)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (o Session, err error) {
		return o, r.Scan(&o.PID, &o.User, &o.App, &o.Addr, &o.State, &o.Super)
	})
}

// ErrNotFrozen is wrapped where a database is not frozen by belay.
var ErrNotFrozen = errors.New("not frozen by belay")

// Thaw puts back exactly what was there before the freeze, and returns it. id
// is who froze it; empty: whoever. A limit that somebody changed meanwhile is
// left alone, and said. It is safe to be called again: then ErrNotFrozen.
func Thaw(ctx context.Context, s Server, id string, said func(string)) (*Frozen, time.Duration, error) {
	c, err := s.control(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer bye(c)
	f, err := frozenBy(ctx, c, s.Database)
	if err != nil {
		return nil, 0, err
	} else if f == nil {
		return nil, 0, fmt.Errorf("database %s: %w", s.Database, ErrNotFrozen)
	} else if id != "" && f.ID != id {
		return nil, 0, &FrozenByOtherError{s.Database, *f}
	}
	var long time.Duration
	err = pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		var now time.Time
		var limit int
		if err := tx.QueryRow(ctx, "select clock_timestamp(), datconnlimit from pg_catalog.pg_database where datname = $1", s.Database).Scan(&now, &limit); err != nil {
			return err
		}
		long = now.Sub(f.At)
		name := QuoteName(s.Database)
		sql := []string{commentOn(s.Database, f.Comment)}
		if limit == 0 {
			sql = append(sql, "alter database "+name+" connection limit "+strconv.Itoa(f.Limit))
		} else if said != nil {
			said(fmt.Sprintf("the connection limit of %s was set to %d by somebody else meanwhile, and stays", s.Database, limit))
		}
		for _, r := range f.Roles {
			sql = append(sql, "alter role "+QuoteName(r)+" login")
		}
		for _, q := range sql {
			if _, err := tx.Exec(ctx, q); err != nil {
				return Explain("", 1, err)
			}
		}
		return nil
	})
	return f, long, err
}

// Quiet proves a freeze by another road: nobody but belay and replication is
// in the database, no prepared transaction waits in it, and the counters of
// written rows stand still for the length of the look.
func Quiet(ctx context.Context, s Server, look time.Duration) error {
	c, err := s.control(ctx)
	if err != nil {
		return err
	}
	defer bye(c)
	var limit int
	if err := c.QueryRow(ctx, "select datconnlimit from pg_catalog.pg_database where datname = $1", s.Database).Scan(&limit); err != nil {
		return err
	}
	if limit != 0 {
		return fmt.Errorf("database %s: its connection limit is %d, not 0: ordinary roles can log in", s.Database, limit)
	}
	var prepared []string
	rows, err := c.Query(ctx, "select gid from pg_catalog.pg_prepared_xacts where database = $1 order by 1", s.Database)
	if err == nil {
		prepared, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return err
	}
	if len(prepared) > 0 {
		return fmt.Errorf("database %s: prepared transactions wait in it and may be committed from anywhere: %s; commit or roll them back", s.Database, strings.Join(prepared, ", "))
	}
	return still(ctx, c, s, look)
}

func still(ctx context.Context, c *pgx.Conn, s Server, look time.Duration) error {
	before, err := written(ctx, s)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(look):
	}
	all, err := Others(ctx, c, s)
	if err != nil {
		return err
	}
	if len(all) > 0 {
		return fmt.Errorf("database %s: somebody is in it: %s", s.Database, all[0])
	}
	after, err := written(ctx, s)
	if err == nil && after != before {
		err = fmt.Errorf("database %s: rows of its tables were written while it was frozen (%d by count)", s.Database, after-before)
	}
	return err
}

// written counts the rows of user tables that were ever written. Who is no
// superuser cannot get in to count: 0 then.
func written(ctx context.Context, s Server) (n int64, err error) {
	c, err := s.Connect(ctx)
	if Code(err) == "53300" { // too_many_connections: the limit
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	defer bye(c)
	err = c.QueryRow(ctx, "select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint from pg_catalog.pg_stat_user_tables").Scan(&n)
	return n, err
}

// bye closes a session, also when the caller's context has ended.
func bye(c *pgx.Conn) {
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	_ = c.Close(ctx)
}
