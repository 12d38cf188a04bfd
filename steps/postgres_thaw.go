package steps

import (
	"context"
	"fmt"

	"belay/checks"
	"belay/steps/postgres"
)

func init() {
	register(Kind{
		Name:    "postgres.thaw",
		Summary: "Lets everybody into a frozen database again, exactly as before postgres.freeze, and says for how long it was frozen.",
		Example: `- step: Open the new database
  on: new
  postgres.thaw: {database: shop, password: {secret: pg_password}}
`,
		New: func() Step { return &postgresThaw{} },
	})
}

// postgresThaw ends a freeze by another step.
type postgresThaw struct {
	postgresStore `yaml:",inline"`
}

func (f *postgresThaw) Validate() error { return f.check("") }

// Repeatable: thawing what is thawed does nothing.
func (f *postgresThaw) Repeatable() bool { return true }

// Needs a login that works.
func (f *postgresThaw) Needs(on string) []checks.Check {
	return []checks.Check{&pgNeed{Of: pgBeside(f.postgresStore), On: on, What: "thaw", Judge: pgJudgeLogin}}
}

// Pending tells whether it is frozen.
func (f *postgresThaw) Pending(ctx context.Context, e Env) ([]Change, error) {
	srv, err := f.server(ctx, e)
	if err != nil {
		return nil, err
	}
	by, err := postgres.FrozenBy(ctx, srv)
	if err != nil || by == nil {
		return nil, err
	}
	return []Change{{Text: fmt.Sprintf("thaw database %s, frozen by %s", f.Database, by.ID),
		Cmd: fmt.Sprintf("ALTER DATABASE %s CONNECTION LIMIT %d", postgres.QuoteName(f.Database), by.Limit)}}, nil
}

// Apply remembers by what it was frozen, and thaws.
func (f *postgresThaw) Apply(ctx context.Context, e Env) error {
	srv, err := f.server(ctx, e)
	if err != nil {
		return err
	}
	by, err := postgres.FrozenBy(ctx, srv)
	if err != nil {
		return err
	}
	if by != nil {
		if err := e.Memory.Put("was", by); err != nil {
			return err
		}
	}
	return pgThaw(ctx, e, f.postgresStore, "")
}

// Verify reads the database's setting and limit.
func (f *postgresThaw) Verify(ctx context.Context, e Env) error {
	todo, err := f.Pending(ctx, e)
	if err == nil && len(todo) > 0 {
		err = fmt.Errorf("database %s is still frozen", f.Database)
	}
	return err
}

// Undo freezes again, for the step that had: its own undo thaws it then.
func (f *postgresThaw) Undo(ctx context.Context, e Env) error {
	var was postgres.Frozen
	if found, err := e.Memory.Get("was", &was); err != nil {
		return err
	} else if !found {
		fmt.Fprintln(e.Log, "-- nothing was thawed here, so there is nothing to undo")
		return nil
	}
	srv, err := f.server(ctx, e)
	if err != nil {
		return err
	}
	if _, err := postgres.Freeze(ctx, srv, postgres.Freezing{ID: was.ID, Roles: was.Roles, Said: pgSaid(e)}); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- database %s is frozen again\n", f.Database)
	return nil
}

var _ interface {
	Undoer
	Repeater
	Validator
	Needer
} = &postgresThaw{}
