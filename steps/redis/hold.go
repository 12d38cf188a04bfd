package redis

import (
	"context"
	"sync"
	"time"
)

// Writers are the writers of a server while they are held.
type Writers struct {
	c     *Client
	Since time.Time // before the command was sent: nobody was held earlier

	mu    sync.Mutex
	until time.Time // by our clock, the server certainly holds them that long
}

// Hold makes everybody who writes wait, at most for d (CLIENT PAUSE … WRITE,
// since Redis 6.2; it also stops expiry and eviction, so that key sets stand
// still). The server lets them go by itself when d is over, also when belay is
// gone. Redis never shortens a pause that is longer already.
func (c *Client) Hold(ctx context.Context, d time.Duration) (*Writers, error) {
	w := &Writers{c: c, Since: time.Now()}
	return w, w.Renew(ctx, d)
}

// Renew asks for d more from now on.
func (w *Writers) Renew(ctx context.Context, d time.Duration) error {
	asked := time.Now()
	if _, err := w.c.Call(ctx, "CLIENT", "PAUSE", d.Milliseconds(), "WRITE"); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = asked.Add(d)
	return nil
}

// Left is how long they are certainly held yet.
func (w *Writers) Left() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Until(w.until)
}

// Release lets them go.
func (w *Writers) Release(ctx context.Context) error {
	_, err := w.c.Call(ctx, "CLIENT", "UNPAUSE")
	return err
}

// Guard settings: a master that lacks replicas refuses to write (NOREPLICAS)
// instead of letting writers wait, without end. It needs a lag above 0.
const (
	guardSetting = "min-replicas-to-write"
	guardLag     = "min-replicas-max-lag"
	guardValue   = "1000000" // as many as nobody has
)

// GuardWas are the settings before the guard; they are no secrets.
type GuardWas struct{ Replicas, Lag string }

// Guarded tells that it was our guard that was found.
func (w GuardWas) Guarded() bool { return w.Replicas == guardValue }

// Guarded tells whether the server refuses all writes by our guard.
func (c *Client) Guarded(ctx context.Context) (bool, error) {
	s, err := c.Settings(ctx, guardSetting)
	return s[guardSetting] == guardValue, err
}

// ReadGuard reads the settings that Guard changes.
func (c *Client) ReadGuard(ctx context.Context) (GuardWas, error) {
	s, err := c.Settings(ctx, guardSetting, guardLag)
	return GuardWas{s[guardSetting], s[guardLag]}, err
}

// Guard makes the server refuse writes from now on, until Unguard. Reading goes
// on. It is not kept over a restart unless somebody rewrites the configuration.
func (c *Client) Guard(ctx context.Context) error {
	was, err := c.ReadGuard(ctx)
	if err != nil {
		return err
	}
	if was.Lag == "0" {
		if err := c.Set(ctx, guardLag, "10"); err != nil {
			return err
		}
	}
	return c.Set(ctx, guardSetting, guardValue)
}

// Unguard puts back what was: also a guard of somebody else's, such as that of
// an earlier freeze.
func (c *Client) Unguard(ctx context.Context, was GuardWas) error {
	if was.Replicas == "" {
		was.Replicas = "0"
	}
	if was.Lag == "" {
		was.Lag = "10"
	}
	if err := c.Set(ctx, guardSetting, was.Replicas); err != nil {
		return err
	}
	return c.Set(ctx, guardLag, was.Lag)
}
