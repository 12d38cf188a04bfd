package steps

import (
	"strings"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
)

const composeUpgradeFile = `version: "2.4"
services:
  web:
    image: "app:${TAG}"
    network_mode: none
    stop_grace_period: 1s
    command: &run
      - sh
      - -c
      - 'case $$(cat /mark) in bad*) echo boom: no such column; exit 3;; esac; trap exit TERM; while :; do sleep 0.2; done'
  side:
    image: "REGISTRY/side:latest"
    network_mode: none
    stop_grace_period: 1s
    command: *run
  job:
    image: "app:${TAG}"
    network_mode: none
    command: ["true"]
`

// composeUpgradeLab is a project that runs app:v1 and side:latest.
type composeUpgradeLab struct {
	b    *dockerBox
	dir  string
	put  func(image string) string
	addr string
}

func (l *composeUpgradeLab) tag(t *testing.T, tag string) {
	t.Helper()
	fileWrite(t, l.dir+"/.env", "TAG="+tag+"\n", 0o644)
}

func (l *composeUpgradeLab) project() composeProject { return composeProject{Dir: l.dir} }

func (l *composeUpgradeLab) up(t *testing.T) {
	t.Helper()
	dockerEnv(l.b).apply(t, &composeUp{composeProject: l.project(), Wait: remote.Duration(2 * time.Minute)})
	l.b.d.Docker("wait", l.id("job"))
}

// state is what runs, by service, and every name of an image.
func (l *composeUpgradeLab) state() string {
	ids := strings.Fields(l.b.d.Docker("ps", "-aq", "--no-trunc"))
	s := l.b.d.Docker(append([]string{"inspect", "--type", "container", "--format",
		`{{index .Config.Labels "com.docker.compose.service"}} {{.Config.Image}} {{.Image}} running={{.State.Running}}`}, ids...)...)
	names := l.b.d.Docker("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
	var lines []string
	for line := range strings.Lines(s + "\n" + names) {
		if !strings.Contains(line, ":<none> ") { // untagged, or known by its digest
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return composeSorted(lines)
}

func composeSorted(lines []string) string {
	for i := range lines {
		for j := i; j > 0 && lines[j] < lines[j-1]; j-- {
			lines[j], lines[j-1] = lines[j-1], lines[j]
		}
	}
	return strings.Join(lines, "\n")
}

func (l *composeUpgradeLab) id(service string) string {
	return l.b.d.Docker("ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.service="+service)
}

func (l *composeUpgradeLab) runs(service string) string {
	return l.b.d.Docker("inspect", "--type", "container", "--format", "{{.Image}}", l.id(service))
}

func TestComposeUpgrade(t *testing.T) {
	labs := newComposeUpgradeLabs(t)
	for _, want := range []string{"v1", "v2"} {
		t.Run(want, func(t *testing.T) {
			l := labs(t, want)
			t.Run("one service", l.one)
			t.Run("moved name", l.moved)
			t.Run("unhealthy", l.unhealthy)
			if want == "v2" { // the fast one; both take the same road
				t.Run("idle", l.idle)
				t.Run("cuts", l.cuts)
			}
		})
	}
}

// newComposeUpgradeLabs starts an engine and returns how a project is started
// there by either Compose.
func newComposeUpgradeLabs(t *testing.T) func(t *testing.T, want string) *composeUpgradeLab {
	b := newDockerBox(t, "box")
	shells := composeShells(t, b.d)
	addr, put := dockerRegistry(t, b.d)
	for name, mark := range map[string]string{"app:v1": "one", "app:v2": "two", "app:bad": "bad", addr + "/side:latest": "old", "side-new": "new"} {
		b.d.Busybox(name, mark)
	}
	return func(t *testing.T, want string) *composeUpgradeLab {
		shell := shells[want]
		if shell == nil && want == "v1" {
			remotetest.Need(t, "docker-compose")
		}
		if shell == nil {
			t.Skip("needs Compose v2 as a plugin of docker, or its path in BELAY_COMPOSE_V2")
		}
		b.env = shell[2 : len(shell)-1] // PATH, and what else this Compose needs
		l := &composeUpgradeLab{b: b, dir: t.TempDir(), put: put, addr: addr}
		fileWrite(t, l.dir+"/docker-compose.yml", strings.ReplaceAll(composeUpgradeFile, "REGISTRY", addr), 0o644)
		l.tag(t, "v1")
		l.up(t)
		t.Cleanup(func() {
			for _, svc := range []string{"web", "side", "job"} {
				b.d.Docker("rm", "-f", l.id(svc))
			}
		})
		return l
	}
}

func (l *composeUpgradeLab) one(t *testing.T) {
	was, side := l.state(), l.id("side")
	l.tag(t, "v2")
	defer l.tag(t, "v1")
	s := &composeUpgrade{composeProject: l.project(), Services: []string{"web"}, Pull: "missing", Wait: remote.Duration(time.Minute)}
	e := dockerEnv(l.b)
	if c := e.pending(t, s); len(c) != 1 || !strings.Contains(c[0].Text, "to app:v2 (") || !strings.Contains(c[0].Cmd, "--no-deps web") {
		t.Errorf("pending: %+v", c)
	}
	if f := dockerAssess(t, e, s.Needs("box")[2:]); !strings.HasPrefix(f, "pass: Docker engine ") {
		t.Error(f)
	}
	e.apply(t, s)
	e.verify(t, s)
	if c := e.pending(t, s); len(c) != 0 {
		t.Errorf("still pending: %+v", c)
	}
	if got := l.runs("web"); got != dockerID(l.b.d, "app:v2") {
		t.Errorf("web runs %s", got)
	}
	if got := dockerID(l.b.d, "app:before-run1.step.box.web"); got != dockerID(l.b.d, "app:v1") {
		t.Errorf("kept is %s", got)
	}
	web := l.id("web")
	e.apply(t, s)
	if l.id("web") != web || l.id("side") != side {
		t.Error("a second time, or another service, was made anew")
	}
	e.undo(t, s) // the files still say v2
	e.undo(t, s)
	if now := l.state(); now != was {
		t.Errorf("after undo:\n%s\nbefore:\n%s\nlog:\n%s", now, was, e.log.String())
	}
	web = l.id("web")
	l.tag(t, "v1") // as the undo of the step before does
	up := &composeUp{composeProject: l.project(), Services: []string{"web"}, Wait: remote.Duration(time.Minute)}
	if dockerEnv(l.b).apply(t, up); l.id("web") != web {
		t.Error("what went back is made anew by the next up")
	}
}

// moved upgrades to another image of the same name, from a registry.
func (l *composeUpgradeLab) moved(t *testing.T) {
	was, old := l.state(), l.runs("side")
	digest, fresh := l.put("side-new"), dockerID(l.b.d, "side-new")
	if l.b.d.Containerd { // see TestDockerImagePull
		fresh = digest
	}
	s := &composeUpgrade{composeProject: l.project(), Services: []string{"side"}, Pull: "always", Wait: remote.Duration(time.Minute)}
	e := dockerEnv(l.b)
	if c := e.pending(t, s); len(c) != 1 || !strings.Contains(c[0].Text, "look for a newer") {
		t.Errorf("pending: %+v", c)
	}
	e.apply(t, s)
	e.verify(t, s)
	if got := l.runs("side"); got != fresh {
		t.Errorf("side runs %s", got)
	}
	e.undo(t, s)
	if got := l.runs("side"); got != old {
		t.Errorf("after undo side runs %s, not %s", got, old)
	}
	if now := l.state(); now != was {
		t.Errorf("after undo:\n%s\nbefore:\n%s", now, was)
	}
	// A name that somebody else moved is not taken from them.
	e = dockerEnv(l.b)
	e.apply(t, s)
	l.b.d.Docker("tag", "app:v2", l.addr+"/side:latest")
	if err := s.Undo(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "somebody else changed it") {
		t.Errorf("undo over somebody else's change: %v", err)
	}
	l.b.d.Docker("tag", fresh, l.addr+"/side:latest")
	e.undo(t, s)
}

func (l *composeUpgradeLab) unhealthy(t *testing.T) {
	was, web := l.state(), l.id("web")
	l.tag(t, "bad")
	defer l.tag(t, "v1")
	s := &composeUpgrade{composeProject: l.project(), Services: []string{"web"}, Pull: "never", Wait: remote.Duration(2 * time.Minute), Settle: remote.Duration(time.Minute), Follow: []string{"web"}}
	e := dockerEnv(l.b)
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "boom: no such column") {
		t.Errorf("apply: %v", err)
	}
	if followed, _, _ := strings.Cut(e.log.String(), "last lines of "); !strings.Contains(followed, "boom: no such column\n") {
		t.Errorf("the container's log was not followed:\n%s", e.log.String())
	}
	e.undo(t, s)
	if now := l.state(); now != was || l.id("web") == web {
		t.Errorf("after undo:\n%s\nbefore:\n%s", now, was)
	}
	s.Unhealthy, s.Settle = "back", remote.Duration(5*time.Second)
	e = dockerEnv(l.b)
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "run the images from before again") {
		t.Errorf("apply: %v", err)
	}
	if got := l.runs("web"); got != dockerID(l.b.d, "app:v1") {
		t.Errorf("web runs %s", got)
	}
	e.undo(t, s)
	l.tag(t, "nowhere")
	web = l.id("web")
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("an image that is not here: %v", err)
	}
	e.undo(t, s)
	if l.id("web") != web || l.state() != was {
		t.Error("an upgrade that could not begin, or its undo, made the container anew")
	}
}

// idle upgrades a project that was stopped: undone, it is stopped again, also
// the services whose images stay.
func (l *composeUpgradeLab) idle(t *testing.T) {
	l.b.d.Docker("stop", "-t", "1", l.id("web"), l.id("side"))
	was := l.state()
	l.tag(t, "v2")
	defer func() {
		l.tag(t, "v1")
		l.up(t)
	}()
	s := &composeUpgrade{composeProject: l.project(), Pull: "never", Wait: remote.Duration(time.Minute), MayFail: []string{"job"}, Follow: []string{"web"}, Grace: remote.Duration(time.Second)}
	e := dockerEnv(l.b)
	e.apply(t, s)
	e.verify(t, s)
	e.undo(t, s)
	if now := l.state(); now != was {
		t.Errorf("after undo:\n%s\nbefore:\n%s", now, was)
	}
}

func (l *composeUpgradeLab) cuts(t *testing.T) {
	l.tag(t, "v2")
	defer l.tag(t, "v1")
	dockerEachCut(t, l.b, nil, func() Step {
		return &composeUpgrade{composeProject: l.project(), Services: []string{"web"}, Pull: "never", Wait: remote.Duration(time.Minute)}
	}, l.state, func() {
		if got := l.runs("web"); got != dockerID(l.b.d, "app:v2") {
			t.Errorf("web runs %s", got)
		}
	})
}
