package steps

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"belay/remote"
	"belay/steps/docker"
)

// swarmStepLabel says which step has made something.
const swarmStepLabel = "belay.step"

// swarmSeen is a service as it is, and as the step wants it.
type swarmSeen struct {
	there  bool
	now    swarm.Service
	want   swarm.ServiceSpec
	secret map[string]swarmSealed // by file; those that are to be made have no ID
	note   string                 // on the image
}

func (v swarmSeen) differs() bool {
	return !v.there || docker.SpecText(v.now.Spec) != docker.SpecText(v.want)
}

// see asks the manager, and builds what is wanted. It only looks.
func (s *swarmService) see(ctx context.Context, e Env, eng *docker.Engine) (v swarmSeen, err error) {
	rec, _, err := s.remembered(e)
	if err != nil {
		return v, err
	}
	if v.now, v.there, err = swarmFind(ctx, eng, s.Name); err != nil {
		return v, err
	}
	if v.there {
		if v.want, err = swarmClone(v.now.Spec); err != nil {
			return v, err
		}
	}
	if v.secret, err = s.sealed(ctx, e, eng); err != nil {
		return v, err
	}
	node := ""
	if s.Node != "" {
		if node, err = swarmNodeID(ctx, e, eng, s.Node); err != nil {
			return v, err
		}
	}
	nets := make([]string, 0, len(s.Networks))
	for _, name := range s.Networks {
		// Also host has an ID of the Swarm's own, besides the engine's.
		n, err := eng.NetworkInspect(ctx, name, client.NetworkInspectOptions{Scope: "swarm"})
		if err != nil {
			return v, fmt.Errorf("network %s: %w", name, err)
		}
		nets = append(nets, n.Network.ID)
	}
	image := ""
	image, v.note = s.resolve(ctx, eng, v, rec)
	s.fill(&v.want, image, node, nets, v.secret)
	return v, nil
}

// resolve pins the image to a digest where that can be known, and to the same
// one on every attempt.
func (s *swarmService) resolve(ctx context.Context, eng *docker.Engine, v swarmSeen, rec swarmServed) (image, note string) {
	image = s.Image
	if strings.Contains(image, "@") {
		return image, ""
	}
	if path := image[strings.LastIndex(image, "/")+1:]; !strings.Contains(path, ":") {
		image += ":latest" // as the engine writes it
	}
	if strings.HasPrefix(rec.Image, image+"@") {
		return rec.Image, ""
	}
	d, err := eng.DistributionInspect(ctx, image, client.DistributionInspectOptions{})
	if err == nil && d.Descriptor.Digest != "" {
		return image + "@" + d.Descriptor.Digest.String(), ""
	}
	if c := v.now.Spec.TaskTemplate.ContainerSpec; v.there && c != nil && strings.HasPrefix(c.Image, image+"@") {
		return c.Image, fmt.Sprintf("the registry of %s does not say which digest that is now; the one that runs stays", image)
	}
	return image, fmt.Sprintf("the registry of %s does not say which digest that is: the node takes what has this name there", image)
}

// fill writes the parameters into a spec and leaves the rest of it alone.
func (s *swarmService) fill(spec *swarm.ServiceSpec, image, node string, nets []string, sealed map[string]swarmSealed) {
	spec.Name = s.Name
	if spec.Labels == nil {
		spec.Labels = map[string]string{}
	}
	maps.Copy(spec.Labels, s.Labels)
	c := spec.TaskTemplate.ContainerSpec
	if c == nil {
		c = &swarm.ContainerSpec{}
		spec.TaskTemplate.ContainerSpec = c
	}
	c.Image, c.Command, c.Args, c.User = image, s.Command, s.Args, s.User
	c.Env = nil
	for _, k := range slices.Sorted(maps.Keys(s.Env)) {
		c.Env = append(c.Env, k+"="+s.Env[k])
	}
	c.Secrets = nil
	for _, file := range slices.Sorted(maps.Keys(sealed)) {
		c.Secrets = append(c.Secrets, &swarm.SecretReference{SecretID: sealed[file].ID, SecretName: sealed[file].Name,
			File: &swarm.SecretReferenceFileTarget{Name: file, UID: "0", GID: "0", Mode: 0o444}})
	}
	c.Mounts = s.mounts()
	grace := time.Duration(s.Grace)
	c.StopGracePeriod = &grace
	if h := s.Health; h != nil {
		c.Healthcheck = &container.HealthConfig{Test: []string{"CMD-SHELL", h.Test}, Interval: time.Duration(h.Every),
			Timeout: time.Duration(h.Timeout), Retries: h.Retries, StartPeriod: time.Duration(h.Start)}
	}
	s.fillTask(&spec.TaskTemplate, node, nets)
	n := uint64(s.Replicas)
	spec.Mode = swarm.ServiceMode{Replicated: &swarm.ReplicatedService{Replicas: &n}}
	spec.UpdateConfig = &swarm.UpdateConfig{Parallelism: 1, Order: swarm.UpdateOrder(s.Order), FailureAction: swarm.FailureAction(s.Failure), Monitor: swarmMonitor}
	spec.RollbackConfig = &swarm.UpdateConfig{Parallelism: 1, Order: swarm.UpdateOrder(s.Order), FailureAction: swarm.UpdateFailureActionPause, Monitor: swarmMonitor}
	spec.EndpointSpec = nil
	if len(s.Ports) == 0 {
		return
	}
	spec.EndpointSpec = &swarm.EndpointSpec{Mode: swarm.ResolutionModeVIP}
	for _, p := range s.Ports {
		spec.EndpointSpec.Ports = append(spec.EndpointSpec.Ports, swarm.PortConfig{Protocol: network.IPProtocol(p.Protocol),
			TargetPort: uint32(p.Target), PublishedPort: uint32(p.Published), PublishMode: swarm.PortConfigPublishMode(p.Mode)})
	}
}

func (s *swarmService) fillTask(t *swarm.TaskSpec, node string, nets []string) {
	if t.Placement == nil {
		t.Placement = &swarm.Placement{}
	}
	t.Placement.Constraints = slices.Clone(s.Constraints)
	if node != "" {
		t.Placement.Constraints = append(t.Placement.Constraints, "node.id == "+node)
	}
	if s.Memory > 0 || s.CPUs > 0 {
		if t.Resources == nil {
			t.Resources = &swarm.ResourceRequirements{}
		}
		t.Resources.Limits = &swarm.Limit{MemoryBytes: int64(s.Memory), NanoCPUs: int64(s.CPUs * 1e9)}
	}
	if t.RestartPolicy == nil {
		t.RestartPolicy = &swarm.RestartPolicy{}
	}
	t.RestartPolicy.Condition = swarm.RestartPolicyCondition(s.Restart)
	t.Networks = nil
	for _, id := range nets {
		t.Networks = append(t.Networks, swarm.NetworkAttachmentConfig{Target: id})
	}
}

func (s *swarmService) mounts() (all []mount.Mount) {
	for _, m := range s.Mounts {
		at := mount.Mount{Type: mount.TypeVolume, Source: m.Volume, Target: m.At, ReadOnly: m.ReadOnly}
		if m.Path != "" {
			at.Type, at.Source = mount.TypeBind, m.Path
		}
		all = append(all, at)
	}
	return all
}

// swarmMonitor is how long a new task is watched for failures by the Swarm.
var swarmMonitor = 5 * time.Second

// swarmClone is a copy that shares nothing.
func swarmClone(s swarm.ServiceSpec) (c swarm.ServiceSpec, err error) {
	b, err := json.Marshal(s)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(b, &c)
}

// swarmFind looks at a service by its name.
func swarmFind(ctx context.Context, eng *docker.Engine, name string) (s swarm.Service, there bool, err error) {
	v, err := eng.ServiceInspect(ctx, name, client.ServiceInspectOptions{})
	if dockerGone(err) {
		return s, false, nil
	}
	if err != nil {
		return s, false, fmt.Errorf("service %s: %w", name, err)
	}
	return v.Service, v.Service.Spec.Name == name, nil // not one whose ID begins so
}

// swarmNodeID is what the Swarm of eng calls a host of the plan.
func swarmNodeID(ctx context.Context, e Env, eng *docker.Engine, name string) (string, error) {
	h, err := dockerPeer(e, name)
	if err != nil {
		return "", err
	}
	info, err := swarmInfo(ctx, h)
	if err != nil {
		return "", err
	}
	if info.NodeID == "" {
		return "", fmt.Errorf("%s: %w; nothing was changed", name, errNoSwarm)
	}
	if _, err := eng.NodeInspect(ctx, info.NodeID, client.NodeInspectOptions{}); dockerGone(err) {
		return "", fmt.Errorf("%s is a node of another Swarm than %s; nothing was changed", name, e.Host.Name)
	} else if err != nil {
		return "", fmt.Errorf("node %s: %w", name, err)
	}
	return info.NodeID, nil
}

// swarmInfo is what a host's engine is in a Swarm.
func swarmInfo(ctx context.Context, h remote.Host) (swarm.Info, error) {
	eng, err := docker.Look(ctx, h)
	if err != nil {
		return swarm.Info{}, err
	}
	defer eng.Close()
	return swarmOf(ctx, eng, h)
}

func swarmOf(ctx context.Context, eng *docker.Engine, h remote.Host) (swarm.Info, error) {
	v, err := eng.Info(ctx, client.InfoOptions{})
	if err != nil {
		return swarm.Info{}, fmt.Errorf("the Docker engine of %s: %w", h.Name, err)
	}
	return v.Info.Swarm, nil
}
