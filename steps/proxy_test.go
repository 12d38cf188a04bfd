package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

func TestProxySocat(t *testing.T) {
	remotetest.Need(t, "socat")
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", "")
	t.Cleanup(func() { endJobs(t, home) })
	old := remotetest.StartRedis(t, remotetest.RedisOptions{})
	now := remotetest.StartRedis(t, remotetest.RedisOptions{Settings: []string{"user app on >app-pw ~* +@all"}})
	e, log := runEnv(remote.Local("chat"))
	e.Secret = func(_ context.Context, name string) (secret.Value, error) { return secret.New(name), nil }
	p := &proxy{Listen: old.Addr, To: now.Addr, By: "socat", Max: 50,
		Login: &proxyLogin{Kind: "redis", User: "app", Password: secret.Ref{Name: "app-pw"}}}

	_, err := p.Pending(t.Context(), looking(e))
	if err == nil || !strings.Contains(err.Error(), "is held by") || !strings.Contains(err.Error(), "redis-server") {
		t.Fatalf("the old server listens yet: %v", err)
	}
	if err := p.Apply(t.Context(), e); err == nil {
		t.Fatal("it was started over the old server")
	}
	old.Stop()
	redisDone(t, e, p)
	now.Do("SET", "k", "through")
	if got := old.Do("GET", "k"); got[0] != "through" { // old's address
		t.Errorf("%q", got)
	}
	// Again, also in another process: one proxy.
	if err := p.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	ls, err := proxyListeners(t.Context(), e.Host, p.Listen)
	if err != nil || len(ls) != 1 || ls[0].job != e.ID+".proxy.1" {
		t.Fatalf("%+v %v", ls, err)
	}
	// It dies, and is started again.
	var pid int
	fmt.Sscan(ls[0].pid, &pid)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "it is there again", func() bool { _, err := old.Try("PING"); return err == nil })
	if todo, err := p.Pending(t.Context(), looking(e)); err != nil || len(todo) != 0 {
		t.Errorf("%v %v", todo, err)
	}
	// Another user cannot log in, and Verify says so.
	wrong := *p
	wrong.Login = &proxyLogin{Kind: "redis", User: "app", Password: secret.Ref{Name: "hunter2"}}
	if err := wrong.Verify(t.Context(), looking(e)); err == nil || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
	// A step of another run finds it held.
	other := e
	other.ID, other.Memory = "move-2.step.chat", MapMemory{}
	if _, err := p.Pending(t.Context(), looking(other)); err == nil || !strings.Contains(err.Error(), "held by socat") {
		t.Errorf("%v", err)
	}
	if err := p.Undo(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Try("PING"); err != nil {
		t.Errorf("another step's undo ended it: %v", err)
	}
	if err := p.Undo(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Try("PING"); err == nil {
		t.Error("it listens after undo")
	}
	// Done again after undo.
	redisDone(t, e, p)
	if err := p.Undo(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	old.Start()
	if !strings.Contains(log.String(), "a reboot of the host ends it") {
		t.Errorf("log:\n%s", log)
	}
}

func TestProxyNobodyThere(t *testing.T) {
	remotetest.Need(t, "socat")
	e, _ := runEnv(remote.Local("chat"))
	free := net.JoinHostPort("127.0.0.1", fmt.Sprint(remotetest.FreePort(t)))
	p := &proxy{Listen: free, To: "127.0.0.1:1", By: "socat", Max: 5}
	if err := p.Apply(t.Context(), e); err == nil || !strings.Contains(err.Error(), "nobody answers at 127.0.0.1:1") {
		t.Errorf("%v", err)
	}
	if len(e.Memory.(MapMemory)) != 0 {
		t.Errorf("%v", e.Memory)
	}
}

func TestProxyValidate(t *testing.T) {
	good := proxy{Listen: "127.0.0.1:1", To: "db:2", By: "socat", Max: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for field, spoil := range map[string]func(*proxy){
		"listen":          func(p *proxy) { p.Listen = "localhost:1" },
		"to":              func(p *proxy) { p.To = "db:2,exec=sh" },
		"max":             func(p *proxy) { p.Max = 0 },
		"container":       func(p *proxy) { p.By = "container" },
		"container.image": func(p *proxy) { p.By, p.Box = "container", &proxyBox{Image: "--privileged", Network: "n"} },
	} {
		p := good
		spoil(&p)
		f, ok := errors.AsType[*checks.FieldError](p.Validate())
		if !ok || f.Field != field {
			t.Errorf("%s: %v", field, f)
		}
	}
	for _, to := range []string{"a\nb:1", "$(x):1", "a b:1", ":1", "x:0", "x:01", "-x:1"} {
		p := good
		p.To = to
		if p.Validate() == nil {
			t.Errorf("%q was taken", to)
		}
	}
}

func TestProxyParse(t *testing.T) {
	got := proxyParse("listen\t0100007F\t11\nlisten\t00000000000000000000000001000000\t12\nowner\t11\t7\t/x/jobs/run.proxy.1\tsocat a b\nowner\nnoise\n")
	want := []string{"127.0.0.1 run.proxy.1 socat a b (pid 7)", "::1  a process that is hidden from this login"}
	var told []string
	for _, l := range got {
		told = append(told, fmt.Sprintf("%s %s %s", l.ip, l.job, l))
	}
	if !cmp.Equal(told, want) {
		t.Error(cmp.Diff(want, told))
	}
}

// proxyEngine is an engine with an image that holds this machine's socat.
func proxyEngine(t *testing.T) *remotetest.Dockerd {
	d := remotetest.StartDockerd(t)
	remotetest.Need(t, "socat")
	script := `set -e
cd "$1"; mkdir bin
cp -L "$2" bin/socat
for l in $(ldd "$2" | grep -o '/[^ ]*'); do mkdir -p ".${l%/*}"; cp -L "$l" ".$l"; done
tar -c . | docker -H "unix://$3" import -c 'ENV PATH=/bin' - belaysocat`
	if out, err := exec.Command("sh", "-c", script, "sh", t.TempDir(), remotetest.Find("socat"), d.Sock).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return d
}

func TestProxyContainer(t *testing.T) {
	d := proxyEngine(t)
	t.Setenv("DOCKER_HOST", "unix://"+d.Sock)
	now := remotetest.StartRedis(t, remotetest.RedisOptions{})
	e, _ := runEnv(remote.Local("chat"))
	listen := net.JoinHostPort("127.0.0.1", fmt.Sprint(remotetest.FreePort(t)))
	p := &proxy{Listen: listen, To: now.Addr, By: "container", Max: 50, Login: &proxyLogin{Kind: "redis"},
		Box: &proxyBox{Image: "belaysocat", Network: "host", Name: "redis-old"}}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	// Somebody else's container of that name is not touched.
	d.Docker("create", "--name", "redis-old", "--network", "host", "--entrypoint", "socat", "belaysocat", "-V")
	if err := p.Apply(t.Context(), e); err == nil || !strings.Contains(err.Error(), "is not of this step") {
		t.Fatalf("%v", err)
	}
	d.Docker("rm", "redis-old")
	if todo, err := p.Pending(t.Context(), looking(e)); err != nil || len(todo) != 1 {
		t.Fatalf("%v %v", todo, err)
	}
	if err := p.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	until(t, "it hands over", func() bool { return p.Verify(t.Context(), looking(e)) == nil })
	if todo, err := p.Pending(t.Context(), looking(e)); err != nil || len(todo) != 0 {
		t.Errorf("%v %v", todo, err)
	}
	d.Docker("kill", "redis-old")
	if err := p.Apply(t.Context(), e); err != nil { // one of ours that ended is replaced
		t.Fatal(err)
	}
	until(t, "it hands over again", func() bool { return p.Verify(t.Context(), looking(e)) == nil })
	if err := p.Undo(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if got := d.Docker("ps", "-aq"); got != "" {
		t.Errorf("left: %s", got)
	}
}

// TestProxyAlias: clients on a docker network find the new server by the name of
// the old one, which must be gone first.
func TestProxyAlias(t *testing.T) {
	d := proxyEngine(t)
	t.Setenv("DOCKER_HOST", "unix://"+d.Sock)
	if out, err := exec.Command("docker", "network", "create", "mailcow").CombinedOutput(); err != nil {
		t.Skipf("this machine lets the engine make no network: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("docker", "network", "rm", "mailcow").Run() })
	// The new server is on the host: containers may not reach each other where
	// another engine's rules stand (bridge-nf-call-iptables).
	to := proxyEcho(t, d.Docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "mailcow"))
	d.Docker("run", "-d", "--name", "mailcow-redis-1", "--network", "mailcow", "--network-alias", "redis-mailcow",
		"--entrypoint", "socat", "belaysocat", "TCP-LISTEN:6379,fork,reuseaddr", "PIPE")
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", "mailcow-redis-1", "redis-proxy").Run() })
	e, _ := runEnv(remote.Local("chat"))
	p := &proxy{Listen: "0.0.0.0:6379", To: to, By: "container", Max: 50,
		Box: &proxyBox{Image: "belaysocat", Network: "mailcow", Name: "redis-proxy", Aliases: []string{"redis-mailcow"}}}
	if _, err := p.Pending(t.Context(), looking(e)); err == nil || !strings.Contains(err.Error(), "redis-mailcow is the name of container mailcow-redis-1") {
		t.Fatalf("%v", err)
	}
	d.Docker("stop", "-t", "0", "mailcow-redis-1")
	if err := p.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	until(t, "it hands over", func() bool { return p.Verify(t.Context(), looking(e)) == nil })
	client := exec.Command("docker", "exec", "-i", "redis-proxy", "socat", "-t", "5", "-", "TCP:redis-mailcow:6379")
	client.Stdin = strings.NewReader("hello")
	if out, err := client.CombinedOutput(); err != nil || string(out) != "hello" {
		t.Errorf("through the old name: %q %v", out, err)
	}
	if err := p.Undo(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	d.Docker("start", "mailcow-redis-1")
}

// proxyEcho is a server on an address of this machine that says what it hears.
func proxyEcho(t *testing.T, ip string) string {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// TestProxySystemdUnits runs what the unit would, activated by a socket as
// systemd does it.
func TestProxySystemdUnits(t *testing.T) {
	remotetest.Need(t, "systemd-socket-activate")
	now := remotetest.StartRedis(t, remotetest.RedisOptions{})
	port := remotetest.FreePort(t)
	p := &proxySystemd{&proxy{Listen: fmt.Sprint("127.0.0.1:", port), To: now.Addr, By: "systemd", Max: 5}}
	e, _ := runEnv(remote.Local("chat"))
	program, err := p.program(t.Context(), looking(e))
	if err != nil {
		t.Skip(err)
	}
	var exec1, listen string
	for file, text := range p.units(e, program) {
		if !strings.HasPrefix(text, "# Made by belay, step "+e.ID) {
			t.Errorf("%s: %s", file, text)
		}
		for line := range strings.Lines(text) {
			if v, ok := strings.CutPrefix(line, "ExecStart="); ok {
				exec1 = strings.TrimSpace(v)
			}
			if v, ok := strings.CutPrefix(line, "ListenStream="); ok {
				listen = strings.TrimSpace(v)
			}
		}
	}
	cmd := exec.Command("systemd-socket-activate", append([]string{"-l", listen}, strings.Fields(exec1)...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	until(t, "it hands over", func() bool { return (&proxyLogin{Kind: "redis"}).try(t.Context(), e, listen) == nil })
}
