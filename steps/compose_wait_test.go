package steps

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/checks"
	"belay/remote"
	"belay/steps/docker"
)

func TestComposeJudge(t *testing.T) {
	at := time.Unix(0, 0)
	running := func(s, health string) docker.Container {
		return docker.Container{Service: s, Name: s, State: "running", Health: health, Policy: "always"}
	}
	restarting := docker.Container{Service: "a", State: "restarting", Exit: 1, Policy: "always"}
	w := composeWait{services: []string{"a", "b"}, bad: map[string]time.Time{}}
	for i, c := range []struct {
		all    []docker.Container
		after  time.Duration
		open   []string
		failed string
	}{
		{nil, 0, []string{"a", "b"}, ""},
		{[]docker.Container{running("a", ""), running("b", "starting")}, 0, []string{"b"}, ""},
		{[]docker.Container{restarting, running("b", "healthy")}, 0, []string{"a"}, ""},
		{[]docker.Container{restarting, running("b", "")}, composeCrashing - 1, []string{"a"}, ""},
		{[]docker.Container{restarting, running("b", "")}, composeCrashing, []string{"a"}, "a"},
		{[]docker.Container{running("a", ""), running("b", "")}, 0, nil, ""},
		{[]docker.Container{restarting, running("b", "")}, 2 * composeCrashing, []string{"a"}, ""}, // anew
		{[]docker.Container{{Service: "a", State: "exited", Exit: 1, Policy: "no"}, running("b", "")}, 0, []string{"a"}, "a"},
		{[]docker.Container{running("a", ""), running("a", "unhealthy"), running("b", "")}, 9 * composeCrashing, []string{"a"}, "a"},
	} {
		open, failed := w.judge(c.all, at.Add(c.after))
		if d := cmp.Diff(c.open, open); d != "" || failed != c.failed {
			t.Errorf("%d: failed %q, want %q; %s", i, failed, c.failed, d)
		}
	}
}

// TestComposeSettle: what runs without telling how it is counts as ready only
// once it has done so for a while, and what ran before at once.
func TestComposeSettle(t *testing.T) {
	at := time.Unix(0, 0)
	run := func(s string, started int64, restarts int) docker.Container {
		return docker.Container{ID: s, Service: s, State: "running", Started: time.Unix(started, 0), Restarts: restarts, Policy: "always"}
	}
	job := docker.Container{ID: "job", Service: "job", State: "exited", Policy: "no"}
	well := run("well", 7, 0)
	well.Health = "healthy"
	w := composeWait{services: []string{"old", "new", "job", "well"}, settle: 3 * time.Second, bad: map[string]time.Time{}}
	w.see([]docker.Container{run("old", 1, 2)}, at)
	for i, c := range []struct {
		after time.Duration
		new   docker.Container
		open  []string
	}{
		{5 * time.Second, run("new", 9, 0), []string{"new"}},
		{7 * time.Second, run("new", 9, 0), []string{"new"}},
		{8 * time.Second, run("new", 10, 1), []string{"new"}}, // it died in between
		{9 * time.Second, docker.Container{ID: "new", Service: "new", State: "restarting", Exit: 1, Policy: "always"}, []string{"new"}},
		{10 * time.Second, run("new", 10, 1), []string{"new"}},
		{12 * time.Second, run("new", 10, 1), []string{"new"}},
		{13 * time.Second, run("new", 10, 1), nil},
	} {
		open, failed := w.judge([]docker.Container{run("old", 1, 2), c.new, job, well}, at.Add(c.after))
		if d := cmp.Diff(c.open, open); d != "" || failed != "" {
			t.Errorf("%d: failed %q; %s", i, failed, d)
		}
	}
	// What runs only now and then is no more ready for it.
	for sec := 20 * time.Second; ; sec += 5 * time.Second {
		_, _ = w.judge([]docker.Container{{ID: "new", Service: "new", State: "restarting", Exit: 1, Policy: "always"}}, at.Add(sec))
		_, failed := w.judge([]docker.Container{run("new", int64(sec/time.Second), int(sec))}, at.Add(sec+time.Second))
		if failed != "" {
			t.Fatalf("running, it counts as failed: %s", failed)
		}
		if sec-20*time.Second > composeCrashing {
			break
		}
	}
	if _, failed := w.judge([]docker.Container{{ID: "new", Service: "new", State: "restarting", Exit: 1, Policy: "always"}}, at.Add(90*time.Second)); failed != "new" {
		t.Errorf("a container that starts again and again is not given up: %q", failed)
	}
}

// TestComposeShortWait: a plan that was written before there was settle, and
// waits no longer than that, is taken; it waits half as long, and says so.
func TestComposeShortWait(t *testing.T) {
	for wait, want := range map[time.Duration]time.Duration{2 * time.Second: time.Second, 3 * time.Second: 1500 * time.Millisecond, 4 * time.Second: 3 * time.Second} {
		up := &composeUp{composeProject: composeProject{Dir: "/srv/chat"}, Wait: remote.Duration(wait), Settle: remote.Duration(3 * time.Second)}
		grade := &composeUpgrade{composeProject: up.composeProject, Wait: up.Wait, Settle: up.Settle}
		if err := errors.Join(up.Validate(), grade.Validate()); err != nil {
			t.Errorf("wait %v: %v", wait, err)
		}
		if got := composeSettles(up.Settle, up.Wait); got != want || grade.waiter(nil).settle != want {
			t.Errorf("wait %v: settles %v and %v, want %v", wait, got, grade.waiter(nil).settle, want)
		}
		for _, needs := range [][]checks.Check{up.Needs("chat"), grade.Needs("chat")} {
			i := slices.IndexFunc(needs, func(c checks.Check) bool { _, ok := c.(*composeShort); return ok })
			if (i >= 0) != (want < 3*time.Second) {
				t.Fatalf("wait %v: warned: %v", wait, i >= 0)
			}
			if i < 0 {
				continue
			}
			found, err := needs[i].Assess(t.Context(), checks.World{})
			if err != nil || len(found) != 1 || found[0].Level != checks.Warn || !strings.Contains(found[0].Text, "after "+want.String()) {
				t.Errorf("wait %v: %+v, %v", wait, found, err)
			}
		}
	}
}
