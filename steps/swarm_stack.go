package steps

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
	"go.yaml.in/yaml/v3"

	"belay/checks"
	"belay/remote"
	"belay/steps/docker"
)

func init() {
	register(Kind{
		Name:    "swarm.stack",
		Summary: "Deploys a compose file as a stack of a Docker Swarm, waits until every service of it runs, and goes back to the services that were there before.",
		Example: `- step: Deploy the monitoring
  on: chat
  swarm.stack: {name: monitoring, files: [/opt/monitoring/stack.yaml], wait: 10m}
`,
		New: func() Step { return &swarmStack{} },
	})
}

type swarmStack struct {
	Name    string            `yaml:"name" required:"" doc:"name of the stack; its services are called NAME_SERVICE"`
	Files   []string          `yaml:"files" scalar:"" required:"" doc:"compose files on the host, as docker stack deploy takes them: format 3, where newer elements of Compose are not known"`
	Env     map[string]string `yaml:"env" doc:"variables for the files; they stand in a command line, so nothing secret"`
	Prune   bool              `yaml:"prune" doc:"remove services of the stack that the files do not name any more"`
	Resolve string            `yaml:"resolve" enum:"always|changed|never" default:"always" doc:"when the registry is asked for the digest of an image"`
	Auth    bool              `yaml:"registry_auth" doc:"give the nodes the credentials for registries that the login has"`
	Wait    remote.Duration   `yaml:"wait" default:"5m" doc:"how long it may take until all services run"`
}

func (s *swarmStack) Validate() error {
	var errs []error
	if !swarmName.MatchString(s.Name) || strings.ContainsAny(s.Name, ".") {
		errs = append(errs, Field("name", "%q cannot be the name of a stack", s.Name))
	}
	for i, f := range s.Files {
		if !path.IsAbs(f) {
			errs = append(errs, Field(fmt.Sprintf("files.%d", i), "%q is not an absolute path", f))
		}
	}
	if len(s.Files) == 0 {
		errs = append(errs, Field("files", "one at least"))
	}
	for k := range s.Env {
		if !swarmEnvKey.MatchString(k) {
			errs = append(errs, Field("env", "%q cannot be the name of a variable", k))
		}
	}
	if s.Wait <= 0 {
		errs = append(errs, Field("wait", "it must be more than 0"))
	}
	return errors.Join(errs...)
}

// Needs asks for a Swarm's manager.
func (s *swarmStack) Needs(on string) []checks.Check {
	return []checks.Check{&swarmNeed{on: on, key: "stack " + s.Name}}
}

func (s *swarmStack) Repeatable() bool { return true }

// Hints are those of a service.
func (s *swarmStack) Hints() []Hint { return (*swarmService)(nil).Hints() }

// swarmStacked is remembered.
type swarmStacked struct {
	Name    string            `json:"name"`
	Kept    map[string]string `json:"kept"`            // services that were there: the configs that hold their specs
	Others  []string          `json:"others"`          // networks, secrets and configs of the stack that were there
	Wanted  []string          `json:"wanted"`          // services that the files name
	After   map[string]string `json:"after,omitempty"` // services after the deployment: sums of their specs
	Sources string            `json:"sources,omitempty"`
}

const swarmStackedKey = "swarm.stack"

func (s *swarmStack) remembered(e Env) (rec swarmStacked, found bool, err error) {
	if e.Memory == nil {
		return rec, false, nil
	}
	found, err = e.Memory.Get(swarmStackedKey, &rec)
	return rec, found && rec.Name != "", err
}

// swarmStackSeen is a stack as it is, and as the files name it.
type swarmStackSeen struct {
	now     map[string]swarm.Service // by name in the Swarm
	want    map[string]string        // name in the Swarm: image, as it stands in the files
	sources string                   // sum of files and variables
}

const swarmStackLabel = "com.docker.stack.namespace"

func (s *swarmStack) see(ctx context.Context, e Env, eng *docker.Engine) (v swarmStackSeen, err error) {
	if v.now, err = s.services(ctx, eng); err != nil {
		return v, err
	}
	v.want = map[string]string{}
	sum := sha256.New()
	for _, f := range s.Files {
		c := remote.Sh(`cat <"$1"`, f)
		c.Pure = true
		text, err := remote.Output(ctx, e.Host, c)
		if err != nil {
			return v, fmt.Errorf("read %s on %s: %w", f, e.Host.Name, err)
		}
		fmt.Fprintf(sum, "%d %s", len(text), text)
		var file struct {
			Services map[string]struct {
				Image string `yaml:"image"`
			} `yaml:"services"`
		}
		if err := yaml.Unmarshal(text, &file); err != nil {
			return v, fmt.Errorf("%s on %s is not a readable compose file", f, e.Host.Name) // the error may quote it
		}
		for name, x := range file.Services {
			name = s.Name + "_" + name
			if x.Image != "" || v.want[name] == "" {
				v.want[name] = x.Image
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(s.Env)) {
		fmt.Fprintf(sum, "%q=%q", k, s.Env[k])
	}
	v.sources = fmt.Sprintf("%x", sum.Sum(nil))
	return v, nil
}

// services are the stack's, by name.
func (s *swarmStack) services(ctx context.Context, eng *docker.Engine) (map[string]swarm.Service, error) {
	list, err := eng.ServiceList(ctx, client.ServiceListOptions{Filters: make(client.Filters).Add("label", swarmStackLabel+"="+s.Name)})
	if err != nil {
		return nil, fmt.Errorf("services of stack %s: %w", s.Name, err)
	}
	all := map[string]swarm.Service{}
	for _, x := range list.Items {
		all[x.Spec.Name] = x
	}
	return all, nil
}

func swarmSpecSum(s swarm.ServiceSpec) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(docker.SpecText(s))))
}

func (s *swarmStack) Pending(ctx context.Context, e Env) ([]Change, error) {
	eng, err := docker.Look(ctx, e.Host)
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	if err := swarmManager(ctx, eng, e.Host); errors.Is(err, errNoSwarm) {
		return []Change{{Text: fmt.Sprintf("deploy stack %s, once the Swarm is there", s.Name)}}, nil
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Host.Name, err)
	}
	v, err := s.see(ctx, e, eng)
	if err != nil {
		return nil, err
	}
	rec, _, err := s.remembered(e)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(v.want)) {
		text, diff, err := s.pendingOne(ctx, e, eng, v, rec, name)
		if err != nil {
			return nil, err
		}
		if text != "" {
			changes = append(changes, Change{Text: text, Diff: diff})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.now)) {
		if _, stays := v.want[name]; !stays && s.Prune {
			changes = append(changes, Change{Text: fmt.Sprintf("remove service %s, which the files do not name", name)})
		}
	}
	if len(changes) > 0 {
		changes[0].Cmd = remote.Quote(s.argv()...)
	}
	return changes, nil
}

func (s *swarmStack) pendingOne(ctx context.Context, e Env, eng *docker.Engine, v swarmStackSeen, rec swarmStacked, name string) (text, diff string, err error) {
	x, there := v.now[name]
	image := v.want[name]
	if !there {
		return fmt.Sprintf("create service %s from %s", name, image), "", nil
	}
	if rec.Sources == v.sources && rec.After[name] == swarmSpecSum(x.Spec) {
		now, err := s.rollout(e, name, time.Duration(s.Wait)).Look(ctx, eng)
		if err != nil || now.Done() {
			return "", "", err
		}
		return fmt.Sprintf("wait for service %s: %s", name, now.Note+now.Fatal), "", nil
	}
	had := ""
	if c := x.Spec.TaskTemplate.ContainerSpec; c != nil {
		had = c.Image
	}
	if tagged, _, _ := strings.Cut(had, "@"); image != had && image != tagged {
		return fmt.Sprintf("update service %s from %s to %s", name, had, image), fileDiff("service "+name, "image: "+had+"\n", "image: "+image+"\n"), nil
	}
	return fmt.Sprintf("deploy service %s again; the Swarm replaces its tasks if the files changed it", name), "", nil
}

func (s *swarmStack) argv() []string {
	argv := []string{"env"}
	for _, k := range slices.Sorted(maps.Keys(s.Env)) {
		argv = append(argv, k+"="+s.Env[k])
	}
	argv = append(argv, "docker", "stack", "deploy", "--resolve-image", s.Resolve)
	if s.Prune {
		argv = append(argv, "--prune")
	}
	if s.Auth {
		argv = append(argv, "--with-registry-auth")
	}
	for _, f := range s.Files {
		argv = append(argv, "--compose-file", f)
	}
	return append(argv, s.Name)
}

func (s *swarmStack) rollout(e Env, service string, limit time.Duration) docker.Rollout {
	return docker.Rollout{Service: service, Limit: limit, Stable: swarmStable, Log: e.Log, Say: func(done, total int64, text string) {
		e.Say(Progress{Done: done, Total: total, Unit: "tasks", Text: service + " " + text})
	}}
}

// Verify asks the manager for the tasks of every service.
func (s *swarmStack) Verify(ctx context.Context, e Env) error {
	eng, err := docker.Look(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	v, err := s.see(ctx, e, eng)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(v.want)) {
		if _, there := v.now[name]; !there {
			return fmt.Errorf("stack %s: service %s is not there", s.Name, name)
		}
		now, err := s.rollout(e, name, time.Duration(s.Wait)).Look(ctx, eng)
		if err == nil && !now.Done() {
			err = fmt.Errorf("service %s: %d of %d tasks run; %s", name, now.Ready, now.Want, now.Note+now.Fatal)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
