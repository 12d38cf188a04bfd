package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"belay/remote/lab/dockerlab"
)

// From two servers never seen before to a closed migration: init drafts the
// plan, and it is carried out as it was drafted.
func TestInitToClosed(t *testing.T) {
	const compose = "services:\n  web:\n    image: ghcr.io/shop/web:1\n    command: [serve, --name, web, --listen, \":8080\"]\n    ports: [\"8080:8080\"]\n    volumes: [\"data:/data\"]\nvolumes:\n  data: {}\n"
	l := dockerlab.Up(t,
		dockerlab.Server{Name: "old", Docker: dockerlab.ComposeV2, Files: map[string]string{"/opt/shop/compose.yaml": compose}},
		dockerlab.Server{Name: "new", Docker: dockerlab.ComposeV2})
	l.Standins("old", "ghcr.io/shop/web:1")
	l.Exec("old", "cd /opt/shop && docker compose up -d && echo precious >/var/lib/docker/volumes/shop_data/_data/orders")
	dir := t.TempDir()
	env := []string{"BELAY_SSH_CONFIG=" + l.SSHConfig(), "BELAY_STATE=" + filepath.Join(dir, "state"), "BELAY_TEST_HOSTS=real"}
	code, out := belay(t, dir, env, "init", "--from", "old", "--to", "new", "--clients", "none", "--out", "plan.yaml")
	if code != 0 {
		t.Fatalf("init ended with %d:\n%s", code, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "plan.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if code, out := belay(t, dir, env, "check", "plan.yaml"); code != 0 {
		t.Fatalf("check ended with %d:\n%s\n%s", code, out, text)
	}
	if code, out := belay(t, dir, env, "plan", "plan.yaml"); code != 0 {
		t.Fatalf("plan ended with %d:\n%s\n%s", code, out, text)
	}
	write(t, filepath.Join(dir, "lab.yaml"), "environment: lab\nvars: {soak: 20s, look_every: 2s, compare_every: 2s, bad_for: 8s}\n")
	write(t, filepath.Join(dir, "answers.yaml"), labAnswers("old", toTheEnd, "  - {question: close, choice: close, text: old}", "  - {question: manual, choice: done}"))
	code, out = belay(t, dir, env, "run", "plan.yaml", "--with", "lab.yaml", "--headless", "--answers", "answers.yaml")
	if code != exitClosed {
		t.Fatalf("run ended with %d:\n%s\n%s", code, out, text)
	}
	if got := l.Exec("new", "cat /var/lib/docker/volumes/shop_data/_data/orders; docker ps --format '{{.Image}} {{.State}}'"); !strings.Contains(got, "precious") || !strings.Contains(got, "ghcr.io/shop/web:1 running") {
		t.Errorf("on the new server: %s", got)
	}
	if got := l.Exec("old", "docker ps -q | wc -l; docker volume ls -q"); !strings.HasPrefix(got, "0") || !strings.Contains(got, "shop_data") {
		t.Errorf("on the old server: %s", got)
	}
}
