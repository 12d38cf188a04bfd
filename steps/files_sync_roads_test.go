package steps

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/ssh"
)

// sentRunner counts what a host's commands write.
type sentRunner struct {
	remote.Runner
	n   atomic.Int64
	max int64  // then do is called once, before more gets through; 0: never
	do  func() // safe to be called from several goroutines
}

func (r *sentRunner) Run(ctx context.Context, c remote.Cmd) error {
	if c.Stdout != nil {
		c.Stdout = &sentWriter{c.Stdout, r}
	}
	return r.Runner.Run(ctx, c)
}

type sentWriter struct {
	io.Writer
	r *sentRunner
}

func (w *sentWriter) Write(p []byte) (int, error) {
	if n := w.r.n.Add(int64(len(p))); w.r.max > 0 && n > w.r.max {
		w.r.do()
	}
	return w.Writer.Write(p)
}

// filesRandom is a file that nothing makes smaller.
func filesRandom(size int) string {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(b) // never fails
	return string(b)
}

// TestFilesSyncPart: of a large file that changed in the middle only that goes
// over; what was there comes back; by auto, a file of which a part had arrived
// when the sessions were killed goes on from there.
func TestFilesSyncPart(t *testing.T) {
	remotetest.Need(t, "rsync")
	d := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	n := ssh.NewNetwork(ssh.Options{Config: d.Config, Home: d.Home, Agent: "none"})
	t.Cleanup(func() { n.Close() })
	there, err := n.Open(d.Name, ssh.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	there.Name = "new"
	const size = 16 << 20
	text := filesRandom(size)
	changed := text[:size/2] + "changed" + text[size/2+7:]
	for _, full := range []bool{false, true} {
		for _, by := range []string{"auto", "rsync"} {
			t.Run(fmt.Sprintf("%s, full %v", by, full), func(t *testing.T) {
				dir := t.TempDir()
				here := remote.Local("old")
				var cut sync.Once
				sent := &sentRunner{Runner: here.Runner, max: size * 3 / 4, do: func() { cut.Do(d.KillSessions) }}
				here.Runner = sent
				fileWrite(t, dir+"/a/d/big", text, 0o640)
				if full {
					fileWrite(t, dir+"/b/mine", "mine", 0o600)
				}
				s := filesSyncStep(dir+"/a", dir+"/b")
				s.By, s.Delta = by, full
				e := newFileEnv(nil)
				e.Host, e.Hosts = remote.Host{}, remote.Hosts{"old": here, "new": there}
				if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "goes on from there") {
					t.Fatalf("cut in the middle: %v", err)
				}
				sent.max = 0
				sent.n.Store(0)
				e.apply(t, s)
				e.verify(t, s)
				// What was under way did not arrive; a killed rsync keeps nothing.
				if got := sent.n.Load(); by == "auto" && got > size*15/16 {
					t.Errorf("much had arrived, and %d of %d bytes were sent by the second attempt", got, size)
				}
				filesSyncChanged(t, dir, by, e, sent, changed)
				if content(t, dir+"/b/d/big") != text {
					t.Error("undo of the second step did not bring back what was there")
				}
				e.undo(t, s)
				if left, err := filepath.Glob(dir + "/b/*"); err != nil || len(left) > 1 || full != (len(left) == 1) {
					t.Errorf("left after undo: %v %v", left, err)
				}
			})
		}
	}
}

// filesSyncChanged brings one changed block over, and goes back.
func filesSyncChanged(t *testing.T, dir, by string, e *fileEnv, sent *sentRunner, changed string) {
	t.Helper()
	fileWrite(t, dir+"/a/d/big", changed, 0o640)
	s := filesSyncStep(dir+"/a", dir+"/b")
	s.By, s.Delta = by, true
	again := newFileEnv(nil)
	again.Host, again.Hosts, again.ID = e.Host, e.Hosts, "run1.delta"
	if c := again.pending(t, s); len(c) < 1 || !strings.Contains(c[0].Text, "rsync") {
		t.Errorf("pending does not say how: %+v", c)
	}
	sent.n.Store(0)
	again.apply(t, s)
	again.verify(t, s)
	if got := sent.n.Load(); got > 1<<20 {
		t.Errorf("%d bytes were sent for one changed block; log:\n%s", got, again.log.String())
	}
	again.undo(t, s)
	if left, err := filepath.Glob(dir + "/.b.belay-run1.delta*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// filesACL is an access list as the kernel has it (linux/posix_acl_xattr.h):
// owner rw-, user 1234 r--, group r--, mask r--, others none.
func filesACL() []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, 6, ^uint32(0)}, {2, 4, 1234}, {4, 4, ^uint32(0)}, {16, 4, ^uint32(0)}, {32, 0, ^uint32(0)}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// filesXattrs are the extended attributes of everything in a directory.
func filesXattrs(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		names := make([]byte, 4096)
		n, err := unix.Llistxattr(p, names)
		if err != nil {
			return err
		}
		for name := range bytes.SplitSeq(names[:n], []byte{0}) {
			if len(name) == 0 {
				continue
			}
			value := make([]byte, 4096)
			n, err := unix.Lgetxattr(p, string(name), value)
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel(dir, p)
			all[rel+" "+string(name)] = fmt.Sprintf("%q", value[:n])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestFilesSyncAttributes: extended attributes, capabilities and access lists
// come over by either road, also onto files that were there.
func TestFilesSyncAttributes(t *testing.T) {
	remotetest.Need(t, "rsync")
	if os.Getuid() != 0 {
		t.Skip("capabilities are root's to give")
	}
	shell := fileShells(t)["dash"]
	src := t.TempDir()
	for _, name := range []string{"/user", "/cap", "/acl", "/d/plain"} {
		fileWrite(t, src+name, name, 0o640)
	}
	set := func(p, name string, value []byte) {
		t.Helper()
		if err := unix.Lsetxattr(p, name, value, 0); err != nil {
			if slices.Contains([]error{unix.ENOTSUP, unix.EPERM}, err) {
				t.Skipf("%s has no %s: %v", p, name, err)
			}
			t.Fatal(err)
		}
	}
	set(src+"/user", "user.origin", []byte("here\x00there\n"))
	set(src+"/d", "user.of dir", []byte("x"))
	set(src+"/cap", "security.capability", []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	set(src+"/acl", "system.posix_acl_access", filesACL())
	set(src+"/d", "system.posix_acl_default", filesACL())
	want := filesXattrs(t, src)
	if len(want) != 5 {
		t.Fatalf("not all was set: %v", want)
	}
	for _, by := range []string{"tar", "rsync"} {
		for _, was := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, there before %v", by, was), func(t *testing.T) {
				dir := t.TempDir()
				if was {
					for _, name := range []string{"/user", "/cap", "/acl", "/d/plain"} {
						fileWrite(t, dir+"/b"+name, "old", 0o600)
					}
				}
				before := filesSyncSnapshot(t, dir)
				s := filesSyncStep(src, dir+"/b")
				s.By, s.Delta = by, was
				e := filesSyncEnv(shell, shell)
				e.apply(t, s)
				e.verify(t, s)
				if d := cmp.Diff(want, filesXattrs(t, dir+"/b")); d != "" {
					t.Errorf("-source +copy:\n%s", d)
				}
				e.undo(t, s)
				after := filesSyncSnapshot(t, dir)
				delete(before, ".")
				delete(after, ".")
				if d := cmp.Diff(before, after); d != "" {
					t.Errorf("after undo: -before +now:\n%s", d)
				}
			})
		}
	}
}

// TestFilesSyncNoRsync: forced where one host has none, it is refused before
// anything is changed.
func TestFilesSyncNoRsync(t *testing.T) {
	shells := fileShells(t)
	dir := t.TempDir()
	fileWrite(t, dir+"/a/f", "x", 0o644)
	s := filesSyncStep(dir+"/a", dir+"/b")
	s.By = "rsync"
	e := filesSyncEnv(shells["dash"], shells["busybox"])
	if _, err := s.Pending(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "rsync 3.1 or later is not installed") {
		t.Errorf("pending: %v", err)
	}
	if err := s.Apply(t.Context(), e.Env); err == nil {
		t.Error("it was applied")
	}
}
