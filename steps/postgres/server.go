package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"belay/remote"
	"belay/remote/secret"
)

// Server is where a PostgreSQL server listens, as one host sees it, and as
// whom to log in.
type Server struct {
	Host      remote.Host
	Addr      string // "127.0.0.1:5432", or the absolute path of a socket: /run/postgresql/.s.PGSQL.5432
	User      string
	Password  secret.Value // empty: none is offered
	Database  string
	TLS       string // sslmode as libpq has it: disable, prefer, require, verify-ca, verify-full; empty: disable
	Trust     remote.Trust
	CAFile    string // path of Trust.CA on the host: a server that replicates reads it at the same path
	Container string // of the host, in which the client tools are run; empty: the host's own
	Inside    string // Addr as a program in Container sees it; empty: the same

	Plain  bool                 // session settings as the server has them, for SQL that people wrote; else pinned
	Notice func(*pgconn.Notice) // what the server says beside its answers; nil: dropped
}

func (s Server) String() string {
	if s.Container != "" {
		return fmt.Sprintf("%s in container %s on %s", s.Database, s.Container, s.Host.Name)
	}
	return fmt.Sprintf("%s at %s on %s", s.Database, s.Addr, s.Host.Name)
}

// With is the same server, with another database.
func (s Server) With(database string) Server { s.Database = database; return s }

// session is what every session of belay's is pinned to, so that the same
// value has the same text on any server (see the fingerprint).
var session = map[string]string{
	"application_name":   "belay",
	"DateStyle":          "ISO, YMD",
	"TimeZone":           "UTC",
	"IntervalStyle":      "postgres",
	"extra_float_digits": "1",
	"bytea_output":       "hex",
	"client_encoding":    "UTF8",
	"lc_monetary":        "C",
	"xmloption":          "content",
	"array_nulls":        "on",
	// Of how the server writes definitions, and reads ours.
	"quote_all_identifiers":       "off",
	"standard_conforming_strings": "on",
	"search_path":                 "",
	"statement_timeout":           "0",
	"lock_timeout":                "0",
	// A session whose client is gone ends within two minutes, with its locks.
	"tcp_keepalives_idle":     "60",
	"tcp_keepalives_interval": "15",
	"tcp_keepalives_count":    "4",
	// Of servers that end idle transactions or sessions.
	"idle_in_transaction_session_timeout": "0",
}

// Connect logs in through the host. The connection ends with its Close, not
// with ctx, which is for the logging in alone.
func (s Server) Connect(ctx context.Context) (*pgx.Conn, error) {
	mode := s.TLS
	if mode == "" {
		mode = "disable"
	}
	host, port, network := "localhost", "5432", "unix"
	if !path.IsAbs(s.Addr) {
		network = "tcp"
		var err error
		if host, port, err = net.SplitHostPort(s.Addr); err != nil {
			return nil, fmt.Errorf("address %q: %w", s.Addr, err)
		}
	} else if mode != "disable" && mode != "prefer" {
		return nil, fmt.Errorf("tls %s: a socket has none", mode)
	} else {
		mode = "disable" // libpq, too, asks for none on a socket
	}
	// Given here, they keep the environment's PGHOST and the like out, and TLS
	// learns which name to expect.
	c, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%s sslmode=%s", quoteParam(host), quoteParam(port), quoteParam(mode)))
	if err != nil {
		return nil, fmt.Errorf("address %q, tls %q: %w", s.Addr, s.TLS, err)
	}
	if err := s.verify(c); err != nil {
		return nil, err
	}
	c.User, c.Password, c.Database = s.User, s.Password.Reveal(), s.Database
	c.ConnectTimeout = 30 * time.Second
	c.LookupFunc = func(_ context.Context, h string) ([]string, error) { return []string{h}, nil } // the host resolves it
	c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Host.Dial(ctx, network, s.Addr) }
	c.RuntimeParams = map[string]string{}
	for k, v := range session {
		if !s.Plain || k == "application_name" || k == "client_encoding" {
			c.RuntimeParams[k] = v
		}
	}
	if s.Notice != nil {
		c.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { s.Notice(n) }
	}
	var m *merger // of the latest try, for there may be two: with TLS and without
	c.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		m = newMerger(r)
		return pgproto3.NewFrontend(m, w) // its own reads are of 8 KiB
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		if told := s.Trust.Told(err); told != err {
			return nil, fmt.Errorf("log in as %s to %s: %w", s.User, s, told)
		}
		return nil, fmt.Errorf("log in as %s to %s: %w", s.User, s, s.plain(err))
	}
	conn.PgConn().CustomData()[mergerKey] = m
	if !s.Plain {
		if err := unlimited(ctx, conn); err != nil {
			conn.Close(context.WithoutCancel(ctx))
			return nil, fmt.Errorf("log in as %s to %s: %w", s.User, s, err)
		}
	}
	return conn, nil
}

// unlimited keeps a server that knows such limits from ending our sessions. One
// that does not know a setting would refuse a login that asks for it.
func unlimited(ctx context.Context, conn *pgx.Conn) error {
	sql := ""
	if v := versionOf(conn); v >= 170000 {
		sql = "set idle_session_timeout = 0; set transaction_timeout = 0"
	} else if v >= 140000 {
		sql = "set idle_session_timeout = 0"
	}
	if sql == "" {
		return nil
	}
	_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// versionOf is the server's version as it told at the login: 170011 for 17.11,
// 90624 for 9.6.24; 0 where it did not tell.
func versionOf(conn *pgx.Conn) int {
	said, _, _ := strings.Cut(conn.PgConn().ParameterStatus("server_version"), " ")
	first, rest, _ := strings.Cut(said, ".")
	second, third, _ := strings.Cut(rest, ".")
	number := func(s string) int { // "18beta1"
		n := 0
		for i := 0; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
			n = 10*n + int(s[i]-'0')
		}
		return n
	}
	if number(first) >= 10 {
		return 10000*number(first) + number(second)
	}
	return 10000*number(first) + 100*number(second) + number(third)
}

// quoteParam quotes a value of a libpq connection string (PostgreSQL manual, 34.1.1.1).
func quoteParam(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// verify gives pgx the authority and the name, where it looks at them.
func (s Server) verify(c *pgx.ConnConfig) error {
	if !strings.HasPrefix(s.TLS, "verify") || c.TLSConfig == nil {
		return nil
	}
	pool, err := s.Trust.Pool()
	if err != nil {
		return err
	}
	if pool != nil {
		c.TLSConfig.RootCAs = pool
	}
	if s.Trust.Name != "" {
		c.TLSConfig.ServerName = s.Trust.Name
	}
	return nil
}

// plain leaves out pgx's own beginning, which names an address that is not the
// one people gave.
func (s Server) plain(err error) error {
	text := err.Error()
	if i := strings.LastIndex(text, ": server error: "); i >= 0 {
		text = text[i+len(": server error: "):]
		if no, ok := errors.AsType[*pgconn.PgError](err); ok && no.Code == "28000" && (s.TLS == "" || s.TLS == "disable") && strings.Contains(text, "no encryption") {
			text += ": if it is let in by TLS (hostssl), set tls: require, verify-ca or verify-full"
		}
		return refused{text, err}
	}
	return err
}

// refused is a shorter text for an error, which stays what it is.
type refused struct {
	text string
	err  error
}

func (r refused) Error() string { return r.text }
func (r refused) Unwrap() error { return r.err }
