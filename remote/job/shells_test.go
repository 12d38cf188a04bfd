package job

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

// machine is this one, as a login with a home directory and a sh of its own.
type machine struct {
	home string
	path string // PATH whose sh is the one to try
	pre  []string
	over remote.Runner // how to get there
	mu   sync.Mutex
	pure int // calls that promised to change nothing
}

func (m *machine) Run(ctx context.Context, c remote.Cmd) error {
	m.mu.Lock()
	if c.Pure {
		m.pure++
	}
	m.mu.Unlock()
	c.Argv = append(append([]string{"env", "-u", "XDG_STATE_HOME", "HOME=" + m.home, "PATH=" + m.path}, m.pre...), c.Argv...)
	return m.over.Run(ctx, c)
}

// dir is where the job lives.
func (m *machine) dir(id string) string {
	return filepath.Join(m.home, ".local/state/belay/jobs", id)
}

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
	m := &machine{home: t.TempDir(), path: shPath(t, kind), over: remote.Local("here")}
	t.Cleanup(func() { endAll(t, m) })
	return m
}

// shPath is a PATH whose sh is of that kind. For busybox all else is busybox's
// as well.
func shPath(t testing.TB, kind string) string {
	bin := t.TempDir()
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
	return bin
}

func link(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Symlink(from, to); err != nil {
		t.Fatal(err)
	}
}

// endAll cancels whatever a test left running.
func endAll(t testing.TB, m *machine) {
	ids, _ := filepath.Glob(m.dir("*"))
	for _, id := range ids {
		if _, err := os.Stat(filepath.Join(id, "rc")); err == nil {
			continue
		}
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
		_, err := Cancel(ctx, m, filepath.Base(id), 0)
		stop()
		if err != nil && t.Context().Err() == nil {
			t.Logf("end %s: %v", id, err)
		}
	}
}

// until waits for cond, which must come true soon.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// lines counts the lines of a file; 0 when there is none.
func lines(path string) int {
	b, _ := os.ReadFile(path)
	return bytes.Count(b, []byte("\n"))
}

func randomInput(n int) secret.Value {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(b)
	return secret.New(string(b))
}
