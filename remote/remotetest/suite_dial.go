package remotetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"belay/remote"
)

// serve listens and gives every connection to f, until the test ends.
func serve(t *testing.T, network, addr string, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
	return l.Addr().String()
}

func echo(c net.Conn) { _, _ = io.Copy(c, c) }

func dial(t *testing.T, ctx context.Context, h remote.Host, network, addr string) net.Conn {
	t.Helper()
	c, err := h.Dial(ctx, network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func suiteDial(t *testing.T, ctx context.Context, h remote.Host) {
	dir, err := os.MkdirTemp("", "belay") // socket paths are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for network, addr := range map[string]string{
		"tcp":  serve(t, "tcp", "127.0.0.1:0", echo),
		"unix": serve(t, "unix", dir+"/socket", echo),
	} {
		c := dial(t, ctx, h, network, addr)
		data := bytes.Repeat([]byte("\x00\xffé\r\n"), 500_000)
		go func() { _, _ = c.Write(data) }()
		got := make([]byte, len(data))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: echo differs, %v", network, err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("%s: close: %v", network, err)
		}
		if _, err := c.Read(got); err == nil {
			t.Errorf("%s: read after close gave no error", network)
		}
	}
}

func suiteDialRefused(t *testing.T, ctx context.Context, h remote.Host) {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t)))
	for network, addr := range map[string]string{"tcp": addr, "unix": t.TempDir() + "/none", "udp": addr} {
		c, err := h.Dial(ctx, network, addr)
		if err == nil {
			c.Close()
			t.Errorf("%s %s was connected", network, addr)
		}
		if _, ok := errors.AsType[*remote.UnreachableError](err); ok {
			t.Errorf("%s %s: the machine was reached, yet: %v", network, addr, err)
		}
	}
	if err := h.Run(ctx, remote.Cmd{Argv: []string{"true"}}); err != nil {
		t.Errorf("command after a refused connection: %v", err)
	}
}

// suiteHalfClose holds what database and Docker clients rely on: the far side
// sees the end of what we write, and can still answer.
func suiteHalfClose(t *testing.T, ctx context.Context, h remote.Host) {
	addr := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		b, _ := io.ReadAll(c)
		_, _ = c.Write(append([]byte("got "), b...))
	})
	c := dial(t, ctx, h, "tcp", addr)
	if _, err := io.WriteString(c, "all"); err != nil {
		t.Fatal(err)
	}
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		t.Fatalf("%T has no CloseWrite", c)
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || string(b) != "got all" {
		t.Errorf("answer %q, %v", b, err)
	}
}

func suiteDeadlines(t *testing.T, ctx context.Context, h remote.Host) {
	quiet := serve(t, "tcp", "127.0.0.1:0", func(c net.Conn) { <-ctx.Done() })
	c := dial(t, ctx, h, "tcp", quiet)
	soon := func() time.Time { return time.Now().Add(50 * time.Millisecond) }
	timedOut := func(what string, err error) {
		t.Helper()
		ne, ok := errors.AsType[net.Error](err)
		if !errors.Is(err, os.ErrDeadlineExceeded) || !ok || !ne.Timeout() {
			t.Errorf("%s: %v, want a timeout", what, err)
		}
	}
	b := make([]byte, 1)
	must(t, c.SetReadDeadline(soon()))
	_, err := c.Read(b)
	timedOut("read that waits", err)
	must(t, c.SetReadDeadline(time.Now().Add(-time.Second)))
	_, err = c.Read(b)
	timedOut("read after its deadline", err)

	must(t, c.SetWriteDeadline(soon()))
	for err = nil; err == nil; {
		_, err = c.Write(make([]byte, 1<<20)) // until nobody takes more
	}
	timedOut("write that waits", err)

	e := dial(t, ctx, h, "tcp", serve(t, "tcp", "127.0.0.1:0", echo))
	must(t, e.SetDeadline(soon()))
	_, err = e.Read(b)
	timedOut("read before the echo", err)
	must(t, e.SetDeadline(time.Time{}))
	if _, err := e.Write([]byte("x")); err != nil {
		t.Errorf("write after the deadline was lifted: %v", err)
	}
	if _, err := io.ReadFull(e, b); err != nil || b[0] != 'x' {
		t.Errorf("read after the deadline was lifted: %q, %v", b, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
