package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"belay/steps/docker"
)

// swarmServed is remembered.
type swarmServed struct {
	Name    string   `json:"name"`
	Made    bool     `json:"made,omitempty"`    // the service was not there
	Kept    string   `json:"kept,omitempty"`    // the Swarm's config that holds the spec from before
	Secrets []string `json:"secrets,omitempty"` // that the step has made
	Image   string   `json:"image,omitempty"`   // as it was resolved at first
}

const swarmServedKey = "swarm.service"

// swarmStable is how long tasks must stay before a rollout counts.
var swarmStable = 5 * time.Second

func (s *swarmService) remembered(e Env) (rec swarmServed, found bool, err error) {
	if e.Memory == nil {
		return rec, false, nil
	}
	found, err = e.Memory.Get(swarmServedKey, &rec)
	return rec, found && rec.Name != "", err
}

func (s *swarmService) rollout(e Env) docker.Rollout {
	return docker.Rollout{Service: s.Name, Limit: s.limit(), Stable: swarmStable, Log: e.Log, Say: func(done, total int64, text string) {
		e.Say(Progress{Done: done, Total: total, Unit: "tasks", Text: text})
	}}
}

func (s *swarmService) Pending(ctx context.Context, e Env) ([]Change, error) {
	eng, err := docker.Look(ctx, e.Host)
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	var v swarmSeen
	if err = swarmManager(ctx, eng, e.Host); err == nil {
		v, err = s.see(ctx, e, eng)
	}
	if errors.Is(err, errNoSwarm) {
		return []Change{{Text: fmt.Sprintf("create service %s from %s, once %s", s.Name, s.Image, "the Swarm is there")}}, nil
	}
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, file := range slices.Sorted(maps.Keys(v.secret)) {
		if v.secret[file].ID == "" {
			changes = append(changes, Change{Text: fmt.Sprintf("give secret %s to the Swarm as %s", s.Secrets[file].Name, v.secret[file].Name)})
		}
	}
	diff := fileDiff("service "+s.Name, swarmNowText(v), docker.SpecText(v.want))
	switch {
	case !v.there:
		if err := s.portsFree(ctx, e); err != nil {
			return nil, err
		}
		changes = append(changes, Change{Text: fmt.Sprintf("create service %s from %s", s.Name, v.want.TaskTemplate.ContainerSpec.Image), Diff: diff})
	case diff != "":
		changes = append(changes, Change{Text: fmt.Sprintf("update service %s (%s); tasks are replaced %s", s.Name, fileDiffCount(diff), s.order()), Diff: diff})
	default:
		now, err := s.rollout(e).Look(ctx, eng)
		if err != nil {
			return nil, err
		}
		if !now.Done() {
			changes = append(changes, Change{Text: fmt.Sprintf("wait for service %s: %s", s.Name, now.Note+now.Fatal)})
		}
	}
	return changes, nil
}

func swarmNowText(v swarmSeen) string {
	if !v.there {
		return ""
	}
	return docker.SpecText(v.now.Spec)
}

// order explains why it is what it is.
func (s *swarmService) order() string {
	for _, p := range s.Ports {
		if p.Mode == "host" {
			return fmt.Sprintf("stop-first, because only one can have port %d of the node: it is away meanwhile", p.Published)
		}
	}
	return s.Order
}

// portsFree looks at the node's ports before a service is made: the Swarm sees
// only those of its own tasks, and others at the start of a task.
func (s *swarmService) portsFree(ctx context.Context, e Env) error {
	if s.Node == "" {
		return nil
	}
	h, err := dockerPeer(e, s.Node)
	if err != nil {
		return err
	}
	for _, p := range s.Ports {
		if p.Protocol == "udp" {
			continue
		}
		held, err := proxyListeners(ctx, h, net.JoinHostPort("0.0.0.0", strconv.Itoa(p.Published)))
		if err != nil {
			return err
		}
		if len(held) > 0 {
			return fmt.Errorf("port %d of %s is held by %s; stop that first, or publish another port; nothing was changed", p.Published, s.Node, held[0])
		}
	}
	return nil
}

func (s *swarmService) Apply(ctx context.Context, e Env) error {
	eng, err := docker.Open(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	if err := swarmManager(ctx, eng, e.Host); err != nil {
		return fmt.Errorf("%s: %w; nothing was changed", e.Host.Name, err)
	}
	v, err := s.see(ctx, e, eng)
	if err != nil {
		return err
	}
	if v.note != "" {
		fmt.Fprintf(e.Log, "-- note: %s\n", v.note)
	}
	rec, found, err := s.remembered(e)
	if err != nil {
		return err
	}
	if !found {
		if rec, err = s.begin(ctx, e, v); err != nil {
			return err
		}
	}
	if !rec.Made {
		if err := swarmKeep(ctx, e, eng, rec.Kept, v.now); err != nil {
			return err
		}
	}
	if err := s.seal(ctx, e, eng, &v, &rec); err != nil {
		return err
	}
	if err := s.put(ctx, e, eng, v, rec); err != nil {
		return err
	}
	return s.rollout(e).Wait(ctx, eng)
}

// begin remembers what is there before anything is changed.
func (s *swarmService) begin(ctx context.Context, e Env, v swarmSeen) (swarmServed, error) {
	rec := swarmServed{Name: s.Name, Made: !v.there, Image: v.want.TaskTemplate.ContainerSpec.Image}
	if rec.Made {
		if err := s.portsFree(ctx, e); err != nil {
			return rec, err
		}
	} else {
		rec.Kept = swarmKeptName(e, s.Name)
	}
	return rec, e.Memory.Put(swarmServedKey, rec)
}

// put creates or updates the service, if it is not as it should be.
func (s *swarmService) put(ctx context.Context, e Env, eng *docker.Engine, v swarmSeen, rec swarmServed) error {
	if !v.there && !rec.Made {
		return fmt.Errorf("service %s was there when this step began, and is not now: did somebody remove it?", s.Name)
	}
	if !v.there {
		v.want.Labels[swarmStepLabel] = e.ID
		made, err := eng.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: v.want})
		if dockerConflict(err) {
			return fmt.Errorf("service %s: somebody else made one while this step ran; it was left as it is: %w", s.Name, err)
		}
		if err != nil {
			return fmt.Errorf("service %s: create it: %w", s.Name, err)
		}
		fmt.Fprintf(e.Log, "service %s was created (%s)\n", s.Name, dockerShort(made.ID))
		return nil
	}
	if rec.Made && v.now.Spec.Labels[swarmStepLabel] != e.ID {
		return fmt.Errorf("service %s: somebody else made one while this step ran; it was left as it is", s.Name)
	}
	halted := v.now.UpdateStatus != nil && v.now.UpdateStatus.State == swarm.UpdateStatePaused
	if !v.differs() && !halted {
		return nil
	}
	if !v.differs() {
		v.want.TaskTemplate.ForceUpdate++ // the same again, or the Swarm would do nothing
	}
	if diff := fileDiff("service "+s.Name, swarmNowText(v), docker.SpecText(v.want)); diff != "" {
		fmt.Fprint(e.Log, diff)
	}
	_, err := eng.ServiceUpdate(ctx, v.now.ID, client.ServiceUpdateOptions{Version: v.now.Version, Spec: v.want, RegistryAuthFrom: swarm.RegistryAuthFromSpec})
	if err != nil {
		return fmt.Errorf("service %s: update it: %w", s.Name, err)
	}
	fmt.Fprintf(e.Log, "service %s is being updated, %s\n", s.Name, s.order())
	return nil
}

// Verify asks the manager, and then the node itself: its containers, and who
// answers at its ports.
func (s *swarmService) Verify(ctx context.Context, e Env) error {
	eng, err := docker.Look(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	v, err := s.see(ctx, e, eng)
	if err != nil {
		return err
	}
	if v.differs() {
		return fmt.Errorf("service %s is not as it should be:\n%s", s.Name, fileDiff("service "+s.Name, swarmNowText(v), docker.SpecText(v.want)))
	}
	now, err := s.rollout(e).Look(ctx, eng)
	if err == nil && !now.Done() {
		err = fmt.Errorf("service %s: %d of %d tasks run; %s", s.Name, now.Ready, now.Want, now.Note+now.Fatal)
	}
	if err != nil || s.Node == "" {
		return err
	}
	return s.verifyNode(ctx, e)
}

func (s *swarmService) verifyNode(ctx context.Context, e Env) error {
	h, err := dockerPeer(e, s.Node)
	if err != nil {
		return err
	}
	eng, err := docker.Look(ctx, h)
	if err != nil {
		return err
	}
	defer eng.Close()
	list, err := eng.ContainerList(ctx, client.ContainerListOptions{Filters: make(client.Filters).Add("label", "com.docker.swarm.service.name="+s.Name)})
	if err != nil {
		return fmt.Errorf("containers of %s: %w", s.Node, err)
	}
	if len(list.Items) != s.Replicas {
		return fmt.Errorf("service %s: %d containers of it run on %s, and it should be %d", s.Name, len(list.Items), s.Node, s.Replicas)
	}
	for _, c := range list.Items {
		if strings.Contains(c.Status, "(unhealthy)") {
			return fmt.Errorf("service %s: its container %s on %s is unhealthy", s.Name, dockerShort(c.ID), s.Node)
		}
	}
	for _, p := range s.Ports {
		if p.Protocol == "udp" || s.Replicas == 0 {
			continue
		}
		if err := proxyDial(ctx, h, net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Published))); err != nil {
			return fmt.Errorf("service %s: nobody answers at port %d of %s: %w", s.Name, p.Published, s.Node, err)
		}
	}
	return nil
}
