package steps

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/ssh"
)

// BenchmarkDataDocker copies a volume by docker.volume from engine to engine,
// through a real sshd on either side, against `docker run … tar | ssh docker run
// … tar` and rsync of the volume's path; and moves an image by docker.image
// against `docker save | ssh docker load`. Run with BELAY_BENCH_DATA=1.
func BenchmarkDataDocker(b *testing.B) {
	if os.Getenv("BELAY_BENCH_DATA") != "1" {
		b.Skip("a measurement, run by BELAY_BENCH_DATA=1")
	}
	remotetest.Need(b, "rsync", "ssh", "docker", "busybox")
	x := &dockerBench{b: b, sshd: remotetest.StartSSHD(b, remotetest.SSHDOptions{}), old: remotetest.StartDockerd(b), now: remotetest.StartDockerd(b)}
	n := ssh.NewNetwork(ssh.Options{Config: x.sshd.Config, Home: x.sshd.Home, Agent: "none"})
	b.Cleanup(func() { n.Close() })
	x.e = newFileEnv(nil)
	x.e.Hosts = remote.Hosts{}
	for name, d := range map[string]*remotetest.Dockerd{"old": x.old, "new": x.now} {
		h, err := n.Open(x.sshd.Name, ssh.Spec{})
		if err != nil {
			b.Fatal(err)
		}
		h.Name, h.Runner = name, dockerAt{h.Runner, "DOCKER_HOST=unix://" + d.Sock}
		x.e.Hosts[name] = h
	}
	x.e.Host = x.e.Hosts["new"]
	x.old.Docker("volume", "create", "uploads")
	x.bytes = filesSyncBenchTree(b, x.old.Data+"/volumes/uploads/_data")
	x.old.Busybox("app", "x")
	x.now.Busybox("app", "x")
	for i := range b.N {
		x.volume(i)
		x.image(i)
	}
}

// dockerAt is a host whose docker command and belay find an engine of the
// test's own.
type dockerAt struct {
	remote.Runner
	env string
}

func (r dockerAt) Run(ctx context.Context, c remote.Cmd) error {
	c.Argv = append([]string{"env", r.env}, c.Argv...)
	return r.Runner.Run(ctx, c)
}

type dockerBench struct {
	b        *testing.B
	sshd     *remotetest.SSHD
	old, now *remotetest.Dockerd
	e        *fileEnv
	bytes    int64
}

// shell times a pipeline as people write it.
func (x *dockerBench) shell(script string, args ...string) time.Duration {
	x.b.Helper()
	begun := time.Now()
	c := exec.Command("bash", append([]string{"-o", "pipefail", "-c", script, "bench"}, args...)...)
	if out, err := c.CombinedOutput(); err != nil {
		x.b.Fatalf("%s: %v\n%s", script, err, out)
	}
	return time.Since(begun)
}

func (x *dockerBench) apply(s Step) time.Duration {
	x.b.Helper()
	begun := time.Now()
	x.e.Memory = MapMemory{}
	if err := s.Apply(x.b.Context(), x.e.Env); err != nil {
		x.b.Fatal(err)
	}
	return time.Since(begun)
}

func (x *dockerBench) tell(what string, bytes int64, ours time.Duration, peers map[string]time.Duration) {
	for name, theirs := range peers {
		x.b.Logf("%s, %d MB: belay %.2f s, %s %.2f s: %.2f times as fast", what, bytes>>20, ours.Seconds(), name, theirs.Seconds(), theirs.Seconds()/ours.Seconds())
	}
}

func (x *dockerBench) volume(i int) {
	name := fmt.Sprintf("uploads%d", i)
	peers := map[string]time.Duration{
		"docker run tar | ssh docker run tar": x.shell(`docker -H "$1" run --rm --network none -v uploads:/v app busybox tar -C /v -cf - . |
ssh -F "$3" "$4" docker -H "$2" run --rm -i --network none -v "tar$5":/v app busybox tar -C /v -xf -`,
			"unix://"+x.old.Sock, "unix://"+x.now.Sock, x.sshd.Config, x.sshd.Name, fmt.Sprint(i)),
		"rsync of the path": x.shell(`rsync -aHAXS --numeric-ids -e "ssh -F $3" "$1/" "$4:$2"`,
			x.old.Data+"/volumes/uploads/_data", x.now.Dir+"/rsync"+fmt.Sprint(i), x.sshd.Config, x.sshd.Name),
	}
	x.tell("docker.volume", x.bytes, x.apply(&dockerVolume{Volume: name, From: "old", FromVolume: "uploads"}), peers)
}

// image is of one layer that nothing makes smaller.
func (x *dockerBench) image(i int) {
	const size = 256 << 20
	dir := x.b.TempDir()
	fileWrite(x.b, dir+"/root/blob", filesRandom(size), 0o644)
	name := fmt.Sprintf("large:%d", i)
	x.shell(`tar -C "$1" -c . | docker -H "$2" import - "$3"`, dir+"/root", "unix://"+x.old.Sock, name)
	x.move(name, size)
	// The next version of it: one small layer more.
	next := fmt.Sprintf("larger:%d", i)
	fileWrite(x.b, dir+"/layer", filesRandom(1<<20), 0o644)
	x.shell(`c=$(docker -H "$1" create --network none "$2" x) && docker -H "$1" cp "$3" "$c:/layer" && docker -H "$1" commit "$c" "$4" && docker -H "$1" rm "$c"`,
		"unix://"+x.old.Sock, name, dir+"/layer", next)
	x.move(next, size)
}

// move times the pipe, takes back what it brought, and times belay.
func (x *dockerBench) move(name string, bytes int64) {
	load := x.shell(`docker -H "$1" save "$3" | ssh -F "$4" "$5" docker -H "$2" load`, "unix://"+x.old.Sock, "unix://"+x.now.Sock, name, x.sshd.Config, x.sshd.Name)
	x.now.Docker("image", "rm", name)
	x.tell("docker.image "+name, bytes, x.apply(&dockerImage{Image: name, From: "old", Pack: "auto"}), map[string]time.Duration{"docker save | ssh docker load": load})
}
