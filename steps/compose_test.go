package steps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/steps/docker"
)

// composeLab is a Docker engine of the test's own.
type composeLab struct {
	shell []string // what a script runs in
}

// composeEngine starts an engine with one image: a static program, belaytest.
func composeEngine(t *testing.T) *remotetest.Dockerd {
	t.Helper()
	remotetest.Need(t, "dash", "go")
	d := remotetest.StartDockerd(t)
	composeImage(t, d)
	return d
}

func composeImage(t *testing.T, d *remotetest.Dockerd) {
	t.Helper()
	dir := t.TempDir()
	fileWrite(t, dir+"/image/main.go", `package main

import ("fmt"; "os"; "os/signal"; "syscall")

func main() {
	switch os.Args[1] {
	case "health":
		if _, err := os.Stat("/ok"); err != nil { os.Exit(1) }
	case "once":
		fmt.Println("done")
	case "crash":
		fmt.Println("boom: no database")
		os.Exit(3)
	default:
		os.Create("/ok")
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		<-c
	}
}
`, 0o644)
	build := exec.Command("go", "build", "-o", dir+"/image/app", dir+"/image/main.go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	script := `tar -C "$1/image" -c app | docker -H "$2" import -c 'ENTRYPOINT ["/app"]' - belaytest`
	if out, err := exec.Command("env", "PATH="+d.Path, "sh", "-c", script, "sh", dir, "unix://"+d.Sock).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// composeShells are the two Composes against that engine. v2 is a plugin; one
// that is not installed for everybody can be named by BELAY_COMPOSE_V2.
func composeShells(t *testing.T, d *remotetest.Dockerd) map[string][]string {
	all := map[string][]string{}
	config := t.TempDir()
	plugin := os.Getenv("BELAY_COMPOSE_V2")
	if plugin != "" {
		if err := os.MkdirAll(config+"/cli-plugins", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(plugin, config+"/cli-plugins/docker-compose"); err != nil {
			t.Fatal(err)
		}
	}
	sock := "DOCKER_HOST=unix://" + d.Sock
	if exec.Command("env", "PATH="+d.Path, "DOCKER_CONFIG="+config, "docker", "compose", "version").Run() == nil {
		all["v2"] = []string{"env", sock, "PATH=" + d.Path, "DOCKER_CONFIG=" + config, "dash"}
	}
	if remotetest.Find("docker-compose") != "" {
		// A docker that has no compose, for the machine that has both.
		path := t.TempDir()
		fileWrite(t, path+"/docker", "#!/bin/sh\n[ \"$1\" != compose ] || exit 1\nexec env PATH="+remote.Quote(d.Path)+" docker \"$@\"\n", 0o755)
		all["v1"] = []string{"env", sock, "PATH=" + path + ":" + d.Path, "dash"}
	}
	return all
}

const composeFile = `version: "2.4"
services:
  web:
    image: belaytest
    command: [run]
    healthcheck: {test: [CMD, /app, health], interval: 1s, retries: 10}
  job:
    image: belaytest
    command: [once]
  side:
    image: belaytest
    command: [run]
    volumes: ["data:/data"]
volumes: {data: {}}
`

func TestComposeReal(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Docker engine")
	}
	shells := composeShells(t, composeEngine(t))
	for _, want := range []string{"v1", "v2"} {
		t.Run(want, func(t *testing.T) {
			shell := shells[want]
			if shell == nil && want == "v1" {
				remotetest.Need(t, "docker-compose")
			}
			if shell == nil {
				t.Skip("needs Compose v2 as a plugin of docker, or its path in BELAY_COMPOSE_V2")
			}
			lab := &composeLab{shell: shell}
			t.Run("up and back", lab.upAndBack)
			t.Run("up beside what ran", lab.upBeside)
			t.Run("crash", lab.crashing)
			t.Run("down and back", lab.downAndBack)
			if want == "v2" || shells["v2"] == nil { // the slow one; both take the same road
				t.Run("cut", lab.cut)
			}
		})
	}
}

// project writes a compose file to a directory of its own; nothing of it is
// left on the engine afterwards.
func (l *composeLab) project(t *testing.T, file string) composeProject {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "My.App")
	fileWrite(t, dir+"/docker-compose.yml", file, 0o644)
	t.Cleanup(func() {
		e := newFileEnv(l.shell)
		c := remote.Sh(`for p in myapp; do
docker ps -aq --filter label=com.docker.compose.project=$p | xargs -r docker rm -f -v
docker network ls -q --filter label=com.docker.compose.project=$p | xargs -r docker network rm
docker volume ls -q --filter label=com.docker.compose.project=$p | xargs -r docker volume rm
done`)
		if err := e.Host.Run(context.Background(), c); err != nil {
			t.Log(err)
		}
	})
	return composeProject{Dir: dir}
}

// engine is what the engine has of the project: containers with their states,
// and networks.
func (l *composeLab) engine(t *testing.T) (all []string) {
	t.Helper()
	e := newFileEnv(l.shell)
	cs, err := docker.Containers(t.Context(), e.Host, "myapp")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cs {
		all = append(all, fmt.Sprintf("%s %s %s", c.Service, c.State, c.ID))
	}
	networks, err := docker.Networks(t.Context(), e.Host, "myapp")
	if err != nil {
		t.Fatal(err)
	}
	return append(all, networks...)
}

func (l *composeLab) upAndBack(t *testing.T) {
	p := l.project(t, composeFile)
	s := &composeUp{composeProject: p, Wait: remote.Duration(2 * time.Minute), Healthy: []string{"web"}}
	e := newFileEnv(l.shell)
	var done, total int64
	e.Say = func(p Progress) { done, total = p.Done, p.Total }
	if c := e.pending(t, s); len(c) != 3 || !strings.Contains(c[0].Cmd, "up -d") {
		t.Errorf("pending: %+v", c)
	}
	e.apply(t, s)
	e.verify(t, s)
	if done != 3 || total != 3 {
		t.Errorf("progress %d/%d", done, total)
	}
	if c := e.pending(t, s); len(c) != 0 {
		t.Errorf("still pending: %+v", c)
	}
	was := l.engine(t)
	e.apply(t, s)
	if d := cmp.Diff(was, l.engine(t)); d != "" {
		t.Errorf("a second time changes something: %s", d)
	}
	cmd := remote.Sh(`docker ps -q --filter label=com.docker.compose.service=side | xargs docker kill`)
	if err := e.Host.Run(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "side") {
		t.Errorf("verify does not see a service that died: %v", err)
	}
	e.undo(t, s)
	e.undo(t, s)
	if left := l.engine(t); len(left) > 0 {
		t.Errorf("undo leaves %v", left)
	}
}

func (l *composeLab) upBeside(t *testing.T) {
	p := l.project(t, composeFile)
	before := newFileEnv(l.shell)
	before.apply(t, &composeUp{composeProject: p, Services: []string{"side"}, Wait: remote.Duration(time.Minute)})
	was := l.engine(t)
	e := newFileEnv(l.shell)
	s := &composeUp{composeProject: p, Wait: remote.Duration(2 * time.Minute)}
	if c := e.pending(t, s); len(c) != 2 {
		t.Errorf("pending: %+v", c)
	}
	e.apply(t, s)
	e.undo(t, s)
	if d := cmp.Diff(was, l.engine(t)); d != "" {
		t.Errorf("-before +after: %s", d)
	}
}

func (l *composeLab) crashing(t *testing.T) {
	p := l.project(t, composeFile+"  # admin is not well\n")
	file := strings.Replace(composeFile, "volumes: {data", "  admin: {image: belaytest, command: [crash]}\nvolumes: {data", 1)
	fileWrite(t, p.Dir+"/docker-compose.yml", file, 0o644)
	s := &composeUp{composeProject: p, Wait: remote.Duration(2 * time.Minute), Settle: remote.Duration(time.Minute)}
	e := newFileEnv(l.shell)
	err := s.Apply(t.Context(), e.Env)
	if err == nil || !strings.Contains(err.Error(), "service admin is not up") || !strings.Contains(err.Error(), "boom: no database") {
		t.Errorf("apply: %v", err)
	}
	s.MayFail, s.Settle = []string{"admin"}, 0
	e.apply(t, s)
	e.verify(t, s)
	if c := e.pending(t, s); len(c) != 0 {
		t.Errorf("still pending: %+v", c)
	}
	s.Healthy = []string{"side"}
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "without a healthcheck") {
		t.Errorf("healthy without a healthcheck: %v", err)
	}
	s.Healthy = []string{"nobody"}
	if _, err := s.Pending(t.Context(), e.Env); err == nil {
		t.Error("a service that is not in the files was not refused")
	}
	e.undo(t, s)
	if left := l.engine(t); len(left) > 0 {
		t.Errorf("undo leaves %v", left)
	}
}

func (l *composeLab) downAndBack(t *testing.T) {
	p := l.project(t, composeFile)
	newFileEnv(l.shell).apply(t, &composeUp{composeProject: p, Wait: remote.Duration(2 * time.Minute)})
	s := &composeDown{composeProject: p, Timeout: remote.Duration(10 * time.Second), Wait: remote.Duration(time.Minute)}
	e := newFileEnv(l.shell)
	if c := e.pending(t, s); len(c) != 3 {
		t.Errorf("pending: %+v", c)
	}
	e.apply(t, s)
	e.verify(t, s)
	if c := e.pending(t, s); len(c) != 0 {
		t.Errorf("still pending: %+v", c)
	}
	volumes, err := docker.Volumes(t.Context(), e.Host, "myapp")
	if err != nil || len(volumes) != 1 {
		t.Errorf("volumes: %v, %v", volumes, err)
	}
	e.apply(t, s)
	e.undo(t, s)
	e.undo(t, s)
	var running []string
	for _, line := range l.engine(t) {
		if f := strings.Fields(line); len(f) == 3 {
			running = append(running, f[0]+" "+f[1])
		}
	}
	if d := cmp.Diff([]string{"side running", "web running"}, running); d != "" {
		t.Error(d)
	}
	s.Volumes = "yes-delete"
	e = newFileEnv(l.shell)
	if c := e.pending(t, s); !slices.ContainsFunc(c, func(c Change) bool { return strings.Contains(c.Text, "all data in it") }) {
		t.Errorf("pending does not tell about the volume: %+v", c)
	}
	e.apply(t, s)
	e.verify(t, s)
	if err := s.Undo(t.Context(), e.Env); !errors.Is(err, ErrNoWayBack) {
		t.Errorf("undo: %v", err)
	}
}

// cut cuts the connection at every command of up.
func (l *composeLab) cut(t *testing.T) {
	p := l.project(t, composeFile)
	s := &composeUp{composeProject: p, Services: []string{"side"}, Wait: remote.Duration(time.Minute)}
	for cut := 1; ; cut++ {
		e := newFileEnv(l.shell)
		r := &fileRunner{shell: l.shell, cut: cut, after: cut%2 == 0}
		e.with(r)
		err := s.Apply(t.Context(), e.Env)
		e.with(&fileRunner{shell: l.shell})
		if !r.wasCut() {
			e.undo(t, s)
			return
		}
		if err == nil && cut < 6 { // later ones may be mere remarks
			t.Fatalf("cut at command %d: apply did not tell", cut)
		}
		e.apply(t, s)
		e.verify(t, s)
		if c := e.pending(t, s); len(c) != 0 {
			t.Fatalf("cut at command %d: still pending: %+v", cut, c)
		}
		e.undo(t, s)
		if left := l.engine(t); len(left) > 0 {
			t.Fatalf("cut at command %d: undo leaves %v", cut, left)
		}
	}
}

func TestComposeValidate(t *testing.T) {
	for _, s := range []Validator{
		&composeUp{composeProject: composeProject{Dir: "x"}},
		&composeUp{composeProject: composeProject{Dir: "/x", Project: "A B"}},
		&composeUp{composeProject: composeProject{Dir: "/x", File: []string{""}}},
		&composeUp{composeProject: composeProject{Dir: "/x"}, Services: []string{"--x"}},
		&composeUp{composeProject: composeProject{Dir: "/x"}, Healthy: []string{"a"}, MayFail: []string{"a"}},
		&composeDown{composeProject: composeProject{Dir: "/x"}, Volumes: "true"},
	} {
		if s.Validate() == nil {
			t.Errorf("%+v was not refused", s)
		}
	}
	if err := (&composeDown{composeProject: composeProject{Dir: "/x"}, Volumes: "yes-delete"}).Validate(); err != nil {
		t.Error(err)
	}
}
