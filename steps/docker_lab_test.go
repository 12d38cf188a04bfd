package steps

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"

	"sync"
	"testing"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
)

// dockerBox is this machine with an engine of the test's own, whose link can
// be cut at the n-th thing that changes something: a command that does not
// promise to be Pure, or a request of the API that is no GET.
type dockerBox struct {
	host remote.Host
	d    *remotetest.Dockerd
	env  []string // further variables for commands

	mu    sync.Mutex
	cut   int  // 0: never
	after bool // when it was done, unheard
	count int
	dead  bool
}

var errDockerCut = errors.New("the link was cut")

func newDockerBox(t *testing.T, name string) *dockerBox {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a Docker engine")
	}
	b := &dockerBox{d: remotetest.StartDockerd(t)}
	b.host = remote.Host{Name: name, Addr: name, Runner: b, Dialer: b}
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	return b
}

// next counts a change, and tells whether it is the one to be cut.
func (b *dockerBox) next() (before, after bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count++
	hit := b.cut > 0 && b.count == b.cut
	if hit {
		b.dead = true
	}
	return hit && !b.after, hit && b.after
}

func (b *dockerBox) gone() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dead
}

// heal sets the next cut and counts from 0.
func (b *dockerBox) heal(cut int, after bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut, b.after, b.count, b.dead = cut, after, 0, false
}

func (b *dockerBox) Run(ctx context.Context, c remote.Cmd) error {
	if b.gone() {
		return &remote.UnreachableError{Host: b.host.Name, Err: errDockerCut}
	}
	var after bool
	if !c.Pure {
		var before bool
		if before, after = b.next(); before {
			return &remote.UnreachableError{Host: b.host.Name, Err: errDockerCut}
		}
	}
	c.Argv = slices.Concat([]string{"env", "PATH=" + b.d.Path, "DOCKER_HOST=unix://" + b.d.Sock}, b.env, c.Argv)
	err := remote.Local(b.host.Name).Run(ctx, c)
	if after {
		return &remote.LostError{Host: b.host.Name, Err: errDockerCut}
	}
	return err
}

func (b *dockerBox) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if b.gone() {
		return nil, &remote.UnreachableError{Host: b.host.Name, Err: errDockerCut}
	}
	c, err := remote.Local(b.host.Name).Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &dockerCutConn{Conn: c, box: b}, nil
}

type dockerCutConn struct {
	net.Conn
	box  *dockerBox
	mu   sync.Mutex
	last bool // the answer that is read next is the one that is not heard
}

func (c *dockerCutConn) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("POST ")) || bytes.HasPrefix(p, []byte("DELETE ")) || bytes.HasPrefix(p, []byte("PUT ")) {
		before, after := c.box.next()
		if before {
			c.Conn.Close()
			return 0, errDockerCut
		}
		c.mu.Lock()
		c.last = c.last || after
		c.mu.Unlock()
	}
	return c.Conn.Write(p)
}

func (c *dockerCutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last {
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// dockerEnv is an Env on a box; others are hosts besides.
func dockerEnv(b *dockerBox, others ...remote.Host) *fileEnv {
	e := newFileEnv(nil)
	e.Host = b.host
	e.Hosts = remote.Hosts{b.host.Name: b.host}
	for _, h := range others {
		e.Hosts[h.Name] = h
	}
	return e
}

// dockerEachCut takes a step through every cut of its way forward and of its
// way back. fresh makes the box as it was before and gives a new step; state is
// what must be equal where nothing was done and where all was undone; done is
// asked after every way forward.
func dockerEachCut(t *testing.T, b *dockerBox, others []remote.Host, fresh func() Step, state func() string, done func()) {
	t.Helper()
	for n := 1; ; n++ {
		reached := false
		for _, after := range []bool{false, true} {
			s := fresh()
			was := state()
			e := dockerEnv(b, others...)
			b.heal(n, after)
			err := s.Apply(t.Context(), e.Env)
			cut := b.gone()
			b.heal(0, false)
			if cut == (err == nil) && !after {
				t.Fatalf("cut %d: cut %v, apply says %v", n, cut, err)
			}
			e.apply(t, s) // resumed
			e.verify(t, s)
			if c := e.pending(t, s); len(c) > 0 {
				t.Fatalf("cut %d (after: %v): still pending: %+v", n, after, c)
			}
			done()
			b.heal(n, after)
			_ = s.(Undoer).Undo(t.Context(), e.Env)
			cut = cut || b.gone()
			b.heal(0, false)
			e.undo(t, s)
			if now := state(); now != was {
				t.Fatalf("cut %d (after: %v): after undo:\n%s\nbefore:\n%s\nlog:\n%s", n, after, now, was, e.log.String())
			}
			reached = reached || cut
		}
		if !reached {
			if n < 3 {
				t.Fatalf("only %d changes were seen", n-1)
			}
			return
		}
	}
}

// dockerAssess is the first finding of the checks: "pass: text".
func dockerAssess(t *testing.T, e *fileEnv, need []checks.Check) string {
	t.Helper()
	f := checks.Judge(t.Context(), checks.World{Hosts: e.Hosts}, need)
	if len(f) == 0 {
		t.Fatal("no finding")
	}
	return f[0].Level.String() + ": " + f[0].Text
}
