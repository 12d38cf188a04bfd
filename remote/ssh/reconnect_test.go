package ssh

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
)

// begin starts a command that does not end, and returns when it runs.
func begin(t *testing.T, h remote.Host) <-chan error {
	t.Helper()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	c := remote.Sh("echo runs; exec sleep 1000")
	c.Stdout = w
	go func() {
		err := h.Run(ctxFor(t), c)
		w.CloseWithError(errors.Join(err, io.EOF))
		ended <- err
	}()
	b := make([]byte, 5)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatalf("the command did not begin: %v", err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return ended
}

func TestLostMidCommandAndBack(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	var l lights
	h := open(t, s, func(o *Options) { o.Light = l.tell })
	ended := begin(t, h)
	s.KillSessions()
	err := <-ended
	if lost, ok := errors.AsType[*remote.LostError](err); !ok || lost.Host != "server" {
		t.Fatalf("error %T %v, want a LostError", err, err)
	}
	must(t, runTrue(t, h))
	if !l.has("server reconnecting") {
		t.Errorf("lights: %s", &l)
	}
}

func TestServerRestart(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	var l lights
	h := open(t, s, func(o *Options) { o.Light = l.tell })
	must(t, runTrue(t, h))
	s.Stop()
	until(t, "the loss is noticed", func() bool { return l.has("server reconnecting") })
	waits := make(chan error, 1)
	go func() { waits <- runTrue(t, h) }() // it waits for the server
	s.Restart()
	if err := <-waits; err != nil {
		t.Errorf("run while it was away: %v", err)
	}
	n := len(l.String())
	s.Stop()
	until(t, "the second loss is noticed", func() bool { return len(l.String()) > n })
	s.Restart()
	// Nobody asks: the light comes back by itself.
	until(t, "it is up again", func() bool {
		text := l.String()
		return len(text) > 9 && text[len(text)-9:] == "server up"
	})
}

func TestJumpHostLostMidCommandAndBack(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	gate := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	write(t, s.Config, "Host server\n ProxyJump gate\n"+read(t, s.Config)+strings.Replace(read(t, gate.Config), "Host server", "Host gate", 1))
	var l lights
	h := open(t, s, func(o *Options) { o.Light = l.tell })
	ended := begin(t, h)
	gate.KillSessions()
	if lost, ok := errors.AsType[*remote.LostError](<-ended); !ok || lost.Host != "server" {
		t.Errorf("error %v", lost)
	}
	must(t, runTrue(t, h))
	if !l.has("gate reconnecting") || !l.has("server reconnecting") {
		t.Errorf("lights: %s", &l)
	}
}

func TestPatienceEnds(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	h := open(t, s, func(o *Options) { o.Patience = 700 * time.Millisecond })
	must(t, runTrue(t, h))
	s.Stop()
	until(t, "a command is told", func() bool {
		_, ok := errors.AsType[*remote.UnreachableError](runTrue(t, h))
		return ok
	})
}

func TestDeadLinkIsNoticed(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	var l lights
	h := open(t, s, func(o *Options) { o.Light, o.KeepaliveInterval = l.tell, 500*time.Millisecond })
	addr := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	conn, err := h.Dial(ctxFor(t), "tcp", addr)
	must(t, err)
	defer conn.Close()
	ended := begin(t, h)
	s.Freeze()
	t.Cleanup(s.Thaw)
	if lost, ok := errors.AsType[*remote.LostError](<-ended); !ok || lost.Host != "server" {
		t.Errorf("error %v", lost)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read of a dialled connection: %v, want an error that is no proper end", err)
	}
	must(t, runTrue(t, h)) // the server itself is well
	if !l.has("server reconnecting") {
		t.Errorf("lights: %s", &l)
	}
}

func TestQuietLinkStaysUp(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	var l lights
	h := open(t, s, func(o *Options) { o.Light, o.KeepaliveInterval = l.tell, 300*time.Millisecond })
	must(t, h.Run(ctxFor(t), remote.Sh("sleep 1.5")))
	if l.has("server reconnecting") {
		t.Errorf("lights: %s", &l)
	}
}

func TestCancelWhileConnecting(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	s.FreezeServer()
	h := open(t, s)
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("operator stopped it")
	time.AfterFunc(100*time.Millisecond, func() { cancel(stop) })
	if err := h.Run(ctx, remote.Cmd{Argv: []string{"true"}}); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	n := NewNetwork(Options{Config: s.Config, Agent: "none"})
	h, err := n.Open(s.Name, Spec{})
	must(t, err)
	ended := begin(t, h)
	must(t, n.Close())
	if _, ok := errors.AsType[*remote.LostError](<-ended); !ok {
		t.Error("a command that ran was not told")
	}
	if _, ok := errors.AsType[*remote.UnreachableError](runTrue(t, h)); !ok {
		t.Error("a closed Network connects")
	}
}

func listen(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}()
	return l.Addr().String()
}
