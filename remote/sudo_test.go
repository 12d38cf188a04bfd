package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belay/remote/secret"
)

const sudoersUser = "belay-test"

// asUser runs commands as an account that may use sudo, through su.
type asUser struct {
	Runner
	seen []string
}

func (a *asUser) Run(ctx context.Context, c Cmd) error {
	a.seen = append(a.seen, Quote(c.Argv...))
	c.Argv = []string{"su", "-s", "/bin/sh", sudoersUser, "-c", Quote(c.Argv...)}
	return a.Runner.Run(ctx, c)
}

// sudoUser makes the account with one sudoers rule, %s being its name.
func sudoUser(t *testing.T, password, rule string) *asUser {
	t.Helper()
	if os.Getuid() != 0 || os.Getenv("BELAY_TEST_ALL") != "1" {
		t.Skip("changes this machine (an account, sudo rules); run as root with BELAY_TEST_ALL=1")
	}
	need(t, "sudo", "su", "useradd", "chpasswd")
	drop := func() { _ = exec.Command("userdel", "-r", sudoersUser).Run() }
	drop()
	t.Cleanup(drop)
	whenFree(t, "", "useradd", "-m", sudoersUser)
	whenFree(t, sudoersUser+":"+password, "chpasswd")
	file := filepath.Join("/etc/sudoers.d", sudoersUser)
	t.Cleanup(func() { os.Remove(file) })
	must(t, os.WriteFile(file, []byte(fmt.Sprintf("Defaults:%[1]s !lecture\n"+rule+"\n", sudoersUser)), 0o440))
	return &asUser{Runner: Local("here").Runner}
}

// whenFree runs what wants the lock of /etc/passwd, which another package's test
// may hold just now.
func whenFree(t *testing.T, stdin string, argv ...string) {
	t.Helper()
	var err error
	for range 100 {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Stdin = strings.NewReader(stdin)
		if err = cmd.Run(); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%q: %v", argv, err)
}

const planted = "correct horse 'battery"

func TestSudoWithPassword(t *testing.T) {
	for name, rule := range map[string]string{
		"asked":          "%[1]s ALL=(ALL) ALL",
		"asked, pty":     "Defaults:%[1]s use_pty\n%[1]s ALL=(ALL) ALL",
		"needs none":     "%[1]s ALL=(ALL) NOPASSWD: ALL",
		"lectured first": "Defaults:%[1]s lecture=always\n%[1]s ALL=(ALL) ALL",
	} {
		t.Run(name, func(t *testing.T) {
			u := sudoUser(t, planted, rule)
			r := Sudo(u, secret.New(planted))
			for _, stdin := range []string{"", "one\ntwo\nno line break", string(noise(200_000))} {
				var out, errs bytes.Buffer
				c := Sh(`id -u; printf 'to stderr' >&2; cat`)
				c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &out, &errs
				must(t, r.Run(context.Background(), c))
				if got, want := out.String(), "0\n"+stdin; got != want {
					t.Errorf("stdout has %d bytes, want %d: starts %.60q", len(got), len(want), got)
				}
				if !strings.HasSuffix(errs.String(), "to stderr") || strings.Contains(errs.String(), "belay") {
					t.Errorf("stderr %q", &errs)
				}
			}
			var out bytes.Buffer
			must(t, r.Run(context.Background(), Cmd{Argv: []string{"cat"}, Stdout: &out}))
			if out.Len() > 0 {
				t.Errorf("a command without stdin read %q", &out)
			}
			exit, ok := errors.AsType[*ExitError](r.Run(context.Background(), Sh("echo why >&2; exit 1")))
			if !ok || exit.Status != 1 || exit.Argv[0] != "sh" || !strings.HasSuffix(exit.Stderr, "why\n") || strings.Contains(exit.Stderr, "belay") {
				t.Errorf("failing command: %+v", exit)
			}
			for _, argv := range u.seen {
				if strings.Contains(argv, "horse") {
					t.Errorf("the password stood in an argv: %s", argv)
				}
			}
		})
	}
}

func TestSudoWrongPasswordIsTriedOnce(t *testing.T) {
	u := sudoUser(t, planted, "Defaults:%[1]s logfile=/tmp/"+sudoersUser+".log\n%[1]s ALL=(ALL) ALL")
	t.Cleanup(func() { os.Remove("/tmp/" + sudoersUser + ".log") })
	err := Sudo(u, secret.New("wrong one")).Run(context.Background(), Cmd{Argv: []string{"id"}, Stdin: strings.NewReader("data\nmore\n")})
	no, ok := errors.AsType[*SudoError](err)
	if !ok || !no.WrongPassword {
		t.Fatalf("error %T %v, want a wrong password", err, err)
	}
	log, err := os.ReadFile("/tmp/" + sudoersUser + ".log")
	if err != nil || !strings.Contains(string(log), "1 incorrect password attempt") {
		t.Errorf("sudo's own log does not tell of one attempt: %s, %v", log, err)
	}
}

func TestSudoWithoutPassword(t *testing.T) {
	u := sudoUser(t, planted, "%[1]s ALL=(ALL) NOPASSWD: ALL")
	r := Sudo(u, secret.Value{})
	out, err := Output(context.Background(), r, Cmd{Argv: []string{"id", "-u"}})
	if err != nil || string(out) != "0\n" {
		t.Errorf("id -u: %q, %v", out, err)
	}
	exit, ok := errors.AsType[*ExitError](Sudo(u, secret.Value{}).Run(context.Background(), Cmd{Argv: []string{"false"}}))
	if !ok || exit.Status != 1 {
		t.Errorf("false: %v, want status 1", exit)
	}
}

func TestSudoRefusal(t *testing.T) {
	u := sudoUser(t, planted, "%[1]s ALL=(ALL) ALL")
	err := Sudo(u, secret.Value{}).Run(context.Background(), Cmd{Argv: []string{"id"}})
	if no, ok := errors.AsType[*SudoError](err); !ok || no.WrongPassword {
		t.Errorf("a password is needed: %T %v, want a *SudoError", err, err)
	}
	u = sudoUser(t, planted, "nobody ALL=(ALL) ALL # %[1]s")
	for _, pw := range []secret.Value{{}, secret.New(planted)} {
		err := Sudo(u, pw).Run(context.Background(), Cmd{Argv: []string{"id"}})
		if no, ok := errors.AsType[*SudoError](err); !ok || no.WrongPassword {
			t.Errorf("not in sudoers: %T %v, want a *SudoError", err, err)
		}
	}
}
