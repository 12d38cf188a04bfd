package docker

import (
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/swarm"
)

func swarmSpec(image string, replicas uint64) swarm.ServiceSpec {
	return swarm.ServiceSpec{
		Annotations:  swarm.Annotations{Name: "db", Labels: map[string]string{"b": "2", "a": "1"}},
		TaskTemplate: swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{Image: image, Env: []string{"Z=1", "A=x\ny"}}, Runtime: swarm.RuntimeContainer},
		Mode:         swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &replicas}},
		EndpointSpec: &swarm.EndpointSpec{Ports: []swarm.PortConfig{{TargetPort: 5432, PublishedPort: 5435, PublishMode: "host"}}},
	}
}

func TestSpecText(t *testing.T) {
	want := "replicas: 2\nimage: postgres:16\nenv A: \"x\\ny\"\nenv Z: \"1\"\nport: 5435 to 5432/tcp, host\nlabel a: \"1\"\nlabel b: \"2\"\n"
	if got := SpecText(swarmSpec("postgres:16", 2)); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestJudgeRollout(t *testing.T) {
	now := time.Now()
	spec, before := swarmSpec("postgres:16", 1), swarmSpec("postgres:15", 1)
	task := func(s swarm.ServiceSpec, desired, state swarm.TaskState, err string) swarm.Task {
		t := swarm.Task{ID: "t", Slot: 1, DesiredState: desired, Status: swarm.TaskStatus{State: state, Err: err}, Spec: s.TaskTemplate, Meta: swarm.Meta{CreatedAt: now}}
		t.Spec.Runtime, t.Spec.Resources = "", &swarm.ResourceRequirements{} // as engines answer
		return t
	}
	service := func(previous *swarm.ServiceSpec, state swarm.UpdateState) swarm.Service {
		s := swarm.Service{Spec: spec, PreviousSpec: previous, Meta: swarm.Meta{UpdatedAt: now}}
		if state != "" {
			s.UpdateStatus = &swarm.UpdateStatus{State: state, Message: "so it is", StartedAt: &now}
		}
		return s
	}
	running, failed := swarm.TaskStateRunning, swarm.TaskStateFailed
	for name, c := range map[string]struct {
		s     swarm.Service
		tasks []swarm.Task
		back  bool
		done  bool
		fatal string
		note  string
	}{
		"new":               {s: service(nil, ""), note: "0 of 1"},
		"starting":          {s: service(nil, ""), tasks: []swarm.Task{task(spec, running, swarm.TaskStateStarting, "")}, note: "db.1, which is starting"},
		"runs":              {s: service(nil, ""), tasks: []swarm.Task{task(spec, running, running, "")}, done: true},
		"an old one":        {s: service(&before, ""), tasks: []swarm.Task{task(before, running, running, "")}, note: "1 old"},
		"updating":          {s: service(&before, swarm.UpdateStateUpdating), tasks: []swarm.Task{task(before, running, running, "")}, note: "1 old"},
		"only labels":       {s: service(&spec, ""), tasks: []swarm.Task{task(spec, running, running, "")}, done: true},
		"completed":         {s: service(&before, swarm.UpdateStateCompleted), tasks: []swarm.Task{task(spec, running, running, "")}, done: true},
		"paused":            {s: service(&before, swarm.UpdateStatePaused), tasks: []swarm.Task{task(spec, running, failed, "exit (3)")}, fatal: "paused the update (so it is); db.1: failed: exit (3)"},
		"back by itself":    {s: service(&before, swarm.UpdateStateRollbackCompleted), tasks: []swarm.Task{task(spec, running, running, "")}, fatal: "went back"},
		"back as asked for": {s: service(&before, swarm.UpdateStateRollbackCompleted), tasks: []swarm.Task{task(spec, running, running, "")}, back: true, done: true},
		"failing": {s: service(nil, ""), tasks: []swarm.Task{task(spec, swarm.TaskStateShutdown, failed, "boom"), task(spec, swarm.TaskStateShutdown, failed, "boom"),
			task(spec, swarm.TaskStateShutdown, swarm.TaskStateRejected, "No such image")}, fatal: "keep failing; db.1"},
		"no node": {s: service(nil, ""), tasks: []swarm.Task{task(spec, running, swarm.TaskStatePending, "no suitable node (1 node)")}, note: "no node suits: no suitable node"},
	} {
		got := judgeRollout(c.s, c.tasks, c.back)
		if got.Done() != c.done || !strings.Contains(got.Fatal, c.fatal) || c.fatal == "" && got.Fatal != "" || !strings.Contains(got.Note, c.note) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
