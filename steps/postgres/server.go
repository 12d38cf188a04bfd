package postgres

import (
	"context"
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

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
	Container string // of the host, in which the client tools are run; empty: the host's own
}

func (s Server) String() string {
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
	"search_path":        "",
	"statement_timeout":  "0",
	"lock_timeout":       "0",
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
	c, err := pgx.ParseConfig("sslmode=" + mode)
	if err != nil {
		return nil, fmt.Errorf("tls %q: %w", s.TLS, err)
	}
	host, port := "localhost", uint16(5432)
	network := "unix"
	if !path.IsAbs(s.Addr) {
		network = "tcp"
		h, p, err := net.SplitHostPort(s.Addr)
		if err != nil {
			return nil, fmt.Errorf("address %q: %w", s.Addr, err)
		}
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("address %q: port: %w", s.Addr, err)
		}
		host, port = h, uint16(n)
	}
	c.Host, c.Port, c.User, c.Password, c.Database = host, port, s.User, s.Password.Reveal(), s.Database
	c.ConnectTimeout = 30 * time.Second
	c.LookupFunc = func(_ context.Context, h string) ([]string, error) { return []string{h}, nil } // the host resolves it
	c.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Host.Dial(ctx, network, s.Addr) }
	c.RuntimeParams = map[string]string{}
	for k, v := range session {
		c.RuntimeParams[k] = v
	}
	for i := range c.Fallbacks {
		c.Fallbacks[i].Host, c.Fallbacks[i].Port = host, port
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("log in as %s to %s: %w", s.User, s, plain(err))
	}
	return conn, nil
}

// plain leaves out pgx's own beginning, which names an address that is not the
// one people gave.
func plain(err error) error {
	text := err.Error()
	if i := strings.LastIndex(text, ": server error: "); i >= 0 {
		return fmt.Errorf("%s", text[i+len(": server error: "):])
	}
	return err
}
