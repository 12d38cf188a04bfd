package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"belay/remote"
	"belay/remote/secret"
)

// Server is where a Redis server listens, as one host sees it, and as whom to
// log in.
type Server struct {
	Host      remote.Host
	Addr      string       // "127.0.0.1:6379", or the absolute path of a socket
	User      string       // of the ACL; empty: the default user
	Password  secret.Value // empty: none is offered
	DB        int
	TLS       string // disable (or empty), require (any certificate), verify-full
	Trust     remote.Trust
	Container string // of the host, in which the server is; for people only
}

func (s Server) String() string {
	if s.Container != "" {
		return fmt.Sprintf("redis in container %s on %s", s.Container, s.Host.Name)
	}
	return fmt.Sprintf("redis at %s on %s", s.Addr, s.Host.Name)
}

// With is the same server, with another database.
func (s Server) With(db int) Server { s.DB = db; return s }

// SameAccount tells whether o is logged in to as s is.
func (s Server) SameAccount(o Server) bool {
	return account(s.User) == account(o.User) && s.Password.Reveal() == o.Password.Reveal()
}

func account(user string) string {
	if user == "" {
		return "default"
	}
	return user
}

// ClientName is how belay's connections are called in CLIENT LIST.
const ClientName = "belay"

// Waiting times of a connection. An answer may be long in coming when a big key
// is written out, so reading has the longer one; ctx may end either earlier.
const (
	dialWait = 15 * time.Second
	readWait = 60 * time.Second
)

// Client is a connection to one database of a server, or a few: they are opened
// as they are needed. No command is ever sent twice by the client itself.
type Client struct {
	*goredis.Client
	Server Server
}

func init() { goredis.SetLogger(silent{}) }

// silent: what the library has to say comes back as an error as well; its own
// log would go to the screen.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// Connect logs in through the host. The connection ends with its Close, not
// with ctx, which is for the logging in alone.
func (s Server) Connect(ctx context.Context) (*Client, error) {
	if s.Host.Dialer == nil {
		return nil, fmt.Errorf("%s: the host passes no connections on", s)
	}
	c := &Client{Server: s}
	var dialed error // the library's own words for it name an address that nobody gave
	c.Client = goredis.NewClient(&goredis.Options{
		Addr: s.Addr, Username: s.User, Password: s.Password.Reveal(), DB: s.DB,
		Protocol: 2, ClientName: ClientName, DisableIdentity: true,
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := s.dial(ctx)
			dialed = err
			return conn, err
		},
		// A command that is sent twice may be done twice.
		MaxRetries: -1, DialerRetries: 1,
		DialTimeout: dialWait, ReadTimeout: readWait, WriteTimeout: readWait, ContextTimeoutEnabled: true,
		PoolSize: 4, PipelinePoolSize: -1, PoolTimeout: 2 * readWait, ConnMaxIdleTime: -1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	if err := c.Client.Ping(ctx).Err(); err != nil && !Loading(err) {
		c.Close()
		if dialed != nil {
			err = dialed
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		} else if _, lost := errors.AsType[*remote.UnreachableError](err); dialed == nil && !lost && (s.TLS == "" || s.TLS == "disable") && Broken(err) {
			err = fmt.Errorf("%w: somebody listens there and does not speak Redis; it may want TLS: set tls: require", err)
		}
		return nil, fmt.Errorf("log in as %s to %s: %w", account(s.User), s, err)
	}
	return c, nil
}

func (s Server) dial(ctx context.Context) (net.Conn, error) {
	network := "tcp"
	if path.IsAbs(s.Addr) {
		network = "unix"
	}
	conn, err := s.Host.Dial(ctx, network, s.Addr)
	if err != nil || s.TLS == "" || s.TLS == "disable" {
		return conn, err
	}
	config, err := s.Trust.Config(s.Addr)
	if err != nil {
		conn.Close()
		return nil, err
	}
	config.InsecureSkipVerify = s.TLS == "require"
	safe := tls.Client(conn, config)
	if err := safe.HandshakeContext(ctx); err != nil {
		conn.Close()
		if said := s.Trust.Told(err); said != err {
			return nil, said
		}
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return safe, nil
}

// Call runs one command. The answer is a string, int64, []any or nil, as RESP2
// has it. The error names the command, never its values.
func (c *Client) Call(ctx context.Context, args ...any) (any, error) {
	v, err := c.Do(ctx, args...).Result()
	if errors.Is(err, goredis.Nil) {
		return nil, nil
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("%s: %s: %w", c.Server, verb(args), err)
	}
	return v, nil
}

// verb is the command without its values: "CONFIG SET masterauth".
func verb(args []any) string {
	n := 1
	if len(args) > 0 {
		switch strings.ToUpper(fmt.Sprint(args[0])) {
		case "CONFIG":
			n = 3
		case "ACL", "CLIENT", "FUNCTION", "SCRIPT", "XINFO", "XGROUP", "MEMORY":
			n = 2
		}
	}
	var words []string
	for _, a := range args[:min(n, len(args))] {
		words = append(words, fmt.Sprintf("%.64v", a))
	}
	return strings.Join(words, " ")
}

// strs reads an answer that is a list of strings; anything else is none.
func strs(v any) []string {
	list, _ := v.([]any)
	all := make([]string, 0, len(list))
	for _, item := range list {
		switch item := item.(type) {
		case string:
			all = append(all, item)
		case nil:
			all = append(all, "")
		default:
			all = append(all, fmt.Sprint(item))
		}
	}
	return all
}

// said is the beginning of a server's error: "NOPERM", "LOADING", "ERR".
func said(err error) string {
	var e goredis.Error
	if !errors.As(err, &e) {
		return ""
	}
	code, _, _ := strings.Cut(e.Error(), " ")
	return code
}

// Loading tells that the server reads its data in and answers INFO alone.
func Loading(err error) bool { return said(err) == "LOADING" }

// Full tells that the server refused for want of memory (maxmemory).
func Full(err error) bool { return said(err) == "OOM" }

// Refused tells that the server answered, and that the answer was no: the
// command is unknown to it, renamed, or forbidden to this user.
func Refused(err error) bool { return said(err) != "" && !Loading(err) }

// Broken tells that no answer came: the link or the server is gone, and
// whether the command was carried out is not known.
func Broken(err error) bool {
	if err == nil || said(err) != "" {
		return false
	}
	var n net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &n) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, new(*remote.UnreachableError)) || errors.As(err, new(*remote.LostError))
}
