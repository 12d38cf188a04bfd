package steps

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"belay/remote"
)

// redisDeath is belay being killed at its at-th act: something sent to a
// server, or something remembered. Nothing works any more from then on.
type redisDeath struct {
	remote.Dialer
	Memory
	at     int
	cancel context.CancelCauseFunc

	mu   sync.Mutex
	acts int
}

func (d *redisDeath) act() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.acts++; d.acts < d.at {
		return nil
	}
	d.cancel(ErrDetach)
	return errCrash
}

func (d *redisDeath) dead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.acts >= d.at
}

func (d *redisDeath) Put(key string, v any) error {
	if err := d.act(); err != nil {
		return err
	}
	return d.Memory.Put(key, v)
}

func (d *redisDeath) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.dead() {
		return nil, errCrash
	}
	c, err := d.Dialer.Dial(ctx, network, addr)
	return &redisDying{c, d}, err
}

type redisDying struct {
	net.Conn
	d *redisDeath
}

func (c *redisDying) Write(b []byte) (int, error) {
	if err := c.d.act(); err != nil {
		c.Close()
		return 0, err
	}
	return c.Conn.Write(b)
}

// dying runs do with an env that dies at act at, and tells whether it did.
func redisDies(t *testing.T, e Env, at int, do func(ctx context.Context, e Env) error) bool {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	d := &redisDeath{Dialer: e.Host.Dialer, Memory: e.Memory, at: at, cancel: cancel}
	e.Host.Dialer, e.Memory = d, d
	e.Hosts = remote.Hosts{e.Host.Name: e.Host}
	err := do(ctx, e)
	if !d.dead() {
		if err != nil {
			t.Fatalf("not killed, and yet: %v", err)
		}
		return false
	}
	if err == nil {
		t.Fatalf("killed at act %d, and says that it is done", at)
	}
	return true
}

// TestRedisKilled kills belay at every act of a switch. Never do both servers
// take writes once the target is a master; doing it again ends well; and undo
// leads back to where it was.
func TestRedisKilled(t *testing.T) {
	for _, old := range []string{"readonly", "follow"} {
		t.Run(old, func(t *testing.T) {
			l := newRedisLab(t, nil, nil)
			redisFill(t, l.old, 50)
			redisDone(t, l.e, l.copy())
			for at := 1; ; at++ {
				s, e := l.change(), l.with(MapMemory{})
				s.Old = old
				died := redisDies(t, e, at, s.Apply)
				if master := l.now.Do("ROLE")[0] == "master"; master && l.old.Do("ROLE")[0] == "master" &&
					l.old.Do("CONFIG", "GET", "min-replicas-to-write")[1] != "1000000" {
					t.Fatalf("killed at act %d: both take writes", at)
				}
				// Half of the time a rollback follows at once.
				if !died || at%2 == 0 {
					if err := s.Apply(t.Context(), e); err != nil {
						t.Fatalf("killed at act %d, again: %v", at, err)
					}
					if err := s.Verify(t.Context(), looking(e)); err != nil {
						t.Fatalf("killed at act %d: %v", at, err)
					}
					if got := l.now.Do("DBSIZE"); got[0] != "52" {
						t.Fatalf("killed at act %d: %s keys", at, got)
					}
				}
				redisBack(t, l, s, e, at)
				if !died {
					t.Logf("%d acts", at)
					break
				}
			}
			if err := l.copy().Undo(t.Context(), l.e); err != nil {
				t.Fatal(err)
			}
			if got := l.now.Do("DBSIZE"); got[0] != "0" {
				t.Errorf("%s keys after undo", got)
			}
		})
	}
}

func redisBack(t *testing.T, l *redisLab, s *redisSwitch, e Env, at int) {
	t.Helper()
	if s.Old == "follow" { // the source takes a moment to connect to the target
		until(t, "the source is whole", func() bool {
			return !strings.Contains(l.old.Do("INFO", "replication")[0], "master_link_status:down")
		})
	}
	if err := s.Undo(t.Context(), e); err != nil {
		t.Fatalf("act %d, undo: %v", at, err)
	}
	if _, found := e.Memory.(MapMemory)[redisSwitchKey]; !found {
		// Killed before anything was remembered, and so before anything was done.
		if got := l.old.Do("CONFIG", "GET", "min-replicas-to-write"); got[1] != "0" {
			t.Fatalf("act %d: %q", at, got)
		}
	}
	l.old.Do("SET", "probe", "1")
	l.old.Do("DEL", "probe")
	until(t, "the target follows again", func() bool {
		i := l.now.Do("INFO", "replication")[0]
		return strings.Contains(i, "role:slave") && strings.Contains(i, "master_link_status:up")
	})
}
