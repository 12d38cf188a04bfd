package checks

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

// prefixed runs everything behind some words, such as setpriv's.
type prefixed struct {
	remote.Runner
	words []string
}

func (p prefixed) Run(ctx context.Context, c remote.Cmd) error {
	c.Argv = append(append([]string{}, p.words...), c.Argv...)
	return p.Runner.Run(ctx, c)
}

func needRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
}

func TestGatherAsAnotherUser(t *testing.T) {
	needRoot(t)
	remotetest.Need(t, "setpriv", "ss")
	port := listen(t)
	h := remote.Local("here")
	h.Runner = prefixed{h.Runner, []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}}
	f, err := Gather(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	if f.Root || f.User != "nobody" {
		t.Errorf("user %q, root %v", f.User, f.Root)
	}
	if !strings.Contains(strings.Join(f.Missing, "\n"), "ports (owners): ") {
		t.Errorf("hidden owners are not told of: %q", f.Missing)
	}
	if got := judgeHost(t, &PortCheck{Port: port, Owner: "checks"}, f); got.Level != Unknown {
		t.Errorf("a port whose owner is hidden: %s %s", got.Level, got.Text)
	}
	if got := judgeHost(t, &PortCheck{Port: port}, f); got.Level != Block {
		t.Errorf("a port that must be free: %s %s", got.Level, got.Text)
	}
	if got := standingOf(t, "rights", f); got[0].Level == Unknown || !strings.Contains(got[0].Text, "nobody") {
		t.Errorf("%+v", got)
	}
}

func TestGatherThroughSudo(t *testing.T) {
	needRoot(t)
	remotetest.Need(t, "sudo")
	h := remote.Local("here")
	h.Runner = remote.Sudo(h.Runner, secret.Value{})
	f, err := Gather(t.Context(), h)
	if err != nil || !f.Root {
		t.Errorf("facts %+v, %v", f, err)
	}
}

func TestGatherSeesTmuxSessions(t *testing.T) {
	remotetest.Need(t, "tmux")
	dir := t.TempDir()
	t.Setenv("TMUX_TMPDIR", dir)
	tmux := func(arg ...string) string {
		t.Helper()
		out, err := exec.Command("tmux", arg...).CombinedOutput()
		if err != nil {
			t.Fatalf("tmux %v: %v: %s", arg, err, out)
		}
		return string(out)
	}
	tmux("-f", "/dev/null", "new-session", "-d", "-s", "openhands-1 ü", "sleep 90")
	defer exec.Command("tmux", "kill-server").Run()
	pid := strings.TrimSpace(tmux("list-panes", "-a", "-F", "#{pane_pid}"))

	f, err := Gather(t.Context(), remote.Local("here"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range f.Tmux {
		if s.Name == "openhands-1 ü" {
			if s.User != f.User || s.Windows != 1 || s.Attached || len(s.PIDs) != 1 || pid == "" {
				t.Errorf("session %+v of user %s, pane %s", s, f.User, pid)
			}
			return
		}
	}
	t.Errorf("the session is not among %+v; missing: %q", f.Tmux, f.Missing)
}

// Who serves a tmux socket can make a client run commands. So root's gathering
// must come to a user's socket as that user.
func TestGatherComesToAUsersTmuxAsThatUser(t *testing.T) {
	needRoot(t)
	remotetest.Need(t, "tmux", "setpriv")
	base, err := os.MkdirTemp("", "tmuxtrap")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	dir := filepath.Join(base, "tmux-65534")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "trap")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, p := range []string{base, dir, filepath.Join(dir, "trap")} {
		if err := os.Chown(p, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	came := make(chan uint32, 10)
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			raw, err := c.SyscallConn()
			if err == nil {
				raw.Control(func(fd uintptr) {
					if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
						came <- cred.Uid
					}
				})
			}
			c.Close()
		}
	}()
	t.Setenv("TMUX_TMPDIR", base)
	g := gathering{facts: some("tmux", clockFact), path: "$PATH:" + systemPath, limit: gatherLimit}
	if _, err := g.run(t.Context(), remote.Local("here")); err != nil {
		t.Fatal(err)
	}
	select {
	case uid := <-came:
		if uid != 65534 {
			t.Errorf("uid %d came to the socket of uid 65534", uid)
		}
	default:
		t.Error("nobody came to the socket")
	}
}

// A process cannot write a line of the list of processes in another's name.
func TestHostileProcessNames(t *testing.T) {
	remotetest.Need(t, "sleep")
	const forged = "x\n 1 0 root 10 00:01 forged-process\np 1 0 #0 10 S\na forged-process\x1b[31m\n"
	cmd := exec.Command(remotetest.Find("sleep"), "95")
	cmd.Args[0] = forged
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	for name, path := range map[string]string{"ps": "$PATH:" + systemPath, "proc": onlyBusybox(t)} {
		g := gathering{facts: some("processes", clockFact, "users"), path: path, limit: gatherLimit}
		f, err := g.run(t.Context(), remote.Local("here"))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range f.Processes {
			if strings.HasPrefix(p.Args, "forged") || strings.Contains(p.Args, "\x1b") || p.PID == 1 && strings.Contains(p.Args, "forged") {
				t.Errorf("%s: %+v", name, p)
			}
		}
	}
}

// Of our own programs nothing is left behind, also after what hung.
func TestGatherLeavesNothingBehind(t *testing.T) {
	remotetest.Need(t, "sleep")
	g := gathering{facts: append(some(clockFact), fact{
		name: "zzz", limit: 100, script: "lim 1 sleep 1234.5" + strings.Repeat("\nlim 77 true", 50), parse: func([]byte, *Facts) error { return nil },
	}), path: "$PATH:" + systemPath, limit: gatherLimit}
	for name, shell := range shells(t) {
		if _, err := g.run(t.Context(), shellHost(shell...)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	g.facts = some("processes", clockFact)
	f, err := g.run(t.Context(), remote.Local("here"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Processes {
		if strings.Contains(p.Args, "sleep 1234.5") || p.Args == "sleep 77" {
			t.Errorf("left behind: %+v", p)
		}
	}
}
