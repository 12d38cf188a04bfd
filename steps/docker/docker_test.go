package docker

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseVersion(t *testing.T) {
	for out, want := range map[string]Compose{
		"v2 2.29.7\n":            {Argv: []string{"docker", "compose"}, Version: "2.29.7"},
		"v2 v2.3.3":              {Argv: []string{"docker", "compose"}, Version: "2.3.3"},
		"v2 dev":                 {Argv: []string{"docker", "compose"}, Version: "dev"},
		"v1 1.29.2":              {Argv: []string{"docker-compose"}, Version: "1.29.2", V1: true},
		"v1 2.20.0":              {Argv: []string{"docker-compose"}, Version: "2.20.0"},
		"v1 1.25.0-rc2, build x": {Argv: []string{"docker-compose"}, Version: "1.25.0", V1: true},
	} {
		got, err := parseVersion(out)
		if err != nil {
			t.Errorf("%q: %v", out, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: %s", out, d)
		}
	}
	if _, err := parseVersion("none\n"); !errors.Is(err, ErrNoCompose) {
		t.Errorf("none: %v", err)
	}
	if _, err := parseVersion("v1 rubbish"); err == nil {
		t.Error("rubbish was taken for a version")
	}
}

func TestNormal(t *testing.T) {
	for name, want := range map[string][2]string{ // v1, v2
		"My.App":  {"myapp", "myapp"},
		"_a-b_C":  {"_a-b_c", "a-b_c"},
		"Größe 1": {"gre1", "gre1"},
		"...":     {"default", "default"},
	} {
		got := [2]string{Compose{V1: true}.normal(name), Compose{}.normal(name)}
		if got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestParseContainers(t *testing.T) {
	// As Docker 20.10 and 28 answer inspectFormat, shortened.
	out := `{"ID":"b1","Name":"/dev-db-1","Image":"sha256:1","State":{"Status":"running","Running":true,"ExitCode":0,"Error":"","StartedAt":"2026-02-15T10:00:00.5Z","Health":{"Status":"starting","FailingStreak":0,"Log":[]}},"Restarts":0,"Labels":{"com.docker.compose.project":"dev","com.docker.compose.service":"db","com.docker.compose.config-hash":"h","com.docker.compose.oneoff":"False"},"Policy":"always"}
{"ID":"a1","Name":"/dev-admin-1","Image":"sha256:2","State":{"Status":"restarting","ExitCode":1,"Error":"","StartedAt":"0001-01-01T00:00:00Z"},"Restarts":4,"Labels":{"com.docker.compose.service":"admin"},"Policy":"unless-stopped"}
{"ID":"c1","Name":"/dev-run","Image":"sha256:2","State":{"Status":"exited"},"Labels":{"com.docker.compose.service":"admin","com.docker.compose.oneoff":"True"},"Policy":"no"}

`
	got, err := parseContainers([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	want := []Container{
		{ID: "a1", Name: "dev-admin-1", Service: "admin", Image: "sha256:2", State: "restarting", Exit: 1, Restarts: 4, Policy: "unless-stopped"},
		{ID: "b1", Name: "dev-db-1", Service: "db", Image: "sha256:1", State: "running", Health: "starting", Policy: "always", Config: "h",
			Started: time.Date(2026, 2, 15, 10, 0, 0, 5e8, time.UTC)},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if s := got[0].String(); s != "restarting (exit status 1, 4 restarts)" {
		t.Error(s)
	}
	if _, err := parseContainers([]byte("Error: no such object")); err == nil {
		t.Error("rubbish was taken for containers")
	}
}

func TestReady(t *testing.T) {
	for _, c := range []struct {
		c    Container
		want bool
	}{
		{Container{State: "running"}, true},
		{Container{State: "running", Health: "starting"}, false},
		{Container{State: "running", Health: "healthy"}, true},
		{Container{State: "exited", Policy: "no"}, true},
		{Container{State: "exited", Policy: "always"}, false},
		{Container{State: "exited", Exit: 1, Policy: "no"}, false},
		{Container{State: "created"}, false},
		{Container{State: "restarting"}, false},
	} {
		if got := c.c.Ready(); got != c.want {
			t.Errorf("%+v: %v", c.c, got)
		}
	}
}
