package remotetest

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Dockerd is a Docker engine of the test's own: a real dockerd with its own
// data, on a unix socket, without networks for its containers (use --network
// none or host).
type Dockerd struct {
	Dir  string
	Sock string // path of the socket
	Data string // its data directory
	Path string // for commands that shall use the engine's own docker: a PATH

	Containerd bool // its images are in containerd's store

	t testing.TB
}

// dockerdPrograms are those of an engine, its command line, and what it starts.
var dockerdPrograms = []string{"dockerd", "docker", "docker-init", "docker-proxy", "containerd", "containerd-shim-runc-v2", "ctr", "runc"}

// StartDockerd starts an engine and ends it when the test ends. It skips the
// test when dockerd is not installed (see Need) or the test is not root.
//
// BELAY_ENGINE names another engine than the installed one: the directory that
// `.ci/newer` unpacked it into. With BELAY_ENGINE_STORE=containerd it keeps its
// images in containerd's store, as Engine 29 does by itself (from Engine 24 on).
func StartDockerd(t testing.TB) *Dockerd {
	t.Helper()
	return StartDockerdOf(t, os.Getenv("BELAY_ENGINE"), os.Getenv("BELAY_ENGINE_STORE") == "containerd")
}

// StartDockerdOf is StartDockerd of the engine in root, or of the installed one.
func StartDockerdOf(t testing.TB, root string, containerd bool) *Dockerd {
	t.Helper()
	Need(t, "dockerd", "docker")
	if os.Getuid() != 0 {
		t.Skip("needs root, to start an engine")
	}
	dir, err := os.MkdirTemp("", "belay-dockerd") // t.TempDir() is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// An engine that was in a Swarm leaves a network namespace mounted.
		if left, _ := filepath.Glob(dir + "/exec/netns/*"); len(left) > 0 {
			_ = exec.Command("umount", left...).Run()
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Log(err)
		}
	})
	d := &Dockerd{Dir: dir, Sock: dir + "/sock", Data: dir + "/data", Containerd: containerd, t: t}
	log, err := os.Create(dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(d.programs(root)["dockerd"], "--data-root", d.Data, "--exec-root", dir+"/exec", "--pidfile", dir+"/pid",
		"--host", "unix://"+d.Sock, "--bridge", "none", "--iptables=false", "--ip6tables=false")
	if containerd {
		if err := os.WriteFile(dir+"/config", []byte(`{"features": {"containerd-snapshotter": true}}`), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd.Args = append(cmd.Args, "--config-file", dir+"/config")
	}
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, append(os.Environ(), "PATH="+d.Path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if ids := strings.Fields(d.try("ps", "-aq")); len(ids) > 0 {
			d.try(append([]string{"rm", "-f"}, ids...)...)
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for range 600 {
		if d.command("version").Run() == nil {
			return d
		}
		time.Sleep(100 * time.Millisecond)
	}
	b, _ := os.ReadFile(dir + "/log")
	t.Fatalf("the engine did not start:\n%s", b)
	return nil
}

// programs sets Path, and returns where the engine's programs are. Those of
// another root go into a directory of their own: beside them lie a system's
// other ones.
func (d *Dockerd) programs(root string) map[string]string {
	d.t.Helper()
	d.Path = os.Getenv("PATH")
	found := map[string]string{}
	for _, p := range dockerdPrograms {
		if root == "" {
			found[p] = Find(p)
		} else if list, _ := filepath.Glob(root + "/usr/*bin/" + p); len(list) > 0 {
			found[p] = list[0]
		} else {
			d.t.Fatalf("%s has no %s", root, p)
		}
	}
	if root == "" {
		return found
	}
	bin := d.Dir + "/bin"
	if err := os.Mkdir(bin, 0o755); err != nil {
		d.t.Fatal(err)
	}
	for _, p := range slices.Sorted(maps.Keys(found)) {
		if err := os.Symlink(found[p], bin+"/"+p); err != nil {
			d.t.Fatal(err)
		}
	}
	d.Path = bin + ":" + d.Path
	return found
}

// Docker runs the docker command against the engine and returns what it said,
// without white space around it. An error fails the test.
func (d *Dockerd) Docker(args ...string) string {
	d.t.Helper()
	out, err := d.command(args...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("docker %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (d *Dockerd) try(args ...string) string {
	out, _ := d.command(args...).Output()
	return string(out)
}

func (d *Dockerd) command(args ...string) *exec.Cmd {
	return exec.Command("env", append([]string{"PATH=" + d.Path, "docker", "-H", "unix://" + d.Sock}, args...)...)
}

// Busybox imports an image of a busybox alone under the name, with extra in a
// file /mark, so that images can differ. Its containers run `sleep` until they
// are told to end.
func (d *Dockerd) Busybox(name, extra string) string {
	d.t.Helper()
	Need(d.t, "busybox")
	root, err := os.MkdirTemp(d.Dir, "image")
	if err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(root+"/mark", []byte(extra), 0o644); err != nil {
		d.t.Fatal(err)
	}
	script := `set -e
cd "$1"; mkdir bin tmp etc
cp "$2" bin/busybox
for l in $(ldd "$2" 2>/dev/null | grep -o '/[^ ]*'); do mkdir -p ".${l%/*}"; cp -L "$l" ".$l"; done
for a in sh sleep cat ls tar true false echo; do ln -s busybox "bin/$a"; done
tar -c --mtime=@1 . | docker -H "$3" import -c 'ENV PATH=/bin' -c 'CMD ["sh", "-c", "trap exit TERM; while :; do sleep 0.2; done"]' - "$4"`
	out, err := exec.Command("env", "PATH="+d.Path, "sh", "-c", script, "sh", root, Find("busybox"), "unix://"+d.Sock, name).CombinedOutput()
	if err != nil {
		d.t.Fatalf("import image %s: %v: %s", name, err, out)
	}
	return strings.TrimSpace(string(out))
}
