package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const debtPlan = `belay: 1
name: debts
hosts: {a: {}, b: {}, c: {}}
prepare:
  - step: First
    on: [a, b, c]
    run: {script: 'echo do-1 >>"$HOME/ledger"', undo: 'echo undo-1 >>"$HOME/ledger"'}
  - step: Page
    on: c
    files.copy: {content: "new\n", to: %s/www/page}
  - step: Last
    on: [a, b, c]
    run: {script: 'echo do-2 >>"$HOME/ledger"', undo: 'echo undo-2 >>"$HOME/ledger"'}
`

const debtAnswers = `name: Ada Lovelace
answers:
  - {question: findings, choice: accept, item: "*", reason: a lab, times: 99}
  - {question: findings, choice: go}
  - {question: rollback, choice: go, text: a, reason: the test goes back}
`

// TestRollbackOnAHalfDeadFleet rolls back while one of three servers is away:
// the other two are undone, the third is listed as a debt, and the next
// rollback after its return settles it. Nothing is undone twice.
func TestRollbackOnAHalfDeadFleet(t *testing.T) {
	f := newFleet(t, []string{"a", "b", "c"}, keepalive...)
	dir := t.TempDir()
	c := f.servers["c"]
	write(t, filepath.Join(c.Home, "www", "page"), "old\n")
	write(t, filepath.Join(dir, "plan.yaml"), fmt.Sprintf(debtPlan, c.Home))
	write(t, filepath.Join(dir, "answers.yaml"), debtAnswers)
	env := []string{"HOME=" + dir, "BELAY_STATE=" + dir, "BELAY_SSH_CONFIG=" + f.config}
	step := func(want int, args ...string) string {
		t.Helper()
		code, out := belay(t, dir, env, append(args, "--headless", "--answers", "answers.yaml")...)
		if code != want {
			t.Fatalf("belay %q ended with %d, want %d:\n%s", args, code, want, out)
		}
		return out
	}
	wantLedger := func(host, want string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(f.servers[host].Home, "ledger"))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(strings.Fields(string(text)), " "); got != want {
			t.Errorf("the ledger of %s holds %q, want %q", host, got, want)
		}
	}
	// Nobody answers whether to close: the run waits there.
	step(exitNoGo, "run", "plan.yaml")
	for host := range f.servers {
		wantLedger(host, "do-1 do-2")
	}
	c.Stop()
	for range 2 { // while it is away, a second rollback changes nothing
		out := step(exitIncomplete, "rollback")
		for _, debt := range []string{"first on c:", "page on c:", "last on c:"} {
			if !strings.Contains(out, "Not undone yet: "+debt) {
				t.Errorf("no word of the debt %q:\n%s", debt, out)
			}
		}
		if n := strings.Count(out, "Not undone yet: "); n != 3 {
			t.Errorf("%d debts are listed:\n%s", n, out)
		}
		wantLedger("a", "do-1 do-2 undo-2 undo-1")
		wantLedger("b", "do-1 do-2 undo-2 undo-1")
		wantLedger("c", "do-1 do-2")
	}
	c.Restart()
	if out := step(exitRolledBack, "rollback"); strings.Contains(out, "Not undone yet") {
		t.Errorf("debts are left:\n%s", out)
	}
	for host := range f.servers {
		wantLedger(host, "do-1 do-2 undo-2 undo-1")
	}
	if b, err := os.ReadFile(filepath.Join(c.Home, "www", "page")); err != nil || string(b) != "old\n" {
		t.Errorf("page: %q, %v", b, err)
	}
	left, err := os.ReadDir(filepath.Join(c.Home, "www"))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the page there are %v, %v", left, err)
	}
}
