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
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

//go:embed server.Dockerfile docker.Dockerfile boot dockerd-boot databases.Dockerfile lab-db box.Dockerfile lab-box collect systemd.Dockerfile unbox.conf
var sources embed.FS

// recipe is how an image is made; its tag is a hash of all of it, so that an
// image is built once a machine.
type recipe struct {
	name  string
	files map[string][]byte // Dockerfile and what it copies
	base  string            // build argument BASE
	// late makes further files that are too dear to be made for the hash; the
	// files above must tell their version.
	late func(testing.TB) map[string][]byte
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
	files := maps.Clone(r.files)
	if r.late != nil {
		maps.Copy(files, r.late(t))
	}
	cmd := exec.Command("docker", "build", "--network=host", "--tag", tag, "--build-arg", "BASE="+r.base, "-")
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	cmd.Stdin = archive(t, files)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("image %s: docker build: %v\n%s", tag, err, out)
	}
	return tag
}

func serverImage(t testing.TB, s Server) string {
	t.Helper()
	with := s.Docker
	tag := recipe{name: "belay-lab-server", files: map[string][]byte{
		"Dockerfile": source(t, "server.Dockerfile"), "boot": source(t, "boot"),
	}}.build(t)
	if s.Systemd {
		return recipe{name: "belay-lab-systemd", base: tag, files: map[string][]byte{
			"Dockerfile": source(t, "systemd.Dockerfile"), "unbox.conf": source(t, "unbox.conf"),
		}}.build(t)
	}
	if s.Databases {
		tag = recipe{name: "belay-lab-databases", base: tag, files: map[string][]byte{
			"Dockerfile": source(t, "databases.Dockerfile"), "lab-db": source(t, "lab-db"),
		}}.build(t)
	}
	if with == NoDocker {
		return tag
	}
	tag = recipe{name: "belay-lab-docker", base: tag, files: map[string][]byte{
		"Dockerfile": source(t, "docker.Dockerfile"), "dockerd-boot": source(t, "dockerd-boot"),
	}}.build(t)
	if with == ComposeV1 {
		return tag
	}
	return recipe{name: "belay-lab-compose", base: tag, late: composePlugin, files: map[string][]byte{
		"Dockerfile": []byte("# Compose " + composeVersion + "\nARG BASE\nFROM $BASE\nRUN dpkg --remove docker-compose\n" +
			"COPY docker-compose /usr/libexec/docker/cli-plugins/docker-compose\n"),
	}}.build(t)
}

// composeVersion is that of .ci/compose.
const composeVersion = "v2.40.3"

// composePlugin reads Compose v2, which `.ci/compose` builds and `make test`
// names by BELAY_COMPOSE_V2.
func composePlugin(t testing.TB) map[string][]byte {
	t.Helper()
	path := os.Getenv("BELAY_COMPOSE_V2")
	if path == "" {
		out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		build := exec.Command(filepath.Join(strings.TrimSpace(string(out)), ".ci", "compose"))
		build.Stderr = os.Stderr
		if out, err = build.Output(); err != nil {
			t.Fatalf(".ci/compose: %v", err)
		}
		path = strings.TrimSpace(string(out))
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"docker-compose": program}
}

// standinImage is a scratch image of the program standin, static, under the
// names by which people call the tools of a database too.
func standinImage(t testing.TB) string {
	t.Helper()
	program := build(t, "standin")
	const dockerfile = "FROM scratch\nCOPY standin /bin/standin\nCOPY standin /bin/pg_isready\nCOPY standin /bin/cqlsh\nENTRYPOINT [\"/bin/standin\"]\n"
	return recipe{name: "belay-lab-standin", files: map[string][]byte{"Dockerfile": []byte(dockerfile), "standin": program}}.build(t)
}

// boxImages are the images of databases: by the name that they get in a lab,
// the tags that they have on this machine.
func boxImages(t testing.TB) map[string]string {
	t.Helper()
	base := recipe{name: "belay-lab-box", base: serverImage(t, Server{Databases: true}), files: map[string][]byte{
		"Dockerfile": source(t, "box.Dockerfile"), "lab-box": source(t, "lab-box"), "collect": source(t, "collect"),
	}}.build(t)
	all := map[string]string{}
	for name, cmd := range map[string]string{"lab/postgres:15": "postgres", "lab/mariadb:10.11": "mariadbd", "lab/redis:7": "redis-server"} {
		all[name] = recipe{name: "belay-lab-" + cmd, base: base, files: map[string][]byte{
			"Dockerfile": []byte("ARG BASE\nFROM $BASE\nENTRYPOINT [\"docker-entrypoint.sh\"]\nCMD [\"" + cmd + "\"]\n"),
		}}.build(t)
	}
	return all
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
