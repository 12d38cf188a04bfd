package steps

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"belay/steps/compare"
	"belay/steps/postgres"
)

// comparePostgres are two databases.
type comparePostgres struct {
	Old            postgresStore `yaml:"old" required:"" doc:"the database as it was"`
	New            postgresStore `yaml:"new" required:"" doc:"the copy"`
	Schemas        []string      `yaml:"schemas" doc:"only these; left out, all"`
	ExcludeSchemas []string      `yaml:"exclude_schemas" doc:"schemas that stay out"`
	ExcludeTables  []string      `yaml:"exclude_tables" doc:"tables that stay out: schema.table, or a table of any schema"`
	Owners         bool          `yaml:"owners" doc:"owners, grants and roles have to be equal, too"`
}

func (c *comparePostgres) what() string    { return "postgres" }
func (c *comparePostgres) hosts() []string { return []string{c.Old.Host, c.New.Host} }

func (c *comparePostgres) check(field string) error {
	return errors.Join(compareHost(field+".old", c.Old.store), compareHost(field+".new", c.New.store),
		c.Old.check(field+".old"), c.New.check(field+".new"))
}

// compareHost wants a host named: a compare runs on none.
func compareHost(field string, s store) error {
	if s.Host == "" {
		return Field(field, "on which host? host is missing")
	}
	return nil
}

func (c *comparePostgres) open(ctx context.Context, e Env, _ bool) (old, now compare.Side, err error) {
	old, now, err = compareOpen(ctx, func(ctx context.Context, isOld bool) (compare.Side, error) {
		at := c.New
		if isOld {
			at = c.Old
		}
		server, err := at.server(ctx, e)
		if err != nil {
			return nil, err
		}
		side, err := postgres.NewSide(ctx, server, postgres.SideOptions{
			Scope:  postgres.Scope{Schemas: c.Schemas, ExcludeSchemas: c.ExcludeSchemas, ExcludeTables: c.ExcludeTables},
			Owners: c.Owners,
		})
		if err != nil {
			return nil, err // not a Side that holds nil
		}
		return side, nil
	})
	if err == nil {
		postgres.Pair(old.(*postgres.Side), now.(*postgres.Side))
	}
	return old, now, err
}

// compareOpen opens both sides at the same time, and says which one failed.
func compareOpen(ctx context.Context, open func(ctx context.Context, isOld bool) (compare.Side, error)) (old, now compare.Side, err error) {
	var g errgroup.Group
	one := func(name string, isOld bool, to *compare.Side) {
		g.Go(func() error {
			side, err := open(ctx, isOld)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			*to = side
			return nil
		})
	}
	one("old", true, &old)
	one("new", false, &now)
	err = g.Wait()
	return old, now, err
}
