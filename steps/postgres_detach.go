package steps

import (
	"context"
	"errors"
	"fmt"

	"belay/checks"
	"belay/steps/postgres"
)

func init() {
	register(Kind{
		Name:    "postgres.detach",
		Summary: "Ends the replication back to the old database that postgres.switch began (reverse): from then on a rollback loses what is written. For close.",
		Example: `- step: Let go of the old database
  postgres.detach:
    from: {host: old, database: shop, password: {secret: pg_password}}
    to: {host: new, database: shop, password: {secret: pg_password}}
`,
		Optional: true,
		New:      func() Step { return &postgresDetach{} },
	})
}

// postgresDetach takes away what reverse of a postgres.switch between the same
// two databases left at work. It has no way back.
type postgresDetach struct {
	pgPair `yaml:",inline"`
}

func (d *postgresDetach) Validate() error { return d.check() }

// Repeatable: what is gone stays gone.
func (d *postgresDetach) Repeatable() bool { return true }

// Needs a login on both sides.
func (d *postgresDetach) Needs(on string) []checks.Check {
	return []checks.Check{
		&pgNeed{Of: pgBeside(d.From), On: on, What: "detach", Judge: pgJudgeLogin},
		&pgNeed{Of: pgBeside(d.To), On: on, What: "detach from", Judge: pgJudgeLogin},
	}
}

// back is the replication from to to from.
func (d *postgresDetach) back(ctx context.Context, e Env) (*pgBoth, error) {
	rep, err := d.replica(ctx, e)
	if err != nil {
		return nil, err
	}
	return &pgBoth{Replica: postgres.Replica{Source: rep.Target, Target: rep.Source, Name: pgBackName(rep.Name)}}, nil
}

func (d *postgresDetach) left(ctx context.Context, e Env) (*pgBoth, postgres.There, error) {
	r, err := d.back(ctx, e)
	if err != nil {
		return nil, postgres.There{}, err
	}
	defer r.close()
	if err := r.open(ctx); err != nil {
		return nil, postgres.There{}, err
	}
	there, err := r.Look(ctx, r.source, r.target)
	return r, there, err
}

// Pending looks for any part of it.
func (d *postgresDetach) Pending(ctx context.Context, e Env) ([]Change, error) {
	r, there, err := d.left(ctx, e)
	if err != nil && ctx.Err() == nil { // Apply does what it can
		return []Change{{Text: "drop what is left of the way back; not both servers could be asked: " + err.Error()}}, nil
	}
	if err != nil || !there.Any() {
		return nil, err
	}
	return []Change{
		{Text: fmt.Sprintf("drop subscription %s on the source, which is no longer kept equal then", r.Name)},
		{Text: fmt.Sprintf("drop slot and publication %s on the target", r.Name)},
	}, nil
}

// Apply takes it away, each side without the other: a source that is gone for
// good leaves no slot behind on the target.
func (d *postgresDetach) Apply(ctx context.Context, e Env) error {
	r, err := d.back(ctx, e)
	if err != nil {
		return err
	}
	defer r.close()
	var serr, terr error
	if r.target, serr = r.Target.Connect(ctx); serr == nil {
		_, _, serr = r.StopTarget(ctx, r.target, nil)
	}
	if r.source, terr = r.Source.Connect(ctx); terr == nil {
		terr = r.StopSource(ctx, r.source, "")
	}
	if serr != nil {
		serr = fmt.Errorf("source: %w; subscription %s may still be there, and try in vain to connect; if that server is gone for good, skip this step once the target is done", serr, r.Name)
	}
	if terr != nil {
		terr = fmt.Errorf("target: %w; while slot %s is there it keeps its log for it, and its disk fills: SELECT pg_drop_replication_slot('%[2]s')", terr, r.Name)
	} else {
		fmt.Fprintf(e.Log, "-- slot and publication %s are gone from the target: what is written from now on is there alone\n", r.Name)
	}
	return errors.Join(serr, terr)
}

// Verify looks for what should be gone.
func (d *postgresDetach) Verify(ctx context.Context, e Env) error {
	r, there, err := d.left(ctx, e)
	if err == nil && there.Any() {
		err = fmt.Errorf("of replication %s something is left: %+v", r.Name, there)
	}
	return err
}

var _ interface {
	Repeater
	Validator
	Needer
} = &postgresDetach{}
