package steps

import (
	"errors"
	"strings"
	"testing"
	"time"

	"belay/remote"
)

// dockerState is every container of the engine with what this kind changes.
func dockerState(b *dockerBox) string {
	ids := strings.Fields(b.d.Docker("ps", "-aq", "--no-trunc"))
	if len(ids) == 0 {
		return ""
	}
	return b.d.Docker(append([]string{"inspect", "--type", "container", "--format",
		"{{.Id}} {{.Name}} running={{.State.Running}} paused={{.State.Paused}} {{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}"}, ids...)...)
}

func TestDockerContainer(t *testing.T) {
	b := newDockerBox(t, "box")
	b.d.Busybox("app", "x")
	run := func(name string, more ...string) {
		t.Helper()
		b.d.Docker(append(append([]string{"run", "-d", "--network", "none", "--name", name}, more...), "app")...)
	}
	run("db", "--restart", "unless-stopped")
	t.Run("stop and keep", func(t *testing.T) {
		dockerEachCut(t, b, nil, func() Step {
			return &dockerContainer{Container: "db", State: "stopped", Grace: remote.Duration(20 * time.Second), Restart: "no", Rename: "db-old", Keep: remote.Duration(7 * 24 * time.Hour)}
		}, func() string { return dockerState(b) }, func() {
			want := "/db-old.until-" + time.Now().UTC().AddDate(0, 0, 7).Format(time.DateOnly) + " running=false paused=false no:0"
			if s := dockerState(b); !strings.Contains(s, want) {
				t.Errorf("%s, want %s", s, want)
			}
		})
	})
	t.Run("start", func(t *testing.T) {
		b.d.Docker("stop", "-t", "20", "db")
		s, e := &dockerContainer{Container: "db", State: "started", Restart: "on-failure:3"}, dockerEnv(b)
		was := dockerState(b)
		if c := e.pending(t, s); len(c) != 2 {
			t.Errorf("pending: %+v", c)
		}
		e.apply(t, s)
		e.verify(t, s)
		if s := dockerState(b); !strings.Contains(s, "running=true paused=false on-failure:3") {
			t.Error(s)
		}
		e.undo(t, s)
		e.undo(t, s)
		if now := dockerState(b); now != was {
			t.Errorf("after undo %s, was %s", now, was)
		}
	})
	t.Run("paused", func(t *testing.T) {
		b.d.Docker("start", "db")
		b.d.Docker("pause", "db")
		was := dockerState(b)
		s, e := &dockerContainer{Container: "db", State: "stopped", Grace: remote.Duration(20 * time.Second)}, dockerEnv(b)
		e.apply(t, s)
		e.verify(t, s)
		e.undo(t, s)
		if now := dockerState(b); now != was {
			t.Errorf("after undo %s, was %s", now, was)
		}
	})
	t.Run("names that are taken", func(t *testing.T) { dockerContainerNames(t, b, run) })
	t.Run("remove", func(t *testing.T) { dockerContainerRemove(t, b) })
	t.Run("gone when stopped", func(t *testing.T) {
		run("fleeting", "--rm")
		s, e := &dockerContainer{Container: "fleeting", State: "stopped"}, dockerEnv(b)
		if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "--rm") {
			t.Error(err)
		}
	})
}

func dockerContainerNames(t *testing.T, b *dockerBox, run func(string, ...string)) {
	run("other")
	s, e := &dockerContainer{Container: "db", Rename: "other"}, dockerEnv(b)
	was := dockerState(b)
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Error(err)
	}
	if now := dockerState(b); now != was {
		t.Errorf("changed: %s", now)
	}
	s, e = &dockerContainer{Container: "other", Rename: "other-old"}, dockerEnv(b)
	e.apply(t, s)
	run("other") // somebody else takes the name
	if err := s.Undo(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "left as it is") {
		t.Error(err)
	}
	b.d.Docker("rm", "-f", "other")
	e.undo(t, s)
	b.d.Docker("rm", "-f", "other")
	if err := s.Undo(t.Context(), e.Env); err != nil {
		t.Errorf("undo of what was undone: %v", err)
	}
	if _, err := s.Pending(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Error(err)
	}
}

func dockerContainerRemove(t *testing.T, b *dockerBox) {
	day := func(n int) string { return time.Now().UTC().AddDate(0, 0, n).Format(time.DateOnly) }
	b.d.Docker("create", "--network", "none", "--name", "kept.until-"+day(0), "app")
	s, e := &dockerContainer{Container: "kept", Remove: true}, dockerEnv(b)
	if _, err := s.Pending(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "is kept until") {
		t.Errorf("before the day is over: %v", err)
	}
	if err := s.Apply(t.Context(), e.Env); err == nil {
		t.Error("removed before the day is over")
	}
	b.d.Docker("rename", "kept.until-"+day(0), "kept.until-"+day(-1))
	if c := e.pending(t, s); len(c) != 1 {
		t.Errorf("pending: %+v", c)
	}
	e.apply(t, s)
	e.verify(t, s)
	e.apply(t, s)
	if c := e.pending(t, s); len(c) != 0 || strings.Contains(dockerState(b), "kept") {
		t.Errorf("still there: %+v", c)
	}
	if err := s.Undo(t.Context(), e.Env); !errors.Is(err, ErrNoWayBack) {
		t.Error(err)
	}
}

func TestDockerContainerValidate(t *testing.T) {
	for _, c := range []dockerContainer{
		{Container: "", State: "stopped"}, {Container: "a b", State: "stopped"}, {Container: "../x", State: "stopped"}, {Container: "x"},
		{Container: "x", Restart: "sometimes"}, {Container: "x", Restart: "always:3"}, {Container: "x", Rename: "a/b"},
		{Container: "x", Remove: true, State: "stopped"}, {Container: "x", Remove: true, Keep: 1},
	} {
		if c.Validate() == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
