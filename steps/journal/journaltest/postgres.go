package journaltest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"belay/remote/remotetest"
)

// Postgres is a PostgreSQL server of one test's own, on a loopback port. Its
// role and database are named belay, and it trusts whoever comes.
type Postgres struct {
	URL  string
	Port int

	dir  string
	proc *exec.Cmd
}

// StartPostgres starts one and ends it with the test. As root it runs as
// nobody, for PostgreSQL refuses to be root.
func StartPostgres(t testing.TB) *Postgres {
	t.Helper()
	remotetest.Need(t, "initdb", "postgres")
	dir, err := os.MkdirTemp("", "belaypg") // t.TempDir is not open to nobody
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port := remotetest.FreePort(t)
	p := &Postgres{URL: fmt.Sprintf("postgres://belay@127.0.0.1:%d/belay?sslmode=disable", port), Port: port, dir: dir}
	if os.Getuid() == 0 {
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := p.command("initdb", "-D", p.data(), "-A", "trust", "--no-sync", "-U", "belay", "-E", "UTF8", "--locale=C").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	p.Start(t)
	t.Cleanup(p.Kill)
	c, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://belay@127.0.0.1:%d/postgres?sslmode=disable", port))
	if err == nil {
		_, err = c.Exec(t.Context(), `create database belay`)
		c.Close(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

func (p *Postgres) command(program string, arg ...string) *exec.Cmd {
	c := exec.Command(remotetest.Find(program), arg...)
	c.Dir, c.Env = p.dir, append(os.Environ(), "HOME="+p.dir)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	return c
}

// Start starts the server, anew after Kill, and waits until it answers.
func (p *Postgres) Start(t testing.TB) {
	t.Helper()
	p.proc = p.command("postgres", "-D", p.data(), "-p", strconv.Itoa(p.Port), "-c", "listen_addresses=127.0.0.1", "-k", "")
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.proc.Stderr = log
	if err := p.proc.Start(); err != nil {
		t.Fatal(err)
	}
	for range 1200 {
		c, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://belay@127.0.0.1:%d/postgres?sslmode=disable", p.Port))
		if err == nil {
			c.Close(context.Background())
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	said, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	t.Fatalf("postgres does not answer in 30 s:\n%s", said)
}

// Kill kills the server as a crash does: the postmaster and whatever serves
// connections, at once.
func (p *Postgres) Kill() {
	if p.proc == nil {
		return
	}
	// Its children have groups of their own; they are found by their parent,
	// which must not make more of them meanwhile: one that lives on keeps the
	// server from starting again.
	_ = p.proc.Process.Signal(syscall.SIGSTOP)
	var all []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		var pid, ppid int
		var state string
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		var name string
		if _, err := fmt.Sscan(string(b), &pid, &name, &state, &ppid); err == nil && ppid == p.proc.Process.Pid {
			all = append(all, pid)
		}
	}
	_ = p.proc.Process.Kill()
	for _, pid := range all {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = p.proc.Wait()
	p.proc = nil
	remotetest.UntilGone(all)
}

// Exec runs SQL as the test, beside belay.
func (p *Postgres) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), p.URL)
	if err == nil {
		defer c.Close(context.Background())
		_, err = c.Exec(t.Context(), sql, args...)
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
