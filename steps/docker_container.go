package steps

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"belay/checks"
	"belay/remote"
	"belay/steps/docker"
)

func init() {
	register(Kind{
		Name:    "docker.container",
		Summary: "Starts or stops a Docker container, renames it, changes its restart policy, keeps it until a date, or removes one whose date has come.",
		Example: `- step: Stop the old database, and keep it for a week
  on: chat
  docker.container: {container: gitlab-postgres, state: stopped, grace: 60s, restart: "no", rename: gitlab-postgres-old, keep: 7d}
`,
		New: func() Step { return &dockerContainer{} },
	})
}

type dockerContainer struct {
	Container string          `yaml:"container" scalar:"" required:"" doc:"name or ID; for remove also the name that it was given with keep, without the date"`
	State     string          `yaml:"state" enum:"started|stopped|as-it-is" default:"as-it-is" doc:"what it shall do"`
	Grace     remote.Duration `yaml:"grace" default:"30s" doc:"how long it may take to stop before it is killed"`
	Rename    string          `yaml:"rename" doc:"its new name; what refers to it by name no longer finds it"`
	Restart   string          `yaml:"restart" doc:"its restart policy: no, always, unless-stopped, on-failure or on-failure:5"`
	Keep      remote.Duration `yaml:"keep" doc:"how long it is kept at least, such as 7d: its new name ends with .until-<date>, for everybody to see, and remove refuses before that day is over (UTC)"`
	Remove    bool            `yaml:"remove" doc:"remove it, stopped, when the date in its name has passed (or it has none); its anonymous volumes stay; there is no way back"`
}

var (
	// dockerName is what the engine takes for a container's or volume's name
	// (moby, daemon/names).
	dockerName   = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)
	dockerUntil  = regexp.MustCompile(`\.until-(\d{4}-\d{2}-\d{2})$`)
	dockerPolicy = regexp.MustCompile(`^(no|always|unless-stopped|on-failure(:[1-9][0-9]{0,5})?)$`)
)

func (c *dockerContainer) Validate() error {
	var errs []error
	if !dockerName.MatchString(c.Container) {
		errs = append(errs, Field("container", "%q cannot be the name of a container", c.Container))
	}
	if c.Rename != "" && !dockerName.MatchString(c.Rename) {
		errs = append(errs, Field("rename", "%q cannot be the name of a container", c.Rename))
	}
	if c.Restart != "" && !dockerPolicy.MatchString(c.Restart) {
		errs = append(errs, Field("restart", "%q is none of no, always, unless-stopped, on-failure and on-failure:5", c.Restart))
	}
	idle := c.State == "" || c.State == "as-it-is"
	if c.Remove && (!idle || c.Rename != "" || c.Restart != "" || c.Keep > 0) {
		errs = append(errs, Field("remove", "what is removed cannot be changed as well"))
	}
	if !c.Remove && idle && c.Rename == "" && c.Restart == "" && c.Keep == 0 {
		errs = append(errs, Field("container", "nothing is to be done with it: say state, rename, restart, keep or remove"))
	}
	return errors.Join(errs...)
}

// Needs asks for the engine, and for the container where nothing before can
// have made or renamed it.
func (c *dockerContainer) Needs(on string) []checks.Check {
	return []checks.Check{&dockerNeed{on: on, key: c.Container}}
}

func (c *dockerContainer) Repeatable() bool { return true }

// WayBack is false for a removal.
func (c *dockerContainer) WayBack() bool { return !c.Remove }

// dockerWas is a container as it was before the step, and as the step wants it.
type dockerWas struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Running bool   `json:"running"`
	Paused  bool   `json:"paused,omitempty"`
	Policy  string `json:"policy"`
	Rename  string `json:"rename,omitempty"` // fixed at the first attempt: it may hold a date
}

const dockerWasKey = "container"

func (c *dockerContainer) remembered(e Env) (w dockerWas, found bool, err error) {
	if e.Memory == nil {
		return w, false, nil
	}
	found, err = e.Memory.Get(dockerWasKey, &w)
	return w, found && w.ID != "", err
}

// dockerBoxed is a container as it is now.
type dockerBoxed struct {
	container.InspectResponse
	name string
}

func (b dockerBoxed) running() bool {
	return b.State != nil && (b.State.Running || b.State.Restarting)
}
func (b dockerBoxed) paused() bool { return b.State != nil && b.State.Paused }

func (b dockerBoxed) policy() string {
	if b.HostConfig == nil || b.HostConfig.RestartPolicy.Name == "" {
		return "no"
	}
	p := b.HostConfig.RestartPolicy
	if p.MaximumRetryCount > 0 {
		return fmt.Sprintf("%s:%d", p.Name, p.MaximumRetryCount)
	}
	return string(p.Name)
}

// dockerFind looks at a container by its ID or name.
func dockerFind(ctx context.Context, e *docker.Engine, id string) (b dockerBoxed, there bool, err error) {
	v, err := e.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if dockerGone(err) {
		return b, false, nil
	}
	if err != nil {
		return b, false, fmt.Errorf("container %s: %w", id, err)
	}
	return dockerBoxed{v.Container, strings.TrimPrefix(v.Container.Name, "/")}, true, nil
}

// find looks at the container that is meant: the one that an earlier attempt
// saw, whatever it is called now.
func (c *dockerContainer) find(ctx context.Context, e Env, eng *docker.Engine) (b dockerBoxed, w dockerWas, err error) {
	w, found, err := c.remembered(e)
	if err != nil {
		return b, w, err
	}
	id := c.Container
	if found {
		id = w.ID
	}
	b, there, err := dockerFind(ctx, eng, id)
	if err == nil && !there {
		err = fmt.Errorf("container %s: there is none on %s", c.Container, e.Host.Name)
		if found {
			err = fmt.Errorf("container %s (%s): it was there when this step began, and is not now: did somebody remove it?", w.Name, dockerShort(w.ID))
		}
	}
	if err == nil && !found {
		w = c.want(b)
	}
	return b, w, err
}

// want is what the step makes of a container.
func (c *dockerContainer) want(b dockerBoxed) dockerWas {
	w := dockerWas{ID: b.ID, Name: b.name, Running: b.running(), Paused: b.paused(), Policy: b.policy(), Rename: c.Rename}
	if c.Keep > 0 && !(c.Rename == "" && dockerUntil.MatchString(b.name)) {
		if w.Rename == "" {
			w.Rename = b.name
		}
		w.Rename += ".until-" + time.Now().UTC().Add(time.Duration(c.Keep)).Format(time.DateOnly)
	}
	return w
}

func (c *dockerContainer) policyDiffers(b dockerBoxed) bool {
	return c.Restart != "" && b.policy() != c.Restart
}

func (c *dockerContainer) Pending(ctx context.Context, e Env) ([]Change, error) {
	eng, err := docker.Look(ctx, e.Host)
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	if c.Remove {
		return c.pendingRemove(ctx, e, eng)
	}
	b, w, err := c.find(ctx, e, eng)
	if err != nil {
		return nil, err
	}
	if err := c.refuses(b); err != nil {
		return nil, err
	}
	var changes []Change
	add := func(format string, a ...any) { changes = append(changes, Change{Text: fmt.Sprintf(format, a...)}) }
	if c.policyDiffers(b) {
		add("set the restart policy of %s from %s to %s", b.name, b.policy(), c.Restart)
	}
	if c.State == "stopped" && b.running() {
		add("stop %s (%s; killed after %s)%s", b.name, b.State.Status, time.Duration(c.Grace), dockerBelongs(b))
	}
	if w.Rename != "" && b.name != w.Rename {
		add("rename %s to %s", b.name, w.Rename)
	}
	if c.State == "started" && (!b.running() || b.paused()) {
		add("start %s (%s)", b.name, b.State.Status)
	}
	return changes, nil
}

// refuses what could not be taken back.
func (c *dockerContainer) refuses(b dockerBoxed) error {
	if c.State == "stopped" && b.running() && b.HostConfig != nil && b.HostConfig.AutoRemove {
		return fmt.Errorf("container %s was started with --rm: stopped, it would be gone, and there would be no way back", b.name)
	}
	return nil
}

// dockerBelongs says who else starts and stops a container.
func dockerBelongs(b dockerBoxed) string {
	if b.Config == nil {
		return ""
	}
	if s := b.Config.Labels["com.docker.swarm.service.name"]; s != "" {
		return "; it belongs to the Swarm's " + s + ", which will start another one"
	}
	if p := b.Config.Labels["com.docker.compose.project"]; p != "" {
		return "; it belongs to the Compose project " + p + ", whose next `up` starts it again"
	}
	return ""
}

func dockerRestart(policy string) *container.RestartPolicy {
	name, count, _ := strings.Cut(policy, ":")
	n, _ := strconv.Atoi(count)
	return &container.RestartPolicy{Name: container.RestartPolicyMode(name), MaximumRetryCount: n}
}

// due is the last day on which a container is kept, by its name; zero if none
// is there.
func dockerDue(name string) (time.Time, error) {
	m := dockerUntil.FindStringSubmatch(name)
	if m == nil {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, m[1])
	if err != nil {
		return t, fmt.Errorf("container %s: the date in its name is none", name)
	}
	return t, nil
}

// removable finds the container to be removed: by its name, or by that with a
// date behind it.
func (c *dockerContainer) removable(ctx context.Context, e Env, eng *docker.Engine) (b dockerBoxed, there bool, err error) {
	if b, there, err = dockerFind(ctx, eng, c.Container); err != nil || there {
		return b, there, err
	}
	all, err := eng.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return b, false, fmt.Errorf("containers of %s: %w", e.Host.Name, err)
	}
	var found []string
	for _, s := range all.Items {
		for _, n := range s.Names {
			n = strings.TrimPrefix(n, "/")
			if dockerUntil.ReplaceAllString(n, "") == c.Container {
				found = append(found, n)
			}
		}
	}
	slices.Sort(found)
	if len(found) > 1 {
		return b, false, fmt.Errorf("several containers are kept as %s: %s; name the one", c.Container, strings.Join(found, ", "))
	}
	if len(found) == 0 {
		return b, false, nil
	}
	return dockerFind(ctx, eng, found[0])
}

func (c *dockerContainer) pendingRemove(ctx context.Context, e Env, eng *docker.Engine) ([]Change, error) {
	b, there, err := c.removable(ctx, e, eng)
	if err != nil || !there {
		return nil, err
	}
	if err := c.mayRemove(b); err != nil {
		return nil, err
	}
	return []Change{{Text: fmt.Sprintf("remove container %s (%s) for good", b.name, b.State.Status)}}, nil
}

func (c *dockerContainer) mayRemove(b dockerBoxed) error {
	due, err := dockerDue(b.name)
	if err != nil {
		return err
	}
	if end := due.AddDate(0, 0, 1); !due.IsZero() && time.Now().UTC().Before(end) {
		return fmt.Errorf("container %s is kept until the end of %s (UTC); it was not removed. Retry when that day is over", b.name, due.Format(time.DateOnly))
	}
	if b.running() {
		return fmt.Errorf("container %s runs; it was not removed. Stop it first, if nobody uses it", b.name)
	}
	return nil
}
