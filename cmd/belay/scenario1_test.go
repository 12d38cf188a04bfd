package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"belay/remote/lab/dockerlab"
	"belay/steps/plan/shipped"
)

// fluxerParts are the services of Fluxer's compose file.
var fluxerParts = strings.Fields("postgres cassandra redis minio meilisearch clamav api gateway media worker metrics docs marketing admin caddy")

// stoatServer is the server of scenario 1: Stoat Chat serves 8088 from a tmux
// session, nginx stands before it, and Fluxer waits in a git repository. change
// is a shell script that may alter Fluxer before it is committed there.
func stoatServer(t *testing.T, with dockerlab.Docker, change string) *dockerlab.Lab {
	t.Helper()
	files := dockerlab.Tree(t, "testdata/scenario1")
	l := dockerlab.Up(t, dockerlab.Server{Name: "chat", Docker: with, Files: files})
	l.Exec("chat", `set -e; cd /srv/fluxer; `+change+`
git init -q -b main .; git add -A
git -c user.name=lab -c user.email=lab@localhost commit -q -m "Fluxer"; git clone -q --bare . /srv/fluxer.git
mkdir -p /var/backups; /root/stoatchat/start.sh`)
	var tags []string
	for _, part := range fluxerParts {
		tags = append(tags, "ghcr.io/fluxerapp/"+part+":lab")
	}
	l.Standins("chat", tags...)
	return l
}

// served is what people see on the domain, through nginx.
func served(t *testing.T, l *dockerlab.Lab) string {
	t.Helper()
	return l.Exec("chat", "curl -kfsS --resolve chat.example.org:443:127.0.0.1 https://chat.example.org/")
}

// labOverlay is what differs between the shipped plan's world and the lab.
const labOverlay = `environment: lab
vars:
  fluxer_repo: file:///srv/fluxer.git
  insecure: true
  room: 1GiB
  memory: 100MiB
  start_limit: 90s
  soak: 5s
  look_every: 500ms
  bad_for: 3s
  slower: 1000x
`

// runBelay runs belay headless on the shipped plan and returns its
// exit code and what it printed.
func runBelay(t *testing.T, l *dockerlab.Lab, answers string) (int, string) {
	t.Helper()
	dir := t.TempDir()
	plan, err := shipped.Read("stoat-to-fluxer")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"plan.yaml": string(plan), "lab.yaml": labOverlay, "answers.yaml": answers} {
		write(t, filepath.Join(dir, name), text)
	}
	env := []string{"BELAY_SSH_CONFIG=" + l.SSHConfig(), "BELAY_STATE=" + filepath.Join(dir, "state"), "BELAY_TEST_HOSTS=real"}
	return belay(t, dir, env, "run", "plan.yaml", "--with", "lab.yaml", "--headless", "--answers", "answers.yaml")
}

const (
	toCutover = `name: Ada Lovelace
answers:
  - {question: findings, choice: accept, item: "*", reason: "a lab"}
  - {question: findings, choice: go}
  - {question: sign-off, choice: sign, item: "*"}
  - {question: sign-off, choice: go}
  - {question: cutover, choice: go, text: chat}
`
	toClosed   = toCutover + "  - {question: close, choice: close, text: chat}\n"
	toRollback = toCutover + `  - {question: failed, step: start-fluxer, choice: rollback}
  - {question: rollback, choice: go, text: chat, reason: "the API does not become healthy"}
`
)

func TestScenario1Forward(t *testing.T) {
	l := stoatServer(t, dockerlab.ComposeV2, "")
	if before := served(t, l); !strings.Contains(before, "Stoat Chat is here") {
		t.Fatalf("before: %s", before)
	}
	code, out := runBelay(t, l, toClosed)
	if code != exitClosed {
		t.Fatalf("belay ended with %d:\n%s", code, out)
	}
	if after := served(t, l); !strings.Contains(after, "Fluxer is here") {
		t.Errorf("after: %s", after)
	}
	state := l.Exec("chat", `tmux ls 2>&1; pgrep -fl /root/stoatchat/; grep -c . /root/fluxer/dev/.env
curl -fsS http://127.0.0.1:9042/migrations | tr , '\n' | wc -l; ls -d /root/stoatchat*; zstd -t /var/backups/*.zst 2>&1`)
	for _, want := range []string{"no server running", "\n60\n", "/root/stoatchat.retired\n"} {
		if !strings.Contains(state, want) {
			t.Errorf("the server does not say %q:\n%s", want, state)
		}
	}
	if strings.Contains(state, "busybox httpd") {
		t.Errorf("Stoat Chat is still running:\n%s", state)
	}
}

func TestScenario1RollsBack(t *testing.T) {
	l := stoatServer(t, dockerlab.ComposeV1, "sed -i 's/^API_FLAGS=.*/API_FLAGS=--sick/' dev/.env.example")
	before := l.Exec("chat", `cd /root/stoatchat && find . -type f ! -path './data/*.log' -exec sha256sum {} + | sort`)
	code, out := runBelay(t, l, toRollback)
	if code != exitRolledBack {
		t.Fatalf("belay ended with %d:\n%s", code, out)
	}
	if after := served(t, l); !strings.Contains(after, "Stoat Chat is here") {
		t.Errorf("after: %s", after)
	}
	after := l.Exec("chat", `cd /root/stoatchat && find . -type f ! -path './data/*.log' -exec sha256sum {} + | sort`)
	if before != after {
		t.Errorf("Stoat Chat's files before:\n%s\nafter:\n%s", before, after)
	}
	// A copy of what one moved away from is never taken back.
	if left := l.Exec("chat", "ls -d /root/fluxer /var/backups/*.zst 2>/dev/null || :"); left != "/var/backups/stoatchat-before-fluxer.tar.zst\n" {
		t.Errorf("left behind: %s", left)
	}
	state := l.Exec("chat", `curl -fsS http://127.0.0.1:8088/; tmux ls; docker ps -q | wc -l; pgrep -fc '^bash /root/stoatchat/scripts/'`)
	lines := bytes.Fields([]byte(state))
	if n := len(lines); n < 2 || string(lines[n-2]) != "0" || string(lines[n-1]) != "4" || !strings.Contains(state, "openhands-None-") {
		t.Errorf("the server says:\n%s", state)
	}
}
