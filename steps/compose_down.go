package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/steps/docker"
)

func init() {
	register(Kind{
		Name:    "compose.down",
		Summary: "Stops a Docker Compose project and removes its containers and networks; volumes stay unless their deletion is asked for.",
		Example: `- step: Stop the old stack
  on: chat
  compose.down: {dir: /opt/old, timeout: 30s}
`,
		New: func() Step { return &composeDown{} },
	})
}

type composeDown struct {
	composeProject `yaml:",inline"`
	Volumes        string          `yaml:"volumes" default:"keep" doc:"keep, or yes-delete: the volumes and all data in them are deleted, and there is no way back"`
	Timeout        remote.Duration `yaml:"timeout" default:"30s" doc:"how long a service may take to stop before it is killed"`
	Wait           remote.Duration `yaml:"wait" default:"5m" doc:"how long the services may take to be ready again, for undo"`
}

func (c *composeDown) Validate() error {
	errs := c.validate()
	switch c.Volumes {
	case "", "keep", "false", "yes-delete":
	default:
		errs = append(errs, Field("volumes", "%q is refused: volumes hold data. If they shall be deleted, write yes-delete", c.Volumes))
	}
	return errors.Join(errs...)
}

func (c *composeDown) Needs(on string) []checks.Check { return c.needs(on) }

func (c *composeDown) Repeatable() bool { return true }

func (c *composeDown) deletes() bool { return c.Volumes == "yes-delete" }

func (c *composeDown) volumes(ctx context.Context, e Env, v composeView) ([]string, error) {
	if !c.deletes() {
		return nil, nil
	}
	return docker.Volumes(ctx, e.Host, v.project.Name)
}

func (c *composeDown) Pending(ctx context.Context, e Env) ([]Change, error) {
	v, err := c.look(ctx, e)
	if err != nil {
		return nil, err
	}
	volumes, err := c.volumes(ctx, e, v)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, x := range v.containers {
		verb := "remove"
		if x.Running() {
			verb = "stop and remove"
		}
		changes = append(changes, Change{Text: fmt.Sprintf("%s %s (service %s, %s)", verb, x.Name, x.Service, x)})
	}
	for _, name := range volumes {
		changes = append(changes, Change{Text: "delete volume " + name + " and all data in it"})
	}
	if len(changes) > 0 {
		changes[0].Cmd = remote.Quote(v.compose.Cmd(v.project, c.words()...).Argv[5:]...)
	}
	return changes, nil
}

func (c *composeDown) words() []string {
	args := []string{"down", "-t", strconv.Itoa(int(time.Duration(c.Timeout).Seconds()))}
	if c.deletes() {
		args = append(args, "--volumes")
	}
	return args
}

const composeDownKey = "compose"

func (c *composeDown) Apply(ctx context.Context, e Env) error {
	v, err := c.look(ctx, e)
	if err != nil {
		return err
	}
	if _, err := composeRemember(ctx, e, v, composeDownKey); err != nil {
		return err
	}
	if err := composeRun(ctx, e, v, c.words()...); err != nil {
		return err
	}
	// Compose v1 and v2 leave containers of services that the files do not
	// name any more; they belong to the project, and it shall be down.
	left, err := docker.Containers(ctx, e.Host, v.project.Name)
	if err != nil {
		return err
	}
	var ids []string
	for _, x := range left {
		fmt.Fprintf(e.Log, "%s is not in the compose files; removed as well\n", x.Name)
		ids = append(ids, x.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	return composeRemove(ctx, e, ids, v.project.Name, nil)
}

// Verify asks the engine for what is left of the project.
func (c *composeDown) Verify(ctx context.Context, e Env) error {
	v, err := c.look(ctx, e)
	if err != nil {
		return err
	}
	if len(v.containers) > 0 {
		return fmt.Errorf("project %s: %s is still there (%s)", v.project.Name, v.containers[0].Name, v.containers[0])
	}
	left, err := c.volumes(ctx, e, v)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("project %s: volume %s is still there", v.project.Name, left[0])
	}
	return err
}

// Undo starts what ran before, from the compose files as they are now.
func (c *composeDown) Undo(ctx context.Context, e Env) error {
	var b composeBefore
	found, err := e.Memory.Get(composeDownKey, &b)
	if err != nil || !found {
		return err
	}
	v, err := c.look(ctx, e)
	if err != nil {
		return err
	}
	ran := slices.Sorted(maps.Keys(b.Running))
	for _, s := range ran {
		if !slices.Contains(v.services, s) {
			return fmt.Errorf("service %s ran before and is not in the compose files of %s any more; nothing was started", s, c.Dir)
		}
	}
	if len(ran) > 0 {
		if err := composeRun(ctx, e, v, append([]string{"up", "-d", "--no-deps"}, ran...)...); err != nil {
			return err
		}
		w := composeWait{services: ran, limit: time.Duration(c.Wait), settle: min(composeSettle, time.Duration(c.Wait)/2)}
		if err := w.wait(ctx, e, v.project.Name); err != nil {
			return err
		}
	}
	for _, s := range slices.Sorted(maps.Keys(b.Stopped)) {
		fmt.Fprintf(e.Log, "service %s had a stopped container before; it was not made again\n", s)
	}
	if c.deletes() {
		return fmt.Errorf("%s runs again, but its volumes were deleted, as the plan said (%s): %w", v.project.Name, strings.Join(ran, ", "), ErrNoWayBack)
	}
	return nil
}
