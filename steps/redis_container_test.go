package steps

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"belay/remote"
)

// movingBox is a host with one container, whose address changes: whoever
// connects there gets to a server elsewhere.
type movingBox struct {
	remote.Dialer
	mu sync.Mutex
	ip string // "": it is stopped
	l  net.Listener
}

func (b *movingBox) Run(_ context.Context, c remote.Cmd) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := fmt.Fprintf(c.Stdout, `{"Running":%v,"Mode":"bridge","Networks":{"a":{"IPAddress":%q}}}`, b.ip != "", b.ip)
	return err
}

// move stops the container, and starts it at another address ("": it does not).
func (b *movingBox) move(t *testing.T, ip, to string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ip = ip; b.l != nil {
		b.l.Close()
	}
	if ip == "" {
		return
	}
	l, err := net.Listen("tcp", net.JoinHostPort(ip, redisPort))
	if err != nil {
		t.Skipf("no address of our own: %v", err)
	}
	b.l = l
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); out.Close() }()
			go func() { _, _ = io.Copy(in, out); in.Close() }()
		}
	}()
}

// TestRedisContainerMoves: the source's container is started again at another
// address while its data are copied; the target is told. After the copy, the
// switch says so.
func TestRedisContainerMoves(t *testing.T) {
	t.Parallel()
	l := newRedisLab(t, []string{"appendonly yes", "appendfsync always", "repl-diskless-sync-delay 60"}, nil)
	redisFill(t, l.old, 1000)
	box := &movingBox{Dialer: l.e.Host.Dialer}
	box.move(t, "127.77.0.2", l.old.Addr)
	l.e.Host = remote.Host{Name: "chat", Runner: box, Dialer: box.Dialer}
	l.e.Hosts = remote.Hosts{"chat": l.e.Host}
	l.ends.From.Addr, l.ends.From.Container = "", "cache"
	again := func(ip string) {
		box.move(t, "", "")
		l.old.Kill()
		l.old.Start()
		l.old.Do("CONFIG", "SET", "repl-diskless-sync-delay", "0")
		box.move(t, ip, l.old.Addr)
	}
	once := sync.OnceFunc(func() { again("127.77.0.3") })
	l.e.Say = func(Progress) { once() }
	c := l.copy()
	redisDone(t, l.e, c)
	if log := l.log.String(); !strings.Contains(log, "started again: REPLICAOF 127.77.0.3:6379 on ") || !strings.Contains(log, "(it was 127.77.0.2:6379)") {
		t.Errorf("log:\n%s", log)
	}
	again("127.77.0.4")
	if err := l.change().Apply(t.Context(), l.with(MapMemory{})); err == nil || !strings.Contains(err.Error(), "follows 127.77.0.3:6379, and ") || !strings.Contains(err.Error(), "(REPLICAOF 127.77.0.4 6379)") {
		t.Errorf("%v", err)
	}
	// Run again, the copy follows to the new place; and undone, it does not.
	if err := c.Apply(t.Context(), l.e); err != nil {
		t.Fatal(err)
	}
	if err := c.Undo(t.Context(), l.e); err != nil {
		t.Fatal(err)
	}
	if got := l.now.Do("INFO", "replication")[0]; !strings.Contains(got, "role:master") {
		t.Errorf("%s", got)
	}
}
