package main

import (
	"path/filepath"
	"strings"
	"testing"

	"belay/remote/lab/dockerlab"
)

// Nothing forgotten: the new server lacks a login, a job and a port of the old
// one; the run stops and names them, and goes on once they are there.
func TestForgotten(t *testing.T) {
	const listen = "/usr/sbin/sshd -p 7777\n"
	const cron = "mkdir -p /etc/cron.d; printf '0 3 * * * root /usr/local/bin/nightly\\n' >/etc/cron.d/nightly\n"
	l := dockerlab.Up(t, dockerlab.Server{Name: "old"}, dockerlab.Server{Name: "new"})
	l.Exec("old", "useradd -m -s /bin/sh deploy\n"+cron+listen)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "plan.yaml"), `belay: 1
name: forgotten
hosts: {old: {}, new: {}}
prepare:
  - step: Nothing is forgotten
    inspect.compare: {old: old, new: new, areas: [port, job, user]}
signoff:
  - check: nothing-is-forgotten
soak:
  for: 3s
  watch:
    - step: {id: nothing-is-forgotten, every: 500ms}
`)
	write(t, filepath.Join(dir, "answers.yaml"), `name: Ada Lovelace
answers:
  - {question: findings, choice: accept, item: "*", reason: "a lab"}
  - {question: findings, choice: go}
`)
	env := []string{"BELAY_SSH_CONFIG=" + l.SSHConfig(), "BELAY_STATE=" + filepath.Join(dir, "state"), "BELAY_TEST_HOSTS=real"}
	code, out := belay(t, dir, env, "run", "plan.yaml", "--headless", "--answers", "answers.yaml")
	for _, want := range []string{"user         deploy", "port         tcp 7777", "root: 0 3 * * * /usr/local/bin/nightly"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not named", want)
		}
	}
	if code != exitInterrupted {
		t.Fatalf("ended with %d:\n%s", code, out)
	}
	l.Exec("new", "useradd -m -s /bin/sh deploy\n"+cron+listen)
	write(t, filepath.Join(dir, "answers.yaml"), `name: Ada Lovelace
answers:
  - {question: failed, choice: retry}
  - {question: sign-off, choice: go}
`+toTheEnd+`
  - {question: close, choice: close, text: forgotten}
`)
	code, out = belay(t, dir, env, "resume", "--headless", "--answers", "answers.yaml")
	if code != exitClosed {
		t.Fatalf("ended with %d:\n%s", code, out)
	}
	if _, report := belay(t, dir, env, "report"); !strings.Contains(report, "things of old are on new too") {
		t.Errorf("the report does not tell of it:\n%s", report)
	}
}
