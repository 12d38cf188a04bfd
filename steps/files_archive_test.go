package steps

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
)

// TestFilesArchiveRoundTrip packs a tree with all that a tree can hold, in each
// format, unpacks it elsewhere and compares.
func TestFilesArchiveRoundTrip(t *testing.T) {
	remotetest.Need(t, "zstd", "gzip")
	for shellName, shell := range fileShells(t) {
		for _, suffix := range []string{".tar", ".tgz", ".tar.zst"} {
			t.Run(shellName+suffix, func(t *testing.T) {
				dir := t.TempDir()
				app := dir + "/my app"
				fileWrite(t, app+"/data/f 'x'", strings.Repeat("content ", 1000), 0o640)
				fileWrite(t, app+"/run.sh", "#!/bin/sh\n", 0o4755)
				fileWrite(t, app+"/-rf", "", 0o600)
				for name, to := range map[string]string{"rel": "data/f 'x'", "gone": "nowhere", "abs": "/usr/bin/python3"} {
					if err := os.Symlink(to, app+"/"+name); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Link(app+"/run.sh", app+"/hard"); err != nil {
					t.Fatal(err)
				}
				if os.Getuid() == 0 {
					if err := os.Lchown(app+"/data", 1234, 5678); err != nil {
						t.Fatal(err)
					}
				}
				e := newFileEnv(shell)
				a := &filesArchive{Path: []string{app}, To: dir + "/b/a" + suffix}
				if c := e.pending(t, a); len(c) != 1 || c[0].Bytes < 8000 {
					t.Errorf("pending: %+v", c)
				}
				e.apply(t, a)
				e.verify(t, a)
				if out, err := exec.Command("sh", "-c", "cd "+dir+"/b && sha256sum -c *.sha256").CombinedOutput(); err != nil {
					t.Errorf("%s", out)
				}
				r := &filesRestore{From: a.To, To: dir + "/again", Keep: true}
				e = newFileEnv(shell)
				if _, err := r.Pending(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "/usr/bin/python3") {
					t.Errorf("a link that leads out was not refused: %v", err)
				}
				r.Links = "keep"
				e.apply(t, r)
				e.verify(t, r)
				if d := cmp.Diff(fileSnapshot(t, app, nil), fileSnapshot(t, r.To, nil)); d != "" {
					t.Errorf("-packed +unpacked:\n%s", d)
				}
			})
		}
	}
}

// TestFilesArchiveAgain: an archive of an earlier run is kept.
// TestFilesUnsynced: what the disk did not take is not called done.
func TestFilesUnsynced(t *testing.T) {
	remotetest.Need(t, "dash", "bash", "zstd")
	dir := t.TempDir()
	fileWrite(t, dir+"/src/a", "content", 0o600)
	run := func(shell, sync, script string, args ...string) (string, error) {
		out, err := exec.Command(shell, append([]string{"-c", sync + "\n" + script, "belay"}, args...)...).CombinedOutput()
		return string(out), err
	}
	const (
		broken = `sync() { case $* in *part* | *stage*) echo "sync: Input/output error" >&2; return 1 ;; esac; }`
		old    = `sync() { [ $# = 0 ]; }` // it knows no arguments
	)
	for _, shell := range []string{"dash", "bash"} {
		archive := []string{dir + "/" + shell + ".tar.zst", dir + "/part", "zstd", dir + "/aside", "", "--", dir + "/src"}
		if out, err := run(shell, broken, fileArchiveScript, archive...); err == nil || !strings.Contains(out, "could not be written to the disk") {
			t.Errorf("%s: archive: %v: %s", shell, err, out)
		}
		if _, err := os.Stat(archive[0]); err == nil {
			t.Error("an archive that is not on the disk has its name")
		}
		if out, err := run(shell, old, fileArchiveScript, archive...); err != nil {
			t.Fatalf("%s: archive: %v: %s", shell, err, out)
		}
		sum, err := os.ReadFile(archive[0] + ".sha256")
		if err != nil {
			t.Fatal(err)
		}
		restore := []string{archive[0], "zstd", strings.Fields(string(sum))[0], dir + "/stage", dir + "/to", "1"}
		if out, err := run(shell, broken, fileRestoreScript, restore...); err == nil || !strings.Contains(out, "could not be written to the disk") {
			t.Errorf("%s: restore: %v: %s", shell, err, out)
		}
		if out, err := run(shell, old, fileRestoreScript, restore...); err != nil {
			t.Errorf("%s: restore: %v: %s", shell, err, out)
		}
	}
}

func TestFilesArchiveAgain(t *testing.T) {
	remotetest.Need(t, "dash")
	dir := t.TempDir()
	fileWrite(t, dir+"/app/f", "now", 0o644)
	fileWrite(t, dir+"/a.tar", "an older backup", 0o600)
	e := newFileEnv([]string{"dash"})
	a := &filesArchive{Path: []string{dir + "/app/f"}, To: dir + "/a.tar", Exclude: []string{"*.log"}}
	if c := e.pending(t, a); len(c) != 1 || !strings.Contains(c[0].Text, ".before-"+e.ID) {
		t.Errorf("pending: %+v", c)
	}
	e.apply(t, a)
	e.verify(t, a)
	if b, _ := os.ReadFile(dir + "/a.tar.before-" + e.ID); string(b) != "an older backup" {
		t.Errorf("the older archive is %q", b)
	}
	b, err := os.ReadFile(dir + "/a.tar")
	if err != nil {
		t.Fatal(err)
	}
	b[600] ^= 1
	fileWrite(t, dir+"/a.tar", string(b), 0o600)
	if err := a.Verify(t.Context(), e.Env); err == nil {
		t.Error("a changed archive passed")
	}
	if err := (&filesArchive{Path: []string{"/srv/x"}, To: "/srv/x/a.tar"}).Validate(); err == nil {
		t.Error("an archive within what it holds was not refused")
	}
	if err := (&filesArchive{Path: []string{dir + "/app"}, To: dir + "/b.tar", Room: 1 << 60}).Apply(t.Context(), newFileEnv([]string{"dash"}).Env); err == nil || !strings.Contains(err.Error(), "free") {
		t.Errorf("too little room: %v", err)
	}
}

// TestFilesArchiveList packs several paths, named from /, without some.
func TestFilesArchiveList(t *testing.T) {
	remotetest.Need(t, "dash")
	dir := t.TempDir()
	fileWrite(t, dir+"/one/f", "1", 0o644)
	fileWrite(t, dir+"/one/node_modules/x", "1", 0o644)
	fileWrite(t, dir+"/two", "2", 0o644)
	e := newFileEnv([]string{"dash"})
	a := &filesArchive{Path: []string{dir + "/one", dir + "/two"}, To: dir + "/a.tar", Exclude: []string{"node_modules"}}
	e.apply(t, a)
	e.verify(t, a)
	out, err := exec.Command("tar", "-tf", a.To).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := "." + dir + "/one/\n." + dir + "/one/f\n." + dir + "/two\n"
	if d := cmp.Diff(want, string(out)); d != "" {
		t.Error(d)
	}
}

// TestFilesRestoreHostile: archives that want to write elsewhere are refused
// before anything is unpacked, whichever tar lists them.
func TestFilesRestoreHostile(t *testing.T) {
	type entry struct {
		name, link string
		kind       byte
	}
	for shellName, shell := range fileShells(t) {
		for name, entries := range map[string][]entry{
			"absolute":       {{"/etc/evil", "", tar.TypeReg}},
			"dots":           {{"a/../../evil", "", tar.TypeReg}},
			"dots first":     {{"../evil", "", tar.TypeReg}},
			"link out":       {{"l", "../..", tar.TypeSymlink}},
			"link absolute":  {{"l", "/etc", tar.TypeSymlink}},
			"through a link": {{"d/", "", tar.TypeDir}, {"l", "d", tar.TypeSymlink}, {"l/x", "", tar.TypeReg}},
			"arrow in name":  {{"a -> b", "/etc", tar.TypeSymlink}},
			"hard link out":  {{"h", "../../etc/passwd", tar.TypeLink}},
			"device":         {{"dev", "", tar.TypeBlock}},
			"empty":          {},
		} {
			t.Run(shellName+"/"+name, func(t *testing.T) {
				dir := t.TempDir()
				var b bytes.Buffer
				w := tar.NewWriter(&b)
				for _, x := range entries {
					if err := w.WriteHeader(&tar.Header{Name: x.name, Linkname: x.link, Typeflag: x.kind, Mode: 0o644}); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				fileWrite(t, dir+"/in/e.tar", b.String(), 0o600)
				e := newFileEnv(shell)
				s := &filesRestore{From: dir + "/in/e.tar", To: dir + "/out/x", Keep: true}
				if name == "through a link" {
					s.Links = "keep"
				}
				if _, err := s.Pending(t.Context(), e.Env); err == nil {
					t.Error("pending did not refuse")
				}
				err := s.Apply(t.Context(), e.Env)
				if err == nil {
					t.Error("apply did not refuse")
				}
				if _, err := os.Stat(filepath.Join(dir, "out")); !errors.Is(err, os.ErrNotExist) {
					t.Error("something was written")
				}
				t.Log(err)
			})
		}
	}
}

func TestFilesRestoreDamaged(t *testing.T) {
	remotetest.Need(t, "dash", "gzip")
	dir := t.TempDir()
	fileMakeArchive(t, dir)
	if out, err := exec.Command("gzip", dir+"/app.tar").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	b, err := os.ReadFile(dir + "/app.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	e := newFileEnv([]string{"dash"})
	s := &filesRestore{From: dir + "/cut.tar.gz", To: dir + "/app"}
	fileWrite(t, s.From, string(b[:len(b)/2]), 0o600)
	if _, err := s.Pending(t.Context(), e.Env); err == nil {
		t.Error("half an archive was not refused")
	}
	fileWrite(t, s.From, string(b), 0o600)
	fileWrite(t, s.From+".sha256", strings.Repeat("0", 64)+"  cut.tar.gz\n", 0o600)
	if _, err := s.Pending(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), ".sha256 says") {
		t.Errorf("another SHA-256: %v", err)
	}
	if err := os.Remove(s.From + ".sha256"); err != nil {
		t.Fatal(err)
	}
	fileWrite(t, dir+"/app/x", "x", 0o600)
	if _, err := s.Pending(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "keep is false") {
		t.Errorf("keep: false over a full directory: %v", err)
	}
}

// TestFilesRestoreUsed: what was written into the restored directory survives
// the way back.
func TestFilesRestoreUsed(t *testing.T) {
	remotetest.Need(t, "dash")
	dir := t.TempDir()
	fileMakeArchive(t, dir)
	fileWrite(t, dir+"/app/live", "before", 0o644)
	e := newFileEnv([]string{"dash"})
	s := &filesRestore{From: dir + "/app.tar", To: dir + "/app", Keep: true}
	e.apply(t, s)
	fileWrite(t, dir+"/app/new", "written after", 0o644)
	if err := s.Verify(t.Context(), e.Env); err == nil {
		t.Log("tar --compare does not see files that are too many: fine")
	}
	e.undo(t, s)
	if b, _ := os.ReadFile(dir + "/app/live"); string(b) != "before" {
		t.Errorf("the former directory is not back: %q", b)
	}
	if b, _ := os.ReadFile(dir + "/app.after-" + e.ID + "/new"); string(b) != "written after" {
		t.Errorf("what was written after is lost: %q", b)
	}
}

// TestFilesCopyChanged: the file here changes while it is sent.
func TestFilesCopyChanged(t *testing.T) {
	remotetest.Need(t, "dash")
	dir := t.TempDir()
	fileWrite(t, dir+"/from", strings.Repeat("a", 1<<20), 0o644)
	fileWrite(t, dir+"/to", "old", 0o644)
	e := newFileEnv([]string{"dash"})
	e.with(remote.Record(e.Host.Runner, func(r remote.Ran) {
		if !r.Ended && !r.Pure {
			fileWrite(t, dir+"/from", strings.Repeat("b", 1<<20), 0o644)
		}
	}))
	s := &filesCopy{From: dir + "/from", To: dir + "/to"}
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "not what was sent") {
		t.Errorf("apply: %v", err)
	}
	if b, _ := os.ReadFile(dir + "/to"); string(b) != "old" {
		t.Error("the file was touched")
	}
	left, err := filepath.Glob(dir + "/.to*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestFilesCopyTreeUsed: like files.restore.
func TestFilesCopyTreeUsed(t *testing.T) {
	remotetest.Need(t, "dash")
	dir := t.TempDir()
	fileWrite(t, dir+"/www/old", "old", 0o644)
	e := newFileEnv([]string{"dash"})
	s := &filesCopy{From: fileLocalTree(t), To: dir + "/www", Dir: true}
	e.apply(t, s)
	fileWrite(t, dir+"/www/upload", "user's", 0o644)
	if err := s.Verify(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "upload is too much") {
		t.Errorf("verify: %v", err)
	}
	e.undo(t, s)
	if _, err := os.Stat(dir + "/www/old"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/www.after-" + e.ID + "/upload"); err != nil {
		t.Error(err)
	}
}
