package steps

import (
	"context"
	"encoding/json"
	"net"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"belay/remote"
)

// pgDeath is a belay that dies right after its first act at which none died
// before: a value remembered, or a statement that changes something. Its
// sessions die with it.
type pgDeath struct {
	remote.Dialer
	Memory
	before []string // acts
	pass   int      // so many new acts are passed by
	die    context.CancelCauseFunc

	mu   sync.Mutex
	what string // the act at which it died; empty while it lives
	open []net.Conn
}

var (
	pgChanging = regexp.MustCompile(`(?i)\b(create|alter|drop|insert into|pg_create_logical|setval|pg_drop_replication|comment on)\b`)
	pgDigits   = regexp.MustCompile(`[0-9]+`)
)

// act does what is done, unless it is dead.
func (d *pgDeath) act(what string, do func(last bool) error) error {
	what = pgDigits.ReplaceAllString(what, "") // of times
	d.mu.Lock()
	dead, last := d.what != "", false
	if !dead && !slices.Contains(d.before, what) {
		if last = d.pass == 0; last {
			d.what = what
		} else {
			d.pass--
			d.before = append(d.before, what)
		}
	}
	d.mu.Unlock()
	if !dead && !last {
		return do(false)
	}
	if last {
		_ = do(true)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.die(ErrDetach)
	for _, c := range d.open {
		_ = c.Close()
	}
	return errCrash
}

func (d *pgDeath) dead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.what != ""
}

func (d *pgDeath) Put(key string, v any) error {
	b, _ := json.Marshal(v)
	return d.act(key+string(b), func(bool) error { return d.Memory.Put(key, v) })
}

func (d *pgDeath) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.dead() {
		return nil, errCrash
	}
	c, err := d.Dialer.Dial(ctx, network, addr)
	if err == nil {
		d.mu.Lock()
		d.open = append(d.open, c)
		d.mu.Unlock()
	}
	return &pgDyingConn{c, d}, err
}

type pgDyingConn struct {
	net.Conn
	d *pgDeath
}

func (c *pgDyingConn) Write(b []byte) (n int, err error) {
	if !pgChanging.Match(b) {
		return c.Conn.Write(b)
	}
	err = c.d.act(c.RemoteAddr().String()+string(b), func(last bool) error {
		n, err = c.Conn.Write(b)
		if last && err == nil {
			_ = c.Conn.SetReadDeadline(time.Now().Add(250 * time.Millisecond)) // pgx may read the answer itself meanwhile
			_, _ = c.Conn.Read(make([]byte, 1))                                // the server has done it
		}
		return err
	})
	return n, err
}

// dying does what it is told again and again, killed right after each of its
// acts, until it comes to the end.
func (u *pgTurn) dying(t *testing.T, e Env, do func(context.Context, Env) error) (deaths []string) {
	t.Helper()
	for {
		d, err := u.killed(t, e, deaths, 0, do)
		if d.what == "" {
			if err != nil {
				t.Fatalf("not killed, and yet: %v", err)
			}
			return deaths
		}
		deaths = append(deaths, d.what)
	}
}

func (u *pgTurn) killed(t *testing.T, e Env, before []string, pass int, do func(context.Context, Env) error) (*pgDeath, error) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	d := &pgDeath{Dialer: e.Host.Dialer, Memory: e.Memory, before: slices.Clone(before), pass: pass, die: cancel}
	e.Memory, e.Host.Dialer = d, d
	e.Hosts = remote.Hosts{e.Host.Name: e.Host}
	return d, do(ctx, e)
}
