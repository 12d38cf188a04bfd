package steps

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

// runBox is this machine as a login with a home directory and a sh of its own.
type runBox struct {
	home string
	env  []string
	over remote.Runner
}

func (b *runBox) Run(ctx context.Context, c remote.Cmd) error {
	c.Argv = append(append([]string{"env", "-u", "XDG_STATE_HOME", "HOME=" + b.home}, b.env...), c.Argv...)
	return b.over.Run(ctx, c)
}

func (b *runBox) host() remote.Host {
	return remote.Host{Name: "chat", Runner: b, Dialer: remote.Local("chat").Dialer}
}

// inShells runs test with every kind of sh; with busybox, all else is
// busybox's as well.
func inShells(t *testing.T, test func(t *testing.T, b *runBox)) {
	for _, kind := range []string{"dash", "bash", "busybox"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			remotetest.Need(t, kind)
			bin, path := t.TempDir(), ":/usr/bin:/bin"
			names := []string{"sh"}
			if kind == "busybox" {
				out, err := exec.Command(remotetest.Find(kind), "--list").Output()
				if err != nil {
					t.Fatal(err)
				}
				names, path = strings.Fields(string(out)), ""
			}
			for _, name := range names {
				if err := os.Symlink(remotetest.Find(kind), filepath.Join(bin, filepath.Base(name))); err != nil {
					t.Fatal(err)
				}
			}
			b := &runBox{home: t.TempDir(), env: []string{"PATH=" + bin + path}, over: remote.Local("chat")}
			t.Cleanup(func() { endJobs(t, b.home) })
			test(t, b)
		})
	}
}

// endJobs ends, by the pids that the jobs wrote down, what a failed test left.
func endJobs(t *testing.T, home string) {
	pids, _ := filepath.Glob(home + "/.local/state/belay/jobs/*/pid")
	for _, file := range pids {
		b, _ := os.ReadFile(file)
		first, _, _ := strings.Cut(string(b), " ")
		if _, err := os.Stat(filepath.Join(filepath.Dir(file), "rc")); err == nil {
			continue
		}
		pid, err := strconv.Atoi(first)
		whose, _ := os.ReadFile("/proc/" + first + "/environ")
		if err == nil && pid > 1 && bytes.Contains(whose, []byte("BELAY_JOB="+home)) {
			t.Logf("ending job of %s", filepath.Dir(file))
			_ = syscall.Kill(-pid, syscall.SIGKILL)
		}
	}
}

// safeBuffer is a log that several goroutines may write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// runEnv is an Env on h with an empty memory.
func runEnv(h remote.Host) (Env, *safeBuffer) {
	log := &safeBuffer{}
	return Env{
		ID: "move-1.step.chat", Host: h, Hosts: remote.Hosts{h.Name: h}, Memory: MapMemory{}, Log: log,
		Say: func(Progress) {}, Link: func(string) {},
		Secret: func(context.Context, string) (secret.Value, error) {
			return secret.Value{}, errors.New("there are no secrets here")
		},
	}, log
}

// looking is e as Pending and Verify get it.
func looking(e Env) Env {
	e.Host = remote.ReadOnly(e.Host)
	hosts := remote.Hosts{}
	for name, h := range e.Hosts {
		hosts[name] = remote.ReadOnly(h)
	}
	hosts[e.Host.Name] = e.Host
	e.Hosts = hosts
	return e
}

// crash makes belay die at its at-th act, a command sent or a value
// remembered: right before it, or right after it with nobody there to hear how
// it went.
type crash struct {
	remote.Runner
	Memory
	at     int
	after  bool
	acts   int
	cancel context.CancelCauseFunc
}

var errCrash = errors.New("killed")

func (c *crash) act(do func() error) error {
	c.acts++
	if c.acts < c.at || c.at == 0 {
		return do()
	}
	if c.acts == c.at && c.after {
		_ = do()
	}
	c.cancel(ErrDetach)
	return errCrash
}

func (c *crash) Run(ctx context.Context, cmd remote.Cmd) error {
	return c.act(func() error { return c.Runner.Run(context.WithoutCancel(ctx), cmd) })
}

func (c *crash) Put(key string, v any) error {
	return c.act(func() error { return c.Memory.Put(key, v) })
}

// crashing calls do with an env that dies at act at, and tells whether it did.
func crashing(t *testing.T, e Env, at int, after bool, do func(ctx context.Context, e Env) error) bool {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	c := &crash{Runner: e.Host.Runner, Memory: e.Memory, at: at, after: after, cancel: cancel}
	e.Host.Runner, e.Memory = c, c
	e.Hosts = maps.Clone(e.Hosts)
	e.Hosts[e.Host.Name] = e.Host
	err := do(ctx, e)
	if c.acts < at {
		if err != nil {
			t.Fatalf("no crash, and yet: %v", err)
		}
		return false
	}
	return true
}

// resume does what the engine does with a step that was begun and not seen to
// end; ask is called where a person would be.
func resume(t *testing.T, s Step, e Env, ask func()) {
	t.Helper()
	if r, ok := s.(Resumer); ok {
		if on, err := r.Underway(looking(e)); err != nil {
			t.Fatal(err)
		} else if on {
			mustApply(t, s, e)
			return
		}
	}
	todo, err := s.Pending(t.Context(), looking(e))
	if err != nil {
		t.Fatal(err)
	}
	if len(todo) > 0 {
		ask()
		mustApply(t, s, e)
		return
	}
	if err := s.Verify(t.Context(), looking(e)); err != nil {
		t.Fatal(err)
	}
}

func mustApply(t *testing.T, s Step, e Env) {
	t.Helper()
	if err := s.Apply(t.Context(), e); err != nil {
		t.Fatalf("apply: %v\n%s", err, e.Log)
	}
	if err := s.Verify(t.Context(), looking(e)); err != nil {
		t.Fatalf("verify: %v\n%s", err, e.Log)
	}
}

// content of a file; "" when it is not there.
func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}
