package dockerlab

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

//go:embed server.Dockerfile docker.Dockerfile boot dockerd-boot
var sources embed.FS

// recipe is how an image is made; its tag is a hash of all of it, so that an
// image is built once a machine.
type recipe struct {
	name  string
	files map[string][]byte // Dockerfile and what it copies
	base  string            // build argument BASE
}

func (r recipe) tag() string {
	h := sha256.New()
	names := make([]string, 0, len(r.files))
	for name := range r.files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(h, "%s %d\n%s", name, len(r.files[name]), r.files[name])
	}
	fmt.Fprint(h, r.base)
	return r.name + ":" + hex.EncodeToString(h.Sum(nil))[:16]
}

// build makes the image where it is missing and returns its tag. A lock keeps
// tests of several packages from building it at the same time.
func (r recipe) build(t testing.TB) string {
	t.Helper()
	tag := r.tag()
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "belay-dockerlab.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close() // releases it too
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if exec.Command("docker", "image", "inspect", tag).Run() == nil {
		return tag
	}
	cmd := exec.Command("docker", "build", "--network=host", "--tag", tag, "--build-arg", "BASE="+r.base, "-")
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	cmd.Stdin = archive(t, r.files)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("image %s: docker build: %v\n%s", tag, err, out)
	}
	return tag
}

func serverImage(t testing.TB, docker bool) string {
	t.Helper()
	plain := recipe{name: "belay-lab-server", files: map[string][]byte{
		"Dockerfile": source(t, "server.Dockerfile"), "boot": source(t, "boot"),
	}}.build(t)
	if !docker {
		return plain
	}
	return recipe{name: "belay-lab-docker", base: plain, files: map[string][]byte{
		"Dockerfile": source(t, "docker.Dockerfile"), "dockerd-boot": source(t, "dockerd-boot"),
	}}.build(t)
}

// standinImage is a scratch image of the program standin, static, under the
// names by which people call the tools of a database too.
func standinImage(t testing.TB) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "standin")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "belay/remote/lab/dockerlab/standin")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build standin: %v\n%s", err, out)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	const dockerfile = "FROM scratch\nCOPY standin /bin/standin\nCOPY standin /bin/pg_isready\nCOPY standin /bin/cqlsh\nENTRYPOINT [\"/bin/standin\"]\n"
	return recipe{name: "belay-lab-standin", files: map[string][]byte{"Dockerfile": []byte(dockerfile), "standin": program}}.build(t)
}

func source(t testing.TB, name string) []byte {
	t.Helper()
	b, err := sources.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// archive packs files by their paths, executable and owned by root.
func archive(t testing.TB, files map[string][]byte) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for path, content := range files {
		mode := int64(0o755)
		if strings.Contains(path, "ssh/") || strings.Contains(path, ".ssh/") {
			mode = 0o600
		}
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: mode, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// Tree reads a directory that mirrors a server's root, for Server.Files.
func Tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, relErr := filepath.Rel(dir, path)
		files["/"+filepath.ToSlash(rel)] = string(b)
		return errors.Join(err, relErr)
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
