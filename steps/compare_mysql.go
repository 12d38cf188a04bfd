package steps

import (
	"context"
	"errors"
	"fmt"

	"belay/steps/compare"
	"belay/steps/mysql"
)

// compareMySQL are two servers' databases.
type compareMySQL struct {
	Old       mysqlStore `yaml:"old" required:"" doc:"the server as it was"`
	New       mysqlStore `yaml:"new" required:"" doc:"the server with the copy"`
	Databases []string   `yaml:"databases" doc:"only these; left out, all but the server's own"`
}

func (c *compareMySQL) what() string    { return "mysql" }
func (c *compareMySQL) hosts() []string { return []string{c.Old.Host, c.New.Host} }

func (c *compareMySQL) check(field string) error {
	errs := []error{compareHost(field+".old", c.Old.store), compareHost(field+".new", c.New.store), c.Old.check(field + ".old"), c.New.check(field + ".new")}
	for i, d := range c.Databases {
		if d == "" {
			errs = append(errs, Field(fmt.Sprintf("%s.databases.%d", field, i), "it has no name"))
		}
	}
	return errors.Join(errs...)
}

func (c *compareMySQL) open(ctx context.Context, e Env, _ bool) (old, now compare.Side, err error) {
	old, now, err = compareOpen(ctx, func(ctx context.Context, isOld bool) (compare.Side, error) {
		at := c.New
		if isOld {
			at = c.Old
		}
		server, err := at.server(ctx, e)
		if err != nil {
			return nil, err
		}
		side, err := mysql.NewSide(ctx, server, c.Databases...)
		if err != nil {
			return nil, err // not a Side that holds nil
		}
		return side, nil
	})
	a, ok := old.(*mysql.Side)
	if b, both := now.(*mysql.Side); ok && both {
		mysql.Pair(a, b)
	}
	return old, now, err
}
