package steps

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name: "cron.give",
		Summary: "Gives a host the crontab, or the file of /etc/cron.*, that cron.take has taken away on another one; " +
			"its way back takes it away again and waits for the jobs that it started.",
		Example: `- step: Give the crontab of app to new
  on: new
  cron.give: {user: app, from: old}
`,
		New: func() Step { return &cronGive{} },
	})
}

type cronGive struct {
	User string          `yaml:"user" scalar:"" doc:"login whose crontab it is, on both hosts"`
	File string          `yaml:"file" doc:"or a file of /etc/cron.d, cron.hourly, cron.daily, cron.weekly or cron.monthly"`
	From string          `yaml:"from" required:"" host:"" doc:"host where cron.take has kept it"`
	Wait remote.Duration `yaml:"wait" default:"10m" doc:"on the way back, how long jobs that it started here may go on; they are never ended; 0s: they are not waited for"`
}

func (c *cronGive) entry() cronEntry    { return cronEntry{c.User, c.File} }
func (c *cronGive) HostNames() []string { return []string{c.From} }

func (c *cronGive) Validate() error { return c.entry().validate(c.Wait) }

// Repeatable: the same text is given again.
func (c *cronGive) Repeatable() bool { return true }

func (c *cronGive) Needs(on string) []checks.Check {
	return append(c.entry().needs(on), &checks.ProcessCheck{On: []string{on}, Match: `(^|/)(cron|crond|cronie)\b`})
}

// given is where the host keeps what it was given, and what it had before, for
// this step of this run alone: another migration's is not put back.
func (c *cronGive) given(e Env) string {
	return strings.TrimSuffix(c.entry().aside(), ".belay") + "." + e.ID + ".belay"
}

// states are those of both hosts.
func (c *cronGive) states(ctx context.Context, e Env) (there, here cronState, err error) {
	there, err = c.entry().state(ctx, remote.ReadOnly(e.Hosts[c.From]))
	if err == nil {
		here, err = c.entry().state(ctx, e.Host)
	}
	return there, here, err
}

// ofThisRun refuses what an earlier migration has kept: where cron.take was
// passed over, that is not what ran on the other host just now.
func (c *cronGive) ofThisRun(e Env, there cronState) error {
	if there.live != "" || there.kept == "" || there.run == runOf(e) {
		return nil
	}
	x := c.entry()
	return fmt.Errorf("%s: this run has not taken it away on %s, and %s there is of an earlier one (%s); nothing was changed. If it is what %s shall have, put it back on %s and do the step of kind cron.take again; else skip this step too",
		x.called(), c.From, x.aside(), cmp.Or(there.run, "not known which"), e.Host.Name, c.From)
}

func (c *cronGive) Pending(ctx context.Context, e Env) ([]Change, error) {
	there, err := c.entry().state(ctx, remote.ReadOnly(e.Hosts[c.From]))
	if err == nil {
		err = c.ofThisRun(e, there)
	}
	if err != nil {
		return nil, err
	}
	begun, err := cronBegun(e)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("give %s to %s, as it was on %s", c.entry().called(), e.Host.Name, c.From)
	here, err := c.entry().state(ctx, e.Host)
	switch {
	case err != nil && !begun && there.live != "": // its login is made by a step before this one
		return []Change{{Text: text}}, nil
	case err != nil:
		return nil, err
	case begun && here.live == there.kept && here.live != "":
		return nil, nil
	case here.live != "" && !begun:
		text += fmt.Sprintf("; the one that is there is kept as %s.before", c.given(e))
	}
	return []Change{{Text: text}}, nil
}

func (c *cronGive) Apply(ctx context.Context, e Env) error {
	x := c.entry()
	there, _, err := c.states(ctx, e)
	switch {
	case err != nil:
		return err
	case there.live != "":
		return fmt.Errorf("%s is still on %s, and would run on both; nothing was changed. A step of kind cron.take comes before this one", x.called(), c.From)
	case there.kept == "":
		return fmt.Errorf("%s: %s is not on %s; nothing was changed. A step of kind cron.take comes before this one", x.called(), x.aside(), c.From)
	}
	if err := c.ofThisRun(e, there); err != nil {
		return err
	}
	text, err := remote.ReadFile(ctx, e.Hosts[c.From], x.aside())
	if err != nil {
		return fmt.Errorf("%s: on %s: %w", x.called(), c.From, err)
	}
	if err := errors.Join(x.rememberJobs(e, text), e.Memory.Put(cronBegunKey, true)); err != nil {
		return err
	}
	give := x.cmdAt(c.given(e), "give", false, cmp.Or(there.mode, "644"))
	give.Stdin = bytes.NewReader(text)
	if err := e.Host.Run(ctx, give); err != nil {
		return fmt.Errorf("%s: %w", x.called(), err)
	}
	fmt.Fprintf(e.Log, "%s is on %s now\n", x.called(), e.Host.Name)
	return nil
}

// Verify holds both hosts against each other.
func (c *cronGive) Verify(ctx context.Context, e Env) error {
	there, here, err := c.states(ctx, e)
	switch {
	case err != nil:
		return err
	case there.live != "":
		return fmt.Errorf("%s is on %s again, so its jobs run on both", c.entry().called(), c.From)
	case here.live == "" || here.live != there.kept:
		return fmt.Errorf("%s on %s is not what was taken away on %s", c.entry().called(), e.Host.Name, c.From)
	}
	return nil
}

// Undo takes it away again, and puts back what was there before. The jobs that
// it has started here have ended then: the steps that are undone next give it
// to the other host.
func (c *cronGive) Undo(ctx context.Context, e Env) error {
	begun, err := cronBegun(e)
	if err != nil || !begun {
		return err
	}
	x := c.entry()
	kept, err := remote.Output(ctx, e.Host, x.cmdAt(c.given(e), "ungive", false))
	if err != nil {
		return fmt.Errorf("%s: %w", x.called(), err)
	}
	if len(kept) > 0 {
		fmt.Fprintf(e.Log, "%s was changed on %s since; that is %s", x.called(), e.Host.Name, kept)
	}
	if err := x.wait(ctx, e, c.Wait); err != nil {
		return err
	}
	return e.Memory.Put(cronBegunKey, false)
}
