package hold

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
)

// machine is this one, as a login with a lock and a sh of its own.
type machine struct {
	lock string
	path string // PATH whose sh is the one to try
	pre  []string
	over remote.Runner // how to get there
}

func (m *machine) Run(ctx context.Context, c remote.Cmd) error {
	c.Argv = append(append([]string{"env", "BELAY_LOCK=" + m.lock, "PATH=" + m.path}, m.pre...), c.Argv...)
	return m.over.Run(ctx, c)
}

func (m *machine) host(name string) remote.Host { return remote.Host{Name: name, Runner: m} }

// shells runs test with every kind of sh.
func shells(t *testing.T, test func(t *testing.T, m *machine)) {
	for _, kind := range []string{"dash", "bash", "busybox"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, newMachine(t, kind))
		})
	}
}

func newMachine(t testing.TB, kind string) *machine {
	remotetest.Need(t, kind)
	return &machine{lock: filepath.Join(t.TempDir(), "belay.lock"), path: shPath(t, kind), over: remote.Local("here")}
}

// shPath is a PATH whose sh is of that kind. For busybox all else is busybox's
// as well.
func shPath(t testing.TB, kind string) string {
	bin := openDir(t)
	if kind != "busybox" {
		link(t, remotetest.Find(kind), filepath.Join(bin, "sh"))
		return bin + ":/usr/bin:/bin"
	}
	box := remotetest.Find("busybox")
	out, err := exec.Command(box, "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, applet := range strings.Fields(string(out)) {
		link(t, box, filepath.Join(bin, filepath.Base(applet)))
	}
	// Only to get into a login of another account.
	for _, program := range []string{"setpriv"} {
		if p := remotetest.Find(program); p != "" {
			os.Remove(filepath.Join(bin, program))
			link(t, p, filepath.Join(bin, program))
		}
	}
	return bin
}

// openDir is a directory that every account can reach.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "belay-hold-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func link(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Symlink(from, to); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// beside lists what lies beside the lock, without it.
func (m *machine) beside(t testing.TB) []string {
	t.Helper()
	found, err := filepath.Glob(m.lock + "?*")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func rec(run string) Record {
	return Record{Run: run, Plan: "chat", Login: "ada", From: "10.0.0.5", Bastion: "gate", Since: time.Date(2026, 11, 21, 8, 0, 0, 5, time.UTC), Why: "run"}
}
