package steps

import (
	"context"
	"fmt"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name: "timer.give",
		Summary: "Starts on one host the systemd timer that timer.take has stopped on another one, with the time at which it last elapsed there, " +
			"so that Persistent= makes up for what was missed, and for that alone; its way back brings that time back.",
		Example: `- step: Start backup.timer on new
  on: new
  timer.give: {name: backup.timer, from: old}
`,
		New: func() Step { return &timerGive{} },
	})
}

type timerGive struct {
	Name    string          `yaml:"name" required:"" doc:"the timer; .timer is understood"`
	From    string          `yaml:"from" required:"" host:"" doc:"host where timer.take has stopped it"`
	Enabled string          `yaml:"enabled" default:"true" enum:"true|keep" doc:"whether it starts when the host boots"`
	Wait    remote.Duration `yaml:"wait" default:"10m" doc:"on the way back, how long what it started here may go on; it is never ended; 0s: it is not waited for"`
}

func (t *timerGive) service() *service {
	return &service{Name: timerName(t.Name), State: "started", Enabled: t.Enabled}
}

func (t *timerGive) HostNames() []string            { return []string{t.From} }
func (t *timerGive) Validate() error                { return timerValid(t.Name, t.Wait) }
func (t *timerGive) Repeatable() bool               { return true }
func (t *timerGive) Needs(on string) []checks.Check { return t.service().Needs(on) }

func (t *timerGive) Pending(ctx context.Context, e Env) ([]Change, error) {
	return t.service().Pending(ctx, e)
}

// timerHad is what the host knew of the timer before.
type timerHad struct {
	Last string `json:"last"`
}

const timerHadKey = "had"

func (t *timerGive) Apply(ctx context.Context, e Env) error {
	name := timerName(t.Name)
	there, err := systemctlShow(ctx, remote.ReadOnly(e.Hosts[t.From]), name, "ActiveState")
	if err != nil {
		return err
	}
	if a := there["ActiveState"]; a == "active" || a == "activating" {
		return fmt.Errorf("%s is still %s on %s, and would run on both; nothing was changed. A step of kind timer.take comes before this one", name, a, t.From)
	}
	last, err := timerLast(ctx, remote.ReadOnly(e.Hosts[t.From]), name)
	if err != nil {
		return err
	}
	var had timerHad
	found, err := e.Memory.Get(timerHadKey, &had)
	if err == nil && !found {
		if had.Last, err = timerLast(ctx, e.Host, name); err == nil {
			err = e.Memory.Put(timerHadKey, had)
		}
	}
	if err != nil {
		return err
	}
	now, err := systemctlShow(ctx, e.Host, name, "ActiveState")
	if err != nil {
		return err
	}
	if last != "" && now["ActiveState"] != "active" { // it reads the stamp when it starts
		if err := timerSetLast(ctx, e.Host, name, last); err != nil {
			return err
		}
		fmt.Fprintf(e.Log, "%s last elapsed on %s at %s; %s knows that now\n", name, t.From, day(last), e.Host.Name)
	}
	return t.service().Apply(ctx, e)
}

func (t *timerGive) Verify(ctx context.Context, e Env) error {
	there, err := systemctlShow(ctx, remote.ReadOnly(e.Hosts[t.From]), timerName(t.Name), "ActiveState")
	if err != nil {
		return err
	}
	if a := there["ActiveState"]; a == "active" {
		return fmt.Errorf("%s is %s on %s again, so it runs on both", timerName(t.Name), a, t.From)
	}
	return t.service().Verify(ctx, e)
}

// Undo stops it, waits for what it started, and tells the other host when it
// last elapsed: what was done here is not done there again.
func (t *timerGive) Undo(ctx context.Context, e Env) error {
	var had timerHad
	found, err := e.Memory.Get(timerHadKey, &had)
	if err != nil || !found {
		return err
	}
	name := timerName(t.Name)
	if err := t.service().Undo(ctx, e); err != nil {
		return err
	}
	if err := timerWait(ctx, e, name, t.Wait); err != nil {
		return err
	}
	here, err := timerLast(ctx, e.Host, name)
	if err != nil {
		return err
	}
	there, err := timerLast(ctx, e.Hosts[t.From], name)
	if err != nil {
		return fmt.Errorf("%s is stopped on %s, but when it last elapsed there is not told to %s yet: %w", name, e.Host.Name, t.From, err)
	}
	if there != "" && later(here, there) {
		if err := timerSetLast(ctx, e.Hosts[t.From], name, here); err != nil {
			return err
		}
		fmt.Fprintf(e.Log, "%s last elapsed on %s at %s; %s knows that now\n", name, e.Host.Name, day(here), t.From)
	}
	return timerSetLast(ctx, e.Host, name, had.Last)
}
