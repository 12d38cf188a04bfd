package checks

import (
	"context"
	"strings"
)

func init() {
	register(Kind{
		Name: "container", Summary: "a Docker container is in the state it should be in",
		Example: "- container: {on: chat, name: fluxer-api, state: running, health: healthy}",
		New:     func() Check { return new(ContainerCheck) },
	})
}

// ContainerCheck judges one container, named by itself or as compose has it:
// project/service, where all containers of the service must do.
type ContainerCheck struct {
	On     []string `yaml:"on" doc:"hosts; all of the plan when left out"`
	Name   string   `yaml:"name" scalar:"" required:"" doc:"name of the container, or project/service of compose"`
	State  string   `yaml:"state" enum:"running|exited|created|paused|restarting|dead|absent" default:"running" doc:"state it must be in"`
	Health string   `yaml:"health" enum:"healthy|unhealthy|starting" doc:"what its health check must say"`
	Image  string   `yaml:"image" doc:"text that its image must contain, such as a tag"`
}

func (c *ContainerCheck) HostNames() []string { return c.On }
func (c *ContainerCheck) NeedsFacts() bool    { return true }

// Validate refuses a missing name, and health of what must not be there.
func (c *ContainerCheck) Validate() error {
	if c.Name == "" {
		return Field("name", "is empty")
	}
	if c.State == "absent" && (c.Health != "" || c.Image != "") {
		return Field("state", "a container that must be absent has no health or image")
	}
	return nil
}

// Assess gives one finding a host.
func (c *ContainerCheck) Assess(_ context.Context, w World) ([]Finding, error) {
	return onFacts(c, w, c.On, c.Name, c.judge)
}

func (c *ContainerCheck) judge(f *Facts) Finding {
	project, service, compose := strings.Cut(c.Name, "/")
	var found []Container
	for _, box := range f.Containers {
		if box.Name == c.Name || compose && box.Project == project && box.Service == service {
			found = append(found, box)
		}
	}
	why, lacks := f.Lacks("docker")
	_, none := f.Lacks("docker (program)")
	switch {
	case len(found) == 0 && lacks:
		return notRead("the containers", why)
	case len(found) == 0 && c.State == "absent":
		return pass("there is no container %s", c.Name)
	case len(found) == 0 && none:
		return block("install Docker, or correct the host", "there is no container %s: docker is not installed", c.Name)
	case len(found) == 0:
		return block("start it", "there is no container %s", c.Name)
	case c.State == "absent":
		return block("remove it first", "container %s is there: %s", found[0].Name, found[0].Status)
	}
	for _, box := range found {
		if wrong := c.wrong(box); wrong != "" {
			return block("see `docker logs "+box.Name+"` there", "container %s %s", box.Name, wrong)
		}
	}
	if lacks && compose {
		return notRead("all containers", why)
	}
	return pass("container %s: %s", found[0].Name, found[0].Status)
}

func (c *ContainerCheck) wrong(box Container) string {
	state := c.State
	if state == "" {
		state = "running"
	}
	switch {
	case box.State != state:
		return "is " + box.State + ", not " + state + " (" + box.Status + ")"
	case c.Health != "" && box.Health == "":
		return "has no health check"
	case c.Health != "" && box.Health != c.Health:
		return "is " + box.Health + ", not " + c.Health + " (" + box.Status + ")"
	case !strings.Contains(box.Image, c.Image):
		return "has image " + box.Image + ", not " + c.Image
	}
	return ""
}
