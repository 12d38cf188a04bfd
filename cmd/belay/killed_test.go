package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"belay/steps/journal"
)

// long is a plan of one job that writes numbered lines until it is let go.
const long = `belay: 1
name: long
hosts: {here: {local: true}}
vars: {w: %[1]q}
prepare:
  - step: Count
    run:
      dir: "${{ w }}"
      script: |
        echo begun >>ledger
        i=0
        until [ -e let-go ]; do i=$((i+1)); echo "line $i"; sleep 0.01; done
        echo "last $i"
        echo ended >>ledger
`

const longAnswers = `name: Ada Lovelace
answers:
  - {question: findings, choice: accept, item: "*", reason: a test, times: 99}
  - {question: findings, choice: go}
  - {question: close, choice: close, text: here}
`

// longRun starts the plan and returns when the job's output has reached the
// run directory.
func longRun(t *testing.T) (dir string, env []string, c *exec.Cmd, out *bytes.Buffer) {
	t.Helper()
	dir, out = t.TempDir(), &bytes.Buffer{}
	write(t, filepath.Join(dir, "plan.yaml"), fmt.Sprintf(long, dir))
	write(t, filepath.Join(dir, "answers.yaml"), longAnswers)
	env = []string{"HOME=" + filepath.Join(dir, "home"), "BELAY_STATE=" + filepath.Join(dir, "state")}
	write(t, filepath.Join(dir, "home", "x"), "")
	c = exec.CommandContext(t.Context(), program(t), "run", "plan.yaml", "--headless", "--answers", "answers.yaml")
	c.Dir, c.Env, c.Stdout, c.Stderr = dir, append(os.Environ(), env...), out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		write(t, filepath.Join(dir, "let-go"), "") // in any case
		_ = c.Process.Kill()
		eventually(t, "the job ends", func() bool { return strings.Contains(read(dir, "ledger"), "ended") })
	})
	eventually(t, "fifty lines are in the log", func() bool { return strings.Count(countLog(dir), "\n") > 50 })
	return dir, env, c, out
}

func countLog(dir string) string {
	found, _ := filepath.Glob(filepath.Join(dir, "state", "runs", "*", "logs", "count@here.log"))
	if len(found) != 1 {
		return ""
	}
	return read(found[0])
}

func read(path ...string) string {
	b, _ := os.ReadFile(filepath.Join(path...))
	return string(b)
}

// eventually waits for something that is bound to come.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1200 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("in a minute it did not come about that %s", what)
}

// wholeLog wants every line of the job in the step's log, once, in order.
func wholeLog(t *testing.T, dir string) {
	t.Helper()
	n := 0
	for line := range strings.Lines(countLog(dir)) {
		var i int
		if _, err := fmt.Sscanf(line, "line %d\n", &i); err != nil {
			continue
		}
		if n++; i != n {
			t.Fatalf("the log holds line %d where line %d belongs:\n%s", i, n, countLog(dir))
		}
	}
	if !strings.Contains(countLog(dir), fmt.Sprintf("last %d\n", n)) {
		t.Errorf("the log ends with line %d, but the job did not:\n%s", n, countLog(dir))
	}
	if got := read(dir, "ledger"); got != "begun\nended\n" {
		t.Errorf("the script did: %q", got)
	}
}

func TestKilledDuringALongJob(t *testing.T) {
	dir, env, c, _ := longRun(t)
	for range 3 { // killed, resumed, and killed again
		at := strings.Count(countLog(dir), "\n")
		if err := c.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
		c = exec.CommandContext(t.Context(), program(t), "resume", "--headless", "--answers", "answers.yaml")
		c.Dir, c.Env = dir, append(os.Environ(), env...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the log grows on", func() bool { return strings.Count(countLog(dir), "\n") > at+50 })
	}
	write(t, filepath.Join(dir, "let-go"), "")
	if err := c.Wait(); err != nil {
		t.Errorf("the last resume: %v", err)
	}
	wholeLog(t, dir)
}

func TestToldToLeaveDuringALongJob(t *testing.T) {
	dir, env, c, out := longRun(t)
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("told to leave, belay ended with %d:\n%s", code, out)
	}
	if !strings.Contains(out.String(), "belay resume") {
		t.Errorf("it does not say how to come back:\n%s", out)
	}
	if got := read(dir, "ledger"); got != "begun\n" {
		t.Errorf("the job did not go on: %q", got)
	}
	told, err := journal.Read(filepath.Join(theRun(t, filepath.Join(dir, "state")), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "let-go"), "")
	code, again := belay(t, dir, env, "resume", "--headless", "--json", "--answers", "answers.yaml")
	if code != exitClosed {
		t.Errorf("resumed, belay ended with %d:\n%s", code, again)
	}
	onlyNew(t, again, told[len(told)-1].Seq)
	wholeLog(t, dir)
}

// onlyNew wants every event that a resumed run prints to be after seq, and some.
func onlyNew(t *testing.T, out string, seq uint64) {
	t.Helper()
	events := 0
	for line := range strings.Lines(out) {
		var e journal.Event
		if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil {
			continue
		}
		if events++; e.Seq <= seq {
			t.Errorf("resumed, it tells event %d again; the first screen had come to %d", e.Seq, seq)
		}
	}
	if events == 0 {
		t.Errorf("resumed, it tells no event:\n%s", out)
	}
}
