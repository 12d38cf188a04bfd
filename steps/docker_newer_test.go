package steps

import (
	"crypto/sha256"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"belay/remote"
	"belay/remote/remotetest"
)

// TestDockerNewer runs what other tests do with the installed engine on one that
// is newer and keeps its images in containerd's store.
func TestDockerNewer(t *testing.T) {
	t.Setenv("BELAY_ENGINE", remotetest.Newer(t, "BELAY_DOCKER26"))
	t.Setenv("BELAY_ENGINE_STORE", "containerd")
	for name, test := range map[string]func(*testing.T){
		"container": TestDockerContainer, "pull": TestDockerImagePull, "other store": testDockerOtherStore, "not unpacked": testDockerUnpacked,
		"compose": func(t *testing.T) { newComposeUpgradeLabs(t)(t, "v2").moved(t) },
	} {
		t.Run(name, test)
	}
}

// testDockerOtherStore brings an image from the installed engine, which has a
// store of its own, to the newer one, where it gets another ID, and back.
func testDockerOtherStore(t *testing.T) {
	newer := newDockerBox(t, "box")
	old := &dockerBox{d: remotetest.StartDockerdOf(t, "", false)}
	old.host = remote.Host{Name: "old", Addr: "old", Runner: old, Dialer: old}
	for _, way := range [][2]*dockerBox{{old, newer}, {newer, old}} {
		far, b := way[0], way[1]
		mark := filesRandom(1 << 20)
		id, sum := far.d.Busybox("app:v2", mark), fmt.Sprintf("%x ", sha256.Sum256([]byte(mark)))
		was := b.d.Busybox("app:v2", "old")
		state := func() string { // images of one moment come in any order
			all := strings.Split(b.d.Docker("images", "-a", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"), "\n")
			slices.Sort(all)
			return strings.Join(all, "\n")
		}
		step := func() Step { return &dockerImage{Image: "app:v2", From: far.host.Name, Pack: "auto"} }
		done := func() {
			if got := dockerID(b.d, "app:v2"); got == id || got == was {
				t.Errorf("to %s: the name is %s", b.host.Name, got)
			}
			if got := b.d.Docker("run", "--rm", "--network", "none", "app:v2", "sh", "-c", "cat mark | busybox sha256sum"); !strings.HasPrefix(got, sum) {
				t.Errorf("to %s: another content: %s", b.host.Name, got)
			}
		}
		if b == newer {
			dockerEachCut(t, b, []remote.Host{far.host}, step, state, done)
		}
		// What is here under another ID and name need not come again.
		s, e := step(), dockerEnv(b, far.host)
		if out, err := exec.Command("sh", "-c", `docker -H "$1" save "$3" | docker -H "$2" load`, "sh", "unix://"+far.d.Sock, "unix://"+b.d.Sock, id).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if c := e.pending(t, s); len(c) != 1 || !strings.Contains(c[0].Text, "is here already") {
			t.Errorf("to %s: pending: %+v", b.host.Name, c)
		}
		with := state()
		e.apply(t, s)
		e.verify(t, s)
		done()
		e.undo(t, s)
		if now := state(); now != with {
			t.Errorf("to %s: after undo:\n%s\nbefore:\n%s", b.host.Name, now, with)
		}
		b.d.Docker("rmi", "app:v2")
		far.d.Docker("rmi", "app:v2")
	}
}

// testDockerUnpacked: an image that the engine knows, and whose files are not
// there, is none.
func testDockerUnpacked(t *testing.T) {
	b := newDockerBox(t, "box")
	far := &dockerBox{d: remotetest.StartDockerd(t)}
	far.host = remote.Host{Name: "far", Addr: "far", Runner: far, Dialer: far}
	id := far.d.Busybox("app:v2", "two")
	script := `docker -H "$1" save "$3" >"$4" && layer=$(tar -xOf "$4" manifest.json | grep -o 'Layers":\["[^"]*' | sed 's/.*"//') && tar --delete -f "$4" "$layer" && docker -H "$2" load <"$4"`
	// Engine 26 ends badly here, and 28 well.
	out, _ := exec.Command("sh", "-c", script, "sh", "unix://"+far.d.Sock, "unix://"+b.d.Sock, id, t.TempDir()+"/tar").CombinedOutput()
	if !strings.Contains(string(out), "unpack") || dockerID(b.d, id) != id {
		t.Fatalf("the engine does not have it half: %s", out)
	}
	s, e := &dockerImage{Image: "app:v2", From: "far", Pack: "auto"}, dockerEnv(b, far.host)
	if c := e.pending(t, s); len(c) != 1 || !strings.Contains(c[0].Text, "bring image") {
		t.Errorf("pending: %+v", c)
	}
	e.apply(t, s)
	e.verify(t, s)
	if got := b.d.Docker("run", "--rm", "--network", "none", "app:v2", "cat", "mark"); got != "two" {
		t.Errorf("it says %q", got)
	}
	e.undo(t, s)
}
