package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/steps/docker"
)

func init() {
	register(Kind{
		Name:    "compose.up",
		Summary: "Starts a Docker Compose project (Compose v1 or v2) and waits until its services run and are healthy.",
		Example: `- step: Start Fluxer
  on: chat
  compose.up: {dir: /root/fluxer/dev, wait: 5m, may_fail: [admin]}
`,
		New: func() Step { return &composeUp{} },
	})
}

type composeUp struct {
	composeProject `yaml:",inline"`
	Services       []string        `yaml:"services" doc:"only these, with what they depend on; left out, all"`
	Build          bool            `yaml:"build" doc:"build images first"`
	Pull           string          `yaml:"pull" enum:"always|missing|never" default:"missing" doc:"when images are pulled; never needs Compose v2"`
	Wait           remote.Duration `yaml:"wait" default:"5m" doc:"how long the services may take until they are ready; one that keeps crashing fails the step sooner"`
	Settle         remote.Duration `yaml:"settle" default:"3s" doc:"how long a container without a healthcheck must run until its service counts as ready: right after its start everything runs; at most half of wait"`
	Healthy        []string        `yaml:"healthy" doc:"services that must have a healthcheck and pass it; others need to only if they have one"`
	MayFail        []string        `yaml:"may_fail" doc:"services that need not be ready"`
	Follow         []string        `yaml:"follow" doc:"services whose containers' log comes into the step's log while it waits"`
}

func (c *composeUp) Validate() error {
	errs := append(c.validate(), composeCheckServices("services", c.Services),
		composeCheckServices("healthy", c.Healthy), composeCheckServices("may_fail", c.MayFail), composeCheckServices("follow", c.Follow))
	for i, s := range c.MayFail {
		if slices.Contains(c.Healthy, s) {
			errs = append(errs, Field(fmt.Sprintf("may_fail.%d", i), "%s is under healthy, too", s))
		}
	}
	return errors.Join(errs...)
}

// composeSettles is how long a container must run to count as ready: not for
// longer than half of wait, or its service could never be ready. A plan from
// before there was settle may have a wait of 3 s.
func composeSettles(settle, wait remote.Duration) time.Duration {
	if settle > 0 && settle >= wait {
		return time.Duration(wait) / 2
	}
	return time.Duration(settle)
}

// composeShort warns of a settle that is not kept.
type composeShort struct {
	on, dir      string
	settle, wait remote.Duration
}

// CheckName is what the finding is called by.
func (n *composeShort) CheckName() string { return "settle" }

// Assess contacts nobody: it is about the plan.
func (n *composeShort) Assess(context.Context, checks.World) ([]checks.Finding, error) {
	return []checks.Finding{{Check: n.CheckName(), Key: n.dir, Host: n.on, Level: checks.Warn,
		Text: fmt.Sprintf("compose in %s: settle is %s, but wait only %s: a container counts as ready after %s, which may be too soon to see that it crashes",
			n.dir, time.Duration(n.settle), time.Duration(n.wait), composeSettles(n.settle, n.wait)),
		Fix: "give wait more time, or settle less"}}, nil
}

// Needs asks for Compose, and says where the plan leaves it too little time.
func (c *composeUp) Needs(on string) []checks.Check {
	all := c.needs(on)
	if c.Settle > 0 && c.Settle >= c.Wait {
		all = append(all, &composeShort{on, c.Dir, c.Settle, c.Wait})
	}
	return all
}

func (c *composeUp) Repeatable() bool { return true }

// wanted are the services that must be up: those asked for, else all of the
// files. What they depend on is Compose's affair; it has containers then.
func (c *composeUp) wanted(v composeView) ([]string, error) {
	want := v.services
	if len(c.Services) > 0 {
		want = c.Services
	}
	for _, list := range [][]string{c.Services, c.Healthy, c.MayFail, c.Follow} {
		for _, s := range list {
			if !slices.Contains(v.services, s) {
				return nil, fmt.Errorf("service %s is not in the compose files of %s: there are %s", s, c.Dir, strings.Join(v.services, ", "))
			}
		}
	}
	for _, s := range c.Healthy {
		if !slices.Contains(want, s) {
			return nil, fmt.Errorf("service %s is under healthy, but not under services", s)
		}
	}
	return want, nil
}

// hashes are the configurations of the services as Compose labels containers
// with them; nil when this Compose cannot tell.
func (c *composeUp) hashes(ctx context.Context, e Env, v composeView) map[string]string {
	cmd := v.compose.Cmd(v.project, "config", "--hash", "*")
	cmd.Pure = true
	out, err := remote.Output(ctx, e.Host, cmd)
	if err != nil {
		return nil
	}
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 2 {
			all[f[0]] = f[1]
		}
	}
	return all
}

func (c *composeUp) Pending(ctx context.Context, e Env) ([]Change, error) {
	v, err := c.look(ctx, e)
	if errors.Is(err, docker.ErrNoDir) {
		return []Change{{Text: fmt.Sprintf("start the services of %s; which ones can be told when the directory is there", c.Dir)}}, nil
	}
	if err != nil {
		return nil, err
	}
	want, err := c.wanted(v)
	if err != nil {
		return nil, err
	}
	hashes := c.hashes(ctx, e, v)
	cmd := v.compose.Cmd(v.project, c.words()...)
	var changes []Change
	for _, s := range want {
		text := ""
		have := v.of(s)
		ready, _, _ := composeServiceState(have, s, false)
		switch {
		case len(have) == 0:
			text = "create and start service " + s
		case hashes[s] != "" && have[0].Config != "" && hashes[s] != have[0].Config:
			text = "recreate service " + s + ": its configuration has changed"
		case !ready && !slices.Contains(c.MayFail, s):
			text = fmt.Sprintf("start service %s, which is %s", s, have[0])
		default:
			continue
		}
		changes = append(changes, Change{Text: text})
	}
	if c.Build || c.Pull == "always" {
		// New images may make new containers of services that run.
		var rec composeBefore
		done, err := false, error(nil)
		if e.Memory != nil {
			done, err = e.Memory.Get(composeUpDone, &rec)
		}
		if err != nil {
			return nil, err
		}
		if !done {
			changes = append(changes, Change{Text: "look for newer images (build, pull), and recreate services that have one"})
		}
	}
	if len(changes) > 0 {
		changes[0].Cmd = remote.Quote(cmd.Argv[5:]...)
	}
	return changes, nil
}

const (
	composeUpKey  = "compose"
	composeUpDone = "compose-done"
)

// words are the arguments of up.
func (c *composeUp) words() []string {
	args := []string{"up", "-d"}
	if c.Build {
		args = append(args, "--build")
	}
	if c.Pull == "never" {
		args = append(args, "--pull", "never")
	}
	return append(args, c.Services...)
}

func (c *composeUp) Apply(ctx context.Context, e Env) error {
	v, err := c.look(ctx, e)
	if err != nil {
		return err
	}
	want, err := c.wanted(v)
	if err != nil {
		return err
	}
	if c.Pull == "never" && v.compose.V1 {
		return fmt.Errorf("pull: never needs Compose v2, and this host has %s %s; nothing was changed", v.compose.Argv[0], v.compose.Version)
	}
	before, err := composeRemember(ctx, e, v, composeUpKey)
	if err != nil {
		return err
	}
	if before.Project != v.project.Name {
		return fmt.Errorf("the project's name was %s when this step began, and is %s now; say project", before.Project, v.project.Name)
	}
	if c.Pull == "always" {
		if err := composeRun(ctx, e, v, append([]string{"pull"}, c.Services...)...); err != nil {
			return err
		}
	}
	w := composeWait{services: want, healthy: c.Healthy, mayFail: c.MayFail, limit: time.Duration(c.Wait), settle: composeSettles(c.Settle, c.Wait), follow: &composeFollow{services: c.Follow}}
	w.see(v.containers, time.Now())
	w.follow.begin(ctx, e)
	if err := composeRun(ctx, e, v, c.words()...); err != nil {
		return w.explain(ctx, e, v.project.Name, err)
	}
	if err := w.wait(ctx, e, v.project.Name); err != nil {
		return err
	}
	c.tellRecreated(ctx, e, before)
	return e.Memory.Put(composeUpDone, before)
}

// tellRecreated says now what a rollback will not be able to do.
func (c *composeUp) tellRecreated(ctx context.Context, e Env, before composeBefore) {
	all, err := docker.Containers(ctx, e.Host, before.Project)
	if err != nil {
		return // only a remark
	}
	for _, s := range slices.Sorted(maps.Keys(before.Running)) {
		if !slices.ContainsFunc(all, func(x docker.Container) bool { return x.ID == before.Running[s] }) {
			fmt.Fprintf(e.Log, "service %s ran before and was made anew; undo leaves it running as it is now\n", s)
		}
	}
}

// Verify asks the engine, not Compose.
func (c *composeUp) Verify(ctx context.Context, e Env) error {
	v, err := c.look(ctx, e)
	if err != nil {
		return err
	}
	want, err := c.wanted(v)
	if err != nil {
		return err
	}
	var bad []string
	for _, s := range want {
		if slices.Contains(c.MayFail, s) {
			continue
		}
		have := v.of(s)
		if ready, _, _ := composeServiceState(have, s, slices.Contains(c.Healthy, s)); ready {
			continue
		}
		if len(have) == 0 {
			bad = append(bad, s+" has no container")
		}
		for _, x := range have {
			bad = append(bad, fmt.Sprintf("%s is %s", x.Name, x))
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("project %s: %s", v.project.Name, strings.Join(bad, "; "))
	}
	return nil
}

// Undo takes down what this step started. Services that ran before stay;
// volumes stay, because they hold data.
func (c *composeUp) Undo(ctx context.Context, e Env) error {
	var b composeBefore
	found, err := e.Memory.Get(composeUpKey, &b)
	if err != nil || !found {
		return err
	}
	all, err := docker.Containers(ctx, e.Host, b.Project)
	if err != nil {
		return err
	}
	var remove, stop []string
	for _, x := range all {
		switch {
		case b.Running[x.Service] != "":
		case b.Stopped[x.Service] != "":
			if x.Running() || x.State == "restarting" {
				stop = append(stop, x.ID)
			}
		default:
			remove = append(remove, x.ID)
		}
	}
	if len(stop) > 0 {
		cmd := remote.Sh(`docker stop -t 30 "$@"`, stop...)
		cmd.Stdout, cmd.Stderr = e.Log, e.Log
		if err := e.Host.Run(ctx, cmd); err != nil {
			return fmt.Errorf("project %s: stop what was started: %w", b.Project, err)
		}
	}
	return composeRemove(ctx, e, remove, b.Project, b.Networks)
}
