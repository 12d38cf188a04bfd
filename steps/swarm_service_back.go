package steps

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"belay/steps/docker"
)

// Undo removes a service that the step has made, and gives any other its
// former spec back. Volumes stay.
func (s *swarmService) Undo(ctx context.Context, e Env) error {
	rec, found, err := s.remembered(e)
	if err != nil || !found {
		return err
	}
	eng, err := docker.Open(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	if err := swarmManager(ctx, eng, e.Host); errors.Is(err, errNoSwarm) && rec.Made {
		fmt.Fprintf(e.Log, "%s is in no Swarm any more, and so the service is gone\n", e.Host.Name)
		return e.Memory.Put(swarmServedKey, swarmServed{})
	} else if err != nil {
		return err
	}
	if rec.Made {
		err = swarmRemove(ctx, e, eng, rec.Name, func(x swarm.Service) bool { return x.Spec.Labels[swarmStepLabel] == e.ID })
	} else {
		err = swarmRestore(ctx, e, eng, rec.Name, rec.Kept, s.rollout(e))
	}
	if err != nil {
		return err
	}
	if err := s.unseal(ctx, e, eng, rec); err != nil {
		return err
	}
	for _, m := range s.Mounts {
		if m.Volume != "" && rec.Made {
			fmt.Fprintf(e.Log, "-- note: volume %s stays, if a task has made it\n", m.Volume)
		}
	}
	return e.Memory.Put(swarmServedKey, swarmServed{})
}

// swarmRemove removes a service and waits until its tasks have ended, so that
// their ports are free.
func swarmRemove(ctx context.Context, e Env, eng *docker.Engine, name string, ours func(swarm.Service) bool) error {
	x, there, err := swarmFind(ctx, eng, name)
	if err != nil {
		return err
	}
	if there && !ours(x) {
		return fmt.Errorf("service %s is not the one that this step has made; it was left as it is", name)
	}
	if there {
		if _, err := eng.ServiceRemove(ctx, x.ID, client.ServiceRemoveOptions{}); err != nil && !dockerGone(err) {
			return fmt.Errorf("remove service %s: %w", name, err)
		}
		fmt.Fprintf(e.Log, "service %s was removed\n", name)
	}
	return swarmEnded(ctx, e, eng)
}

// swarmEndLimit is how long the tasks of a removed service may take to end,
// before somebody has to look.
const swarmEndLimit = 3 * time.Minute

// swarmEnded waits until no task is left of a service that is not there any
// more: of this one and, for nobody knows its ID after a crash, of others. What
// a node that is down still has, nobody can know.
func swarmEnded(ctx context.Context, e Env, eng *docker.Engine) error {
	ctx, cancel := context.WithTimeoutCause(ctx, swarmEndLimit, fmt.Errorf("the service was removed, and tasks of it still run after %s", swarmEndLimit))
	defer cancel()
	for {
		left, err := swarmEnding(ctx, eng)
		if err != nil || left == 0 {
			return swarmCause(ctx, err)
		}
		e.Say(Progress{Text: fmt.Sprintf("%d tasks are stopping", left)})
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func swarmEnding(ctx context.Context, eng *docker.Engine) (left int, err error) {
	nodes, err := eng.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return 0, err
	}
	up := map[string]bool{}
	for _, n := range nodes.Items {
		up[n.ID] = n.Status.State == swarm.NodeStateReady
	}
	// Tasks first: one whose service is made meanwhile must not seem to have none.
	tasks, err := eng.TaskList(ctx, client.TaskListOptions{})
	if err != nil {
		return 0, err
	}
	all, err := eng.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		return 0, err
	}
	there := map[string]bool{"": true} // a task of no service
	for _, s := range all.Items {
		there[s.ID] = true
	}
	for _, t := range tasks.Items {
		if !there[t.ServiceID] && up[t.NodeID] && !swarmTaskOver(t) {
			left++
		}
	}
	return left, nil
}

func swarmTaskOver(t swarm.Task) bool {
	switch t.Status.State {
	case swarm.TaskStateShutdown, swarm.TaskStateFailed, swarm.TaskStateRejected, swarm.TaskStateComplete, swarm.TaskStateOrphaned, swarm.TaskStateRemove:
		return true
	}
	return false
}

func swarmCause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// swarmKeptName names the Swarm's config in which a spec is kept: the same on
// every attempt.
func swarmKeptName(e Env, service string) string {
	return fmt.Sprintf("belay-before-%x", sha256.Sum256([]byte(e.ID+"\x00"+service)))[:45]
}

// swarmKeep keeps the spec of a service in the Swarm itself, as a config:
// whoever can read that can read the spec as well, which may hold secrets in
// its environment and so does not belong in a journal.
func swarmKeep(ctx context.Context, e Env, eng *docker.Engine, name string, s swarm.Service) error {
	v, err := eng.ConfigInspect(ctx, name, client.ConfigInspectOptions{})
	if err == nil {
		if v.Config.Spec.Labels[swarmStepLabel] != e.ID {
			return fmt.Errorf("config %s of the Swarm is there, and is not of this step; nothing was changed", name)
		}
		return nil
	}
	if !dockerGone(err) {
		return fmt.Errorf("config %s of the Swarm: %w", name, err)
	}
	b, err := json.Marshal(s.Spec)
	if err != nil {
		return err
	}
	_, err = eng.ConfigCreate(ctx, client.ConfigCreateOptions{Spec: swarm.ConfigSpec{
		Annotations: swarm.Annotations{Name: name, Labels: map[string]string{swarmStepLabel: e.ID, swarmOfLabel: s.Spec.Name}}, Data: b,
	}})
	if err != nil {
		return fmt.Errorf("keep the spec of service %s as config %s: %w; nothing was changed", s.Spec.Name, name, err)
	}
	fmt.Fprintf(e.Log, "the spec of service %s is kept in the Swarm as config %s\n", s.Spec.Name, name)
	return nil
}

// swarmKept reads it again; false when it was never kept.
func swarmKept(ctx context.Context, eng *docker.Engine, name string) (spec swarm.ServiceSpec, there bool, err error) {
	v, err := eng.ConfigInspect(ctx, name, client.ConfigInspectOptions{})
	if dockerGone(err) {
		return spec, false, nil
	}
	if err != nil {
		return spec, false, fmt.Errorf("config %s of the Swarm: %w", name, err)
	}
	if err := json.Unmarshal(v.Config.Spec.Data, &spec); err != nil {
		return spec, false, fmt.Errorf("config %s of the Swarm holds no spec: %w", name, err)
	}
	return spec, true, nil
}

// swarmRestore gives a service the spec back that was kept: by the Swarm's own
// rollback where that leads there. What is not kept was not changed.
func swarmRestore(ctx context.Context, e Env, eng *docker.Engine, service, kept string, r docker.Rollout) error {
	spec, there, err := swarmKept(ctx, eng, kept)
	if err != nil || !there {
		return err
	}
	now, there, err := swarmFind(ctx, eng, service)
	if err != nil {
		return err
	}
	switch {
	case !there: // removed by a step of ours (prune), or by somebody
		if _, err := eng.ServiceCreate(ctx, client.ServiceCreateOptions{Spec: spec}); err != nil {
			return fmt.Errorf("service %s: create it again as it was: %w", service, err)
		}
		fmt.Fprintf(e.Log, "service %s was created again as it was\n", service)
	case !swarmSameSpec(now.Spec, spec):
		o := client.ServiceUpdateOptions{Version: now.Version, Spec: spec, RegistryAuthFrom: swarm.RegistryAuthFromSpec}
		if now.PreviousSpec != nil && swarmSameSpec(*now.PreviousSpec, spec) {
			o.Rollback = "previous"
		}
		if _, err := eng.ServiceUpdate(ctx, now.ID, o); err != nil {
			return fmt.Errorf("service %s: go back to the spec it had: %w; it was left as it is", service, err)
		}
		fmt.Fprintf(e.Log, "service %s goes back to the spec it had\n", service)
	}
	r.Service, r.Back = service, true
	if err := r.Wait(ctx, eng); err != nil {
		return err
	}
	if _, err := eng.ConfigRemove(ctx, kept, client.ConfigRemoveOptions{}); err != nil && !dockerGone(err) {
		return fmt.Errorf("remove config %s of the Swarm: %w", kept, err)
	}
	return nil
}

func swarmSameSpec(a, b swarm.ServiceSpec) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}
