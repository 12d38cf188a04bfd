package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"belay/remote/secret"
	"belay/steps/docker"
)

// Apply makes or joins the Swarm, and waits until the node is ready there.
func (j *swarmJoin) Apply(ctx context.Context, e Env) error {
	rec, err := j.remembered(e)
	if err != nil {
		return err
	}
	a, err := j.look(ctx, e)
	if err != nil {
		return err
	}
	defer func() { a.close() }()
	inactive := a.self.LocalNodeState == swarm.LocalNodeStateInactive
	if !inactive && !a.member && a.self.LocalNodeState != swarm.LocalNodeStatePending {
		return j.other(e.Host.Name)
	}
	if !rec.Begun {
		rec = swarmJoined{Begun: true, Joined: inactive, Made: inactive && e.Host.Name == j.Manager}
		if a.member {
			rec.Node, rec.Role = a.node.ID, string(a.node.Spec.Role)
			rec.Had = swarmHad(a.node, j.Labels)
		}
		if err := e.Memory.Put(swarmJoinedKey, rec); err != nil {
			return err
		}
	}
	if inactive {
		if err := j.enter(ctx, e, a); err != nil {
			return err
		}
	}
	a.close()
	if a, err = j.ready(ctx, e); err != nil {
		return err
	}
	if rec.Node != a.node.ID {
		rec.Node = a.node.ID
		if err := e.Memory.Put(swarmJoinedKey, rec); err != nil {
			return err
		}
	}
	if err := j.respec(ctx, e, a.node.ID, func(s *swarm.NodeSpec) {
		s.Role = j.role(e)
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		maps.Copy(s.Labels, j.Labels)
	}); err != nil {
		return err
	}
	a.close()
	a, err = j.ready(ctx, e)
	return err
}

// swarmHad are the labels that a node has, of those that are to be set.
func swarmHad(n swarm.Node, set map[string]string) map[string]string {
	had := map[string]string{}
	for k := range set {
		if v, there := n.Spec.Labels[k]; there {
			had[k] = v
		}
	}
	return had
}

// enter makes the Swarm, or joins it. The token goes from one engine's answer
// into the other one's request, and nowhere else.
func (j *swarmJoin) enter(ctx context.Context, e Env, a *swarmAt) error {
	eng, err := docker.Open(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	if e.Host.Name == j.Manager {
		v, err := eng.SwarmInit(ctx, client.SwarmInitOptions{ListenAddr: j.Listen, AdvertiseAddr: j.Address, Availability: swarm.NodeAvailabilityActive})
		if err != nil {
			return fmt.Errorf("make a Swarm on %s: %w", e.Host.Name, err)
		}
		fmt.Fprintf(e.Log, "%s made a Swarm, and is its node %s\n", e.Host.Name, v.NodeID)
		return nil
	}
	if err := swarmManages(a.boss); err != nil {
		return fmt.Errorf("%s: %w; %s joined nothing", j.Manager, err, e.Host.Name)
	}
	s, err := a.manager.SwarmInspect(ctx, client.SwarmInspectOptions{})
	if err != nil {
		return fmt.Errorf("the Swarm of %s: %w", j.Manager, err)
	}
	token := secret.New(s.Swarm.JoinTokens.Worker)
	if j.As == "manager" {
		token = secret.New(s.Swarm.JoinTokens.Manager)
	}
	var addrs []string
	for _, p := range a.boss.RemoteManagers {
		addrs = append(addrs, p.Addr)
	}
	_, err = eng.SwarmJoin(ctx, client.SwarmJoinOptions{ListenAddr: j.Listen, AdvertiseAddr: j.Address, RemoteAddrs: addrs,
		JoinToken: token.Reveal(), Availability: swarm.NodeAvailabilityActive})
	if err != nil {
		text := strings.ReplaceAll(err.Error(), token.Reveal(), secret.Mask)
		return fmt.Errorf("join %s to the Swarm at %s: %s; does %s reach port 2377 there, and both each other's 7946 (tcp, udp) and 4789 (udp)?",
			e.Host.Name, strings.Join(addrs, ", "), text, e.Host.Name)
	}
	fmt.Fprintf(e.Log, "%s joined the Swarm of %s as a %s\n", e.Host.Name, j.Manager, j.As)
	return nil
}

// ready waits until the manager sees the node as ready, in its role.
func (j *swarmJoin) ready(ctx context.Context, e Env) (*swarmAt, error) {
	ctx, cancel := context.WithTimeout(ctx, j.limit())
	defer cancel()
	var last error
	for {
		a, err := j.look(ctx, e)
		switch {
		case err != nil && ctx.Err() == nil:
			return nil, err
		case err != nil:
		case a.member && a.node.Status.State == swarm.NodeStateReady &&
			(a.node.Spec.Role == swarm.NodeRoleWorker || a.node.ManagerStatus != nil && a.node.ManagerStatus.Reachability == swarm.ReachabilityReachable):
			return a, nil
		default:
			last = fmt.Errorf("node %s is %s after %s: %s%s", e.Host.Name, swarmWord(a), j.limit(), a.self.Error, a.node.Status.Message)
			a.close()
		}
		e.Say(Progress{Text: "waiting until node " + e.Host.Name + " is ready"})
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) && last != nil {
				return nil, last
			}
			return nil, context.Cause(ctx)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

func swarmWord(a *swarmAt) string {
	if !a.member {
		return "not in the Swarm"
	}
	return string(a.node.Status.State)
}

// respec changes a node's spec through the manager, if that is to be.
func (j *swarmJoin) respec(ctx context.Context, e Env, id string, change func(*swarm.NodeSpec)) error {
	boss, err := dockerPeer(e, j.Manager)
	if err != nil {
		return err
	}
	eng, err := docker.Open(ctx, boss)
	if err != nil {
		return err
	}
	defer eng.Close()
	for try := 1; ; try++ {
		n, there, err := swarmNode(ctx, eng, id)
		if err != nil || !there {
			return err
		}
		spec := n.Spec
		spec.Labels = maps.Clone(spec.Labels)
		change(&spec)
		if spec.Role == n.Spec.Role && maps.Equal(spec.Labels, n.Spec.Labels) {
			return nil
		}
		_, err = eng.NodeUpdate(ctx, id, client.NodeUpdateOptions{Version: n.Version, Spec: spec})
		if err == nil {
			fmt.Fprintf(e.Log, "node %s: %s, labels %v\n", e.Host.Name, spec.Role, slices.Sorted(maps.Keys(spec.Labels)))
			return nil
		}
		// A node's version moves with its state, too: then once more.
		if again, _, _ := swarmNode(ctx, eng, id); try == 5 || again.Version == n.Version {
			return fmt.Errorf("node %s: %w", e.Host.Name, err)
		}
	}
}

// Undo leaves the Swarm, if this step has joined it, and is taken off the
// manager's list; a node that was there before gets its role and labels back.
func (j *swarmJoin) Undo(ctx context.Context, e Env) error {
	rec, err := j.remembered(e)
	if err != nil || !rec.Begun {
		return err
	}
	if !rec.Joined {
		err = j.respec(ctx, e, rec.Node, func(s *swarm.NodeSpec) {
			s.Role = swarm.NodeRole(rec.Role)
			for k := range j.Labels {
				delete(s.Labels, k)
			}
			maps.Copy(s.Labels, rec.Had)
		})
	} else {
		err = j.leave(ctx, e, rec)
	}
	if err != nil {
		return err
	}
	return e.Memory.Put(swarmJoinedKey, swarmJoined{})
}

func (j *swarmJoin) leave(ctx context.Context, e Env, rec swarmJoined) error {
	a, err := j.look(ctx, e)
	if err != nil {
		return err
	}
	defer a.close()
	if rec.Node == "" && a.self.NodeID != "" {
		// The step broke off before it knew. Once the engine is out, nobody can
		// tell which of the manager's nodes it was.
		rec.Node = a.self.NodeID
		if err := e.Memory.Put(swarmJoinedKey, rec); err != nil {
			return err
		}
	}
	if rec.Made {
		if err := j.alone(ctx, a); err != nil {
			return err
		}
	} else if a.member && a.node.Spec.Role == swarm.NodeRoleManager {
		// One that left as a manager would count for the majority for ever.
		if err := j.respec(ctx, e, a.node.ID, func(s *swarm.NodeSpec) { s.Role = swarm.NodeRoleWorker }); err != nil {
			return err
		}
	}
	if a.member || a.self.LocalNodeState == swarm.LocalNodeStatePending {
		if err := j.exit(ctx, e); err != nil {
			return err
		}
	} else if a.self.LocalNodeState != swarm.LocalNodeStateInactive {
		return j.other(e.Host.Name)
	}
	if rec.Made || rec.Node == "" || swarmManages(a.boss) != nil {
		return nil
	}
	return j.strike(ctx, e, rec.Node)
}

// alone refuses to end a Swarm that others need.
func (j *swarmJoin) alone(ctx context.Context, a *swarmAt) error {
	if swarmManages(a.self) != nil {
		return nil // it is gone
	}
	nodes, err := a.manager.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return fmt.Errorf("nodes of the Swarm: %w", err)
	}
	all, err := a.manager.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		return fmt.Errorf("services of the Swarm: %w", err)
	}
	var who []string
	for _, n := range nodes.Items {
		if n.ID != a.self.NodeID {
			who = append(who, "node "+n.Description.Hostname)
		}
	}
	for _, s := range all.Items {
		who = append(who, "service "+s.Spec.Name)
	}
	if len(who) > 0 {
		return fmt.Errorf("the Swarm of %s has %s besides, which this step did not make; it was left as it is. Remove them, if nobody needs them, and retry", j.Manager, fileSome(who, 6))
	}
	return nil
}

// exit leaves. The engine refuses while it is a manager still, which one that
// was demoted is for a moment; only who made a Swarm leaves it by force.
func (j *swarmJoin) exit(ctx context.Context, e Env) error {
	eng, err := docker.Open(ctx, e.Host)
	if err != nil {
		return err
	}
	defer eng.Close()
	for start := time.Now(); ; {
		info, err := swarmOf(ctx, eng, e.Host)
		if err != nil {
			return err
		}
		if info.LocalNodeState == swarm.LocalNodeStateInactive {
			return nil
		}
		force := e.Host.Name == j.Manager || info.LocalNodeState == swarm.LocalNodeStatePending
		if force || !info.ControlAvailable {
			if _, err = eng.SwarmLeave(ctx, client.SwarmLeaveOptions{Force: force}); err == nil {
				// libnetwork trashes the DNS records of all networks then, also of
				// those that are the engine's own (seen with Engine 20.10).
				fmt.Fprintf(e.Log, "%s left the Swarm\n-- note: its engine has forgotten the names of containers that run on networks of its own; restart those that others reach by name\n", e.Host.Name)
				return nil
			}
		} else {
			err = errors.New("it is a manager still")
		}
		if time.Since(start) > j.limit() {
			return fmt.Errorf("%s did not leave the Swarm: %w", e.Host.Name, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// strike takes the node off the manager's list, once it is known to be down.
func (j *swarmJoin) strike(ctx context.Context, e Env, id string) error {
	boss, err := dockerPeer(e, j.Manager)
	if err != nil {
		return err
	}
	eng, err := docker.Open(ctx, boss)
	if err != nil {
		return err
	}
	defer eng.Close()
	for start := time.Now(); ; {
		n, there, err := swarmNode(ctx, eng, id)
		if err != nil || !there {
			return err
		}
		// By force only when it is down: the list alone is about this.
		if n.Status.State == swarm.NodeStateDown || time.Since(start) > j.limit() {
			if _, err := eng.NodeRemove(ctx, id, client.NodeRemoveOptions{Force: true}); err != nil && !dockerGone(err) {
				return fmt.Errorf("%s left, and the Swarm of %s still lists it: %w", e.Host.Name, j.Manager, err)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(300 * time.Millisecond):
		}
	}
}
