package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"belay/steps/journal"
)

// spoken is what a command has said so far.
type spoken struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *spoken) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *spoken) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

const awaitAnswers = `name: Ada
answers:
  - {question: findings, choice: accept, item: "*", reason: a lab, times: 99}
  - {question: findings, choice: go}
  - {question: sign-off, choice: go}
  - {question: cutover, choice: go, text: here}
  - {question: close, choice: close, text: here}
`

// TestHeadlessWaitsForPeople: a run that nobody sits at waits at the sign-off
// and at the cutover for people of other logins, and goes on by their word.
func TestHeadlessWaitsForPeople(t *testing.T) {
	k := newSigning(t, true)
	write(t, filepath.Join(k.dir, "answers.yaml"), awaitAnswers)
	var said spoken
	c := exec.Command(k.program, "run", "plan.yaml", "--headless", "--answers", "answers.yaml", "--sign-within", "1h", "--signers", "nogroup")
	c.Dir, c.Env, c.Stdout, c.Stderr = k.dir, k.env, &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	t.Cleanup(func() { _ = c.Process.Kill(); <-ended })
	says := func(what string) {
		t.Helper()
		k.until("it says "+what, func() bool { return strings.Contains(said.String(), what) })
	}
	says("at most, for one more person, one more person, somebody to sign “The team knows”. To sign it")
	id := filepath.Base(k.runDir())
	if !strings.Contains(said.String(), "belay sign "+id) || strings.Contains(said.String(), "Not answered") {
		t.Errorf("%s", said.String())
	}
	// The driver's go came by the file before the item was signed, and was
	// refused. It counts once another login has signed that.
	if code, out := k.cmd(true, "sign", id, "--item", "*", "--name", "Grace"); code != 0 {
		t.Fatalf("%d %s\n%s", code, out, said.String())
	}
	says("at most, for one more person. To sign it")
	if got := strings.Count(said.String(), `answer "go" to "Go or no-go?" refused`); got != 1 {
		t.Errorf("refused %d times:\n%s", got, said.String())
	}
	if code, out := k.cmd(true, "sign", id, "--go", "--name", "Grace"); code != 0 {
		t.Fatalf("%d %s\n%s", code, out, said.String())
	}
	says("a second person to cut over")
	for name, who := range map[string]bool{"Ada": false, "Grace": true} {
		if code, out := k.cmd(who, "sign", id, "--cut-over", "here", "--name", name); code != exitFailed || !strings.Contains(out, "another person to cut over") {
			t.Errorf("%s cuts over: %d\n%s", name, code, out)
		}
	}
	if k.ledger() != "one" {
		t.Fatalf("cut over already: %q", k.ledger())
	}
	third := *k
	third.other = append([]string{"setpriv", "--reuid", "1"}, k.other[3:]...)
	if code, out := third.cmd(true, "sign", id, "--cut-over", "here", "--name", "Edsger"); code != 0 {
		t.Fatalf("%d %s\n%s", code, out, said.String())
	}
	select {
	case <-ended:
	case <-time.After(2 * time.Minute):
		t.Fatalf("it goes on:\n%s", said.String())
	}
	if code := c.ProcessState.ExitCode(); code != 0 || k.ledger() != "one two" || k.gos() != "Ada/root Grace/nobody" {
		t.Errorf("%d, ledger %q, go by %s\n%s", code, k.ledger(), k.gos(), said.String())
	}
	if s := k.state(); s.Status != journal.Closed {
		t.Errorf("%s", s.Status)
	}
}

// TestHeadlessWaitsNoLonger: nobody comes; it ends as it does without waiting,
// and is taken up again. The plan itself may say how long.
func TestHeadlessWaitsNoLonger(t *testing.T) {
	k := newSigning(t, false)
	write(t, filepath.Join(k.dir, "answers.yaml"), awaitAnswers)
	read := strings.Replace(signPlan, "count: 2", "count: 2, within: 1s", 1)
	write(t, filepath.Join(k.dir, "plan.yaml"), strings.NewReplacer("%[1]s", k.dir, "%[2]v", "false").Replace(read))
	run := func(args ...string) (int, string) {
		c := exec.Command(k.program, args...)
		c.Dir, c.Env = k.dir, k.env
		out, _ := c.CombinedOutput()
		return c.ProcessState.ExitCode(), string(out)
	}
	code, out := run("run", "plan.yaml", "--headless", "--answers", "answers.yaml")
	if code != exitNoGo || !strings.Contains(out, "nobody came within 1s") || !strings.Contains(out, "Not answered") || !strings.Contains(out, "--sign-within") || k.ledger() != "one" {
		t.Errorf("%d, ledger %q\n%s", code, k.ledger(), out)
	}
	id := filepath.Base(k.runDir())
	code, out = run("resume", id, "--headless", "--json", "--sign-within", "1500ms")
	if code != exitNoGo || !strings.Contains(out, "nobody came within 1.5s") {
		t.Errorf("%d\n%s", code, out)
	}
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "{") && !strings.Contains(line, "waits") && !strings.Contains(line, "nobody came") {
			t.Errorf("among JSON: %q", line)
		}
	}
}
