package ssh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

// open makes a Network of options that read nothing of the account's own, and
// the server's host in it.
func open(t testing.TB, s *remotetest.SSHD, change ...func(*Options)) remote.Host {
	t.Helper()
	o := Options{Config: s.Config, Home: t.TempDir(), Agent: "none", Notice: func(text string) { t.Errorf("notice: %s", text) }}
	for _, f := range change {
		f(&o)
	}
	n := NewNetwork(o)
	t.Cleanup(func() { n.Close() })
	h, err := n.Open(s.Name, Spec{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func ctxFor(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func runTrue(t testing.TB, h remote.Host) error {
	t.Helper()
	return h.Run(ctxFor(t), remote.Cmd{Argv: []string{"true"}})
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func add(t testing.TB, path, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	write(t, path, string(b)+text)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lights remembers what Light was told.
type lights struct {
	mu  sync.Mutex
	all []string
}

func (l *lights) tell(host string, light remote.Light, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, host+" "+light.String())
}

func (l *lights) has(want string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.all, want)
}

func (l *lights) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, ", ")
}

// until waits for what must come true.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for range 3000 {
		if f() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func TestConformance(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	h := open(t, s)
	remotetest.TestRunner(t, func(*testing.T) remote.Host { return h })
}

// jumps starts servers that reach each other in a chain; the last is "server".
func jumps(t testing.TB, n int) (*remotetest.SSHD, string) {
	t.Helper()
	last := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	config, err := os.ReadFile(last.Config)
	must(t, err)
	text, chain := string(config), []string{}
	for i := range n {
		j := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
		c, err := os.ReadFile(j.Config)
		must(t, err)
		name := fmt.Sprintf("jump%d", i)
		text += strings.Replace(string(c), "Host server", "Host "+name, 1)
		chain = append(chain, name)
	}
	write(t, last.Config, text)
	return last, strings.Join(chain, ",")
}

func TestConformanceThroughJumpHosts(t *testing.T) {
	for n := 1; n <= 2; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s, chain := jumps(t, n)
			write(t, s.Config, "Host server\n ProxyJump "+chain+"\n"+read(t, s.Config))
			h := open(t, s)
			remotetest.TestRunner(t, func(*testing.T) remote.Host { return h })
		})
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

func TestConformanceWithSudo(t *testing.T) {
	remotetest.Need(t, "sudo")
	if os.Getuid() != 0 {
		t.Skip("needs root, who may use sudo without a password")
	}
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	for name, pw := range map[string]secret.Value{"none": {}, "password": secret.New("not needed today")} {
		t.Run(name, func(t *testing.T) {
			h := open(t, s)
			h.Runner = remote.Sudo(h.Runner, pw)
			remotetest.TestRunner(t, func(*testing.T) remote.Host { return h })
		})
	}
}

func TestMoreCommandsThanTheServerAllows(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{MaxSessions: 2})
	h := open(t, s)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			out, err := remote.Output(ctxFor(t), h, remote.Sh("sleep 0.05; echo $1", fmt.Sprint(i)))
			if err != nil || string(out) != fmt.Sprintln(i) {
				t.Errorf("command %d: %q, %v", i, out, err)
			}
		})
	}
	all.Wait()
	none := remotetest.StartSSHD(t, remotetest.SSHDOptions{Extra: []string{"MaxSessions 0"}})
	if _, ok := errors.AsType[*remote.UnreachableError](runTrue(t, open(t, none))); !ok {
		t.Error("a server without sessions: want an UnreachableError")
	}
}

func TestForwardingNotAllowed(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{NoForwarding: true})
	h := open(t, s)
	_, err := h.Dial(ctxFor(t), "tcp", s.Addr)
	if !errors.Is(err, remote.ErrNoForwarding) || !strings.Contains(err.Error(), "AllowTcpForwarding") {
		t.Errorf("error %v", err)
	}
}

func TestServerThatIsNotThere(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	s.Stop()
	var l lights
	h := open(t, s, func(o *Options) { o.Light = l.tell })
	u, ok := errors.AsType[*remote.UnreachableError](runTrue(t, h))
	if !ok || u.Host != "server" || !strings.Contains(u.Error(), "connection refused") {
		t.Errorf("run: %v", u)
	}
	if _, err := h.Dial(ctxFor(t), "tcp", "127.0.0.1:1"); !errors.As(err, &u) {
		t.Errorf("dial: %v", err)
	}
	if got := l.String(); !strings.HasPrefix(got, "server connecting, server down") {
		t.Errorf("lights: %s", got)
	}
	s.Restart()
	must(t, runTrue(t, h))
	if !l.has("server up") {
		t.Errorf("lights: %s", &l)
	}
}

func TestServerThatSaysNothing(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	s.FreezeServer()
	n := NewNetwork(Options{Config: s.Config, Agent: "none"})
	t.Cleanup(func() { n.Close() })
	h, err := n.Open(s.Name, Spec{ConnectTimeout: 200 * time.Millisecond})
	must(t, err)
	u, ok := errors.AsType[*remote.UnreachableError](runTrue(t, h))
	if !ok || !strings.Contains(u.Error(), "within 200ms") {
		t.Errorf("error %v", u)
	}
}

func TestJumpHostIsSharedAndNamed(t *testing.T) {
	s, _ := jumps(t, 1)
	var l lights
	n := NewNetwork(Options{Config: s.Config, Agent: "none", Light: l.tell})
	t.Cleanup(func() { n.Close() })
	var hosts []remote.Host
	for _, name := range []string{"server", "server2"} {
		h, err := n.Open(name, Spec{Address: "127.0.0.1", Port: s.Port, User: s.User, Jump: "jump0", Identity: s.Key})
		must(t, err)
		hosts = append(hosts, h)
	}
	if err := runTrue(t, hosts[0]); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(l.String(), "jump0 connecting"); got != 1 {
		t.Errorf("lights: %s", &l)
	}
	h, err := n.Open("lone", Spec{Address: "127.0.0.1", Port: remotetest.FreePort(t), Jump: "jump0"})
	must(t, err)
	if err := runTrue(t, h); err == nil || !strings.Contains(err.Error(), `by way of "jump0"`) {
		t.Errorf("error %v", err)
	}
	if got := strings.Count(l.String(), "jump0 connecting"); got != 1 {
		t.Errorf("the jump host was connected again: %s", &l)
	}
}

// A plan's jump may be a host of the plan: then it is reached as the plan says,
// where ssh_config has another of that name, too. What ssh_config itself names
// is of ssh_config.
func TestJumpThatThePlanHas(t *testing.T) {
	n := NewNetwork(Options{Config: filepath.Join(t.TempDir(), "config"), Agent: "none", Hosts: map[string]Spec{
		"gate":  {Address: "10.0.0.9", Port: 2209, User: "ada", Jump: "outer"},
		"outer": {Address: "10.0.0.8"},
		"loop":  {Jump: "loop"},
	}})
	t.Cleanup(func() { n.Close() })
	write(t, n.o.Config, "Host gate\n HostName 10.0.0.1\nHost inner\n ProxyJump gate\n")
	gate, err := n.Open("gate", n.o.Hosts["gate"])
	must(t, err)
	h, err := n.Open("old", Spec{Jump: "gate"})
	must(t, err)
	via := h.Runner.(*machine).link.via
	if via != gate.Runner.(*machine).link || via.set.address() != "10.0.0.9:2209" || via.via == nil || via.via.set.HostName != "10.0.0.8" {
		t.Errorf("by %+v", via.set)
	}
	for name, spec := range map[string]Spec{"inner": {}, "old": {Jump: "grace@gate"}} {
		h, err := n.Open(name, spec)
		must(t, err)
		if via := h.Runner.(*machine).link.via; via.set.HostName != "10.0.0.1" {
			t.Errorf("%s by %+v", name, via.set)
		}
	}
	if _, err := n.Open("old", Spec{Jump: "loop"}); err == nil || !strings.Contains(err.Error(), "back to itself") {
		t.Errorf("%v", err)
	}
}

func TestConfigurationErrorsComeBeforeAnyContact(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	write(t, config, "Host proxy\n ProxyCommand nc %h %p\nHost loop\n ProxyJump loop\nHost a\n ProxyJump b\nHost b\n ProxyJump a\nHost port\n Port many\n")
	n := NewNetwork(Options{Config: config, Home: dir})
	t.Cleanup(func() { n.Close() })
	for name, want := range map[string]string{"proxy": "ProxyCommand", "loop": "jump hosts", "a": "jump hosts", "port": `"many"`, "": "not one", "-oX": "not one"} {
		if _, err := n.Open(name, Spec{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want it to say %q", name, err, want)
		}
	}
	if _, err := n.Open("proxy", Spec{Jump: "none"}); err != nil {
		t.Errorf("a plan that says how to get there goes before ProxyCommand: %v", err)
	}
}
