package steps

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/ssh"
)

// TestFilesSyncLinkCut kills the sessions of a real sshd in the middle of a
// copy. What had arrived is not sent again, and nothing is doubled.
func TestFilesSyncLinkCut(t *testing.T) {
	d := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	n := ssh.NewNetwork(ssh.Options{Config: d.Config, Home: d.Home, Agent: "none"})
	t.Cleanup(func() { n.Close() })
	there, err := n.Open(d.Name, ssh.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	const size = 12 << 20
	for i := range 8 {
		fileWrite(t, fmt.Sprintf("%s/a/d%d/big", dir, i), string(bytes.Repeat([]byte{byte('a' + i)}, size)), 0o640)
	}
	s := filesSyncStep(dir+"/a", dir+"/b")
	e := newFileEnv(nil)
	here := remote.Local("old")
	there.Name = "new"
	e.Host, e.Hosts = remote.Host{}, remote.Hosts{"old": here, "new": there}
	var cut sync.Once
	var total atomic.Int64
	e.Say = func(p Progress) {
		if p.Unit == "B" && p.Done > 40<<20 {
			cut.Do(d.KillSessions)
		}
	}
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "goes on from there") {
		t.Fatalf("cut in the middle: %v", err)
	}
	e.Say = func(p Progress) {
		if p.Unit == "B" {
			total.Store(p.Total)
		}
	}
	e.apply(t, s)
	e.verify(t, s)
	if n := total.Load(); n == 0 || n >= 8*size {
		t.Errorf("%d bytes were sent by the second attempt; of %d some had arrived", n, 8*size)
	}
	if diff := cmp.Diff(filesSyncSnapshot(t, dir+"/a"), filesSyncSnapshot(t, dir+"/b")); diff != "" {
		t.Errorf("-source +copy:\n%s", diff)
	}
}

// TestFilesSyncDiskFull fills the target's file system in the middle: it is
// told, and undo leaves it as it was.
func TestFilesSyncDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	shell := fileShells(t)["dash"]
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/small", 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "belay-test", dir+"/small").CombinedOutput(); err != nil {
		t.Skipf("no small file system here: %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir+"/small").CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	})
	for i := range 900 { // a byte each, and a page each on the disk
		fileWrite(t, fmt.Sprintf("%s/a/f%d", dir, i), "x", 0o644)
	}
	s := filesSyncStep(dir+"/a", dir+"/small/b")
	e := filesSyncEnv(shell, shell)
	for _, by := range []string{"tar", "rsync"} {
		s.By, e.Memory = by, MapMemory{}
		if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "No space left") {
			t.Fatalf("a full disk, by %s: %v", by, err)
		}
		e.undo(t, s)
		left, err := os.ReadDir(dir + "/small")
		if err != nil || len(left) > 0 {
			t.Errorf("left behind by %s: %v %v", by, left, err)
		}
	}
	fileWrite(t, dir+"/a/huge", strings.Repeat("x", 4<<20), 0o644)
	if _, err := s.Pending(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "are free there") {
		t.Errorf("more than there is room for: %v", err)
	}
}

// TestFilesSyncCut cuts either link before and after every command: the next
// attempt goes on, and the outcome is the same; or undo leaves nothing behind.
func TestFilesSyncCut(t *testing.T) {
	shell := fileShells(t)["dash"]
	for _, by := range []string{"tar", "rsync"} {
		for _, delta := range []bool{false, true} {
			for _, host := range []string{"old", "new"} {
				for cut := 1; ; cut++ {
					done := false
					for i, after := range []bool{false, true} {
						if by == "tar" || after == (cut%2 == 0) { // what the roads share was cut by the first one
							done = filesSyncCut(t, shell, by, delta, host, cut, after, (cut/2+i)%2 == 0)
						}
					}
					if done {
						break
					}
				}
			}
		}
	}
}

// filesSyncCut tells whether the step ended without coming to that command.
func filesSyncCut(t *testing.T, shell []string, by string, delta bool, host string, cut int, after, undo bool) bool {
	t.Helper()
	name := fmt.Sprintf("by %s, delta %v, %s cut at %d, after %v, undo %v", by, delta, host, cut, after, undo)
	dir := t.TempDir()
	fileWrite(t, dir+"/a/d/f", "new content", 0o644)
	fileWrite(t, dir+"/a/g", "g", 0o644)
	fileWrite(t, dir+"/a/n/x", "x", 0o700)
	s := filesSyncStep(dir+"/a", dir+"/b")
	s.By = by
	if delta {
		s.Delta, s.Delete = true, true
		fileWrite(t, dir+"/b/d/f", "old content", 0o600)
		fileWrite(t, dir+"/b/h/i", "only there", 0o600)
		fileWrite(t, dir+"/b/n", "was a file", 0o600)
	}
	before := fileSnapshot(t, dir, nil)
	e := filesSyncEnv(shell, shell)
	r := e.Hosts[host].Runner.(*fileRunner)
	r.cut, r.after = cut, after
	err := s.Apply(t.Context(), e.Env)
	if !r.wasCut() {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return true
	}
	if err == nil && !after {
		t.Errorf("%s: a cut link was not told", name)
	}
	r.cut = 0
	if undo {
		if err := s.Undo(t.Context(), e.Env); err != nil {
			t.Errorf("%s: undo: %v", name, err)
		}
	} else {
		e.apply(t, s)
		e.verify(t, s)
		if d := cmp.Diff(filesSyncSnapshot(t, dir+"/a"), filesSyncSnapshot(t, dir+"/b")); d != "" {
			t.Errorf("%s: -source +copy:\n%s", name, d)
		}
		if err := s.Undo(t.Context(), e.Env); err != nil {
			t.Errorf("%s: undo at last: %v", name, err)
		}
	}
	if d := cmp.Diff(before, fileSnapshot(t, dir, nil)); d != "" {
		t.Errorf("%s: after undo: -before +now:\n%s", name, d)
	}
	return false
}
