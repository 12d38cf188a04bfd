package remotetest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresOptions change the server of StartPostgres.
type PostgresOptions struct {
	User     string   // the superuser; default belay
	Password string   // of the superuser; TCP then asks every role for one (scram-sha-256); else it trusts whoever comes
	Encoding string   // default UTF8
	Locale   string   // default C
	Settings []string // lines of postgresql.conf: "wal_level = logical"
	HBA      []string // lines of pg_hba.conf, before ours (the first that matches counts)
	Dir      string   // parent of Dir, such as a small file system; default the system's own
	Programs string   // what Newer gave: the server in there; default the system's
	Initdb   []string // more of its arguments: "--locale-provider=builtin", "--builtin-locale=C.UTF-8"
}

// Postgres is a PostgreSQL server of one test's own on 127.0.0.1. What it
// keeps is not synced to the disk: it survives Kill, not a power cut.
type Postgres struct {
	Addr     string // 127.0.0.1:port
	Port     int
	Socket   string // path of the socket; there the superuser is trusted
	User     string
	Password string
	Dir      string // Dir/data is the data directory, Dir/log what the server says
	Bin      string // the directory of its programs, pg_dump and psql among them, if they are not the system's

	process
	t testing.TB
}

// StartPostgres starts one and ends it with the test. As root it runs as
// nobody, for PostgreSQL refuses to be root. There is no database yet besides
// those of initdb.
func StartPostgres(t testing.TB, o PostgresOptions) *Postgres {
	t.Helper()
	bin := ""
	if Need(t, "initdb", "postgres"); o.Programs != "" {
		bin = filepath.Dir(needIn(t, o.Programs, "initdb"))
	}
	dir, err := os.MkdirTemp(o.Dir, "belaypg") // t.TempDir is not open to nobody
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port := FreePort(t)
	p := &Postgres{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Port: port, Dir: dir, Bin: bin, t: t, process: process{log: filepath.Join(dir, "log")},
		Socket: filepath.Join(dir, fmt.Sprintf(".s.PGSQL.%d", port)),
		User:   or(o.User, "belay"), Password: o.Password,
	}
	if os.Getuid() == 0 {
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := p.command("initdb", append([]string{"-D", p.data(), "-A", "trust", "--no-sync", "-U", p.User,
		"-E", or(o.Encoding, "UTF8"), "--locale=" + or(o.Locale, "C")}, o.Initdb...)...).CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	p.configure(o)
	t.Cleanup(p.Kill)
	p.Start()
	if o.Password != "" {
		p.Exec("postgres", fmt.Sprintf("alter role %s password '%s'",
			pgx.Identifier{p.User}.Sanitize(), strings.ReplaceAll(o.Password, "'", "''")))
	}
	return p
}

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

func (p *Postgres) configure(o PostgresOptions) {
	p.t.Helper()
	tcp := "trust"
	if o.Password != "" {
		tcp = "scram-sha-256"
	}
	hba := append(append([]string{}, o.HBA...), "local all all trust", "local replication all trust",
		"host all all 127.0.0.1/32 "+tcp, "host replication all 127.0.0.1/32 "+tcp)
	// The last of two like settings counts.
	conf := append([]string{"listen_addresses = '127.0.0.1'", "port = " + strconv.Itoa(p.Port), "unix_socket_directories = '" + p.Dir + "'",
		"fsync = off", "password_encryption = 'scram-sha-256'", "shared_buffers = 32MB"}, o.Settings...)
	for name, lines := range map[string][]string{"pg_hba.conf": hba, "postgresql.conf": conf} {
		// Over initdb's file, which belongs to whom the server runs as.
		if err := os.WriteFile(filepath.Join(p.data(), name), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *Postgres) data() string { return filepath.Join(p.Dir, "data") }

func (p *Postgres) command(program string, arg ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(p.Bin, program), arg...)
	if p.Bin == "" {
		c = exec.Command(Find(program), arg...)
	}
	c.Dir, c.Env = p.Dir, append(os.Environ(), "HOME="+p.Dir)
	asNobody(c)
	return c
}

// Start starts the server, anew after Stop or Kill, and waits until it answers.
func (p *Postgres) Start() {
	p.t.Helper()
	p.start(p.t, p.command("postgres", "-D", p.data()), func() bool {
		c, err := p.connect("postgres")
		if err == nil {
			c.Close(context.Background())
		}
		return err == nil
	})
}

// Stop shuts the server down as an operator would (fast: sessions are ended,
// everything is written), and waits for its end.
func (p *Postgres) Stop() { p.end(syscall.SIGINT) }

// Kill ends the server as a crash does: the postmaster and whatever serves
// connections, at once.
func (p *Postgres) Kill() {
	if p.cmd == nil {
		return
	}
	// Stopped first, it cannot make one more child between look and kill: one
	// that lives on keeps the server from starting again.
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	all := descendants(p.cmd.Process.Pid)
	_ = p.cmd.Process.Kill()
	signal(all, syscall.SIGKILL)
	_ = p.cmd.Wait()
	p.cmd = nil
	untilGone(all)
}

// untilGone waits until processes that were killed have let go of what they
// held, for half a minute at most: a killed one is not dead at once.
func untilGone(pids []int) {
	for range 1200 {
		pids = slices.DeleteFunc(pids, func(pid int) bool {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err != nil || strings.Contains(string(b), ") Z ")
		})
		if len(pids) == 0 {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
}

// URL is how the superuser reaches a database over TCP.
func (p *Postgres) URL(database string) string {
	who := url.User(p.User)
	if p.Password != "" {
		who = url.UserPassword(p.User, p.Password)
	}
	u := url.URL{Scheme: "postgres", User: who, Host: p.Addr, Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// connect goes by the socket, where no password is asked for.
func (p *Postgres) connect(database string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, err
	}
	c.Host, c.Port, c.User, c.Database, c.Password = p.Dir, uint16(p.Port), p.User, database, ""
	c.Fallbacks = nil
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return pgx.ConnectConfig(ctx, c)
}

// Exec runs SQL in a database as the superuser, beside belay. Without args
// there may be several statements.
func (p *Postgres) Exec(database, sql string, args ...any) {
	p.t.Helper()
	c, err := p.connect(database)
	if err == nil {
		defer c.Close(context.Background())
		if len(args) == 0 {
			_, err = c.PgConn().Exec(context.Background(), sql).ReadAll()
		} else {
			_, err = c.Exec(context.Background(), sql, args...)
		}
	}
	if err != nil {
		p.t.Fatalf("%.300s: %v", sql, err)
	}
}

// Ask returns the first column of every row of a query, as text; NULL is "∅".
func (p *Postgres) Ask(database, sql string) []string {
	p.t.Helper()
	c, err := p.connect(database)
	if err != nil {
		p.t.Fatal(err)
	}
	defer c.Close(context.Background())
	var all []string
	results, err := c.PgConn().Exec(context.Background(), sql).ReadAll()
	for _, r := range results {
		for _, row := range r.Rows {
			if row[0] == nil {
				row[0] = []byte("∅")
			}
			all = append(all, string(row[0]))
		}
	}
	if err != nil {
		p.t.Fatalf("%.300s: %v", sql, err)
	}
	return all
}
