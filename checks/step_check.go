package checks

import (
	"context"
	"errors"
)

func init() {
	register(Kind{
		Name: "step", Summary: "what a step has proved still holds: it is proved again; only under watch, and only for a step that proves, such as compare",
		Example: "- step: {id: prove-old-and-new-equal}",
		New:     func() Check { return new(StepCheck) },
	})
}

// StepCheck proves again what a step has proved.
type StepCheck struct {
	ID string `yaml:"id" scalar:"" required:"" doc:"id of the step"`
}

// Assess gives one finding. Where no run is at hand to prove it, nobody knows.
func (c *StepCheck) Assess(ctx context.Context, w World) ([]Finding, error) {
	if w.Prove == nil {
		return nil, errors.New("a step can be proved again only in a run, under watch")
	}
	return []Finding{w.Prove(ctx, c.ID)}, nil
}
