package steps

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/checks"
	"belay/remote"
)

// filesSyncTree writes all that a tree can hold.
func filesSyncTree(t *testing.T, dir string) {
	t.Helper()
	fileWrite(t, dir+"/app/data/f 'x' \"y\"", strings.Repeat("content ", 1000), 0o640)
	fileWrite(t, dir+"/app/run.sh", "#!/bin/sh\n", 0o4755)
	fileWrite(t, dir+"/-rf", "", 0o600)
	fileWrite(t, dir+"/a\nb/c\\d\n", "line breaks\n", 0o644)
	fileWrite(t, dir+"/ blank \xff\x80", "no UTF-8", 0o644)
	fileWrite(t, dir+"/$(touch oops)`*`[a]", "expands", 0o644)
	fileWrite(t, dir+"/.hidden/..dots", "x", 0o600)
	fileWrite(t, dir+"/hard/one", "linked", 0o644)
	for _, err := range []error{
		os.Link(dir+"/hard/one", dir+"/app/two"),
		os.Link(dir+"/hard/one", dir+"/three"),
		os.Symlink("data/f 'x' \"y\"", dir+"/app/rel"),
		os.Symlink("/etc/passwd", dir+"/app/abs"),
		os.Symlink("no\nwhere", dir+"/app/gone"),
		os.Symlink("..", dir+"/app/up"),
		os.MkdirAll(dir+"/empty/deep", 0o755),
		os.Chmod(dir+"/empty", 0o2710),
		syscall.Mkfifo(dir+"/pipe", 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	sparse, err := os.Create(dir + "/sparse")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sparse.WriteAt([]byte("end"), 8<<20); err != nil {
		t.Fatal(err)
	}
	if err := sparse.Close(); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		for _, p := range []string{"app/data", "app/rel", "three", "pipe"} {
			if err := os.Lchown(dir+"/"+p, 1234, 5678); err != nil {
				t.Fatal(err)
			}
		}
	}
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, p := range []string{"app/data", "app", "three", ".", "empty"} {
		if err := os.Chtimes(dir+"/"+p, old, old); err != nil {
			t.Fatal(err)
		}
	}
}

// filesSyncSnapshot is fileSnapshot with times, and with what is one file.
func filesSyncSnapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	first := map[uint64]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		sys := st.Sys().(*syscall.Stat_t)
		s := fmt.Sprintf("%s %d:%d", st.Mode(), sys.Uid, sys.Gid)
		switch {
		case st.Mode()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(p)
			s += " -> " + to
		case st.Mode().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			if len(b) > 10000 {
				b = []byte(fmt.Sprint(len(b)))
			}
			s += fmt.Sprintf(" %d %q", st.ModTime().Unix(), b)
			if sys.Nlink > 1 {
				if f, ok := first[sys.Ino]; ok {
					s += " is " + f
				}
				first[sys.Ino] = rel
			}
		default:
			s += fmt.Sprintf(" %d", st.ModTime().Unix())
		}
		all[rel] = s
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// filesSyncEnv has two hosts, each with its own shell and tools.
func filesSyncEnv(from, to []string) *fileEnv {
	e := newFileEnv(nil)
	e.Host = remote.Host{}
	e.Hosts = remote.Hosts{
		"old": {Name: "old", Runner: &fileRunner{shell: from}},
		"new": {Name: "new", Runner: &fileRunner{shell: to}},
	}
	return e
}

func filesSyncStep(from, to string) *filesSync {
	return &filesSync{From: filesEnd{"old", from}, To: filesEnd{"new", to}}
}

// TestFilesSync copies a tree with everything in it between hosts with GNU
// tools and with busybox, by either road; a second pass finds nothing; what changes then is
// sent alone, what it replaces comes back.
func TestFilesSync(t *testing.T) {
	shells := fileShells(t)
	for fromName, from := range shells {
		for toName, to := range shells {
			for _, by := range []string{"auto", "tar", "rsync"} {
				if by != "auto" && fromName+toName != "dashdash" {
					continue // busybox has no rsync
				}
				t.Run(fromName+" to "+toName+" by "+by, func(t *testing.T) {
					filesSyncWhole(t, from, to, by, fromName+toName == "dashdash")
				})
			}
		}
	}
}

func filesSyncWhole(t *testing.T, from, to []string, by string, sparse bool) {
	dir := t.TempDir()
	filesSyncTree(t, dir+"/a")
	s := filesSyncStep(dir+"/a", dir+"/up/b c")
	s.By = by
	e := filesSyncEnv(from, to)
	if c := e.pending(t, s); len(c) != 1 || c[0].Bytes < 8<<20 {
		t.Errorf("pending: %+v", c)
	}
	e.apply(t, s)
	e.verify(t, s)
	if d := cmp.Diff(filesSyncSnapshot(t, dir+"/a"), filesSyncSnapshot(t, s.To.Path)); d != "" {
		t.Fatalf("-source +copy:\n%s", d)
	}
	if c := e.pending(t, s); len(c) != 0 {
		t.Errorf("still pending: %+v", c)
	}
	if sparse {
		st, err := os.Stat(s.To.Path + "/sparse")
		if err != nil {
			t.Fatal(err)
		}
		if n := st.Sys().(*syscall.Stat_t).Blocks * 512; n > 1<<20 {
			t.Errorf("the sparse file takes %d bytes", n)
		}
	}
	filesSyncDelta(t, dir, from, to, by)
	if err := s.Undo(t.Context(), e.Env); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(s.To.Path); !os.IsNotExist(err) {
		t.Errorf("the copy is still there after undo: %v", err)
	}
}

// filesSyncDelta changes the source, brings that over, and goes back.
func filesSyncDelta(t *testing.T, dir string, from, to []string, by string) {
	t.Helper()
	a, b := dir+"/a", dir+"/up/b c"
	fileWrite(t, b+"/only here/x", "of the copy", 0o640)
	before := filesSyncSnapshot(t, b)
	for _, p := range []string{"-rf", "app/data", "a\nb", "app/gone", "empty"} {
		if err := os.RemoveAll(a + "/" + p); err != nil {
			t.Fatal(err)
		}
	}
	fileWrite(t, a+"/-rf/now/a dir", "was a file", 0o644)
	fileWrite(t, a+"/app/data", "was a directory", 0o600)
	fileWrite(t, a+"/app/up/new file", "through a link of the source", 0o644) // lands in a
	fileWrite(t, a+"/hard/one", "LINKED", 0o600)
	fileWrite(t, a+"/a\nb/other", "o", 0o600)
	s := filesSyncStep(a, b)
	s.Delta, s.Delete, s.By = true, true, by
	e := filesSyncEnv(from, to)
	e.ID = "run1.delta"
	e.apply(t, s)
	e.verify(t, s)
	if d := cmp.Diff(filesSyncSnapshot(t, a), filesSyncSnapshot(t, b)); d != "" {
		t.Fatalf("after the delta: -source +copy:\n%s", d)
	}
	if err := s.Undo(t.Context(), e.Env); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, filesSyncSnapshot(t, b)); d != "" {
		t.Errorf("after undo of the delta: -before +now:\n%s", d)
	}
	if err := s.Undo(t.Context(), e.Env); err != nil {
		t.Errorf("undo again: %v", err)
	}
	rest, err := filepath.Glob(dir + "/up/.b*")
	if err != nil || len(rest) > 0 {
		t.Errorf("left behind: %q %v", rest, err)
	}
	if err := os.RemoveAll(b + "/only here"); err != nil {
		t.Fatal(err)
	}
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(b, old, old); err != nil {
		t.Fatal(err)
	}
}

// TestFilesSyncRefuses what cannot go well, before anything is changed.
func TestFilesSyncRefuses(t *testing.T) {
	shell := fileShells(t)["dash"]
	dir := t.TempDir()
	fileWrite(t, dir+"/a/x", "1", 0o644)
	fileWrite(t, dir+"/full/y", "2", 0o644)
	fileWrite(t, dir+"/file", "2", 0o644)
	for _, c := range []struct{ from, to, want string }{
		{dir + "/a", dir + "/full", "say delta: true"},
		{dir + "/a", dir + "/file", "not a directory"},
		{dir + "/nowhere", dir + "/b", "not a directory"},
	} {
		e := filesSyncEnv(shell, shell)
		s := filesSyncStep(c.from, c.to)
		_, err := s.Pending(t.Context(), e.Env)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s to %s: %v", c.from, c.to, err)
		}
		if err := s.Apply(t.Context(), e.Env); err == nil {
			t.Errorf("%s to %s was applied", c.from, c.to)
		}
	}
	same := filesSyncStep("/srv/a", "/srv/a/b")
	same.To.Host = "old"
	if same.Validate() == nil {
		t.Error("a copy within its source was not refused")
	}
}

// TestFilesSyncNotLike: the proof reads every file: a truncated one, one with
// another content and the same size and time, another mode, an extra one.
func TestFilesSyncNotLike(t *testing.T) {
	shell := fileShells(t)["dash"]
	for name, c := range map[string]struct {
		spoil func(b string) error
		want  string
	}{
		"truncated": {func(b string) error { return os.Truncate(b+"/f", 3) }, "f is file 0644"},
		"other content": {func(b string) error {
			st, err := os.Stat(b + "/f")
			if err == nil {
				err = os.WriteFile(b+"/f", []byte("CONTENT"), 0o644)
			}
			if err != nil {
				return err
			}
			return os.Chtimes(b+"/f", st.ModTime(), st.ModTime())
		}, "f is file 0644"},
		"mode":  {func(b string) error { return os.Chmod(b+"/f", 0o600) }, "f is file 0600"},
		"extra": {func(b string) error { return os.WriteFile(b+"/g", nil, 0o600) }, "g is extra"},
		"gone":  {func(b string) error { return os.Remove(b + "/f") }, "f is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fileWrite(t, dir+"/a/f", "content", 0o644)
			s := filesSyncStep(dir+"/a", dir+"/b")
			e := filesSyncEnv(shell, shell)
			e.apply(t, s)
			if err := c.spoil(dir + "/b"); err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("verify: %v", err)
			}
			// Apply mends it, for the proof has said that times do not tell all.
			e.apply(t, s)
			e.verify(t, s)
		})
	}
}

// TestFilesSyncKilledBeforeItNoted: belay is killed when everything has been sent,
// but not yet noted. The next one notes it before it calls the step done: else
// what users write there would be taken for the copy's by Undo.
func TestFilesSyncKilledBeforeItNoted(t *testing.T) {
	shell := fileShells(t)["dash"]
	dir := t.TempDir()
	fileWrite(t, dir+"/a/f", "of the source", 0o644)
	s := filesSyncStep(dir+"/a", dir+"/b")
	e := filesSyncEnv(shell, shell)
	e.apply(t, s)
	var rec filesSynced
	if _, err := e.Memory.Get(filesSyncKey, &rec); err != nil || rec.Print == "" {
		t.Fatalf("%+v, %v", rec, err)
	}
	rec.Print = "" // as it is while the copy goes on
	if err := e.Memory.Put(filesSyncKey, rec); err != nil {
		t.Fatal(err)
	}
	for left, err := s.Pending(t.Context(), e.Env); len(left) > 0; left, err = s.Pending(t.Context(), e.Env) {
		if err != nil {
			t.Fatal(err)
		}
		e.apply(t, s)
	}
	e.verify(t, s)
	fileWrite(t, dir+"/b/f", "of the new service", 0o644)
	e.undo(t, s)
	if got := content(t, dir+"/b.after-"+e.ID+"/f"); got != "of the new service" {
		t.Errorf("kept %q", got)
	}
}

// TestFilesSyncUndoKeeps what was written to the copy since.
func TestFilesSyncUndoKeeps(t *testing.T) {
	shell := fileShells(t)["dash"]
	for _, delta := range []bool{false, true} {
		dir := t.TempDir()
		fileWrite(t, dir+"/a/f", "of the source", 0o644)
		if delta {
			fileWrite(t, dir+"/b/f", "the former one", 0o644)
		}
		s := filesSyncStep(dir+"/a", dir+"/b")
		s.Delta = delta
		e := filesSyncEnv(shell, shell)
		e.apply(t, s)
		fileWrite(t, dir+"/b/f", "of the new service", 0o644)
		e.undo(t, s)
		if got := content(t, dir+"/b.after-"+e.ID+"/f"); got != "of the new service" {
			t.Errorf("delta %v: kept %q", delta, got)
		}
		if !delta {
			continue
		}
		if got := content(t, dir+"/b/f"); got != "the former one" {
			t.Errorf("delta: put back %q", got)
		}
	}
}

// TestFilesSyncAssessed before anything has changed.
func TestFilesSyncAssessed(t *testing.T) {
	shell := fileShells(t)["dash"]
	dir := t.TempDir()
	fileWrite(t, dir+"/a/f", "1", 0o644)
	fileWrite(t, dir+"/full/other", "1", 0o644)
	judge := func(from, to string) checks.Finding {
		t.Helper()
		e := filesSyncEnv(shell, shell)
		found, err := filesSyncStep(from, to).Needs("")[0].Assess(t.Context(), checks.World{Hosts: e.Hosts})
		if err != nil || len(found) != 1 {
			t.Fatalf("%v %v", found, err)
		}
		return found[0]
	}
	root := checks.Pass
	if os.Getuid() != 0 {
		root = checks.Warn
	}
	if f := judge(dir+"/a", dir+"/b"); f.Level != root || !strings.Contains(f.Text, "are free there") {
		t.Errorf("%+v", f)
	}
	if f := judge(dir+"/a", dir+"/full"); f.Level != checks.Warn || !strings.Contains(f.Text, "is to be empty") {
		t.Errorf("%+v", f)
	}
	if f := judge(dir+"/none", dir+"/b"); f.Level != checks.Warn {
		t.Errorf("%+v", f)
	}
	if f := judge(dir+"/a", dir+"/a/f"); f.Level != checks.Block {
		t.Errorf("%+v", f)
	}
}
