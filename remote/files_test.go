package remote

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestWriteFileReplacesWhole(t *testing.T) {
	r, dir, ctx := Local("here"), t.TempDir(), context.Background()
	for _, name := range []string{"plain", "with space", "it's", "-dash", "new\nline", "trail\n"} {
		for _, data := range [][]byte{nil, []byte("x"), noise(300_000)} {
			path := filepath.Join(dir, name)
			if err := WriteFile(ctx, r, path, data, 0); err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			got, err := ReadFile(ctx, r, path)
			if err != nil || !bytes.Equal(got, data) {
				t.Fatalf("%q: read back %d bytes of %d, %v", name, len(got), len(data), err)
			}
		}
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".belay.*"))
	if len(left) > 0 {
		t.Errorf("temporary files left: %q", left)
	}
}

func TestWriteFileMode(t *testing.T) {
	r, dir, ctx := Local("here"), t.TempDir(), context.Background()
	path := filepath.Join(dir, "f")
	for _, step := range []struct{ give, want fs.FileMode }{{0, 0o644}, {0o600, 0o600}, {0, 0o600}, {0o755, 0o755}, {0, 0o755}} {
		if err := WriteFile(ctx, r, path, []byte("x"), step.give); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil || st.Mode() != step.want {
			t.Errorf("mode after writing with %04o: %v, %v; want %04o", step.give, st.Mode(), err, step.want)
		}
	}
}

func TestWriteFileFollowsLinks(t *testing.T) {
	r, dir, ctx := Local("here"), t.TempDir(), context.Background()
	real := filepath.Join(dir, "sub", "real\n")
	must(t, os.Mkdir(filepath.Dir(real), 0o700))
	must(t, os.WriteFile(real, []byte("old"), 0o640))
	must(t, os.Symlink("sub/real\n", filepath.Join(dir, "a")))
	must(t, os.Symlink(filepath.Join(dir, "a"), filepath.Join(dir, "b")))
	must(t, WriteFile(ctx, r, filepath.Join(dir, "b"), []byte("new"), 0))
	got, err := os.ReadFile(real)
	if err != nil || string(got) != "new" {
		t.Errorf("the file behind the links holds %q, %v", got, err)
	}
	if st, _ := os.Lstat(filepath.Join(dir, "b")); st.Mode().Type() != fs.ModeSymlink {
		t.Error("the link was replaced by a file")
	}
	must(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	if err := WriteFile(ctx, r, filepath.Join(dir, "loop"), nil, 0); err == nil {
		t.Error("a loop of links was written to")
	}
}

func TestWriteFileKeepsOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to give a file away")
	}
	path := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Chown(path, 12345, 54321))
	must(t, WriteFile(context.Background(), Local("here"), path, []byte("x"), 0o640))
	got, err := Output(context.Background(), Local("here"), Cmd{Argv: []string{"stat", "-c", "%u:%g %a", path}})
	if err != nil || string(got) != "12345:54321 640\n" {
		t.Errorf("owner and mode: %q, %v", got, err)
	}
}

// cutShort loses the end of stdin, as a breaking connection does.
type cutShort struct{ Runner }

func (r cutShort) Run(ctx context.Context, c Cmd) error {
	c.Stdin = strings.NewReader("half")
	return r.Runner.Run(ctx, c)
}

func TestWriteFileRefusesHalfAFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	must(t, os.WriteFile(path, []byte("old"), 0o600))
	err := WriteFile(context.Background(), cutShort{Local("here")}, path, []byte("the whole"), 0)
	if err == nil || !strings.Contains(err.Error(), "only 4 of 9 bytes arrived") {
		t.Errorf("error %v", err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	hidden, _ := filepath.Glob(filepath.Join(dir, ".b*"))
	if diff := cmp.Diff([]string{path}, append(names, hidden...)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" {
		t.Errorf("the file holds %q", got)
	}
}

func TestWriteFileRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, dir + "/", "", "/dev/null", filepath.Join(dir, "no", "such")} {
		if err := WriteFile(context.Background(), Local("here"), path, nil, 0); err == nil {
			t.Errorf("%q was written to", path)
		}
	}
}

func TestReadFileTellsMissingFromHidden(t *testing.T) {
	r, dir, ctx := Local("here"), t.TempDir(), context.Background()
	for _, path := range []string{filepath.Join(dir, "x"), filepath.Join(dir, "no/such/x"), "nosuchfile", "/nosuchfile"} {
		if _, err := ReadFile(ctx, r, path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want not exist", path, err)
		}
	}
	must(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o600))
	for _, path := range []string{dir, filepath.Join(dir, "f", "below")} {
		if _, err := ReadFile(ctx, r, path); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want an error that is not 'does not exist'", path, err)
		}
	}
}

func TestOutputIsCapped(t *testing.T) {
	out, err := Output(context.Background(), Local("here"), Sh("cat /dev/zero"))
	if err == nil || !strings.Contains(err.Error(), "16 MiB") {
		t.Errorf("error %v", err)
	}
	if len(out) > maxOutput {
		t.Errorf("%d bytes taken", len(out))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// busybox runs scripts in busybox's shell, which prefers its own small tools.
type busybox struct{ Runner }

func (r busybox) Run(ctx context.Context, c Cmd) error {
	c.Argv = append([]string{"busybox"}, c.Argv...)
	return r.Runner.Run(ctx, c)
}

func TestFilesWithBusybox(t *testing.T) {
	need(t, "busybox")
	r, ctx, path := busybox{Local("here")}, context.Background(), filepath.Join(t.TempDir(), "it's")
	if _, err := ReadFile(ctx, r, path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	for _, data := range []string{"old", "new"} {
		must(t, WriteFile(ctx, r, path, []byte(data), 0))
		got, err := ReadFile(ctx, r, path)
		if err != nil || string(got) != data {
			t.Errorf("read back %q, %v", got, err)
		}
	}
}

// need is remotetest.Need, which this package's own tests cannot import.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("BELAY_TEST_ALL") == "1" {
			t.Fatalf("%s is not installed, and BELAY_TEST_ALL=1 forbids to skip", p)
		}
		t.Skipf("needs %s, which is not installed (`make test` installs it)", p)
	}
}
