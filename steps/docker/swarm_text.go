package docker

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/swarm"
)

// SpecText writes what people set of a Swarm's service, one thing a line and
// always in the same order, so that two specs can be compared and their
// difference shown. What the engine fills in by itself is left out.
func SpecText(s swarm.ServiceSpec) string {
	var b strings.Builder
	line := func(key, format string, a ...any) { fmt.Fprintf(&b, "%s: %s\n", key, fmt.Sprintf(format, a...)) }
	some := func(key, value string) {
		if value != "" {
			line(key, "%s", value)
		}
	}
	switch m := s.Mode; {
	case m.Replicated != nil && m.Replicated.Replicas != nil:
		line("replicas", "%d", *m.Replicated.Replicas)
	case m.Global != nil:
		line("replicas", "one on every node")
	}
	if c := s.TaskTemplate.ContainerSpec; c != nil {
		some("image", c.Image)
		words(line, "command", c.Command)
		words(line, "args", c.Args)
		some("user", c.User)
		for _, kv := range slices.Sorted(slices.Values(c.Env)) {
			k, v, _ := strings.Cut(kv, "=")
			line("env "+k, "%q", v)
		}
		containerText(line, c)
	}
	taskText(line, s.TaskTemplate)
	if e := s.EndpointSpec; e != nil {
		ports := slices.Clone(e.Ports)
		slices.SortFunc(ports, swarm.PortConfig.Compare)
		for _, p := range ports {
			line("port", "%d to %d/%s, %s", p.PublishedPort, p.TargetPort, orWord(string(p.Protocol), "tcp"), orWord(string(p.PublishMode), "ingress"))
		}
	}
	if u := s.UpdateConfig; u != nil {
		line("update", "%s, then %s", orWord(string(u.Order), "stop-first"), orWord(string(u.FailureAction), "pause")+" on failure")
	}
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		line("label "+k, "%q", s.Labels[k])
	}
	return b.String()
}

func words(line func(string, string, ...any), key string, list []string) {
	if len(list) > 0 {
		line(key, "%q", list)
	}
}

func containerText(line func(string, string, ...any), c *swarm.ContainerSpec) {
	mounts := make([]string, 0, len(c.Mounts))
	for _, m := range c.Mounts {
		text := fmt.Sprintf("%s %s at %s", m.Type, m.Source, m.Target)
		if m.ReadOnly {
			text += ", read only"
		}
		mounts = append(mounts, text)
	}
	slices.Sort(mounts)
	for _, m := range mounts {
		line("mount", "%s", m)
	}
	var files []string
	for _, s := range c.Secrets {
		if s != nil && s.File != nil {
			files = append(files, fmt.Sprintf("%s in /run/secrets/%s", s.SecretName, s.File.Name))
		}
	}
	slices.Sort(files)
	for _, f := range files {
		line("secret", "%s", f)
	}
	if h := c.Healthcheck; h != nil && len(h.Test) > 0 {
		line("health", "%q every %s, within %s, %d times, not before %s", h.Test, h.Interval, h.Timeout, h.Retries, h.StartPeriod)
	}
	if c.StopGracePeriod != nil {
		line("grace", "%s", *c.StopGracePeriod)
	}
}

func taskText(line func(string, string, ...any), t swarm.TaskSpec) {
	if t.Placement != nil {
		for _, c := range slices.Sorted(slices.Values(t.Placement.Constraints)) {
			line("placed where", "%s", c)
		}
	}
	if t.Resources != nil && t.Resources.Limits != nil {
		if l := t.Resources.Limits; l.MemoryBytes > 0 || l.NanoCPUs > 0 {
			line("limits", "%d bytes of memory, %g processors", l.MemoryBytes, float64(l.NanoCPUs)/1e9)
		}
	}
	if t.RestartPolicy != nil {
		line("restart", "%s", orWord(string(t.RestartPolicy.Condition), "any"))
	}
	var nets []string
	for _, n := range t.Networks {
		nets = append(nets, n.Target)
	}
	slices.Sort(nets)
	for _, n := range nets {
		line("network", "%s", n)
	}
}

func orWord(s, empty string) string {
	if s == "" {
		return empty
	}
	return s
}
