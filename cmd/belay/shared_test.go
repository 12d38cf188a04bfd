package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"belay/steps/journal/journaltest"
)

const sharedPlan = `belay: 1
name: shared
hosts: {here: {local: true}}
vars: {w: %W}
prepare:
  - step: One
    on: here
    run: {dir: "${{ w }}", script: "echo one >>ledger", undo: "echo undo-one >>ledger"}
  - step: Two
    on: here
    run: {dir: "${{ w }}", script: "echo begun >>ledger; while [ ! -e go ]; do sleep 0.1; done; echo two >>ledger", undo: "echo undo-two >>ledger"}
  - step: Three
    on: here
    run: {dir: "${{ w }}", script: "echo three >>ledger", undo: "echo undo-three >>ledger"}
`

const sharedAnswers = `name: Ada Lovelace
answers:
  - {question: findings, choice: accept, item: "*", reason: a test, times: 99}
  - {question: findings, choice: go, times: 9}
  - {question: sign-off, choice: go}
  - {question: cutover, choice: go, text: here}
  - {question: close, choice: close, text: here}
`

// The first bastion is killed in the middle of a step. A second one, with
// nothing of the run but the database, sees it, is refused as long as the
// first lives, takes over, and finishes it with every effect once.
func TestAnotherBastionTakesOver(t *testing.T) {
	server := journaltest.StartPostgres(t)
	dir := t.TempDir()
	w := filepath.Join(dir, "w")
	write(t, filepath.Join(dir, "plan.yaml"), strings.Replace(sharedPlan, "%W", `"`+w+`"`, 1))
	write(t, filepath.Join(dir, "answers.yaml"), sharedAnswers)
	write(t, filepath.Join(w, "ledger"), "")
	at := func(bastion string) []string {
		return []string{"HOME=" + filepath.Join(dir, "home"), "BELAY_STATE=" + filepath.Join(dir, bastion),
			"BELAY_TEST_LOCK=" + filepath.Join(dir, "lock"), "BELAY_JOURNAL=" + server.URL}
	}
	if err := os.MkdirAll(filepath.Join(dir, "home"), 0o700); err != nil {
		t.Fatal(err)
	}

	code, out := belay(t, dir, at("a"), "run", "plan.yaml", "--headless", "--journal", "postgres://x:hunter2@127.0.0.1/belay")
	if code != exitBadPlan || !strings.Contains(out, "~/.pgpass") || strings.Contains(out, "hunter2") {
		t.Fatalf("a password in the URL: %d\n%s", code, out)
	}

	// The first bastion has done this before, and nobody else knows of it.
	write(t, filepath.Join(w, "go"), "")
	if code, out := belay(t, dir, append(at("a"), "BELAY_JOURNAL="), "run", "plan.yaml", "--headless", "--answers", "answers.yaml"); code != exitClosed {
		t.Fatalf("the run before: %d\n%s", code, out)
	}
	write(t, filepath.Join(w, "ledger"), "")
	if err := os.Remove(filepath.Join(w, "go")); err != nil {
		t.Fatal(err)
	}

	first := exec.Command(program(t), "run", "plan.yaml", "--headless", "--answers", "answers.yaml")
	first.Dir, first.Env = dir, append(os.Environ(), at("a")...)
	var said strings.Builder
	first.Stdout, first.Stderr = &said, &said
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Process.Kill(); _ = first.Wait() }()
	ledger := func() string {
		b, _ := os.ReadFile(filepath.Join(w, "ledger"))
		return strings.Join(strings.Fields(string(b)), " ")
	}
	for range 2400 {
		if ledger() == "one begun" {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	if ledger() != "one begun" {
		t.Fatalf("the first bastion has done %q", ledger())
	}

	code, out = belay(t, dir, at("b"), "runs")
	if code != 0 || !strings.Contains(out, "preparing, worked on by") {
		t.Errorf("runs, on the second bastion: %d\n%s", code, out)
	}
	code, out = belay(t, dir, at("b"), "resume", "--headless", "--answers", "answers.yaml")
	if code != exitInterrupted || !strings.Contains(out, "is held by") || !strings.Contains(out, "logs stay where they were written") {
		t.Errorf("resume while the first lives: %d\n%s", code, out)
	}
	if err := first.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	code, out = belay(t, dir, at("b"), "attach", "--plain")
	if code == 0 || !strings.Contains(out, "no belay drives run") {
		t.Errorf("attach to a run that nobody drives: %d\n%s", code, out)
	}

	// With a step on the bastion itself the takeover must be meant.
	c, err := pgx.Connect(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(t.Context(), `update belay.run set holder = (holder::jsonb || '{"host":"bastion-a"}')::text`); err != nil {
		t.Fatal(err)
	}
	code, out = belay(t, dir, at("b"), "resume", "--headless", "--answers", "answers.yaml")
	if code == 0 || !strings.Contains(out, "that was bastion-a") || !strings.Contains(out, "--here") {
		t.Errorf("a takeover of steps on another machine: %d\n%s", code, out)
	}
	write(t, filepath.Join(w, "go"), "")
	code, out = belay(t, dir, at("b"), "resume", "--here", "--headless", "--answers", "answers.yaml")
	if code != exitClosed || ledger() != "one begun two three" {
		t.Fatalf("the second bastion: %d, ledger %q\n%s\nthe first had said:\n%s", code, ledger(), out, said.String())
	}

	// A third, which has not even a directory, proves and tells it.
	code, out = belay(t, dir, at("c"), "report", "--verify")
	if code != 0 || !strings.Contains(out, "every line is as it was written") {
		t.Errorf("report --verify: %d\n%s", code, out)
	}
	if code, out = belay(t, dir, at("c"), "report"); code != 0 || !strings.Contains(out, "Three") {
		t.Errorf("report: %d\n%s", code, out)
	}
	// What the first one knew of how long things take is in the journal.
	var told struct {
		Steps []struct{ Expected struct{ Runs int } }
	}
	if code, out = belay(t, dir, at("c"), "report", "--format", "json"); code != 0 || json.Unmarshal([]byte(out), &told) != nil || len(told.Steps) != 3 || told.Steps[2].Expected.Runs != 1 {
		t.Errorf("what a third bastion expected: %d, %+v", code, told)
	}
	if _, err := c.Exec(t.Context(), `update belay.event set line = replace(line, 'step-passed', 'step-failed') where seq = (select min(seq) from belay.event where line like '%step-passed%')`); err != nil {
		t.Fatal(err)
	}
	if code, out = belay(t, dir, at("c"), "report", "--verify"); code == 0 || !strings.Contains(out, "checksum does not match") {
		t.Errorf("report --verify of a changed line: %d\n%s", code, out)
	}
}
