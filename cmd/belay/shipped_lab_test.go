package main

import (
	"path/filepath"
	"strings"
	"testing"

	"belay/remote/lab/dockerlab"
	"belay/steps/plan/shipped"
)

// onLab runs a shipped plan headless on a lab's servers, with an overlay and
// answers, and returns the exit code and what belay printed. env are further
// variables, such as secrets.
func onLab(t *testing.T, l *dockerlab.Lab, name, overlay, answers string, env ...string) (code int, out string) {
	t.Helper()
	dir := t.TempDir()
	plan, err := shipped.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"plan.yaml": string(plan), "lab.yaml": overlay, "answers.yaml": answers} {
		write(t, filepath.Join(dir, name), text)
	}
	env = append(env, "BELAY_SSH_CONFIG="+l.SSHConfig(), "BELAY_STATE="+filepath.Join(dir, "state"), "BELAY_TEST_HOSTS=real")
	code, out = belay(t, dir, env, "run", "plan.yaml", "--with", "lab.yaml", "--headless", "--answers", "answers.yaml")
	if testing.Verbose() {
		t.Logf("belay ended with %d:\n%s", code, out)
	}
	// No secret of the lab may be in what belay keeps or says.
	for _, secret := range env {
		if _, value, ok := strings.Cut(secret, "="); ok && strings.HasPrefix(secret, "LAB_") && strings.Contains(out, value) {
			t.Errorf("the secret %s was printed", secret)
		}
	}
	return code, out
}

// toTheEnd lets a healthy soak end on a busy machine too, where a short one has
// too few looks.
const toTheEnd = `  - {question: soak, choice: extend, reason: "too few looks", times: 30}`

// labAnswers takes a plan to the end of its cutover; host is what is typed at
// the gate. Then come further answers.
func labAnswers(host string, then ...string) string {
	return `name: Ada Lovelace
answers:
  - {question: findings, choice: accept, item: "*", reason: "a lab"}
  - {question: findings, choice: go}
  - {question: sign-off, choice: sign, item: "*"}
  - {question: sign-off, choice: go}
  - {question: cutover, choice: go, text: ` + host + `}
` + strings.Join(then, "\n") + "\n"
}
