package checks

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
)

// A real PostgreSQL is found by its process, with the version of its binary,
// without logging in.
func TestGatherSeesPostgreSQL(t *testing.T) {
	needRoot(t) // PostgreSQL itself must not be root; another user's process is the case to test
	remotetest.Need(t, "initdb", "postgres", "pg_isready")
	dir, err := os.MkdirTemp("", "checkspg")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	port := remotetest.FreePort(t)
	run := func(program string, arg ...string) *exec.Cmd {
		cmd := exec.Command(remotetest.Find(program), arg...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := run("initdb", "-D", data, "-A", "trust", "--no-sync", "-U", "pg").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	pg := run("postgres", "-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-k", dir, "-F")
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { pg.Process.Signal(syscall.SIGINT); pg.Wait() }()
	// It says no at once while the server still starts.
	ready := false
	for range 200 {
		if ready = run("pg_isready", "-h", "127.0.0.1", "-p", strconv.Itoa(port)).Run() == nil; ready {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if !ready {
		t.Fatal("postgres did not become ready in 10 s")
	}
	g := gathering{facts: some(clockFact, "identity", "ports", "processes", "users", "databases"), path: "$PATH:" + systemPath, limit: gatherLimit}
	f, err := g.run(t.Context(), remote.Local("here"))
	if err != nil {
		t.Fatal(err)
	}
	found := judgeHost(t, &DatabaseCheck{Kind: "postgresql", Port: port, Version: ">= 9"}, f)
	if found.Level != Pass {
		t.Errorf("%+v; databases %+v; missing %q", found, f.Databases, f.Missing)
	}
	if owner := judgeHost(t, &PortCheck{Port: port, Owner: "^postgres$"}, f); owner.Level != Pass {
		t.Errorf("%+v", owner)
	}
}
