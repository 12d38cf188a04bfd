package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"belay/remote"
	"belay/steps/docker"
)

// Apply deploys by the command line, which alone knows how a compose file
// becomes specs. Doing that twice equals doing it once.
func (s *swarmStack) Apply(ctx context.Context, e Env) error {
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
	rec, found, err := s.remembered(e)
	if err != nil {
		return err
	}
	if !found {
		rec = swarmStacked{Name: s.Name, Kept: map[string]string{}}
		for name := range v.now {
			rec.Kept[name] = swarmKeptName(e, name)
		}
		if rec.Others, err = s.others(ctx, eng); err != nil {
			return err
		}
	}
	for name := range v.want { // what an earlier attempt wanted is ours as well
		if !slices.Contains(rec.Wanted, name) {
			rec.Wanted = append(rec.Wanted, name)
		}
	}
	slices.Sort(rec.Wanted)
	if err := e.Memory.Put(swarmStackedKey, rec); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(rec.Kept)) {
		if x, there := v.now[name]; there && rec.After == nil {
			if err := swarmKeep(ctx, e, eng, rec.Kept[name], x); err != nil {
				return err
			}
		}
	}
	if err := e.Host.Run(ctx, remote.Cmd{Argv: s.argv(), Stdout: e.Log, Stderr: e.Log}); err != nil {
		return fmt.Errorf("stack %s: docker stack deploy: %w; the log holds what it said", s.Name, err)
	}
	return s.await(ctx, e, eng, v, rec)
}

// await lets the time run for all services together.
func (s *swarmStack) await(ctx context.Context, e Env, eng *docker.Engine, v swarmStackSeen, rec swarmStacked) error {
	end := time.Now().Add(time.Duration(s.Wait))
	for _, name := range slices.Sorted(maps.Keys(v.want)) {
		if err := s.rollout(e, name, max(time.Until(end), time.Second)).Wait(ctx, eng); err != nil {
			return err
		}
	}
	now, err := s.services(ctx, eng)
	if err != nil {
		return err
	}
	rec.After, rec.Sources = map[string]string{}, v.sources
	for name, x := range now {
		rec.After[name] = swarmSpecSum(x.Spec)
	}
	return e.Memory.Put(swarmStackedKey, rec)
}

// others are the stack's networks, secrets and configs: "network monitoring_default".
func (s *swarmStack) others(ctx context.Context, eng *docker.Engine) (all []string, err error) {
	of := make(client.Filters).Add("label", swarmStackLabel+"="+s.Name)
	nets, err := eng.NetworkList(ctx, client.NetworkListOptions{Filters: of})
	if err != nil {
		return nil, fmt.Errorf("networks of stack %s: %w", s.Name, err)
	}
	for _, n := range nets.Items {
		all = append(all, "network "+n.Name)
	}
	secrets, err := eng.SecretList(ctx, client.SecretListOptions{Filters: of})
	if err != nil {
		return nil, fmt.Errorf("secrets of stack %s: %w", s.Name, err)
	}
	for _, x := range secrets.Items {
		all = append(all, "secret "+x.Spec.Name)
	}
	configs, err := eng.ConfigList(ctx, client.ConfigListOptions{Filters: of})
	if err != nil {
		return nil, fmt.Errorf("configs of stack %s: %w", s.Name, err)
	}
	for _, x := range configs.Items {
		all = append(all, "config "+x.Spec.Name)
	}
	return all, nil
}

// Undo removes what the deployment has made, and gives the services that were
// there their former specs back. Volumes stay.
func (s *swarmStack) Undo(ctx context.Context, e Env) error {
	rec, found, err := s.remembered(e)
	if err != nil || !found {
		return err
	}
	eng, err := docker.Open(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	if err := swarmManager(ctx, eng, e.Host); errors.Is(err, errNoSwarm) && len(rec.Kept) == 0 {
		fmt.Fprintf(e.Log, "%s is in no Swarm any more, and so the stack is gone\n", e.Host.Name)
		return e.Memory.Put(swarmStackedKey, swarmStacked{})
	} else if err != nil {
		return err
	}
	for _, name := range rec.Wanted {
		if _, had := rec.Kept[name]; had {
			continue
		}
		if err := swarmRemove(ctx, e, eng, name, func(x swarm.Service) bool { return x.Spec.Labels[swarmStackLabel] == s.Name }); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rec.Kept)) {
		if err := swarmRestore(ctx, e, eng, name, rec.Kept[name], s.rollout(e, name, time.Duration(s.Wait))); err != nil {
			return err
		}
	}
	if err := s.clear(ctx, e, eng, rec); err != nil {
		return err
	}
	return e.Memory.Put(swarmStackedKey, swarmStacked{})
}

// swarmClearLimit is how long a network may still be in use by tasks that have
// just ended.
const swarmClearLimit = time.Minute

// clear removes networks, secrets and configs that the deployment has made.
func (s *swarmStack) clear(ctx context.Context, e Env, eng *docker.Engine, rec swarmStacked) error {
	for start := time.Now(); ; {
		all, err := s.others(ctx, eng)
		if err != nil {
			return err
		}
		var last error
		for _, x := range all {
			if slices.Contains(rec.Others, x) {
				continue
			}
			if err := swarmDrop(ctx, eng, x); err != nil && !dockerGone(err) {
				last = fmt.Errorf("stack %s: remove %s: %w", s.Name, x, err)
				continue
			}
			fmt.Fprintf(e.Log, "%s was removed\n", x)
		}
		if last == nil || time.Since(start) > swarmClearLimit {
			return last
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

func swarmDrop(ctx context.Context, eng *docker.Engine, x string) error {
	var kind, name string
	if _, err := fmt.Sscan(x, &kind, &name); err != nil {
		return err
	}
	var err error
	switch kind {
	case "network":
		_, err = eng.NetworkRemove(ctx, name, client.NetworkRemoveOptions{})
	case "secret":
		_, err = eng.SecretRemove(ctx, name, client.SecretRemoveOptions{})
	case "config":
		_, err = eng.ConfigRemove(ctx, name, client.ConfigRemoveOptions{})
	}
	return err
}
