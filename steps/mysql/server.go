package mysql

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"path"
	"time"

	"github.com/go-sql-driver/mysql"

	"belay/remote"
	"belay/remote/secret"
)

// Server is where a server listens, as one host sees it, and as whom to log in.
type Server struct {
	Host      remote.Host
	Addr      string // "127.0.0.1:3306", or the absolute path of a socket: /run/mysqld/mysqld.sock
	User      string
	Password  secret.Value // empty: none is offered
	TLS       string       // disable, prefer, require (any certificate), verify (by name); empty: disable
	Trust     remote.Trust // where TLS verifies
	CAFile    string       // path of Trust.CA on the host: a server that replicates reads it at the same path
	Container string       // of the host, in which the client tools are run; empty: the host's own
	Inside    string       // Addr as a program in Container sees it; empty: the same
	Domain    uint32       // GTID domain of what belay writes there, of MariaDB; 0: the server's own
}

func (s Server) String() string {
	if s.Container != "" {
		return fmt.Sprintf("container %s on %s", s.Container, s.Host.Name)
	}
	return fmt.Sprintf("%s on %s", s.Addr, s.Host.Name)
}

// pinned is what every session of belay's is set to, so that the same value
// has the same text on any server, and any value that is there can be written:
// zero dates, a zero in an AUTO_INCREMENT column, orphans.
const pinned = `SET SESSION time_zone = '+00:00', ` +
	`sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', ` +
	`wait_timeout = 86400, net_read_timeout = 3600, net_write_timeout = 3600, ` +
	`sql_quote_show_create = 1, group_concat_max_len = 1048576, ` +
	`foreign_key_checks = 0, unique_checks = 0`

// pinnedBy are settings that only one flavour, or only newer servers, have.
func pinnedBy(v Version) []string {
	switch {
	case v.MariaDB:
		return []string{"SET SESSION max_statement_time = 0"}
	case v.atLeast(8, 0):
		return []string{
			"SET SESSION max_execution_time = 0, information_schema_stats_expiry = 0",
			"SET SESSION print_identified_with_as_hex = 1", // 8.0.17
			"SET SESSION show_create_table_verbosity = 0",
			"SET SESSION show_gipk_in_create_table_and_information_schema = 1", // 8.0.30, and so a copy has them, too
			// For which ordinary accounts have no right: Survey asks what came of it.
			"SET SESSION sql_generate_invisible_primary_key = 0",
			"SET SESSION sql_require_primary_key = 0",
		}
	case v.atLeast(5, 7):
		return []string{"SET SESSION max_execution_time = 0"}
	}
	return nil
}

// Open logs in through the host. The connections of DB are pinned; what uses
// several statements on one takes it by DB.Conn. Close ends them all.
func (s Server) Open(ctx context.Context) (*DB, error) {
	con, err := s.connector(true)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(con)
	db.SetMaxIdleConns(8)
	d := &DB{DB: db, server: s}
	var text string
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&text); err != nil {
		db.Close()
		return nil, fmt.Errorf("log in as %s to %s: %w", s.User, s, s.told(err))
	}
	if d.Version, err = ParseVersion(text); err != nil {
		db.Close()
		return nil, err
	}
	return d, nil
}

// OpenPlain logs in with the session settings that the server gives to any
// client, for SQL that people wrote.
func (s Server) OpenPlain(ctx context.Context, database string) (*sql.DB, error) {
	con, err := s.connector(false)
	if err != nil {
		return nil, err
	}
	if database != "" {
		con.(session).config.DBName = database
		if con, err = remake(con.(session)); err != nil {
			return nil, err
		}
	}
	db := sql.OpenDB(con)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("log in as %s to %s: %w", s.User, s, s.told(err))
	}
	return db, nil
}

// DB is a server that was logged in to.
type DB struct {
	*sql.DB
	Version Version

	server Server
}

// session is a connector whose connections are pinned.
type session struct {
	driver.Connector
	config *mysql.Config
	pinned bool
	domain uint32
}

func (s Server) connector(pin bool) (driver.Connector, error) {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Addr = s.User, s.Password.Reveal(), s.Addr
	c.Net = "tcp"
	if path.IsAbs(s.Addr) {
		c.Net = "unix"
	} else if _, _, err := net.SplitHostPort(s.Addr); err != nil {
		return nil, fmt.Errorf("address %q: %w", s.Addr, err)
	}
	network := c.Net
	c.DialFunc = func(ctx context.Context, _, addr string) (net.Conn, error) { return s.Host.Dial(ctx, network, addr) }
	c.Timeout = 30 * time.Second
	c.InterpolateParams = true
	c.Collation = "utf8mb4_general_ci" // which every server has
	c.CheckConnLiveness = false        // it looks at sockets, and an SSH channel is none
	c.Logger = &mysql.NopLogger{}      // what it has to say comes as an error too
	c.MaxAllowedPacket = 0             // what the server takes
	if err := s.tls(c); err != nil {
		return nil, err
	}
	return remake(session{config: c, pinned: pin, domain: s.Domain})
}

func remake(s session) (driver.Connector, error) {
	con, err := mysql.NewConnector(s.config)
	if err != nil {
		return nil, err
	}
	s.Connector = con
	return s, nil
}

func (s Server) tls(c *mysql.Config) error {
	switch s.TLS {
	case "", "disable":
	case "prefer":
		c.TLS, c.AllowFallbackToPlaintext = &tls.Config{InsecureSkipVerify: true}, true
	case "require":
		c.TLS = &tls.Config{InsecureSkipVerify: true}
	case "verify":
		if path.IsAbs(s.Addr) {
			return errors.New("tls verify: a socket has no name to verify")
		}
		var err error
		c.TLS, err = s.Trust.Config(s.Addr)
		return err
	default:
		return fmt.Errorf("tls %q is none of disable, prefer, require, verify", s.TLS)
	}
	return nil
}

// told adds to a login that was refused what people would have to guess.
func (s Server) told(err error) error {
	plain := s.TLS == "" || s.TLS == "disable"
	switch n := Number(err); {
	case plain && n == errDenied:
		return fmt.Errorf("%w (a server or an account that wants TLS refuses with the same words: set tls: require, or verify, then)", err)
	case plain && (n == errInsecure || n == errInsecureMySQL):
		return fmt.Errorf("%w: set tls: require, or verify", err)
	case !plain && errors.Is(err, mysql.ErrNoTLS):
		return fmt.Errorf("tls: %s: %w", s.TLS, err)
	}
	return s.Trust.Told(err)
}

// Connect makes one session and pins it.
func (s session) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := s.Connector.Connect(ctx)
	if err != nil || !s.pinned {
		return c, err
	}
	if err := pin(ctx, c, s.domain); err != nil {
		c.Close()
		return nil, fmt.Errorf("session settings: %w", err)
	}
	return c, nil
}

func pin(ctx context.Context, c driver.Conn, domain uint32) error {
	run := c.(driver.ExecerContext)
	if _, err := run.ExecContext(ctx, pinned, nil); err != nil {
		return err
	}
	v, err := rawVersion(ctx, c)
	if err != nil {
		return err
	}
	for _, set := range pinnedBy(v) {
		if _, err := run.ExecContext(ctx, set, nil); err != nil && Number(err) != errUnknownVariable && Number(err) != errPrivilege {
			return err
		}
	}
	if v.MariaDB && domain != 0 {
		// Not to be had, belay's own writes would look like the server's.
		if _, err := run.ExecContext(ctx, fmt.Sprintf("SET SESSION gtid_domain_id = %d", domain), nil); err != nil {
			return err
		}
	}
	return nil
}

func rawVersion(ctx context.Context, c driver.Conn) (Version, error) {
	rows, err := c.(driver.QueryerContext).QueryContext(ctx, "SELECT VERSION()", nil)
	if err != nil {
		return Version{}, err
	}
	defer rows.Close()
	row := make([]driver.Value, 1)
	if err := rows.Next(row); err != nil {
		return Version{}, err
	}
	text, _ := row[0].([]byte)
	return ParseVersion(string(text))
}

// Numbers of errors (MySQL Server Error Message Reference; MariaDB has the same).
const (
	errDenied          = 1045
	errInsecure        = 4047 // require_secure_transport, of MariaDB
	errInsecureMySQL   = 3159 // the same of MySQL
	errUnknownVariable = 1193
	errNoSuchTable     = 1146
	errUnknownDatabase = 1049
	errDatabaseExists  = 1007
	errLockWait        = 1205
	errPrivilege       = 1227 // of a global kind, such as RELOAD
)

// Number is the server's number of an error, 0 when it is not the server's.
func Number(err error) int {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return int(e.Number)
	}
	return 0
}

// Lost tells whether the connection broke, rather than the server refused.
func Lost(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
}
