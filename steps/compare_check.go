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

// Assess opens both sides and lists what the old one has. The new one may well
// not be there yet: whatever makes it judges where it will be.
func (c *compareCheck) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	f := checks.Finding{Key: c.pair.Name, Level: checks.Pass, Text: c.pair.Name + ": old and new can be compared"}
	old, now, opened := c.pair.stores()[0].open(ctx, Env{ID: "assessment", Hosts: w.Hosts, Secret: w.Secret}, true)
	for _, s := range []compare.Side{old, now} {
		if s != nil {
			defer s.Close()
		}
	}
	if r := c.pair.Redis; r != nil && opened != nil {
		if absent, is := storeAbsent(ctx, w, "", r.New.store, redisPort, c.pair.Name); is {
			return []checks.Finding{absent}, nil
		}
	}
	err := opened
	if old != nil {
		_, err = old.Objects(ctx)
	}
	switch {
	case err != nil:
		f.Level, f.Text = checks.Block, c.pair.Name+": "+err.Error()
		f.Fix = "the old side has to be there: see to it, or take the pair out"
		return []checks.Finding{f}, nil
	case now != nil:
		_, opened = now.Objects(ctx)
	}
	if opened != nil {
		f.Text, f.Detail = c.pair.Name+": the old side can be compared; the new one is not there yet", opened.Error()
	}
	return []checks.Finding{f}, nil
}
