package steps

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"belay/remote"
	"belay/remote/remotetest"
)

// As root, a session of another user is found and ended, and the client that
// does it runs as that user.
func TestProcessStopTmuxOfAnotherUser(t *testing.T) {
	remotetest.Need(t, "tmux", "setpriv")
	remotetest.NeedMachine(t)
	const nobody = 65534
	dir, err := os.MkdirTemp("", "b") // t.TempDir is not open to nobody
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	tmux := func(args ...string) error {
		cmd := exec.Command("tmux", append([]string{"-f", "/dev/null"}, args...)...)
		cmd.Env = append(os.Environ(), "TMUX_TMPDIR="+dir, "TMUX=", "HOME="+dir, "SHELL=/bin/sh") // nobody has no login shell of its own
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("tmux %s: %w: %s", args[0], err, out)
		}
		return nil
	}
	name := "chat-" + filepath.Base(dir)
	if err := tmux("new-session", "-d", "-s", name, "sleep 1000"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tmux("kill-server") })
	if err := tmux("new-session", "-d", "-s", "kept-"+name, "sleep 1000"); err != nil {
		t.Fatal(err)
	}
	s := &processStop{Tmux: name, Grace: remote.Duration(5e9), Children: true}
	e, log := runEnv(remote.Local("here"))
	todo, err := s.Pending(t.Context(), looking(e))
	if err != nil || !strings.Contains(fmt.Sprint(todo), "of nobody") {
		t.Fatalf("pending: %v, %v", todo, err)
	}
	mustApply(t, s, e)
	if tmux("has-session", "-t", "="+name) == nil {
		t.Errorf("the session is still there:\n%s", log)
	}
	if tmux("has-session", "-t", "=kept-"+name) != nil {
		t.Errorf("another session was ended too:\n%s", log)
	}
}
