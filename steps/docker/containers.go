package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"belay/remote"
)

// Container is one container of a Compose project.
type Container struct {
	ID       string
	Name     string
	Service  string
	Image    string // ID of the image that it runs
	State    string // created, running, paused, restarting, removing, exited, dead
	Exit     int    // of the last end
	Error    string // why it could not be started
	Health   string // starting, healthy, unhealthy; "" without a healthcheck
	Restarts int    // by the engine, since it was created
	Started  time.Time
	Policy   string // no, always, unless-stopped, on-failure
	Config   string // Compose's hash of the service's configuration
	OneOff   bool   // of `compose run`; not part of the service
}

// inspectFormat takes what is needed and leaves the environment out, which
// holds secrets.
const inspectFormat = `{"ID":{{json .Id}},"Name":{{json .Name}},"Image":{{json .Image}},"State":{{json .State}},"Restarts":{{json .RestartCount}},"Labels":{{json .Config.Labels}},"Policy":{{json .HostConfig.RestartPolicy.Name}}}`

// Containers returns a project's containers, running or not, sorted by service
// and name. Those of `compose run` are left out.
func Containers(ctx context.Context, r remote.Runner, project string) ([]Container, error) {
	// A container may vanish between the two commands: then once more.
	const script = `for n in 1 2 3; do
	ids=$(docker ps -aq --no-trunc --filter "label=com.docker.compose.project=$1") || exit 1
	[ -n "$ids" ] || exit 0
	if out=$(docker inspect --type container --format "$2" $ids 2>&1); then
		printf '%s\n' "$out"
		exit 0
	fi
done
printf '%s\n' "$out" >&2
exit 1`
	c := remote.Sh(script, project, inspectFormat)
	c.Pure = true
	out, err := remote.Output(ctx, r, c)
	if err != nil {
		return nil, fmt.Errorf("containers of %s: %w", project, err)
	}
	all, err := parseContainers(out)
	if err != nil {
		return nil, fmt.Errorf("containers of %s: %w", project, err)
	}
	return all, nil
}

func parseContainers(out []byte) ([]Container, error) {
	var all []Container
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var v struct {
			ID, Name, Image, Policy string
			Restarts                int
			Labels                  map[string]string
			State                   struct {
				Status    string
				ExitCode  int
				Error     string
				StartedAt time.Time
				Health    *struct{ Status string }
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			return nil, fmt.Errorf("docker inspect: unexpected answer %.100q: %w", lines.Text(), err)
		}
		c := Container{
			ID: v.ID, Name: strings.TrimPrefix(v.Name, "/"), Image: v.Image, Policy: v.Policy, Restarts: v.Restarts,
			State: v.State.Status, Exit: v.State.ExitCode, Error: v.State.Error, Started: v.State.StartedAt,
			Service: v.Labels["com.docker.compose.service"], Config: v.Labels["com.docker.compose.config-hash"],
			OneOff: strings.EqualFold(v.Labels["com.docker.compose.oneoff"], "true"), // "True" by v1 and v2, "true" by others
		}
		if v.State.Health != nil && v.State.Health.Status != "none" {
			c.Health = v.State.Health.Status
		}
		if !c.OneOff && c.Service != "" {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b Container) int {
		return strings.Compare(a.Service+"\x00"+a.Name, b.Service+"\x00"+b.Name)
	})
	return all, lines.Err()
}

// Ready tells whether the container is as it should be: it runs and is not
// known to be unwell, or it was to run once and ended well.
func (c Container) Ready() bool {
	switch c.State {
	case "running":
		return c.Health == "" || c.Health == "healthy"
	case "exited":
		return c.Exit == 0 && (c.Policy == "no" || c.Policy == "" || c.Policy == "on-failure")
	}
	return false
}

// Running tells whether it runs now.
func (c Container) Running() bool { return c.State == "running" || c.State == "paused" }

// String says how the container is: "restarting (exit status 1, 4 restarts)".
func (c Container) String() string {
	s := c.State
	var more []string
	if c.Health != "" {
		more = append(more, c.Health)
	}
	if c.State == "exited" || c.State == "restarting" || c.State == "dead" {
		more = append(more, fmt.Sprintf("exit status %d", c.Exit))
	}
	if c.Restarts > 0 {
		more = append(more, fmt.Sprintf("%d restarts", c.Restarts))
	}
	if c.Error != "" {
		more = append(more, c.Error)
	}
	if len(more) > 0 {
		s += " (" + strings.Join(more, ", ") + ")"
	}
	return s
}

// Logs returns the last n lines that a container wrote.
func Logs(ctx context.Context, r remote.Runner, id string, n int) (string, error) {
	c := remote.Sh(`docker logs --tail "$2" "$1" 2>&1 | tail -c 8192`, id, strconv.Itoa(n))
	c.Pure = true
	out, err := remote.Output(ctx, r, c)
	if err != nil {
		return "", fmt.Errorf("logs of container %.12s: %w", id, err)
	}
	return string(out), nil
}

// Networks returns the names of a project's networks.
func Networks(ctx context.Context, r remote.Runner, project string) ([]string, error) {
	return list(ctx, r, `docker network ls --format '{{.Name}}' --filter "label=com.docker.compose.project=$1"`, project)
}

// Volumes returns the names of a project's volumes.
func Volumes(ctx context.Context, r remote.Runner, project string) ([]string, error) {
	return list(ctx, r, `docker volume ls --format '{{.Name}}' --filter "label=com.docker.compose.project=$1"`, project)
}

func list(ctx context.Context, r remote.Runner, script, project string) ([]string, error) {
	c := remote.Sh(script, project)
	c.Pure = true
	out, err := remote.Output(ctx, r, c)
	if err != nil {
		return nil, fmt.Errorf("compose project %s: %w", project, err)
	}
	names := strings.Fields(string(out))
	slices.Sort(names)
	return names, nil
}
