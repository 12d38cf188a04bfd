package job

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

// line is as little of an SSH transport as these tests need: one connection,
// dialled again when it broke. The real one lives floors above.
type line struct {
	server *remotetest.SSHD
	config ssh.ClientConfig
	mu     sync.Mutex
	client *ssh.Client
	sent   counted // over all connections
}

func newLine(t testing.TB, server *remotetest.SSHD) *line {
	pem, err := os.ReadFile(server.Key)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{server: server, config: ssh.ClientConfig{User: server.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 5 * time.Second}}
	t.Cleanup(l.drop)
	return l
}

// counted counts the bytes of a connection, both ways.
type counted struct {
	mu      sync.Mutex
	in, out int64
}

type countedConn struct {
	net.Conn
	c *counted
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.c.mu.Lock()
	c.c.in += int64(n)
	c.c.mu.Unlock()
	return n, err
}

func (c countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.c.mu.Lock()
	c.c.out += int64(n)
	c.c.mu.Unlock()
	return n, err
}

func (l *line) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client != nil {
		l.client.Close()
		l.client = nil
	}
}

func (l *line) session() (*ssh.Session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client == nil {
		conn, err := net.DialTimeout("tcp", l.server.Addr, 5*time.Second)
		if err != nil {
			return nil, err
		}
		c, chans, reqs, err := ssh.NewClientConn(countedConn{conn, &l.sent}, l.server.Addr, &l.config)
		if err != nil {
			return nil, err
		}
		l.client = ssh.NewClient(c, chans, reqs)
	}
	return l.client.NewSession()
}

func (l *line) Run(ctx context.Context, c remote.Cmd) error {
	s, err := l.session()
	if err != nil {
		l.drop()
		return &remote.UnreachableError{Host: "server", Err: err}
	}
	defer s.Close()
	s.Stdin, s.Stdout, s.Stderr = c.Stdin, c.Stdout, c.Stderr
	ended := make(chan error, 1)
	go func() { ended <- s.Run(remote.Quote(c.Argv...)) }()
	select {
	case <-ctx.Done():
		l.drop()
		<-ended
		return context.Cause(ctx)
	case err = <-ended:
	}
	var exit *ssh.ExitError
	if errors.As(err, &exit) && exit.Signal() == "" {
		return &remote.ExitError{Argv: c.Argv, Status: exit.ExitStatus()}
	}
	if err != nil {
		l.drop()
		return &remote.LostError{Host: "server", Err: err}
	}
	return nil
}

// overSSH runs test on a machine of each kind of sh, behind an OpenSSH server
// of its own. The login's home is the test's, so that the real one's .bashrc,
// slow or with locks of its own, is not run.
func overSSH(t *testing.T, test func(t *testing.T, m *machine, server *remotetest.SSHD)) {
	shells(t, func(t *testing.T, m *machine) {
		server := remotetest.StartSSHD(t, remotetest.SSHDOptions{Extra: []string{"SetEnv HOME=" + m.home}})
		m.over = newLine(t, server)
		test(t, m, server)
	})
}

func TestOverSSH(t *testing.T) {
	overSSH(t, func(t *testing.T, m *machine, _ *remotetest.SSHD) {
		var log bytes.Buffer
		s := Spec{ID: "ssh", Script: "echo x >>$HOME/ran; cat; sleep .1; echo end; exit 9", Stdin: secret.New("a\x00\xffb\n")}
		for i := range 2 {
			log.Reset()
			res, err := Run(t.Context(), m, s, Options{Log: &log})
			var exit *remote.ExitError
			if !errors.As(err, &exit) || exit.Status != 9 || log.String() != "a\x00\xffb\nend\n" || res.Attached != (i == 1) {
				t.Errorf("%v %q %+v", err, log.String(), res)
			}
		}
		if n := lines(m.home + "/ran"); n != 1 {
			t.Errorf("ran %d times", n)
		}
	})
}

// The connection is killed, the server restarted, the link frozen, again and
// again while the job writes: it goes on, and its log comes whole.
func TestSSHBreaks(t *testing.T) {
	overSSH(t, func(t *testing.T, m *machine, server *remotetest.SSHD) {
		var log, want bytes.Buffer
		breaks := 0
		_, err := Run(t.Context(), m, Spec{ID: "brk", Script: "i=0; while [ $i -lt 60 ]; do echo line $i; echo x >>$HOME/ran; sleep .03; i=$((i+1)); done; exit 2"}, Options{
			Log:     &log,
			Silence: 4 * time.Second,
			Seen: func(int64) {
				if n := bytes.Count(log.Bytes(), []byte("\n")); n < 8*(breaks+1) || breaks == 6 {
					return
				}
				breaks++
				switch breaks % 3 {
				case 0:
					server.Freeze()
				case 1:
					server.KillSessions()
				case 2:
					server.Restart()
				}
			},
		})
		var exit *remote.ExitError
		if !errors.As(err, &exit) || exit.Status != 2 {
			t.Error(err)
		}
		for i := range 60 {
			fmt.Fprintf(&want, "line %d\n", i)
		}
		if log.String() != want.String() || lines(m.home+"/ran") != 60 {
			t.Errorf("ran for %d lines, got %q", lines(m.home+"/ran"), log.String())
		}
		if breaks < 3 {
			t.Errorf("only %d breaks", breaks)
		}
		t.Logf("%d breaks", breaks)
	})
}

// Connections die at some moment of every start; each job runs once.
func TestSSHBreaksDuringStart(t *testing.T) {
	overSSH(t, func(t *testing.T, m *machine, server *remotetest.SSHD) {
		for i := range 12 {
			id := fmt.Sprintf("st%d", i)
			kill := time.AfterFunc(time.Duration(i*6)*time.Millisecond, server.KillSessions)
			var log bytes.Buffer
			_, err := Run(t.Context(), m, Spec{ID: id, Script: "echo x >>$HOME/" + id + "; cat", Stdin: secret.New("in")}, Options{Log: &log})
			kill.Stop()
			// A minder killed before its claim says so: nothing was started.
			var refused *RefusedError
			for errors.As(err, &refused) && !exists(m.dir(id)+"/claim") {
				_, err = Run(t.Context(), m, Spec{ID: id, Script: "echo x >>$HOME/" + id + "; cat", Stdin: secret.New("in")}, Options{Log: &log})
			}
			n := lines(m.home + "/" + id)
			var unknown *UnknownError // a minder not yet away from the session was killed with it
			if errors.As(err, &unknown) && n <= 1 {
				t.Logf("%s: unknown, ran %d times", id, n)
				continue
			}
			if err != nil || n != 1 || log.String() != "in" {
				t.Errorf("%s: %v, ran %d times, log %q", id, err, n, log.String())
			}
		}
	})
}
