package postgres

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"strconv"
	"strings"

	"belay/remote"
)

//go:embed tool.sh
var toolScript string

// Tool is one run of a client program such as pg_dump or psql, on the server's
// host or in its container.
type Tool struct {
	Name           string   // pg_dump
	Major          int      // the least version that will do; 0: any. Of several, the oldest that will do is taken
	Args           []string // nothing secret; the connection is added
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Pure           bool // it changes nothing
}

// ErrNoTool is wrapped by the error of a Tool that is not installed in a
// version that will do.
var ErrNoTool = errors.New("client program missing")

// Run runs a tool that logs in to s. The password goes in by stdin and lies in
// a file without a name while the tool runs; it is in no argument and in no
// environment. Errors are those of remote.Runner, or wrap ErrNoTool.
func (s Server) Run(ctx context.Context, t Tool) error {
	line, err := s.head()
	if err != nil {
		return err
	}
	stdin := io.Reader(strings.NewReader(line + "\n"))
	if t.Stdin != nil {
		stdin = io.MultiReader(stdin, t.Stdin)
	}
	to, err := s.conninfo()
	if err != nil {
		return err
	}
	c := remote.Sh(toolScript, append([]string{t.Name, strconv.Itoa(t.Major), to}, t.Args...)...)
	if s.Container != "" {
		c.Argv = append([]string{"docker", "exec", "-i", s.Container}, c.Argv...)
	}
	c.Stdin, c.Stdout, c.Stderr, c.Pure = stdin, t.Stdout, t.Stderr, t.Pure
	err = s.Host.Run(ctx, c)
	if exit, ok := errors.AsType[*remote.ExitError](err); ok && (exit.Status == 120 || exit.Status == 122) {
		return fmt.Errorf("%s on %s: %w: %s", t.Name, s.Host.Name, ErrNoTool, strings.TrimSpace(exit.Stderr))
	}
	if err != nil {
		return fmt.Errorf("%s on %s: %w", t.Name, s.Host.Name, err)
	}
	return nil
}

// Which tells the program that Run would take for a tool: its major version and
// its path. Where there is none that will do the error wraps ErrNoTool.
func (s Server) Which(ctx context.Context, name string, least int) (major int, path string, err error) {
	var out bytes.Buffer
	if err := s.Run(ctx, Tool{Name: name, Major: least, Args: []string{"--which"}, Stdout: &out, Pure: true}); err != nil {
		return 0, "", err
	}
	number, path, _ := strings.Cut(strings.TrimSpace(out.String()), " ")
	if major, err = strconv.Atoi(number); err != nil {
		return 0, "", fmt.Errorf("%s on %s: which one it is: unexpected answer %.100q", name, s.Host.Name, out.String())
	}
	return major, path, nil
}

// Major asks the server, beside its database, which need not be there, for its
// major version.
func (s Server) Major(ctx context.Context) (int, error) {
	conn, err := s.admin(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return versionOf(conn) / 10000, nil
}

// head is what tool.sh reads before the tool's own stdin.
func (s Server) head() (string, error) {
	line, err := s.passLine()
	if s.Trust.CA != "" {
		line += "\n" + strings.TrimSpace(s.Trust.CA) + "\n#belay-end"
	}
	return line, err
}

// passLine is the password as a line of a password file (PostgreSQL manual,
// 34.16); empty where there is none.
func (s Server) passLine() (string, error) {
	p := s.Password.Reveal()
	if p == "" {
		return "", nil
	}
	if strings.ContainsAny(p, "\n\r\x00") {
		return "", errors.New("the password has a line break in it, which PostgreSQL's password file cannot hold")
	}
	return "*:*:*:*:" + strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(p), nil
}

// trusted are the parameters by which a tool looks at the certificate. The
// name that it shall have takes the place of the host, whose address goes by
// hostaddr then.
func (s Server) trusted(host string) (info string) {
	if !strings.HasPrefix(s.TLS, "verify") {
		return ""
	}
	if s.Trust.Name != "" {
		info += "host=" + quoteParam(s.Trust.Name) + " hostaddr=" + quoteParam(host) + " " // the last of two counts
	}
	if s.Trust.CA != "" {
		info += "sslrootcert=/dev/fd/8"
	}
	return info
}

// conninfo is the connection as the tool sees it, without the password.
func (s Server) conninfo() (string, error) {
	addr := s.Addr
	if s.Container != "" && s.Inside != "" {
		addr = s.Inside
	}
	host, port := path.Dir(addr), ""
	if path.IsAbs(addr) {
		var found bool
		if _, port, found = strings.Cut(path.Base(addr), ".s.PGSQL."); !found {
			return "", fmt.Errorf("socket %q: its name is not .s.PGSQL.<port>, which client programs expect", addr)
		}
	} else {
		var err error
		if host, port, err = net.SplitHostPort(addr); err != nil {
			return "", fmt.Errorf("address %q: %w", addr, err)
		}
	}
	tls := s.TLS
	if tls == "" {
		tls = "disable"
	}
	info := ""
	for _, kv := range [][2]string{{"host", host}, {"port", port}, {"user", s.User}, {"dbname", s.Database}, {"sslmode", tls}, {"application_name", "belay"}} {
		info += kv[0] + "=" + quoteParam(kv[1]) + " "
	}
	return strings.TrimSpace(info + s.trusted(host)), nil
}
