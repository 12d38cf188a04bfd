package pg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
)

// Store is a database that keeps journals. It holds no connection of its own.
type Store struct {
	url    string
	config *pgx.ConnConfig

	// Patience is how long an Append tries to settle what a lost connection has
	// left open, before it gives up and the run stops. 0 gives up at once.
	Patience time.Duration
}

// UnreachableError says that the database could not be asked.
type UnreachableError struct {
	Store string
	Err   error
}

func (e *UnreachableError) Error() string { return e.Store + ": not reached: " + e.Err.Error() }

func (e *UnreachableError) Unwrap() error { return e.Err }

// connectLimit is how long a connection may take to be made.
const connectLimit = 10 * time.Second

// At returns the store at a postgres:// URL. It contacts nobody. A password in
// the URL is refused, and not repeated in the error.
func At(raw string) (*Store, error) {
	const shape = "write it as postgres://user@host/database"
	u, err := url.Parse(raw)
	if err != nil { // which would repeat the URL
		return nil, errors.New("--journal: this is no URL; " + shape)
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errors.New("--journal: not a postgres:// URL; " + shape)
	}
	_, inUser := u.User.Password()
	for _, key := range []string{"password", "sslpassword"} {
		inUser = inUser || u.Query().Has(key)
	}
	if inUser {
		return nil, errors.New("--journal: the URL holds a password, and others can read it in the process list: " +
			"put it into ~/.pgpass (or PGPASSWORD), leave it out of the URL, and change it, for it has been seen")
	}
	config, err := pgx.ParseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("--journal: %w", err)
	}
	config.ConnectTimeout = connectLimit
	config.DialFunc = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}).DialContext
	config.RuntimeParams["application_name"] = "belay"
	config.RuntimeParams["client_encoding"] = "UTF8"
	return &Store{url: raw, config: config, Patience: 15 * time.Second}, nil
}

// URL is what At was given; it holds no secret.
func (s *Store) URL() string { return s.url }

// name is what errors call a run's journal.
func (s *Store) name(run string) string { return s.url + " run " + run }

// connect makes a connection that keeps the promises of the journal.
func (s *Store) connect(ctx context.Context) (*pgx.Conn, error) {
	c, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err != nil {
		return nil, &UnreachableError{s.url, err}
	}
	if err := promise(ctx, c); err != nil {
		hangUp(c)
		return nil, fmt.Errorf("%s: %w", s.url, err)
	}
	return c, nil
}

// promise sets what the role or the server may have set otherwise. Stronger
// promises than ours are left: synchronous_commit=remote_apply. A server that
// does not hear of a client drops it, and its lock, after half a minute.
func promise(ctx context.Context, c *pgx.Conn) error {
	var fsync, encoding string
	err := c.QueryRow(ctx, `
		select current_setting('fsync'), current_setting('server_encoding'),
		  set_config('synchronous_commit', case current_setting('synchronous_commit') when 'remote_apply' then 'remote_apply' else 'on' end, false),
		  set_config('tcp_keepalives_idle', '15', false), set_config('tcp_keepalives_interval', '5', false),
		  set_config('tcp_keepalives_count', '3', false), set_config('statement_timeout', '0', false),
		  set_config('search_path', 'pg_catalog', false)`).Scan(&fsync, &encoding, nil, nil, nil, nil, nil, nil)
	switch {
	case err != nil:
		return err
	case fsync != "on":
		return errors.New("the server runs with fsync=off: what it acknowledges can be lost, so a journal cannot be kept there; nothing was done")
	case encoding != "UTF8" && encoding != "SQL_ASCII":
		return fmt.Errorf("the database's encoding is %s, which cannot hold every line of a journal; use a database of UTF8; nothing was done", encoding)
	}
	// Since version 14 a server may drop who says nothing for long.
	_, err = c.Exec(ctx, `select set_config(name, '0', false) from pg_settings where name = 'idle_session_timeout'`)
	return err
}

func hangUp(c *pgx.Conn) {
	ctx, done := context.WithTimeout(context.Background(), time.Second)
	defer done()
	_ = c.Close(ctx)
}
