package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"belay/remote/remotetest"
	"belay/steps/draft"
	"belay/tui"
)

// An interview survives whatever ends it: a kill, a dropped link; and whoever
// comes back goes on where it stopped, on any terminal.
func TestInterviewOutlivesItsTerminal(t *testing.T) {
	program := realBelay(t)
	sshd := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	k := &typist{kept: newKept(t, program)}
	k.env = append(k.env, "BELAY_SSH_CONFIG="+sshd.Config)
	begin := func(args ...string) {
		t.Helper()
		_ = k.inTmux("kill-session", "-t", "one").Run() // a hangup, if it lives
		k.tmuxRun("one", append([]string{"init"}, args...)...)
	}
	kept := func(words ...string) string {
		t.Helper()
		var text string
		k.until("it is kept: "+strings.Join(words, ", "), func() bool {
			files, _ := filepath.Glob(filepath.Join(k.dir, "init", "*.json"))
			if len(files) != 1 {
				return false
			}
			b, _ := os.ReadFile(files[0])
			text = string(b)
			for _, w := range words {
				if !strings.Contains(text, w) {
					return false
				}
			}
			at, err := os.Stat(files[0])
			return err == nil && at.Mode().Perm() == 0o600
		})
		return text
	}
	begin()
	k.sees("Which servers?")
	k.types(sshd.Name)
	k.keys("Enter", "Enter")
	k.sees("What shall be upgraded?")
	k.keys("n", "Enter")
	k.sees("How long can people be without it?")
	k.types("7m")
	kept(`"7m"`, `"how long"`, `"Move": []`)
	pid, err := k.inTmux("display-message", "-p", "-t", "one", "#{pane_pid}").Output()
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}

	begin()
	k.sees("Go on where you stopped?", "Go on with "+sshd.Name+", where it stays")
	k.keys("Enter")
	k.sees("How long can people be without it?", "7m___")
	k.keys("Enter")
	k.sees("When may it happen?")
	kept(`"when"`, "420000000000")

	// The terminal is closed; the next one is poor.
	begin("--plain")
	k.sees("1  go on with "+sshd.Name, "just Enter: begin anew")
	k.types("1")
	k.keys("Enter")
	k.sees("When may it happen?", "Opens>")
	k.keys("Enter", "Enter")
	k.sees("Who agrees")
	k.keys("C-c")
	k.sees("Your answers are kept", "--freeze 7m")

	// Until it is not wanted any more.
	begin()
	k.sees("Go on where you stopped?")
	k.keys("Enter")
	k.sees("Who must agree")
	k.keys("C-c")
	k.sees("leave?")
	k.keys("f")
	k.sees("without questions", "--freeze 7m")
	if files, _ := filepath.Glob(filepath.Join(k.dir, "init", "*")); len(files) != 0 {
		t.Errorf("left behind: %q", files)
	}
}

// What is kept belongs to its owner alone, is whole or as it was, and is worth
// something for a month.
func TestKeptInterviews(t *testing.T) {
	d := drafter{kept: filepath.Join(t.TempDir(), "state", "init")}
	of := func(from, to string, age time.Duration) tui.Kept {
		return tui.Kept{At: time.Now().Add(-age), Page: "who", Answers: tui.Answers{From: from, To: to, Wish: draft.Wish{Roles: []draft.Role{{Name: "dba"}}}}}
	}
	if got := d.Kept(); len(got) != 0 {
		t.Fatalf("%+v", got)
	}
	for _, k := range []tui.Kept{of("old", "new", time.Hour), of("old", "", time.Minute), of("old", "new", time.Second), of("stale", "", 31*24*time.Hour)} {
		if err := d.Keep(k); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"torn.json": `{"Answers": {"From": "x"`, "other.json": `{"Answers": {"From": "x"}}`, ".keep-1": "x"} {
		write(t, filepath.Join(d.kept, name), text)
	}
	got := d.Kept()
	if len(got) != 2 || got[0].Answers.To != "new" || got[1].Answers.To != "" || got[0].Answers.Roles[0].Name != "dba" || time.Since(got[0].At) > time.Minute {
		t.Errorf("%+v", got)
	}
	for path, want := range map[string]os.FileMode{d.kept: 0o700, d.keptFile(got[0].Answers): 0o600} {
		if at, err := os.Stat(path); err != nil || at.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, at.Mode(), err)
		}
	}
	if err := d.Drop(of("old", "new", 0)); err != nil || d.has(got[0].Answers) || !d.has(got[1].Answers) || len(d.Kept()) != 1 {
		t.Errorf("%v, %+v", err, d.Kept())
	}
	if err := (drafter{}).Keep(got[0]); err != nil || (drafter{}).Kept() != nil {
		t.Error("without a place to keep it, it is kept")
	}
	if err := os.WriteFile(filepath.Join(t.TempDir(), "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (drafter{kept: filepath.Join(d.keptFile(got[1].Answers), "init")}).Keep(got[0]); err == nil {
		t.Error("a place that cannot be takes it")
	}
}
