package remotetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"runtime"
	"strings"
	"time"
)

func TestLocal(t *testing.T) {
	TestRunner(t, func(*testing.T) remote.Host { return remote.Local("here") })
}

func TestLocalWrapped(t *testing.T) {
	TestRunner(t, func(*testing.T) remote.Host {
		h := remote.Local("here")
		h.Runner = remote.Record(h.Runner, func(remote.Ran) {})
		return h
	})
}

// paper is a testing.TB that takes notes of errors.
type paper struct {
	testing.TB
	errors []string
}

func (p *paper) Errorf(format string, a ...any) {
	p.errors = append(p.errors, fmt.Sprintf(format, a...))
}
func (p *paper) Helper() {}

func TestScriptedAnswersFromItsTable(t *testing.T) {
	m := NewScripted(t, "web")
	m.When("systemctl", "is-active", "*").Say("inactive\n").Exit(3, "")
	m.When("systemctl", "is-active", "*").Say("active\n")
	m.When("cat", "...").Do(func(c Call) error { c.Print("<%s>", c.Stdin); return nil })
	ctx := context.Background()
	active := remote.Cmd{Argv: []string{"systemctl", "is-active", "nginx"}, Pure: true}
	out, err := remote.Output(ctx, m.Host(), active)
	if exit, ok := errors.AsType[*remote.ExitError](err); !ok || exit.Status != 3 || string(out) != "inactive\n" {
		t.Errorf("first: %q, %v", out, err)
	}
	for range 2 {
		if out, err := remote.Output(ctx, m.Host(), active); err != nil || string(out) != "active\n" {
			t.Errorf("later: %q, %v", out, err)
		}
	}
	m.AllUsedExcept(t, "cat ...")
	want := []string{"systemctl is-active nginx", "systemctl is-active nginx", "systemctl is-active nginx"}
	if diff := cmp.Diff(want, m.Ran()); diff != "" {
		t.Errorf("ran (-want +got):\n%s", diff)
	}
}

// AllUsedExcept checks AllUsed itself.
func (s *Scripted) AllUsedExcept(t *testing.T, line string) {
	t.Helper()
	p := &paper{TB: t}
	s.t, p.TB = p, s.t
	s.AllUsed()
	s.t = p.TB
	if len(p.errors) != 1 || p.errors[0] != `machine "web" was expected to be asked: `+line {
		t.Errorf("AllUsed said %q", p.errors)
	}
}

func TestScriptedFailsOnTheUnexpected(t *testing.T) {
	p := &paper{TB: t}
	m := NewScripted(p, "web")
	m.When("true")
	err := m.Run(context.Background(), remote.Cmd{Argv: []string{"rm", "-rf", "/"}})
	if _, dialErr := m.Dial(context.Background(), "tcp", "127.0.0.1:1"); err == nil || dialErr == nil || len(p.errors) != 2 {
		t.Errorf("error %v, told %q", err, p.errors)
	}
}

func TestSSHDServesAndEnds(t *testing.T) {
	Need(t, "ssh")
	s := StartSSHD(t, SSHDOptions{})
	ssh := func(args ...string) ([]byte, error) {
		return exec.Command("ssh", append([]string{"-F", s.Config, "-o", "BatchMode=yes", s.Name}, args...)...).Output()
	}
	if out, err := ssh("echo", "hello"); err != nil || string(out) != "hello\n" {
		text, _ := os.ReadFile(s.Log)
		t.Fatalf("ssh: %q, %v\n%s", out, err, text)
	}
	s.Stop()
	if _, err := ssh("true"); err == nil {
		t.Error("the server answers after Stop")
	}
	s.Restart()
	out, err := ssh("echo $PPID")
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); lives(pid); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("session %d lives on", pid)
		}
	}
}

// lives tells whether a process is there and not just waiting to be reaped.
func lives(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return syscall.Kill(pid, 0) == nil && runtime.GOOS != "linux"
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}
