package steps

import (
	"bytes"
	"context"

	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

// fileShells are the shells of servers: dash with GNU tools, and busybox for
// everything that it has.
func fileShells(t *testing.T) map[string][]string {
	remotetest.Need(t, "dash", "busybox")
	applets := t.TempDir()
	out, err := exec.Command("busybox", "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		if err := os.Symlink(remotetest.Find("busybox"), filepath.Join(applets, name)); err != nil {
			t.Fatal(err)
		}
	}
	// A sync of a busy test machine's disk takes longer than all the rest.
	fast := t.TempDir()
	for _, dir := range []string{applets, fast} {
		_ = os.Remove(dir + "/sync")
		fileWrite(t, dir+"/sync", "#!/bin/sh\n", 0o755)
	}
	for _, name := range []string{"git", "zstd"} {
		if p := remotetest.Find(name); p != "" {
			if err := os.Symlink(p, filepath.Join(applets, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return map[string][]string{
		"dash":    {"env", "LC_ALL=C.UTF-8", "PATH=" + fast + ":" + os.Getenv("PATH"), "dash"},
		"busybox": {"env", "PATH=" + applets, filepath.Join(applets, "sh")},
	}
}

// fileRunner runs what would run in a server's sh in the given shell, and cuts
// the connection at command number cut: before it is started, or after it has
// ended, unheard.
type fileRunner struct {
	shell []string
	cut   int
	after bool

	mu    sync.Mutex
	count int
}

func (r *fileRunner) Run(ctx context.Context, c remote.Cmd) error {
	r.mu.Lock()
	r.count++
	n := r.count
	r.mu.Unlock()
	if n == r.cut && !r.after {
		return &remote.UnreachableError{Host: "box", Err: io.ErrUnexpectedEOF}
	}
	if c.Argv[0] != "sh" {
		return fmt.Errorf("not a shell script: %q", c.Argv)
	}
	c.Argv = append(append([]string{}, r.shell...), c.Argv[1:]...)
	err := remote.Local("box").Run(ctx, c)
	if n == r.cut {
		return &remote.LostError{Host: "box", Err: io.ErrUnexpectedEOF}
	}
	return err
}

func (r *fileRunner) wasCut() bool { return r.cut > 0 && r.count >= r.cut }

// fileEnv is an Env whose Pending and Verify are read-only, like the engine's.
type fileEnv struct {
	Env
	log bytes.Buffer
}

func newFileEnv(shell []string) *fileEnv {
	e := &fileEnv{}
	e.Env = Env{
		ID: "run1.step.box", Memory: MapMemory{}, Log: &e.log, Say: func(Progress) {}, Link: func(string) {},
		Secret: func(_ context.Context, name string) (secret.Value, error) {
			if name != "db_password" {
				return secret.Value{}, fmt.Errorf("no secret %q", name)
			}
			return secret.New("s3cr3t $planted' \"x"), nil
		},
	}
	e.with(&fileRunner{shell: shell})
	return e
}

func (e *fileEnv) with(r remote.Runner) { e.Host = remote.Host{Name: "box", Runner: r} }

func (e *fileEnv) pending(t *testing.T, s Step) []Change {
	t.Helper()
	env := e.Env
	env.Host = remote.ReadOnly(env.Host)
	changes, err := s.Pending(t.Context(), env)
	if err != nil {
		t.Fatalf("pending: %v", err)
	}
	return changes
}

func (e *fileEnv) verify(t *testing.T, s Step) {
	t.Helper()
	env := e.Env
	env.Host = remote.ReadOnly(env.Host)
	if err := s.Verify(t.Context(), env); err != nil {
		t.Fatalf("verify: %v\nlog:\n%s", err, e.log.String())
	}
}

func (e *fileEnv) apply(t *testing.T, s Step) {
	t.Helper()
	if err := s.Apply(t.Context(), e.Env); err != nil {
		t.Fatalf("apply: %v\nlog:\n%s", err, e.log.String())
	}
}

func (e *fileEnv) undo(t *testing.T, s Step) {
	t.Helper()
	if err := s.(Undoer).Undo(t.Context(), e.Env); err != nil {
		t.Fatalf("undo: %v\nlog:\n%s", err, e.log.String())
	}
}

// fileTree is everything below dir as one text: kinds, modes, owners, links,
// contents. skip leaves names out.
func fileSnapshot(t *testing.T, dir string, skip func(rel string) bool) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		if skip != nil && skip(rel) {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
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
			s += " " + string(b)
		}
		all[rel] = s
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func fileWrite(t testing.TB, p, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p, mode); err != nil {
		t.Fatal(err)
	}
}

// fileCase is one step on one state of a host.
type fileCase struct {
	name  string
	setup func(t *testing.T, dir string) Step
	skip  func(rel string) bool // what undo leaves behind on purpose, or what no run makes alike
}

func fileCases() []fileCase {
	text := func(s string) *string { return &s }
	return []fileCase{
		{name: "copy new", setup: func(t *testing.T, dir string) Step {
			return &filesCopy{Content: text("hello\n"), To: dir + "/a/b/c d.txt", Mode: "0640"}
		}},
		{name: "copy over", setup: func(t *testing.T, dir string) Step {
			fileWrite(t, dir+"/x", "old", 0o4711)
			if err := os.Chown(dir+"/x", 12, 34); err != nil && os.Getuid() == 0 {
				t.Fatal(err)
			}
			return &filesCopy{Content: text("new"), To: dir + "/x"}
		}},
		{name: "copy mode only", setup: func(t *testing.T, dir string) Step {
			fileWrite(t, dir+"/x", "same", 0o600)
			return &filesCopy{Content: text("same"), To: dir + "/x", Mode: "0644"}
		}},
		{name: "copy through link", setup: func(t *testing.T, dir string) Step {
			fileWrite(t, dir+"/real/x", "old", 0o644)
			if err := os.Symlink("real/x", dir+"/link"); err != nil {
				t.Fatal(err)
			}
			return &filesCopy{Content: text("new"), To: dir + "/link"}
		}},
		{name: "copy directory new", setup: func(t *testing.T, dir string) Step {
			return &filesCopy{From: fileLocalTree(t), To: dir + "/up/www", Dir: true}
		}},
		{name: "copy directory over", setup: func(t *testing.T, dir string) Step {
			fileWrite(t, dir+"/www/old", "old", 0o600)
			fileWrite(t, dir+"/www/index.html", "older", 0o644)
			return &filesCopy{From: fileLocalTree(t), To: dir + "/www", Dir: true}
		}},
		{name: "edit", setup: func(t *testing.T, dir string) Step {
			fileWrite(t, dir+"/.env", "# c\nA=1\nB=2\nDB_PASSWORD=old # keep\n", 0o640)
			return &filesEdit{Path: dir + "/.env", Env: &fileEnvEdit{
				Set:    map[string]fileValue{"B": {Text: "3"}, "DB_PASSWORD": {Secret: "db_password"}, "NEW": {Text: "x y"}},
				Rename: map[string]string{"A": "AA"},
			}, Lines: &fileLineEdit{Ensure: []string{"# end"}}}
		}},
		{name: "edit create", setup: func(t *testing.T, dir string) Step {
			return &filesEdit{Path: dir + "/conf/app.yaml", Create: true, YAML: &filePathEdit{Set: map[string]any{"a.b": "c"}}}
		}},
		{name: "archive", setup: func(t *testing.T, dir string) Step {
			fileWrite(t, dir+"/app/f", strings.Repeat("x", 100000), 0o644)
			fileWrite(t, dir+"/app/sub/g", "g", 0o600)
			return &filesArchive{Path: []string{dir + "/app"}, To: dir + "/backups/app.tar.gz"}
		}, skip: func(rel string) bool { return strings.HasPrefix(rel, "backups") }},
		{name: "restore new", setup: func(t *testing.T, dir string) Step {
			fileMakeArchive(t, dir)
			return &filesRestore{From: dir + "/app.tar", To: dir + "/there/app", Keep: true}
		}},
		{name: "restore over", setup: func(t *testing.T, dir string) Step {
			fileMakeArchive(t, dir)
			fileWrite(t, dir+"/app/live", "live data", 0o644)
			return &filesRestore{From: dir + "/app.tar", To: dir + "/app", Keep: true}
		}},
		{name: "git clone", setup: func(t *testing.T, dir string) Step {
			repo := gitRepo(t)
			return &gitCheckout{Repo: repo, Dir: dir + "/src/app", Ref: "v1", Clean: "refuse"}
		}, skip: gitVolatile},
		{name: "git clone into empty", setup: func(t *testing.T, dir string) Step {
			repo := gitRepo(t)
			if err := os.Mkdir(dir+"/app", 0o750); err != nil {
				t.Fatal(err)
			}
			return &gitCheckout{Repo: repo, Dir: dir + "/app", Ref: "main", Clean: "refuse"}
		}, skip: gitVolatile},
		{name: "git move", setup: func(t *testing.T, dir string) Step {
			repo := gitRepo(t)
			gitRun(t, ".", "clone", "-q", repo, dir+"/app")
			gitRun(t, dir+"/app", "checkout", "-q", "main")
			return &gitCheckout{Repo: repo, Dir: dir + "/app", Ref: "v1", Clean: "refuse"}
		}, skip: gitVolatile},
		{name: "git stash", setup: func(t *testing.T, dir string) Step {
			repo := gitRepo(t)
			gitRun(t, ".", "clone", "-q", repo, dir+"/app")
			fileWrite(t, dir+"/app/f", "mine", 0o644)
			fileWrite(t, dir+"/app/untracked", "mine", 0o644)
			return &gitCheckout{Repo: repo, Dir: dir + "/app", Ref: "v1", Clean: "stash"}
		}, skip: gitVolatile},
	}
}

func fileLocalTree(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "site")
	fileWrite(t, dir+"/index.html", "hello", 0o644)
	fileWrite(t, dir+"/bin/run", "#!/bin/sh\n", 0o755)
	fileWrite(t, dir+"/a file with 'quotes' and $x", "", 0o600)
	if err := os.Symlink("index.html", dir+"/home"); err != nil {
		t.Fatal(err)
	}
	return dir
}

func fileMakeArchive(t *testing.T, dir string) {
	t.Helper()
	src := filepath.Join(t.TempDir(), "src")
	fileWrite(t, src+"/conf/app.ini", "x=1\n", 0o640)
	fileWrite(t, src+"/data", strings.Repeat("data", 5000), 0o600)
	if err := os.Symlink("conf/app.ini", src+"/ini"); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "--mtime=2026-01-01", "-C", src, "-cf", dir+"/app.tar", ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestFilesCrash cuts the connection at every command of Apply, before and
// after it took effect; goes on from there; and goes back.
func TestFilesCrash(t *testing.T) {
	remotetest.Need(t, "git", "tar")
	for shellName, shell := range fileShells(t) {
		for _, c := range fileCases() {
			t.Run(shellName+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				fileCrash(t, c, shell)
			})
		}
	}
}

func fileCrash(t *testing.T, c fileCase, shell []string) {
	start := func() (dir string, s Step, e *fileEnv, before map[string]string) {
		dir = t.TempDir()
		s = c.setup(t, dir)
		if v, ok := s.(Validator); ok {
			if err := v.Validate(); err != nil {
				t.Fatal(err)
			}
		}
		return dir, s, newFileEnv(shell), fileSnapshot(t, dir, c.skip)
	}
	forth := func(dir string, s Step, e *fileEnv) map[string]string {
		e.apply(t, s)
		e.verify(t, s)
		if left := e.pending(t, s); len(left) > 0 {
			t.Fatalf("still pending after apply: %v", left)
		}
		return fileSnapshot(t, dir, c.skip)
	}
	dir, s, e, before := start()
	if len(e.pending(t, s)) == 0 {
		t.Fatal("nothing is pending at the beginning")
	}
	want := forth(dir, s, e)
	forth(dir, s, e) // once more changes nothing
	back := func(dir string, s Step, e *fileEnv, before map[string]string, what string) {
		t.Helper()
		e.undo(t, s)
		e.undo(t, s)
		if d := cmp.Diff(before, fileSnapshot(t, dir, c.skip)); d != "" {
			t.Fatalf("%s: undo does not lead back (-before +after):\n%s", what, d)
		}
	}
	back(dir, s, e, before, "after a whole run")
	for _, after := range []bool{false, true} {
		for cut := 1; ; cut++ {
			what := fmt.Sprintf("cut at command %d, after=%v", cut, after)
			dir, s, e, before := start()
			r := &fileRunner{shell: shell, cut: cut, after: after}
			e.with(r)
			err := s.Apply(t.Context(), e.Env)
			e.with(&fileRunner{shell: shell})
			if !r.wasCut() {
				break
			}
			if err == nil {
				t.Fatalf("%s: apply did not tell", what)
			}
			if cut%2 == 0 || after { // straight back
				back(dir, s, e, before, what)
				continue
			}
			e.pending(t, s)
			if d := cmp.Diff(want, forth(dir, s, e)); d != "" {
				t.Fatalf("%s: another result (-whole +cut):\n%s", what, d)
			}
			back(dir, s, e, before, what)
		}
	}
	for cut := 1; ; cut++ { // and undo itself
		dir, s, e, before := start()
		e.apply(t, s)
		r := &fileRunner{shell: shell, cut: cut, after: cut%2 == 0}
		e.with(r)
		err := s.(Undoer).Undo(t.Context(), e.Env)
		e.with(&fileRunner{shell: shell})
		if !r.wasCut() {
			break
		}
		if err == nil {
			t.Fatalf("undo cut at command %d did not tell", cut)
		}
		back(dir, s, e, before, fmt.Sprintf("undo cut at command %d", cut))
	}
}

// TestFilesFresh: undo on a host where nothing was done does nothing.
func TestFilesFresh(t *testing.T) {
	remotetest.Need(t, "git")
	for _, c := range fileCases() {
		dir := t.TempDir()
		s := c.setup(t, dir)
		e := newFileEnv([]string{"dash"})
		before := fileSnapshot(t, dir, nil)
		e.undo(t, s)
		if d := cmp.Diff(before, fileSnapshot(t, dir, nil)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}
