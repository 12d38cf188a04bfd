package steps

import (
	"context"

	"belay/checks"
	"belay/steps/compare"
)

// compareCheck judges whether a pair can be compared.
type compareCheck struct{ pair comparePair }

// CheckName is how findings call it.
func (c *compareCheck) CheckName() string { return "compare" }

// HostNames are those of the pair.
func (c *compareCheck) HostNames() []string { return c.pair.stores()[0].hosts() }

// Assess opens both sides and lists what they have. The new one may well not be
// there yet.
func (c *compareCheck) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	f := checks.Finding{Key: c.pair.Name, Level: checks.Pass, Text: c.pair.Name + ": old and new can be compared"}
	old, now, err := c.pair.stores()[0].open(ctx, Env{ID: "assessment", Hosts: w.Hosts, Secret: w.Secret}, true)
	for _, s := range []compare.Side{old, now} {
		if s != nil {
			defer s.Close()
		}
	}
	side, level := old, checks.Warn
	if old == nil {
		level = checks.Block
	}
	for err == nil && side != nil {
		if _, err = side.Objects(ctx); err != nil && side == old {
			level = checks.Block
		}
		if side == now {
			break
		}
		side = now
	}
	if err != nil {
		f.Level, f.Text = level, c.pair.Name+": "+err.Error()
		f.Fix = "go on only if an earlier step makes the new side"
		if level == checks.Block {
			f.Fix = "the old side has to be there: see to it, or take the pair out"
		}
	}
	return []checks.Finding{f}, nil
}
