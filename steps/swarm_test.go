package steps

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"belay/remote"
	"belay/remote/secret"
	"belay/steps/docker"
)

// swarmLab is a Swarm of one engine, whose only network is the machine's own.
type swarmLab struct {
	*dockerBox
	ip string
}

// swarmImages are of a registry that refuses at once: a node asks it before it
// takes what it has.
const swarmImages = "127.0.0.1:1/app"

// swarmIP is an address of the loopback that nobody else has: some of a
// Swarm's ports cannot be chosen.
func swarmIP() string {
	var b [3]byte
	rand.Read(b[:])
	return fmt.Sprintf("127.%d.%d.%d", 64+b[0]%128, b[1], 1+b[2]%254)
}

func newSwarmLab(t *testing.T) *swarmLab {
	t.Helper()
	stable, monitor := swarmStable, swarmMonitor
	swarmStable, swarmMonitor = time.Second, time.Second
	t.Cleanup(func() { swarmStable, swarmMonitor = stable, monitor })
	l := &swarmLab{dockerBox: newDockerBox(t, "box"), ip: swarmIP()}
	l.d.Docker("swarm", "init", "--advertise-addr", l.ip, "--listen-addr", l.ip+":2377")
	t.Cleanup(func() { l.d.Docker("swarm", "leave", "--force") })
	for _, v := range []string{"v1", "v2"} {
		l.d.Busybox(swarmImages+":"+v, v)
	}
	return l
}

// state is every service with its spec, and the names of secrets and configs.
func (l *swarmLab) state(t *testing.T) string {
	t.Helper()
	eng, err := docker.Open(t.Context(), l.host)
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	list, err := eng.ServiceList(t.Context(), client.ServiceListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range list.Items {
		all = append(all, s.Spec.Name+"\n"+docker.SpecText(s.Spec))
	}
	slices.Sort(all)
	for _, kind := range []string{"secret", "config"} {
		all = append(all, kind, l.d.Docker(kind, "ls", "--format", "{{.Name}}"))
	}
	return strings.Join(all, "\n")
}

// env knows the secret "pw".
func (l *swarmLab) env(value string) *fileEnv {
	e := dockerEnv(l.dockerBox)
	e.Secret = func(_ context.Context, name string) (secret.Value, error) { return secret.New(value), nil }
	return e
}

// box runs a command in the service's container.
func (l *swarmLab) box(t *testing.T, service string, argv ...string) string {
	t.Helper()
	ids := strings.Fields(l.d.Docker("ps", "-q", "--filter", "label=com.docker.swarm.service.name="+service))
	if len(ids) != 1 {
		t.Fatalf("%d containers of %s run", len(ids), service)
	}
	return l.d.Docker(append([]string{"exec", ids[0]}, argv...)...)
}

// swarmCuts takes a step through two cuts of its way forward, and of its way
// back, the second one unheard; see dockerEachCut, for which there is no time.
func swarmCuts(t *testing.T, l *swarmLab, fresh func() (*fileEnv, Step), state func() string, done func()) {
	t.Helper()
	for n := 2; n <= 3; n++ {
		e, s := fresh()
		was := state()
		l.heal(n, n == 3)
		if err := s.Apply(t.Context(), e.Env); !l.gone() {
			t.Fatalf("there are fewer than %d changes: %v", n, err)
		}
		l.heal(0, false)
		e.apply(t, s)
		e.verify(t, s)
		if c := e.pending(t, s); len(c) > 0 {
			t.Fatalf("cut %d: still pending: %+v", n, c)
		}
		done()
		l.heal(n, n == 3)
		_ = s.(Undoer).Undo(t.Context(), e.Env)
		l.heal(0, false)
		e.undo(t, s)
		if now := state(); now != was {
			t.Fatalf("cut %d: after undo:\n%s\nbefore:\n%s\nlog:\n%s", n, now, was, e.log.String())
		}
	}
}

func swarmApp(image string) *swarmService {
	return &swarmService{Name: "app", Image: image, Env: map[string]string{"COLOUR": "red"}, Secrets: map[string]secret.Ref{"password": {Name: "pw"}},
		Networks: []string{"host"}, Node: "box", Replicas: 1, Health: &swarmHealth{Test: "test -r /run/secrets/password", Every: remote.Duration(200 * time.Millisecond), Timeout: remote.Duration(10 * time.Second), Retries: 5},
		Labels: map[string]string{"team": "data"}, Grace: remote.Duration(10 * time.Second), Restart: "any", Order: "stop-first", Failure: "pause", Wait: remote.Duration(2 * time.Minute)}
}

func TestSwarmService(t *testing.T) {
	l := newSwarmLab(t)
	t.Run("create", func(t *testing.T) { swarmCreates(t, l) })
	t.Run("update", func(t *testing.T) { swarmUpdates(t, l) })
	t.Run("a task that fails", func(t *testing.T) { swarmFails(t, l) })
	t.Run("somebody else's", func(t *testing.T) { swarmOthers(t, l) })
	t.Run("a stack", func(t *testing.T) { swarmStackDeploys(t, l) })
}

// swarmCreates makes a service whose creation was not heard of, and undoes it.
func swarmCreates(t *testing.T, l *swarmLab) {
	s, e := swarmApp(swarmImages+":v1"), l.env("s3cr3t one")
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	was := l.state(t)
	if c := e.pending(t, s); len(c) != 2 || !strings.Contains(c[1].Diff, "+image: "+swarmImages+":v1\n") {
		t.Errorf("pending: %+v", c)
	}
	l.heal(2, true) // after the secret
	if err := s.Apply(t.Context(), e.Env); err == nil {
		t.Fatal("the cut was not seen")
	}
	l.heal(0, false)
	e.apply(t, s)
	e.verify(t, s)
	if c := e.pending(t, s); len(c) > 0 {
		t.Errorf("still pending: %+v", c)
	}
	if got := l.box(t, "app", "cat", "/run/secrets/password", "/mark"); got != "s3cr3t onev1" {
		t.Errorf("the container says %q", got)
	}
	if strings.Contains(e.log.String()+fmt.Sprint(e.Memory), "s3cr3t") {
		t.Error("the secret is in the log, or remembered")
	}
	e.undo(t, s)
	e.undo(t, s)
	if now := l.state(t); now != was {
		t.Errorf("after undo:\n%s\nbefore:\n%s", now, was)
	}
	if left := l.d.Docker("ps", "-q"); left != "" {
		t.Errorf("containers run still: %s", left)
	}
}

// swarmUpdates takes an update, with a new secret, through every cut of its
// way forward and back.
func swarmUpdates(t *testing.T, l *swarmLab) {
	first, before := swarmApp(swarmImages+":v1"), l.env("one")
	before.ID = "run0.step.box"
	before.apply(t, first)
	secretNow := "one"
	swarmCuts(t, l, func() (*fileEnv, Step) {
		s := swarmApp(swarmImages + ":v2")
		s.Env["COLOUR"] = "blue"
		return l.env("two"), s
	}, func() string { return l.state(t) }, func() {
		if got := l.box(t, "app", "cat", "/run/secrets/password", "/mark"); got != "twov2" {
			t.Errorf("the container says %q", got)
		}
	})
	if got := l.box(t, "app", "cat", "/run/secrets/password", "/mark"); got != secretNow+"v1" {
		t.Errorf("after all was undone the container says %q", got)
	}
	before.undo(t, first)
}

// swarmFails has the update paused by the Swarm, names the task, goes on after
// it was mended, and goes back.
func swarmFails(t *testing.T, l *swarmLab) {
	first, before := swarmApp(swarmImages+":v1"), l.env("one")
	before.ID = "run0.step.box"
	before.apply(t, first)
	was := l.state(t)
	s, e := swarmApp(swarmImages+":v2"), l.env("one")
	s.Args = []string{"sh", "-c", "echo boom: no such column; exit 3"}
	err := s.Apply(t.Context(), e.Env)
	if err == nil || !strings.Contains(err.Error(), "paused") || !strings.Contains(err.Error(), "app.1") || !strings.Contains(err.Error(), "exit (3)") {
		t.Errorf("a task that ends at once: %v", err)
	}
	if !strings.Contains(e.log.String(), "boom: no such column") {
		t.Errorf("the log does not hold what the task said:\n%s", e.log.String())
	}
	s.Args = nil // mended
	e.apply(t, s)
	e.verify(t, s)
	e.undo(t, s)
	if now := l.state(t); now != was {
		t.Errorf("after undo:\n%s\nbefore:\n%s", now, was)
	}
	lost, e := swarmApp("127.0.0.1:1/lost:v9"), l.env("one")
	lost.Name, lost.Failure = "lost", "rollback"
	if err := lost.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "No such image") {
		t.Errorf("an image that is nowhere: %v", err)
	}
	e.undo(t, lost)
	stuck, e := swarmApp(swarmImages+":v1"), l.env("one")
	stuck.Name, stuck.Node, stuck.Constraints, stuck.Wait = "stuck", "", []string{"node.labels.none == x"}, remote.Duration(2*time.Second)
	if err := stuck.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "no suitable node") {
		t.Errorf("no node: %v", err)
	}
	e.undo(t, stuck)
	before.undo(t, first)
}

func swarmOthers(t *testing.T, l *swarmLab) {
	s, e := swarmApp(swarmImages+":v1"), l.env("one")
	e.apply(t, s)
	l.d.Docker("service", "rm", "app")
	l.d.Docker("service", "create", "--detach", "--name", "app", "--network", "host", swarmImages+":v1")
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "left as it is") {
		t.Errorf("apply to somebody else's service: %v", err)
	}
	if err := s.Undo(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "left as it is") {
		t.Errorf("undo of somebody else's service: %v", err)
	}
	l.d.Docker("service", "rm", "app")
	e.undo(t, s)
	if got := dockerAssess(t, e, s.Needs("box")); !strings.HasPrefix(got, "pass: ") {
		t.Error(got)
	}
}

const swarmStackFile = `version: "3.7"
services:
  web: &app
    image: "127.0.0.1:1/app:v1"
    environment: {COLOUR: "${COLOUR}"}
    networks: [out]
    stop_grace_period: 10s
  side: *app
networks:
  out: {external: true, name: host}
`

func swarmStackDeploys(t *testing.T, l *swarmLab) {
	dir := t.TempDir()
	put := func(text string) { fileWrite(t, dir+"/stack.yaml", text, 0o644) }
	stack := func() *swarmStack {
		return &swarmStack{Name: "mon", Files: []string{dir + "/stack.yaml"}, Env: map[string]string{"COLOUR": "red"}, Prune: true, Resolve: "never", Wait: remote.Duration(2 * time.Minute)}
	}
	put(swarmStackFile)
	was := l.state(t)
	s, e := stack(), l.env("")
	e.ID = "run0.step.box"
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if c := e.pending(t, s); len(c) != 2 || !strings.Contains(c[0].Text, "create service mon_side from "+swarmImages+":v1") {
		t.Errorf("pending: %+v", c)
	}
	e.apply(t, s)
	e.verify(t, s)
	if c := e.pending(t, s); len(c) > 0 {
		t.Errorf("still pending: %+v", c)
	}
	// A second one: another image for web, none of side, a new one.
	deployed := l.state(t)
	put(strings.NewReplacer(swarmImages+":v1", swarmImages+":v2", "  side: *app", "  late: *app\nconfigs:\n  motd: {file: "+dir+"/motd}").Replace(swarmStackFile))
	fileWrite(t, dir+"/motd", "hello", 0o644)
	swarmCuts(t, l, func() (*fileEnv, Step) { return l.env(""), stack() }, func() string { return l.state(t) }, func() {
		if got := l.box(t, "mon_web", "cat", "/mark"); got != "v2" {
			t.Errorf("the container says %q", got)
		}
	})
	if now := l.state(t); now != deployed {
		t.Errorf("after undo:\n%s\nbefore:\n%s", now, deployed)
	}
	e.undo(t, s)
	if now := l.state(t); now != was {
		t.Errorf("after undo:\n%s\nbefore:\n%s", now, was)
	}
}

func TestSwarmServiceValidate(t *testing.T) {
	bad := map[string]func(*swarmService){
		"name":        func(s *swarmService) { s.Name = "a b" },
		"image":       func(s *swarmService) { s.Image = "-x" },
		"both":        func(s *swarmService) { s.Mounts = []swarmMount{{Volume: "a", Path: "/b", At: "/c"}} },
		"relative":    func(s *swarmService) { s.Mounts = []swarmMount{{Volume: "a", At: "c"}} },
		"port":        func(s *swarmService) { s.Ports = []swarmPort{{Published: 0, Target: 1}} },
		"twice":       func(s *swarmService) { s.Ports = []swarmPort{{1, 1, "tcp", "host"}, {1, 2, "tcp", "host"}} },
		"start-first": func(s *swarmService) { s.Ports, s.Order = []swarmPort{{1, 1, "tcp", "host"}}, "start-first" },
		"replicas":    func(s *swarmService) { s.Ports, s.Replicas = []swarmPort{{1, 1, "tcp", "host"}}, 2 },
		"constraint":  func(s *swarmService) { s.Constraints = []string{"somewhere"} },
		"secret":      func(s *swarmService) { s.Secrets = map[string]secret.Ref{"../x": {Name: "pw"}} },
	}
	for name, change := range bad {
		s := swarmApp(swarmImages + ":v1")
		change(s)
		if s.Validate() == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// TestSwarmJoin has a second engine join the first one's Swarm, and leave.
func TestSwarmJoin(t *testing.T) {
	boss, peer := newDockerBox(t, "boss"), newDockerBox(t, "peer")
	bossIP, peerIP := swarmIP(), swarmIP()
	state := func() string {
		s := boss.d.Docker("info", "--format", "{{.Swarm.LocalNodeState}}") + " " + peer.d.Docker("info", "--format", "{{.Swarm.LocalNodeState}}")
		if strings.HasPrefix(s, "active") {
			s += " " + boss.d.Docker("node", "ls", "--format", "{{.ManagerStatus}}.")
		}
		return s
	}
	before := state()
	first := &swarmJoin{Manager: "boss", As: "worker", Address: bossIP, Listen: bossIP + ":2377", Labels: map[string]string{"disk": "fast"}, Wait: remote.Duration(time.Minute)}
	be := dockerEnv(boss, peer.host)
	if err := first.Validate(); err != nil {
		t.Fatal(err)
	}
	if c := be.pending(t, first); len(c) != 1 || !strings.Contains(c[0].Text, "make a Swarm") {
		t.Errorf("pending: %+v", c)
	}
	be.apply(t, first)
	be.verify(t, first)
	if c := be.pending(t, first); len(c) > 0 {
		t.Errorf("still pending: %+v", c)
	}
	second := func(as string) *swarmJoin {
		return &swarmJoin{Manager: "boss", As: as, Address: peerIP, Listen: peerIP + ":2377", Labels: map[string]string{"disk": "slow"}, Wait: remote.Duration(time.Minute)}
	}
	alone := state()
	for _, after := range []bool{false, true} {
		s, pe := second("worker"), dockerEnv(peer, boss.host)
		peer.heal(1, after)
		if err := s.Apply(t.Context(), pe.Env); err == nil {
			t.Error("the cut was not seen")
		}
		peer.heal(0, false)
		pe.apply(t, s)
		pe.verify(t, s)
		if c := pe.pending(t, s); len(c) > 0 {
			t.Errorf("still pending: %+v", c)
		}
		if err := first.Undo(t.Context(), be.Env); err == nil || !strings.Contains(err.Error(), "left as it is") {
			t.Errorf("the Swarm was ended with a node in it: %v", err)
		}
		for _, v := range []string{"worker", "manager"} {
			if token := boss.d.Docker("swarm", "join-token", "-q", v); strings.Contains(pe.log.String()+fmt.Sprint(pe.Memory), token) {
				t.Error("a token is in the log, or remembered")
			}
		}
		peer.heal(1, after)
		_ = s.Undo(t.Context(), pe.Env)
		peer.heal(0, false)
		pe.undo(t, s)
		if now := state(); now != alone {
			t.Fatalf("after leaving: %s, was %s", now, alone)
		}
	}
	// Undone before anybody knew which node it became.
	s, pe := second("worker"), dockerEnv(peer, boss.host)
	peer.heal(1, true)
	if err := s.Apply(t.Context(), pe.Env); err == nil {
		t.Error("the cut was not seen")
	}
	peer.heal(0, false)
	pe.undo(t, s)
	if now := state(); now != alone {
		t.Fatalf("after a join that broke off: %s, was %s", now, alone)
	}
	s, pe = second("manager"), dockerEnv(peer, boss.host)
	pe.apply(t, s)
	pe.verify(t, s)
	pe.undo(t, s)
	if now := state(); now != alone {
		t.Fatalf("after a manager left: %s, was %s", now, alone)
	}
	be.undo(t, first)
	if now := state(); now != before {
		t.Errorf("after all: %s, was %s", now, before)
	}
}
