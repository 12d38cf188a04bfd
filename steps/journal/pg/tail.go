package pg

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"belay/steps/journal"
)

// Tail folds a journal that another process writes, perhaps on another
// machine. It listens to the server, which tells of every append; should that
// be missed, it looks by itself now and then. Its methods are safe for
// concurrent use and none waits for the database.
type Tail struct {
	store *Store
	run   string
	stop  context.CancelFunc
	done  chan struct{}

	chain *journal.Chain // of the one that reads

	mu    sync.Mutex
	state *journal.State
	live  *journal.Holder
	err   error
	lost  error
}

// lookEvery is how long a Tail waits to be told before it looks by itself, and
// how soon it sees that the holder has gone.
const lookEvery = 2 * time.Second

// Tail begins to follow a run and returns when it has read what is there.
func (s *Store) Tail(ctx context.Context, run string) (*Tail, error) {
	c, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	t := &Tail{store: s, run: run, stop: stop, done: make(chan struct{}), chain: journal.NewChain(s.name(run))}
	num, err := number(ctx, c, run)
	if err == nil {
		err = t.listen(ctx, c, num)
	}
	if err != nil {
		stop()
		hangUp(c)
		return nil, s.wrap(run, err)
	}
	go t.follow(following, c, num)
	return t, nil
}

// Close ends the tail; the run goes on.
func (t *Tail) Close() error {
	t.stop()
	<-t.done
	return nil
}

// State is a snapshot of what was read last. After damage it stays what it was
// before the damaged line; see Err.
func (t *Tail) State() *journal.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

// Err says why the tail does not go on: *journal.DamageError.
func (t *Tail) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Lost says why the database cannot be asked at the moment; the tail tries to
// reach it again.
func (t *Tail) Lost() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lost
}

// Live is who holds the run; nil when nobody does.
func (t *Tail) Live() *journal.Holder {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.live
}

// listen asks to be told, then reads what is there: in this order nothing is
// missed between the two.
func (t *Tail) listen(ctx context.Context, c *pgx.Conn, num int32) error {
	if _, err := c.Exec(ctx, `listen belay`); err != nil {
		return err
	}
	return t.read(ctx, c, num)
}

func (t *Tail) read(ctx context.Context, c *pgx.Conn, num int32) error {
	live, err := holding(ctx, c, num) // before the lines: when nobody holds it, none can follow those
	if err != nil {
		return err
	}
	err = load(ctx, c, num, t.chain)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = t.chain.State()
	if damage := (*journal.DamageError)(nil); errors.As(err, &damage) {
		t.err, err = damage, nil
	}
	if err == nil {
		t.live, t.lost = live, nil
	}
	return err
}

// follow reads whenever it is told to, over as many connections as it takes.
func (t *Tail) follow(ctx context.Context, c *pgx.Conn, num int32) {
	defer close(t.done)
	for pause := 100 * time.Millisecond; ctx.Err() == nil && t.Err() == nil; pause = min(2*pause, 5*time.Second) {
		var err error
		if c == nil {
			if c, err = t.store.connect(ctx); err == nil {
				err = t.listen(ctx, c, num)
			}
		}
		for err == nil && t.Err() == nil {
			pause = 100 * time.Millisecond
			if err = t.wait(ctx, c); err == nil {
				err = t.read(ctx, c, num)
			}
		}
		if c != nil {
			hangUp(c)
			c = nil
		}
		if ctx.Err() != nil || t.Err() != nil {
			return
		}
		t.mu.Lock()
		t.lost = err
		t.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	if c != nil {
		hangUp(c)
	}
}

// wait returns when this run's journal has grown, or may have.
func (t *Tail) wait(ctx context.Context, c *pgx.Conn) error {
	told, done := context.WithTimeout(ctx, lookEvery)
	defer done()
	for {
		n, err := c.WaitForNotification(told)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case told.Err() != nil && !c.IsClosed():
			return nil
		case err != nil:
			return err
		case n.Payload == t.run:
			return nil
		}
	}
}
