package lab_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"belay/remote/lab"
	"belay/remote/remotetest"
)

// TestMain lets the test binary be the chat, as belay's own binary is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "lab-chat" {
		if err := lab.ChatMain(context.Background(), os.Args[2:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func start(t *testing.T, names ...string) *lab.Lab {
	t.Helper()
	l, err := lab.Start(t.Context(), filepath.Join(t.TempDir(), "lab"), names...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Stop(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// dial connects with the files that SSHConfig names, strictly.
func dial(t *testing.T, l *lab.Lab, name string) *ssh.Client {
	t.Helper()
	client, err := tryDial(l, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func tryDial(l *lab.Lab, name string) (*ssh.Client, error) {
	pem, err := os.ReadFile(filepath.Join(filepath.Dir(l.SSHConfig()), "client_key"))
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return nil, err
	}
	return ssh.Dial("tcp", l.Addr(name), &ssh.ClientConfig{
		Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 5 * time.Second,
	})
}

func output(t *testing.T, c *ssh.Client, script, stdin string) string {
	t.Helper()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Stdin = strings.NewReader(stdin)
	var errs bytes.Buffer
	s.Stderr = &errs
	out, err := s.Output(script)
	if err != nil {
		t.Fatalf("%s: %v, %s", script, err, errs.String())
	}
	return string(out)
}

func TestRealClientIsServed(t *testing.T) {
	remotetest.Need(t, "ssh")
	l := start(t, "old", "new")
	for _, name := range l.Names() {
		cmd := exec.Command("ssh", "-F", l.SSHConfig(), name, "pwd; hostname; cat; cat /etc/machine-id; exit 3")
		cmd.Stdin = strings.NewReader("through stdin\n")
		out, err := cmd.Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 3 {
			t.Fatalf("ssh %s: %v, want exit status 3", name, err)
		}
		if want := l.Home(name) + "\n" + name + "\nthrough stdin\n"; !strings.HasPrefix(string(out), want) {
			t.Errorf("ssh %s said %q, want %q first", name, out, want)
		}
	}
}

func TestServersAreDifferentMachines(t *testing.T) {
	l := start(t, "a", "b")
	const script = "cat /etc/machine-id /proc/sys/kernel/random/boot_id; uname -n"
	for what, how := range map[string][2]string{"in argv": {script, ""}, "on stdin": {"exec sh -s", script}} {
		a := strings.Fields(output(t, dial(t, l, "a"), how[0], how[1]))
		b := strings.Fields(output(t, dial(t, l, "b"), how[0], how[1]))
		if len(a) != 3 || len(b) != 3 || a[0] == b[0] || a[1] == b[1] || a[2] == b[2] {
			t.Errorf("script %s: a says %q, b says %q", what, a, b)
		}
	}
}

func TestSessionKeepsToTheProtocol(t *testing.T) {
	l := start(t, "a")
	c := dial(t, l, "a")

	t.Run("environment", func(t *testing.T) {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Setenv("LC_BELAY", "x"); err != nil {
			t.Error(err)
		}
		if err := s.Setenv("LD_PRELOAD", "x"); err == nil {
			t.Error("LD_PRELOAD was accepted")
		}
		if out, err := s.Output("echo $LC_BELAY"); string(out) != "x\n" || err != nil {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("signal reaches the whole group", func(t *testing.T) {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		out, err := s.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start("echo up; sleep 300; echo never"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		if err := s.Signal(ssh.SIGTERM); err != nil {
			t.Error(err)
		}
		var exit *ssh.ExitError
		if err := s.Wait(); !errors.As(err, &exit) || exit.Signal() != "TERM" {
			t.Errorf("%v, want the end by TERM", err)
		}
	})
	t.Run("too many sessions", func(t *testing.T) {
		var open []*ssh.Session
		defer func() {
			for _, s := range open {
				s.Close()
			}
		}()
		for {
			s, err := c.NewSession()
			if err != nil {
				break
			}
			open = append(open, s)
			if len(open) > 10 {
				t.Fatal("an eleventh session was given")
			}
		}
		if len(open) < 8 {
			t.Errorf("only %d sessions", len(open))
		}
	})
	t.Run("keepalive is answered", func(t *testing.T) {
		if _, _, err := c.SendRequest("keepalive@openssh.com", true, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestForwards(t *testing.T) {
	l := start(t, "a")
	c := dial(t, l, "a")
	socket := filepath.Join(t.TempDir(), "s")
	for network, addr := range map[string]string{"tcp": "127.0.0.1:0", "unix": socket} {
		ln, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				io.Copy(c, c)
				c.Close()
			}
		}()
		conn, err := c.Dial(network, ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, "there and back")
		conn.(interface{ CloseWrite() error }).CloseWrite()
		if got, err := io.ReadAll(conn); string(got) != "there and back" || err != nil {
			t.Errorf("%s: %q, %v", network, got, err)
		}
		conn.Close()
	}
	if conn, err := c.Dial("tcp", "127.0.0.1:1"); err == nil {
		conn.Close()
		t.Error("a connection to a closed port was opened")
	}
}

func TestStrangerIsRefused(t *testing.T) {
	l, other := start(t, "a"), start(t, "a")
	pem, err := os.ReadFile(filepath.Join(filepath.Dir(other.SSHConfig()), "client_key"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ssh.Dial("tcp", l.Addr("a"), &ssh.ClientConfig{
		Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err == nil {
		c.Close()
		t.Fatal("the key of another lab was let in")
	}
}

func TestCutAndRestore(t *testing.T) {
	l := start(t, "a", "b")
	a, b := dial(t, l, "a"), dial(t, l, "b")
	l.Cut("a")
	if err := a.Wait(); err == nil {
		t.Error("the connection ended in peace")
	}
	if c, err := tryDial(l, "a"); err == nil {
		c.Close()
		t.Error("a cut server let us in")
	}
	output(t, b, "true", "")
	if err := l.Restore("a"); err != nil {
		t.Fatal(err)
	}
	output(t, dial(t, l, "a"), "true", "")
}

func TestHangHoldsWithoutClosing(t *testing.T) {
	l := start(t, "a")
	c := dial(t, l, "a")
	l.Hang("a")
	answered := make(chan error, 1)
	go func() {
		_, _, err := c.SendRequest("keepalive@openssh.com", true, nil)
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatalf("a hanging server answered (%v)", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := l.Restore("a"); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("after Restore: %v", err)
	}
}

func TestStopLeavesNothingBehind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	l, err := lab.Start(t.Context(), dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, l, "a")
	detach := "setsid"
	if _, err := exec.LookPath(detach); err != nil {
		detach = ""
	}
	pids := strings.Fields(output(t, c, "nohup "+detach+" sh -c 'trap \"\" TERM HUP; echo $$; exec >/dev/null 2>&1; while :; do sleep 1; done' & "+
		"sh -c 'echo $$; exec >/dev/null 2>&1 sleep 300' & exec >/dev/null", ""))
	if len(pids) != 2 {
		t.Fatalf("processes %v, want two", pids)
	}
	if err := l.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		var n int
		fmt.Sscan(pid, &n)
		if running(n) {
			t.Errorf("process %d is still running", n)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	if _, err := tryDial(l, "a"); err == nil {
		t.Error("the server is still there")
	}
}

// running tells a process from one that has ended and was not waited for yet.
func running(pid int) bool {
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		return !strings.Contains(string(stat), ") Z ")
	}
	return syscall.Kill(pid, 0) == nil
}

func TestEndOfContextStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := filepath.Join(t.TempDir(), "lab")
	l, err := lab.Start(ctx, dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := l.Stop(); err != nil { // waits for the one that is under way
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
}

func TestStopKeepsWhatWasThere(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine")
	if err := os.WriteFile(mine, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := lab.Start(t.Context(), dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Stop(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "mine" {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestBadNames(t *testing.T) {
	for _, names := range [][]string{{""}, {"../x"}, {"a", "a"}, {"-o"}} {
		if l, err := lab.Start(t.Context(), filepath.Join(t.TempDir(), "lab"), names...); err == nil {
			l.Stop()
			t.Errorf("%q was accepted", names)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
