package steps

import (
	"context"
	"errors"

	"belay/steps/compare"
	"belay/steps/redis"
)

// compareRedis are two servers, with all their databases.
type compareRedis struct {
	Old redisStore `yaml:"old" required:"" doc:"the server as it was"`
	New redisStore `yaml:"new" required:"" doc:"the server with the copy"`
}

func (c *compareRedis) what() string    { return "redis" }
func (c *compareRedis) hosts() []string { return []string{c.Old.Host, c.New.Host} }

func (c *compareRedis) check(field string) error {
	return errors.Join(compareHost(field+".old", c.Old.store), compareHost(field+".new", c.New.store),
		c.Old.check(field+".old"), c.New.check(field+".new"))
}

func (c *compareRedis) open(ctx context.Context, e Env, _ bool) (old, now compare.Side, err error) {
	a, err := c.Old.server(ctx, e)
	if err != nil {
		return nil, nil, err
	}
	b, err := c.New.server(ctx, e)
	if err != nil {
		return nil, nil, err
	}
	return redis.Sides(ctx, a, b)
}
