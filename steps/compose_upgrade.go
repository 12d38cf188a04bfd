package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"belay/checks"
	"belay/remote"
	"belay/steps/docker"
)

func init() {
	register(Kind{
		Name:    "compose.upgrade",
		Summary: "Brings a Docker Compose project, or some of its services, to the images that its files now name, and back to the very images that ran before.",
		Example: `- step: Upgrade the server
  on: chat
  compose.upgrade: {dir: /opt/fluxer, services: [server], wait: 10m, follow: [server]}
  progress: {match: 'Applied migration: (\d+)', total: 12, unit: migrations}
`,
		New: func() Step { return &composeUpgrade{} },
	})
}

type composeUpgrade struct {
	composeProject `yaml:",inline"`
	Services       []string        `yaml:"services" doc:"only these, without what they depend on; left out, all"`
	Pull           string          `yaml:"pull" enum:"always|missing|never" default:"always" doc:"which images are pulled first; missing suits images that a step brought"`
	Grace          remote.Duration `yaml:"grace" default:"30s" doc:"how long an old container may take to stop before it is killed"`
	Wait           remote.Duration `yaml:"wait" default:"5m" doc:"how long the services may take until they are ready; one that keeps crashing fails the step sooner"`
	Settle         remote.Duration `yaml:"settle" default:"3s" doc:"how long a container without a healthcheck must run until its service counts as ready: right after its start everything runs; at most half of wait"`
	Healthy        []string        `yaml:"healthy" doc:"services that must have a healthcheck and pass it; others need to only if they have one"`
	MayFail        []string        `yaml:"may_fail" doc:"services that need not be ready"`
	Follow         []string        `yaml:"follow" doc:"services whose containers' log comes into the step's log while it waits"`
	Unhealthy      string          `yaml:"unhealthy" enum:"stay|back" default:"stay" doc:"when the new containers are not ready in time: let them stay for a look, or go back at once and fail then"`
}

func (c *composeUpgrade) up() *composeUp {
	return &composeUp{composeProject: c.composeProject, Services: c.Services, Wait: c.Wait, Settle: c.Settle, Healthy: c.Healthy, MayFail: c.MayFail, Follow: c.Follow}
}

func (c *composeUpgrade) Validate() error { return c.up().Validate() }

// Needs asks for the engine and for either form of Compose.
func (c *composeUpgrade) Needs(on string) []checks.Check {
	return append(c.up().Needs(on), &dockerNeed{on: on, key: c.Dir})
}

func (c *composeUpgrade) Repeatable() bool { return true }

// composeRan is a service as it ran before the upgrade.
type composeRan struct {
	Name    string `json:"name"`  // of the image, as the container was made with it
	Image   string `json:"image"` // its ID
	Alias   string `json:"alias"` // under which it is kept
	Stopped bool   `json:"stopped,omitempty"`
}

// composeUpgraded is remembered.
type composeUpgraded struct {
	Project string                `json:"project"`
	Ran     map[string]composeRan `json:"ran"`            // services that had a container
	Fresh   []string              `json:"fresh"`          // services that had none
	New     map[string]string     `json:"new,omitempty"`  // service → ID of the image that the files name
	Files   []string              `json:"files"`          // the compose files, as Compose found them
	Done    bool                  `json:"done,omitempty"` // the services were ready
}

const composeUpgradeKey = "compose-upgrade"

func (c *composeUpgrade) remembered(e Env) (rec composeUpgraded, found bool, err error) {
	if e.Memory == nil {
		return rec, false, nil
	}
	found, err = e.Memory.Get(composeUpgradeKey, &rec)
	return rec, found && rec.Project != "", err
}

// composeSeen is a project with its images: those that the files name, and
// those that run.
type composeSeen struct {
	composeView
	want  []string          // services of this step
	names map[string]string // service → image that the files name; absent for one that is only built
	local map[string]string // service → ID of that image here; absent when it is not here
}

func (c *composeUpgrade) see(ctx context.Context, e Env, eng *docker.Engine) (s composeSeen, err error) {
	if s.composeView, err = c.look(ctx, e); err != nil {
		return s, err
	}
	if s.want, err = c.up().wanted(s.composeView); err != nil {
		return s, err
	}
	if s.names, err = composeImages(ctx, e, s.composeView); err != nil {
		return s, err
	}
	return s, c.locals(ctx, eng, &s)
}

func (c *composeUpgrade) locals(ctx context.Context, eng *docker.Engine, s *composeSeen) error {
	s.local = map[string]string{}
	for _, svc := range s.want {
		name := s.names[svc]
		if name == "" {
			continue
		}
		v, there, err := dockerInspect(ctx, eng, name)
		if err != nil {
			return err
		}
		if there {
			s.local[svc] = v.ID
		}
	}
	return nil
}

// composeImages are the images that the files name, with all variables filled
// in. What else the configuration holds, secrets perhaps, is dropped.
func composeImages(ctx context.Context, e Env, v composeView) (map[string]string, error) {
	cmd := v.compose.Cmd(v.project, "config")
	cmd.Pure = true
	out, err := remote.Output(ctx, e.Host, cmd)
	if err != nil {
		return nil, fmt.Errorf("compose files in %s: %w", v.project.Dir, err)
	}
	var config struct {
		Services map[string]struct {
			Image string `yaml:"image"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(out, &config); err != nil {
		return nil, fmt.Errorf("compose files in %s: the configuration is not readable YAML", v.project.Dir)
	}
	all := map[string]string{}
	for svc, s := range config.Services {
		if s.Image != "" {
			all[svc] = s.Image
		}
	}
	return all, nil
}

func (c *composeUpgrade) Pending(ctx context.Context, e Env) ([]Change, error) {
	eng, err := docker.Look(ctx, e.Host)
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	s, err := c.see(ctx, e, eng)
	if errors.Is(err, docker.ErrNoDir) {
		return []Change{{Text: fmt.Sprintf("upgrade the services of %s; which ones can be told when the directory is there", c.Dir)}}, nil
	}
	if err != nil {
		return nil, err
	}
	rec, _, err := c.remembered(e)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, svc := range s.want {
		if text := c.pendingOne(s, rec, svc); text != "" {
			changes = append(changes, Change{Text: text})
		}
	}
	if len(changes) > 0 {
		changes[0].Cmd = remote.Quote(s.compose.Cmd(s.project, c.words()...).Argv[5:]...)
	}
	return changes, nil
}

func (c *composeUpgrade) pendingOne(s composeSeen, rec composeUpgraded, svc string) string {
	have := s.of(svc)
	name, id := s.names[svc], s.local[svc]
	ready, _, _ := composeServiceState(have, svc, slices.Contains(c.Healthy, svc))
	switch {
	case len(have) == 0:
		return fmt.Sprintf("create and start service %s from %s", svc, name)
	case name == "":
		if ready || slices.Contains(c.MayFail, svc) {
			return ""
		}
		return fmt.Sprintf("start service %s, which is %s", svc, have[0])
	case id == "":
		return fmt.Sprintf("upgrade service %s to %s, which is not here yet; %s is kept", svc, name, dockerShort(have[0].Image))
	case have[0].Image != id:
		return fmt.Sprintf("upgrade service %s from image %s to %s (%s); the old one is kept", svc, dockerShort(have[0].Image), name, dockerShort(id))
	case c.Pull == "always" && !rec.Done:
		return fmt.Sprintf("look for a newer %s, and upgrade service %s to it; %s is kept", name, svc, dockerShort(have[0].Image))
	case !ready && !slices.Contains(c.MayFail, svc):
		return fmt.Sprintf("start service %s, which is %s", svc, have[0])
	}
	return ""
}

func (c *composeUpgrade) words() []string {
	args := []string{"up", "-d", "-t", fmt.Sprint(int(time.Duration(c.Grace).Seconds()))}
	if len(c.Services) > 0 {
		args = append(args, "--no-deps")
	}
	return append(args, c.Services...)
}

// Verify asks the engine which images the containers run.
func (c *composeUpgrade) Verify(ctx context.Context, e Env) error {
	eng, err := docker.Look(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	s, err := c.see(ctx, e, eng)
	if err != nil {
		return err
	}
	for _, svc := range s.want {
		for _, x := range s.of(svc) {
			if id := s.local[svc]; s.names[svc] != "" && x.Image != id {
				return fmt.Errorf("project %s: %s runs image %s, and %s is %s", s.project.Name, x.Name, dockerShort(x.Image), s.names[svc], dockerShort(id))
			}
		}
	}
	rec, found, err := c.remembered(e)
	if err != nil {
		return err
	}
	if found {
		for _, svc := range slices.Sorted(maps.Keys(rec.Ran)) {
			r := rec.Ran[svc]
			if v, there, err := dockerInspect(ctx, eng, r.Alias); err != nil || !there || v.ID != r.Image {
				return errors.Join(err, fmt.Errorf("project %s: image %s, which %s ran before, is not kept as %s", s.project.Name, dockerShort(r.Image), svc, r.Alias))
			}
		}
	}
	up := c.up()
	return up.Verify(ctx, e)
}
