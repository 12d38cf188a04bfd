package steps

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/ssh"
)

// dockerRegistry serves one image, as a registry does, under any name and tag
// that was put. It returns its address.
func dockerRegistry(t *testing.T, d *remotetest.Dockerd) (addr string, put func(image string) (digest string)) {
	t.Helper()
	blobs := map[string][]byte{}
	kinds := map[string]string{}
	keep := func(b []byte, kind string) string {
		d := fmt.Sprintf("sha256:%x", sha256.Sum256(b))
		blobs[d], kinds[d] = b, kind
		return d
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tag := ""
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		if r.URL.Path == "/v2/" {
			return
		}
		if !strings.HasPrefix(name, "sha256:") {
			name = tag
		}
		b, ok := blobs[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", kinds[name])
		w.Header().Set("Docker-Content-Digest", name)
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		w.Write(b)
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	const v2 = "application/vnd.docker."
	return l.Addr().String(), func(image string) string {
		dir := t.TempDir()
		out, err := exec.Command("sh", "-c", `docker -H "$1" save "$2" | tar -x -C "$3"`, "sh", "unix://"+d.Sock, image, dir).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		read := func(name string) []byte {
			b, err := os.ReadFile(dir + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		var list []struct {
			Config string
			Layers []string
		}
		if err := json.Unmarshal(read("manifest.json"), &list); err != nil {
			t.Fatal(err)
		}
		part := func(name, kind string) map[string]any {
			b := read(name)
			return map[string]any{"mediaType": v2 + kind, "size": len(b), "digest": keep(b, v2+kind)}
		}
		var layers []any
		for _, name := range list[0].Layers {
			layers = append(layers, part(name, "image.rootfs.diff.tar"))
		}
		m, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": v2 + "distribution.manifest.v2+json",
			"config": part(list[0].Config, "container.image.v1+json"), "layers": layers})
		if err != nil {
			t.Fatal(err)
		}
		tag = keep(m, v2+"distribution.manifest.v2+json")
		return tag
	}
}

func dockerID(d *remotetest.Dockerd, image string) string {
	return d.Docker("image", "inspect", "--format", "{{.Id}}", image)
}

func TestDockerImagePull(t *testing.T) {
	b := newDockerBox(t, "box")
	addr, put := dockerRegistry(t, b.d)
	name := addr + "/app:v1"
	old := b.d.Busybox(name, "old")
	fresh := b.d.Busybox("new", "new")
	digest := put("new")
	if b.d.Containerd { // an image's ID is there what its registry calls it
		fresh = digest
	}
	b.d.Docker("rmi", "new") // so that it has to be pulled
	for _, want := range []string{"", digest} {
		s := &dockerImage{Image: name, Digest: want}
		e := dockerEnv(b)
		if c := e.pending(t, s); len(c) != 1 || !strings.Contains(c[0].Text, "kept as "+addr+"/app:before-run1.step.box") {
			t.Fatalf("pending: %+v", c)
		}
		e.apply(t, s)
		e.verify(t, s)
		if c := e.pending(t, s); len(c) != 0 {
			t.Errorf("still pending: %+v", c)
		}
		if got := dockerID(b.d, name); got != fresh {
			t.Errorf("%s is %s, want %s", name, got, fresh)
		}
		if got := dockerID(b.d, addr+"/app:before-run1.step.box"); got != old {
			t.Errorf("kept is %s, want %s", got, old)
		}
		e.apply(t, s) // never twice
		e.undo(t, s)
		e.undo(t, s)
		if got := dockerID(b.d, name); got != old {
			t.Errorf("after undo %s is %s, want %s", name, got, old)
		}
	}
	s := &dockerImage{Image: name, Digest: "sha256:" + strings.Repeat("0", 64)}
	e := dockerEnv(b)
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "is as it was") {
		t.Errorf("a digest that the registry does not have: %v", err)
	}
	if got := dockerID(b.d, name); got != old {
		t.Errorf("after a failed pull %s is %s", name, got)
	}
}

// TestDockerImageShip brings an image from one real engine to another, the
// source behind a real sshd.
func TestDockerImageShip(t *testing.T) {
	b := newDockerBox(t, "box")
	far := remotetest.StartDockerd(t)
	sshd := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	script := "HOME=$1 docker context create far --docker host=unix://$2 && HOME=$1 docker context use far"
	if out, err := exec.Command("sh", "-c", script, "sh", sshd.Home, far.Sock).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n := ssh.NewNetwork(ssh.Options{Config: sshd.Config, Home: sshd.Home, Agent: "none"})
	t.Cleanup(func() { n.Close() })
	from, err := n.Open(sshd.Name, ssh.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	id := far.Busybox("ghcr.io/app/server:v2", filesRandom(3<<20))
	old := b.d.Busybox("ghcr.io/app/server:v1", "old")
	b.d.Docker("tag", "ghcr.io/app/server:v1", "ghcr.io/app/server:v2")
	state := func() string {
		return b.d.Docker("images", "-a", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
	}
	step := func() Step { return &dockerImage{Image: "ghcr.io/app/server:v2", From: from.Name, Pack: "auto"} }
	t.Run("needs", func(t *testing.T) { dockerImageNeeds(t, b, from) })
	t.Run("cuts", func(t *testing.T) {
		dockerEachCut(t, b, []remote.Host{from}, step, state, func() {
			if got := dockerID(b.d, "ghcr.io/app/server:v2"); got != id {
				t.Errorf("the name is %s, want %s", got, id)
			}
			if got := dockerID(b.d, "ghcr.io/app/server:before-run1.step.box"); got != old {
				t.Errorf("kept is %s, want %s", got, old)
			}
		})
	})
	t.Run("loaded, not named", func(t *testing.T) { dockerImageLoaded(t, b, far, from, id, state) })
	t.Run("resume", func(t *testing.T) { dockerImageResume(t, b, from, step()) })
	t.Run("shared layers", func(t *testing.T) { dockerImageShared(t, b, far, from) })
	t.Run("somebody else", func(t *testing.T) {
		s, e := step(), dockerEnv(b, from)
		e.apply(t, s)
		b.d.Busybox("other", "other")
		b.d.Docker("tag", "other", "ghcr.io/app/server:v2")
		if err := s.(Undoer).Undo(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "somebody else") {
			t.Errorf("undo over somebody else's change: %v", err)
		}
		if err := s.Verify(t.Context(), e.Env); err == nil {
			t.Error("verify takes another image for ours")
		}
	})
}

// dockerImageLoaded: a step that broke off between load and name leaves no image
// without a name behind; one that was here before stays.
func dockerImageLoaded(t *testing.T, b *dockerBox, far *remotetest.Dockerd, from remote.Host, id string, state func() string) {
	s := &dockerImage{Image: "ghcr.io/app/fresh:v1", Source: "ghcr.io/app/server:v2", From: from.Name, Pack: "auto"}
	was := state()
	for _, had := range []bool{false, true} {
		out, err := exec.Command("sh", "-c", `docker -H "$1" save "$3" | docker -H "$2" load`, "sh", "unix://"+far.Sock, "unix://"+b.d.Sock, id).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		e := dockerEnv(b, from)
		if err := e.Memory.Put(dockerImageKey, dockerImaged{New: id, Had: had}); err != nil {
			t.Fatal(err)
		}
		e.undo(t, s)
		if now := state(); had == (now == was) {
			t.Errorf("had %v: after undo:\n%s\nbefore:\n%s", had, now, was)
		}
	}
	b.d.Docker("rmi", id)
}

func dockerImageNeeds(t *testing.T, b *dockerBox, from remote.Host) {
	s := &dockerImage{Image: "ghcr.io/app/server:v2", From: from.Name}
	e := dockerEnv(b, from)
	f := dockerAssess(t, e, s.Needs("box"))
	if !strings.HasPrefix(f, "pass: box has ") {
		t.Error(f)
	}
	c := e.pending(t, s)
	if len(c) != 1 || c[0].Bytes < 3<<20 || !strings.Contains(c[0].Text, "MiB) from server; ") {
		t.Errorf("pending: %+v", c)
	}
}

// dockerImageResume loses the link while the image is on its way: the second
// attempt sends only the rest.
func dockerImageResume(t *testing.T, b *dockerBox, from remote.Host, s Step) {
	e := dockerEnv(b, from)
	dir := os.Getenv("XDG_STATE_HOME") + "/belay/parts"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	// What an attempt that was cut leaves behind: the first MiB.
	far := remote.Cmd{Argv: []string{"sh", "-c", `docker save "$(docker image inspect --format '{{.Id}}' ghcr.io/app/server:v2)" | head -c 1048576`}, Pure: true}
	part, err := remote.Output(t.Context(), from, far)
	if err != nil || len(part) != 1<<20 {
		t.Fatalf("%d bytes, %v", len(part), err)
	}
	for name, first := range map[string][]byte{"the same": part, "rubbish": []byte("rubbish")} {
		if err := os.WriteFile(dir+"/image.run1.step.box", first, 0o600); err != nil {
			t.Fatal(err)
		}
		e.log.Reset()
		e.apply(t, s)
		e.verify(t, s)
		again := strings.Contains(e.log.String(), "sending the whole image again")
		if !strings.Contains(e.log.String(), "have arrived before") || again != (name == "rubbish") {
			t.Errorf("%s: log:\n%s", name, e.log.String())
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		e.undo(t, s)
	}
}

// dockerImageShared brings an image of which the host has all layers but the
// highest: only that one goes over, and the image is the same.
func dockerImageShared(t *testing.T, b *dockerBox, far *remotetest.Dockerd, from remote.Host) {
	base := far.Busybox("base", filesRandom(4<<20))
	out, err := exec.Command("sh", "-c", `docker -H "$1" save base | docker -H "$2" load`, "sh", "unix://"+far.Sock, "unix://"+b.d.Sock).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	layer := t.TempDir() + "/layer"
	fileWrite(t, layer, filesRandom(100<<10), 0o644)
	top := func(image, from string) string {
		id := far.Docker("create", "--network", "none", from)
		far.Docker("cp", layer, id+":/"+image)
		defer far.Docker("rm", id)
		return far.Docker("commit", id, image)
	}
	top("middle", "base")
	want := top("upper", "middle")
	s := &dockerImage{Image: "upper", From: from.Name, Pack: "auto"}
	e := dockerEnv(b, from)
	var sent int64
	count := &sentRunner{Runner: from.Runner}
	from.Runner = count
	e.Hosts[from.Name] = from
	e.apply(t, s)
	e.verify(t, s)
	spares := !b.d.Containerd
	if sent = count.n.Load(); sent == 0 || spares == (sent > 1<<20) {
		t.Errorf("%d bytes were sent", sent)
	}
	if spares != strings.Contains(e.log.String(), "of its 3 layers 1 are here already") {
		t.Errorf("log:\n%s", e.log.String())
	}
	if got := dockerID(b.d, "upper"); got != want {
		t.Errorf("upper is %s, want %s", got, want)
	}
	sum := func(d *remotetest.Dockerd) string {
		out, err := exec.Command("sh", "-c", `docker -H "$1" save "$2" | sha256sum`, "sh", "unix://"+d.Sock, want).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if a, z := sum(far), sum(b.d); a != z {
		t.Errorf("saved again it has the sum %s, not %s", z, a)
	}
	e.undo(t, s)
	if got := dockerID(b.d, "base"); got != base {
		t.Errorf("base is %s, want %s", got, base)
	}
}

func TestDockerImageValidate(t *testing.T) {
	for _, c := range []dockerImage{
		{Image: ""}, {Image: "a b"}, {Image: "-v/:/x"}, {Image: "app@sha256:" + strings.Repeat("0", 64)}, {Image: "app:v1\nrm"},
		{Image: "app", Digest: "sha256:12"}, {Image: "app", Source: "x"}, {Image: "app", From: "h", Source: "--help"}, {Image: "a", Keep: "$(x)"},
	} {
		if c.Validate() == nil {
			t.Errorf("%+v was taken", c)
		}
	}
	for _, image := range []string{"app", "app:v1", "localhost:5000/a/b_c:v1.2-x", "ghcr.io/fluxerapp/fluxer-server:v1.2.4"} {
		if err := (&dockerImage{Image: image}).Validate(); err != nil {
			t.Error(err)
		}
	}
	if got := dockerRepo("localhost:5000/a/b"); got != "localhost:5000/a/b" {
		t.Error(got)
	}
	if tag := dockerAliasTag(strings.Repeat("x", 300)); len(tag) > 128 {
		t.Error(tag)
	}
}
