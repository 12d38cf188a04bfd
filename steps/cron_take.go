package steps

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"path"
	"strings"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name: "cron.take",
		Summary: "Takes a user's crontab, or a file of /etc/cron.*, away from cron, and waits until the jobs that it started have ended; " +
			"what it was is kept on the host.",
		Example: `- step: Take the crontab of app away on old
  on: old
  cron.take: {user: app, wait: 10m}
`,
		New: func() Step { return &cronTake{} },
	})
}

type cronTake struct {
	User string          `yaml:"user" scalar:"" doc:"login whose crontab it is"`
	File string          `yaml:"file" doc:"or a file of /etc/cron.d, cron.hourly, cron.daily, cron.weekly or cron.monthly"`
	Wait remote.Duration `yaml:"wait" default:"10m" doc:"how long the jobs that it started may go on before the step fails; they are never ended; 0s: they are not waited for"`
}

func (c *cronTake) entry() cronEntry { return cronEntry{c.User, c.File} }

func (c *cronTake) Validate() error { return c.entry().validate(c.Wait) }

// Repeatable: what is away is not taken again.
func (c *cronTake) Repeatable() bool { return true }

func (c *cronTake) Needs(on string) []checks.Check { return c.entry().needs(on) }

const cronBegunKey = "begun"

// Pending is empty once it is away, and the jobs have ended.
func (c *cronTake) Pending(ctx context.Context, e Env) ([]Change, error) {
	s, err := c.entry().state(ctx, e.Host)
	if err != nil {
		return nil, err
	}
	begun, err := cronBegun(e)
	switch {
	case err != nil:
		return nil, err
	case s.live != "":
		return []Change{{Text: fmt.Sprintf("take %s away (kept as %s), and wait for the jobs that it started", c.entry().called(), c.entry().aside())}}, nil
	case !begun:
		return nil, fmt.Errorf("%s: there is none on %s; nothing was changed. Take this step out of the plan, and the one that gives it to another host", c.entry().called(), e.Host.Name)
	case s.kept == "":
		return nil, fmt.Errorf("%s: it was taken away, but %s, which kept it, is gone from %s; restore it from a backup", c.entry().called(), c.entry().aside(), e.Host.Name)
	}
	if known, err := e.Memory.Get(cronJobsKey, &[]cronJob{}); err != nil || !known {
		// Killed between the two: whether one still runs is not known yet.
		return []Change{{Text: "wait for the jobs that it started"}}, err
	}
	running, err := c.entry().running(ctx, e)
	if err != nil || len(running) == 0 || c.Wait == 0 {
		return nil, err
	}
	return []Change{{Text: "wait for " + strings.Join(running, ", ")}}, nil
}

// runOf is the run in Env.ID, or as much of it as no other run has.
func runOf(e Env) string {
	run, _, _ := strings.Cut(e.ID, ".")
	return run
}

func cronBegun(e Env) (begun bool, err error) {
	if e.Memory == nil {
		return false, nil
	}
	_, err = e.Memory.Get(cronBegunKey, &begun)
	return begun, err
}

func (c *cronTake) Apply(ctx context.Context, e Env) error {
	x := c.entry()
	s, err := x.state(ctx, e.Host)
	if err != nil {
		return err
	}
	if s.live != "" {
		if err := e.Memory.Put(cronBegunKey, true); err != nil {
			return err
		}
		if err := e.Host.Run(ctx, x.cmdAt(x.aside(), "take", false, runOf(e))); err != nil {
			return fmt.Errorf("%s: %w", x.called(), err)
		}
		fmt.Fprintf(e.Log, "%s is taken away; it is kept as %s\n", x.called(), x.aside())
	}
	text, err := remote.ReadFile(ctx, e.Host, x.aside())
	if err != nil {
		return fmt.Errorf("%s: %w", x.called(), err)
	}
	if err := x.rememberJobs(e, text); err != nil {
		return err
	}
	return x.wait(ctx, e, c.Wait)
}

// Verify asks cron's own files once more.
func (c *cronTake) Verify(ctx context.Context, e Env) error {
	s, err := c.entry().state(ctx, e.Host)
	switch {
	case err != nil:
		return err
	case s.live != "":
		return fmt.Errorf("%s is on %s", c.entry().called(), e.Host.Name)
	case s.kept == "":
		return fmt.Errorf("%s: %s, which keeps it, is gone from %s", c.entry().called(), c.entry().aside(), e.Host.Name)
	}
	return nil
}

// Undo gives it back to cron.
func (c *cronTake) Undo(ctx context.Context, e Env) error {
	begun, err := cronBegun(e)
	if err != nil || !begun {
		return err
	}
	if err := e.Host.Run(ctx, c.entry().cmd("untake", false)); err != nil {
		return fmt.Errorf("%s: %w", c.entry().called(), err)
	}
	return e.Memory.Put(cronBegunKey, false)
}

//go:embed cron.sh
var cronScript string

// cronEntry is a crontab, or a file of cron: one of the two is set.
type cronEntry struct{ user, file string }

func (x cronEntry) validate(wait remote.Duration) error {
	var errs []error
	dir, name := path.Split(x.file)
	switch {
	case (x.user == "") == (x.file == ""):
		errs = append(errs, Field("user", "either user or file is needed"))
	case x.user != "" && (strings.HasPrefix(x.user, "-") || strings.ContainsAny(x.user, "/ \t\n:")):
		errs = append(errs, Field("user", "%q is not a login", x.user))
	case x.file != "" && (!strings.HasPrefix(dir, "/etc/cron.") || strings.Count(dir, "/") != 3 || name == "" || name[0] == '.'):
		errs = append(errs, Field("file", "%q is not a file of /etc/cron.d, cron.hourly, cron.daily, cron.weekly or cron.monthly", x.file))
	}
	if wait < 0 {
		errs = append(errs, Field("wait", "it is less than 0"))
	}
	return errors.Join(errs...)
}

func (x cronEntry) needs(on string) []checks.Check {
	need := []checks.Check{&checks.ToolCheck{On: []string{on}, Name: "sha256sum"}, &checks.ToolCheck{On: []string{on}, Name: "cmp"}}
	if x.user != "" {
		need = append(need, &checks.ToolCheck{On: []string{on}, Name: "crontab"})
	}
	return need
}

func (x cronEntry) called() string {
	if x.user != "" {
		return "the crontab of " + x.user
	}
	return x.file
}

// cronAside is where entries are kept; tests have one of their own.
var cronAside = "/var/backups/"

// aside is outside of cron's directories: not every cron passes over a name
// with a dot (cronie does not).
func (x cronEntry) aside() string {
	if x.user != "" {
		return cronAside + "crontab." + x.user + ".belay"
	}
	return cronAside + strings.ReplaceAll(strings.TrimPrefix(x.file, "/etc/"), "/", "-") + ".belay"
}

func (x cronEntry) cmd(verb string, pure bool) remote.Cmd { return x.cmdAt(x.aside(), verb, pure) }

func (x cronEntry) cmdAt(aside, verb string, pure bool, args ...string) remote.Cmd {
	what := "user"
	if x.file != "" {
		what = "file"
	}
	cmd := remote.Sh(cronScript, append([]string{verb, what, cmp.Or(x.user, x.file), aside}, args...)...)
	cmd.Pure = pure
	return cmd
}

// cronState is what a host has of an entry: SHA-256 of what cron goes by and of
// what is kept aside, "" for none, and the run that took it.
type cronState struct{ live, kept, mode, run string }

func (x cronEntry) state(ctx context.Context, h remote.Host) (s cronState, err error) {
	out, err := remote.Output(ctx, h, x.cmd("state", true))
	if err != nil {
		return s, fmt.Errorf("%s on %s: %w", x.called(), h.Name, err)
	}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if p := map[string]*string{"live": &s.live, "kept": &s.kept, "mode": &s.mode, "run": &s.run}[key]; p != nil && value != "-" {
			*p = value
		}
	}
	return s, nil
}
