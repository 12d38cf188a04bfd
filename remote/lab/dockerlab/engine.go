package dockerlab

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"belay/remote"
)

// needEngine is remotetest.Need for what no PATH shows.
func needEngine(t testing.TB) {
	t.Helper()
	why := ""
	if exec.Command("docker", "version").Run() != nil {
		why = "needs a Docker engine that answers (`make test` starts one)"
	} else if exec.Command("docker", "image", "inspect", "debian:bookworm-slim").Run() != nil {
		why = "needs the image debian:bookworm-slim (`make test` makes it)"
	}
	switch {
	case why == "":
	case os.Getenv("BELAY_TEST_ALL") == "1":
		t.Fatalf("%s, and BELAY_TEST_ALL=1 forbids to skip", why)
	default:
		t.Skip(why)
	}
}

// newerEngine has a server run the engine of BELAY_ENGINE, which `.ci/newer` has
// unpacked, with BELAY_ENGINE_STORE=containerd on containerd's image store; see
// remotetest.StartDockerd. It adds to the server's files and returns what
// `docker create` must be told.
func newerEngine(files map[string][]byte) []string {
	if os.Getenv("BELAY_ENGINE_STORE") == "containerd" {
		files["etc/docker/daemon.json"] = []byte(`{"features": {"containerd-snapshotter": true}}`)
	}
	root := os.Getenv("BELAY_ENGINE")
	if root == "" {
		return nil
	}
	files["etc/lab-boot.d/05-engine"] = []byte("for p in dockerd docker docker-init docker-proxy containerd containerd-shim-runc-v2 ctr runc; do\n" +
		"ln -sf \"$(ls " + remote.Quote(root) + "/usr/*bin/$p | head -n 1)\" /usr/local/bin/$p\ndone\n")
	return []string{"--volume", root + ":" + root + ":ro"}
}

// docker runs the client and returns what it printed, trimmed.
func docker(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command("docker", args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker %s: %v, %s", strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimSpace(string(out))
}

// down removes what Up has made.
func (l *Lab) down() {
	if l.t.Failed() {
		for name := range l.servers {
			l.t.Logf("server %s printed:\n%s", name, l.boot(name))
		}
	}
	for name, s := range l.servers {
		if out, err := exec.Command("docker", "rm", "--force", "--volumes", s.container).CombinedOutput(); err != nil {
			l.t.Errorf("remove server %s: %v, %s", name, err, out)
		}
	}
	if out, err := exec.Command("docker", "network", "rm", l.network()).CombinedOutput(); err != nil {
		l.t.Errorf("remove network: %v, %s", err, out)
	}
	removeGroups("belay-lab-" + l.id)
}

// removeGroups removes the empty control groups that an engine inside leaves
// on the machine, as far as we may.
func removeGroups(prefix string) {
	var found []string
	filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, "/"+prefix) {
			found = append(found, path)
		}
		return nil
	})
	for _, path := range slices.Backward(found) { // children first
		os.Remove(path)
	}
}

// sweep removes what tests have left behind that were killed.
func sweep(t testing.TB) {
	t.Helper()
	for _, kind := range []string{"container", "network"} {
		list := []string{kind, "ls", "--quiet", "--filter", "label=belay.lab"}
		if kind == "container" {
			list = append(list, "--all")
		}
		for _, id := range strings.Fields(docker(t, list...)) {
			format := "{{index .Labels \"belay.lab\"}}"
			if kind == "container" {
				format = "{{index .Config.Labels \"belay.lab\"}}"
			}
			out, err := exec.Command("docker", kind, "inspect", "--format", format, id).Output()
			if err != nil {
				continue // removed meanwhile
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
			if err == nil && syscall.Kill(pid, 0) == nil {
				continue
			}
			args := []string{kind, "rm", id}
			if kind == "container" {
				args = []string{kind, "rm", "--force", "--volumes", id}
			}
			exec.Command("docker", args...).Run() // another test may be faster
		}
	}
}
