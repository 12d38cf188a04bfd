package docker

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
	"belay/remote/ssh"
)

// engineSSH is a host behind a real sshd, whose login's docker context is d.
func engineSSH(t *testing.T, d *remotetest.Dockerd, o remotetest.SSHDOptions) (remote.Host, *remotetest.SSHD) {
	t.Helper()
	s := remotetest.StartSSHD(t, o)
	if d != nil {
		c := remotetest.Find("docker")
		cmd := "HOME=" + s.Home + " " + c + " context create mine --docker host=unix://" + d.Sock + " && HOME=" + s.Home + " " + c + " context use mine"
		if out, err := remote.Output(t.Context(), remote.Local("here"), remote.Sh(cmd+" 2>&1")); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	n := ssh.NewNetwork(ssh.Options{Config: s.Config, Home: s.Home, Agent: "none"})
	t.Cleanup(func() { n.Close() })
	h, err := n.Open(s.Name, ssh.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	return h, s
}

// TestEngineOverSSH goes both roads through a real sshd to a real engine.
func TestEngineOverSSH(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Docker engine")
	}
	d := remotetest.StartDockerd(t)
	for name, o := range map[string]remotetest.SSHDOptions{"socket": {}, "stdio": {NoForwarding: true}, "sudo": {NoForwarding: true}} {
		t.Run(name, func(t *testing.T) {
			h, s := engineSSH(t, d, o)
			if name == "sudo" {
				remotetest.Need(t, "sudo")
				h.Runner = withEnv{remote.Sudo(h.Runner, secret.Value{}), "DOCKER_HOST=unix://" + d.Sock}
			}
			e, err := Open(t.Context(), h)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(e.Road, "unix://") != (name == "socket") {
				t.Errorf("road: %s", e.Road)
			}
			if e.Version == "" || e.API == "" || older(e.API, oldestAPI) {
				t.Errorf("version %q, API %q", e.Version, e.API)
			}
			v, err := e.VolumeCreate(t.Context(), client.VolumeCreateOptions{Name: "v-" + name})
			if err != nil || v.Volume.Mountpoint == "" {
				t.Errorf("create a volume: %+v, %v", v, err)
			}
			// A deadline ends a request that never would.
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			ev := e.Events(ctx, client.EventsListOptions{})
			if err := <-ev.Err; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("events ended with %v", err)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
			engineQuiet(t, s)
			engineLooks(t, h, "v-"+name)
			engineQuiet(t, s)
		})
	}
}

// engineLooks makes sure that an engine for looking cannot change anything.
func engineLooks(t *testing.T, h remote.Host, volume string) {
	t.Helper()
	e, err := Look(t.Context(), remote.ReadOnly(h))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.VolumeInspect(t.Context(), volume, client.VolumeInspectOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := e.VolumeRemove(t.Context(), volume, client.VolumeRemoveOptions{}); !errors.Is(err, remote.ErrReadOnly) {
		t.Errorf("removed a volume while only looking is allowed: %v", err)
	}
}

// engineQuiet waits until nothing of ours runs on the host any more.
func engineQuiet(t *testing.T, s *remotetest.SSHD) {
	t.Helper()
	var left []string
	for range 100 {
		left = nil
		for _, pid := range s.Sessions() {
			b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
			if err == nil && strings.Contains(string(b), "dial-stdio") {
				left = append(left, string(b))
			}
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("left behind: %q", left)
}

func TestEngineNotThere(t *testing.T) {
	remotetest.Need(t, "docker")
	h := remote.Local("box")
	h.Runner = withEnv{h.Runner, "DOCKER_HOST=unix://" + t.TempDir() + "/no.sock"}
	_, err := Open(t.Context(), h)
	if err == nil || !strings.Contains(err.Error(), "neither by its socket") || !strings.Contains(err.Error(), "no.sock") {
		t.Errorf("an engine that is not there: %v", err)
	}
}

type withEnv struct {
	remote.Runner
	env string
}

func (w withEnv) Run(ctx context.Context, c remote.Cmd) error {
	c.Argv = append([]string{"env", w.env}, c.Argv...)
	return w.Runner.Run(ctx, c)
}

func TestEngineTooOld(t *testing.T) {
	dir, err := os.MkdirTemp("", "belay")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", dir+"/sock")
	if err != nil {
		t.Fatal(err)
	}
	old := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.39") // Engine 18.09
	})}
	go old.Serve(l)
	t.Cleanup(func() { old.Close() })
	h := remote.Local("box")
	h.Runner = withEnv{h.Runner, "DOCKER_HOST=unix://" + dir + "/sock"}
	if _, err := Open(t.Context(), h); !errors.Is(err, ErrTooOld) {
		t.Errorf("Engine 18.09: %v", err)
	}
}

func TestOlder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{{"1.39", "1.40", true}, {"1.40", "1.40", false}, {"1.9", "1.40", true}, {"2.0", "1.40", false}, {"", "1.40", true}, {"x.y", "1.40", true}} {
		if got := older(c.a, c.b); got != c.want {
			t.Errorf("older(%q, %q) = %v", c.a, c.b, got)
		}
	}
}
