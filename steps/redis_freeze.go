package steps

import (
	"context"
	"errors"
	"fmt"

	"belay/steps/redis"
)

func init() {
	register(Kind{
		Name:    "redis.freeze",
		Summary: "Makes a Redis refuse writes (NOREPLICAS) and go on reading, so that both sides can be compared; undo thaws it.",
		Example: `- step: Freeze the old Redis
  on: chat
  redis.freeze: {addr: "127.0.0.1:6379", password: {secret: redis_password}}
`,
		New: func() Step { return &redisFreeze{} },
	})
}

// redisFreeze sets min-replicas-to-write to more than there are. Unlike CLIENT
// PAUSE it has no end of its own, and clients are told no at once. Keys go on
// expiring.
type redisFreeze struct {
	redisStore `yaml:",inline"`
}

func (f *redisFreeze) Validate() error { return f.check("") }

// Repeatable: freezing what is frozen changes nothing.
func (f *redisFreeze) Repeatable() bool { return true }

const redisFreezeKey = "redis.freeze"

func (f *redisFreeze) open(ctx context.Context, e Env) (*redis.Client, error) {
	s, err := f.server(ctx, e)
	if err != nil {
		return nil, err
	}
	return s.Connect(ctx)
}

// Pending tells whether it refuses writes already.
func (f *redisFreeze) Pending(ctx context.Context, e Env) ([]Change, error) {
	c, err := f.open(ctx, e)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	i, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	if i.Role != "master" {
		return nil, fmt.Errorf("%s is no master; its master %s is what takes the writes; nothing was changed", c.Server, i.Master)
	}
	guarded, err := c.Guarded(ctx)
	if err != nil || guarded {
		return nil, err
	}
	return []Change{{Text: fmt.Sprintf("have %s refuse writes", c.Server), Cmd: "CONFIG SET min-replicas-to-write 1000000"}}, nil
}

// Apply freezes. What was set before is remembered first.
func (f *redisFreeze) Apply(ctx context.Context, e Env) error {
	todo, err := f.Pending(ctx, e)
	if err != nil || len(todo) == 0 {
		return err
	}
	c, err := f.open(ctx, e)
	if err != nil {
		return err
	}
	defer c.Close()
	was, err := c.ReadGuard(ctx)
	if err != nil {
		return err
	}
	if err := e.Memory.Put(redisFreezeKey, was); err != nil {
		return err
	}
	return c.Guard(ctx)
}

// Verify asks again on another connection.
func (f *redisFreeze) Verify(ctx context.Context, e Env) error {
	todo, err := f.Pending(ctx, e)
	if err == nil && len(todo) > 0 {
		err = errors.New("it takes writes: somebody changed min-replicas-to-write, or it was started again")
	}
	return err
}

// Undo puts back what was set before.
func (f *redisFreeze) Undo(ctx context.Context, e Env) error {
	var was redis.GuardWas
	if found, err := e.Memory.Get(redisFreezeKey, &was); err != nil {
		return err
	} else if !found {
		fmt.Fprintln(e.Log, "-- nothing was frozen here, so there is nothing to undo")
		return nil
	}
	c, err := f.open(ctx, e)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Unguard(ctx, was)
}
