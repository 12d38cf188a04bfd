package steps

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"
)

func init() {
	register(Kind{
		Name:    "swarm.service",
		Summary: "Creates or updates one service of a Docker Swarm, waits until its tasks run and are healthy, and goes back to the spec that it had.",
		Example: `- step: Run GitLab's database in the Swarm
  on: chat
  swarm.service:
    name: gitlab-postgres
    image: postgres:16
    env: {POSTGRES_PASSWORD_FILE: /run/secrets/password}
    secrets: {password: {secret: postgres_password}}
    mounts: [{volume: gitlab-postgres, at: /var/lib/postgresql/data}]
    ports: [{published: 5435, target: 5432}]
    health: {test: pg_isready -U postgres}
    node: chat
`,
		New: func() Step { return &swarmService{} },
	})
}

type swarmService struct {
	Name        string                `yaml:"name" scalar:"" required:"" doc:"name of the service"`
	Image       string                `yaml:"image" required:"" doc:"image, best with its digest (postgres:16@sha256:…); without, the digest that the registry has for it now, and where the registry cannot be asked, whatever has that name on the node"`
	Command     []string              `yaml:"command" doc:"program and arguments in place of the image's entrypoint"`
	Args        []string              `yaml:"args" doc:"arguments for the entrypoint"`
	User        string                `yaml:"user" doc:"as whom it runs, in place of the image's user"`
	Env         map[string]string     `yaml:"env" doc:"environment; everybody who may ask the engine can read it, so nothing secret"`
	Secrets     map[string]secret.Ref `yaml:"secrets" doc:"files in /run/secrets and the secrets that they hold; kept by the Swarm, on no disk of a worker"`
	Mounts      []swarmMount          `yaml:"mounts" doc:"volumes and directories of the node; volumes are made where they are missing, and never removed"`
	Ports       []swarmPort           `yaml:"ports" doc:"ports that it answers at"`
	Networks    []string              `yaml:"networks" doc:"names of networks of the Swarm, or host; left out, a network of the node's own"`
	Node        string                `yaml:"node" host:"" doc:"the host on which its tasks run; volumes do not follow a task to another node, so a database needs one"`
	Constraints []string              `yaml:"constraints" doc:"further conditions on the node, such as node.labels.disk == fast"`
	Replicas    int                   `yaml:"replicas" default:"1" doc:"how many tasks"`
	Health      *swarmHealth          `yaml:"health" doc:"command by which a task is known to be well, in place of the image's"`
	Memory      remote.Size           `yaml:"memory" doc:"the most memory that a task may have"`
	CPUs        float64               `yaml:"cpus" doc:"the most processors that a task may use, such as 1.5"`
	Labels      map[string]string     `yaml:"labels" doc:"labels of the service"`
	Grace       remote.Duration       `yaml:"grace" default:"30s" doc:"how long a task may take to stop before it is killed"`
	Restart     string                `yaml:"restart" enum:"any|on-failure|none" default:"any" doc:"after which ends of a task another one is started"`
	Order       string                `yaml:"order" enum:"stop-first|start-first" default:"stop-first" doc:"which comes first when a task is replaced; with a port of the node itself only stop-first can be, for both would need the port"`
	Failure     string                `yaml:"failure" enum:"pause|rollback" default:"pause" doc:"what the Swarm itself does with an update whose tasks fail; the step fails either way"`
	Wait        remote.Duration       `yaml:"wait" default:"5m" doc:"how long it may take until all tasks run"`
}

type swarmMount struct {
	Volume   string `yaml:"volume" doc:"name of a volume"`
	Path     string `yaml:"path" doc:"or a path on the node"`
	At       string `yaml:"at" required:"" doc:"where it is in the container"`
	ReadOnly bool   `yaml:"read_only" doc:"the container may not write to it"`
}

type swarmPort struct {
	Published int    `yaml:"published" required:"" doc:"the port that clients know"`
	Target    int    `yaml:"target" required:"" doc:"the port in the container"`
	Protocol  string `yaml:"protocol" enum:"tcp|udp" default:"tcp" doc:"tcp or udp"`
	Mode      string `yaml:"mode" enum:"host|ingress" default:"host" doc:"host: on the node that has the task, and clients' addresses are seen; ingress: on every node, passed on by the Swarm"`
}

type swarmHealth struct {
	Test    string          `yaml:"test" scalar:"" required:"" doc:"shell command in the container"`
	Every   remote.Duration `yaml:"every" default:"5s" doc:"how often"`
	Timeout remote.Duration `yaml:"timeout" default:"5s" doc:"how long it may take"`
	Retries int             `yaml:"retries" default:"12" doc:"how often in a row it may fail"`
	Start   remote.Duration `yaml:"start" default:"30s" doc:"failures this long after the start do not count"`
}

var (
	// swarmName is what swarmkit takes for a service's name (manager/controlapi:
	// a DNS name component).
	swarmName       = regexp.MustCompile(`^[a-zA-Z0-9]([-_.a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$`)
	swarmFile       = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,40}$`)
	swarmEnvKey     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	swarmConstraint = regexp.MustCompile(`^(node|engine)\.[a-zA-Z0-9_.-]+\s*(==|!=)\s*\S+$`)
)

func (s *swarmService) Validate() error {
	var errs []error
	refuse := func(field, format string, a ...any) { errs = append(errs, Field(field, format, a...)) }
	if !swarmName.MatchString(s.Name) {
		refuse("name", "%q cannot be the name of a service", s.Name)
	}
	if !dockerSource.MatchString(s.Image) {
		refuse("image", "%q is not the name of an image", s.Image)
	}
	for k := range s.Env {
		if !swarmEnvKey.MatchString(k) {
			refuse("env", "%q cannot be the name of a variable", k)
		}
	}
	for file, ref := range s.Secrets {
		if !swarmFile.MatchString(file) || len(s.Name)+len(file) > 50 {
			refuse("secrets", "%q cannot be the name of the file, or is too long", file)
		}
		if ref.Name == "" {
			refuse("secrets."+file, "which secret? write {secret: name}")
		}
	}
	for i, c := range s.Constraints {
		if !swarmConstraint.MatchString(c) {
			refuse(fmt.Sprintf("constraints.%d", i), "%q is not like node.labels.disk == fast", c)
		}
	}
	for i, n := range s.Networks {
		if !dockerName.MatchString(n) {
			refuse(fmt.Sprintf("networks.%d", i), "%q cannot be the name of a network", n)
		}
	}
	if s.Replicas < 0 {
		refuse("replicas", "%d is less than nothing", s.Replicas)
	}
	if s.CPUs < 0 || s.Memory < 0 {
		refuse("cpus", "a limit cannot be less than nothing")
	}
	if s.Wait <= 0 {
		refuse("wait", "it must be more than 0")
	}
	return errors.Join(append(errs, s.checkMounts(), s.checkPorts())...)
}

func (s *swarmService) checkMounts() error {
	var errs []error
	seen := map[string]bool{}
	for i, m := range s.Mounts {
		field := fmt.Sprintf("mounts.%d", i)
		switch {
		case (m.Volume == "") == (m.Path == ""):
			errs = append(errs, Field(field, "say one of volume and path"))
		case m.Volume != "" && !dockerName.MatchString(m.Volume):
			errs = append(errs, Field(field+".volume", "%q cannot be the name of a volume", m.Volume))
		case m.Path != "" && !strings.HasPrefix(m.Path, "/"):
			errs = append(errs, Field(field+".path", "%q is not an absolute path", m.Path))
		}
		if !strings.HasPrefix(m.At, "/") || seen[m.At] {
			errs = append(errs, Field(field+".at", "%q is not an absolute path of its own", m.At))
		}
		seen[m.At] = true
	}
	return errors.Join(errs...)
}

func (s *swarmService) checkPorts() error {
	var errs []error
	seen := map[string]bool{}
	for i, p := range s.Ports {
		field := fmt.Sprintf("ports.%d", i)
		for name, n := range map[string]int{"published": p.Published, "target": p.Target} {
			if n < 1 || n > 65535 {
				errs = append(errs, Field(field+"."+name, "%d is not a port", n))
			}
		}
		key := fmt.Sprint(p.Published, p.Protocol)
		if seen[key] {
			errs = append(errs, Field(field+".published", "port %d is published twice", p.Published))
		}
		seen[key] = true
		if p.Mode != "host" {
			continue
		}
		// The Swarm would say "host-mode port already in use" and go on waiting.
		if s.Order == "start-first" {
			errs = append(errs, Field("order", "port %d is one of the node itself: a new task cannot have it before the old one has stopped; say stop-first", p.Published))
		}
		if s.Node != "" && s.Replicas > 1 {
			errs = append(errs, Field("replicas", "port %d is one of the node itself, and only one task on %s can have it", p.Published, s.Node))
		}
	}
	return errors.Join(errs...)
}

// HostNames is the node, which is asked as well.
func (s *swarmService) HostNames() []string {
	if s.Node == "" {
		return nil
	}
	return []string{s.Node}
}

// Needs asks for a Swarm's manager, for its image, and for its ports.
func (s *swarmService) Needs(on string) []checks.Check {
	return []checks.Check{&swarmNeed{on: on, node: s.Node, key: s.Name, of: s}}
}

func (s *swarmService) Repeatable() bool { return true }

// Hints explain what the Swarm says.
func (s *swarmService) Hints() []Hint {
	return []Hint{
		{Match: `host-mode port already in use`, Cause: "another service of the Swarm has this port of the node", Fix: "remove that one, or publish another port"},
		{Match: `port is already allocated|address already in use`, Cause: "something outside the Swarm has the port of the node, which the Swarm does not see", Fix: "stop it (a container that was started by hand, perhaps), then retry"},
		{Match: `No such image|pull access denied`, Cause: "the node has no such image, and cannot pull it", Fix: "bring it to the node with docker.image, then retry"},
		{Match: `no suitable node`, Cause: "no node fulfils the constraints, or has the room", Fix: "look at `docker node ls` and the constraints"},
	}
}

func (s *swarmService) limit() time.Duration { return time.Duration(s.Wait) }
