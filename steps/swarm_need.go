package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"belay/checks"
	"belay/remote"
	"belay/steps/docker"
)

var (
	// errNoSwarm is of an engine that is in no Swarm; an earlier step may make
	// or join one.
	errNoSwarm = errors.New("its engine is in no Swarm")
	// errNoManager is of one that can tell nothing of its Swarm.
	errNoManager = errors.New("its engine is a worker of the Swarm; name the host of a manager")
)

// swarmManager tells whether the engine can answer for a Swarm.
func swarmManager(ctx context.Context, eng *docker.Engine, h remote.Host) error {
	info, err := swarmOf(ctx, eng, h)
	if err != nil {
		return err
	}
	return swarmManages(info)
}

func swarmManages(info swarm.Info) error {
	switch {
	case info.LocalNodeState == swarm.LocalNodeStateInactive || info.LocalNodeState == "":
		return errNoSwarm
	case info.LocalNodeState == swarm.LocalNodeStateLocked:
		return errors.New("its Swarm is locked: `docker swarm unlock` there, with the key")
	case info.LocalNodeState != swarm.LocalNodeStateActive:
		return fmt.Errorf("its Swarm is %s: %s", info.LocalNodeState, info.Error)
	case !info.ControlAvailable:
		return errNoManager
	}
	return nil
}

// swarmNeed is the assessment that swarm.service and swarm.stack rely on.
type swarmNeed struct {
	on, node, key string
	of            *swarmService // nil for a stack
}

// CheckName is what the findings are called by.
func (n *swarmNeed) CheckName() string { return "swarm" }

// HostNames are the hosts that are asked.
func (n *swarmNeed) HostNames() []string { return []string{n.on} }

// Assess looks at the manager, and at the node's ports and images.
func (n *swarmNeed) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	f := checks.Finding{Check: n.CheckName(), Key: n.key, Host: n.on}
	h, ok := w.Hosts[n.on]
	if !ok || h.Runner == nil {
		f.Text, f.Fix = fmt.Sprintf("not judged: host %q was not reached", n.on), "re-check"
		return []checks.Finding{f}, nil
	}
	eng, err := docker.Look(ctx, h)
	if err != nil {
		return (&dockerNeed{on: n.on, key: n.key}).Assess(ctx, w)
	}
	defer eng.Close()
	all := []checks.Finding{n.manager(ctx, eng, h, f)}
	if n.of != nil && n.node != "" {
		all = append(all, n.ports(ctx, w, eng)...)
		all = append(all, n.image(ctx, w, eng))
	}
	return all, nil
}

func (n *swarmNeed) manager(ctx context.Context, eng *docker.Engine, h remote.Host, f checks.Finding) checks.Finding {
	f.Key = "manager" // of all that one plan runs there
	err := swarmManager(ctx, eng, h)
	switch {
	case errors.Is(err, errNoSwarm):
		f.Text, f.Awaits = fmt.Sprintf("Docker engine %s is in no Swarm", eng.Version), broughtSwarm(n.on)
		f.Fix = "if a step of this plan makes or joins one first (swarm.join), accept that; else make one"
	case err != nil:
		f.Level, f.Text, f.Fix = checks.Block, n.on+": "+err.Error(), "see the text"
	default:
		f.Level, f.Text = checks.Pass, fmt.Sprintf("Docker engine %s is a manager of its Swarm (by %s)", eng.Version, eng.Road)
	}
	return f
}

// ports are judged only while the service is not there: afterwards they are
// its own.
func (n *swarmNeed) ports(ctx context.Context, w checks.World, eng *docker.Engine) []checks.Finding {
	if len(n.of.Ports) == 0 {
		return nil
	}
	if _, there, err := swarmFind(ctx, eng, n.of.Name); err == nil && there {
		return nil
	}
	f := checks.Finding{Check: n.CheckName(), Key: "ports of " + n.key, Host: n.node}
	err := n.of.portsFree(ctx, Env{Hosts: w.Hosts})
	_, lost := errors.AsType[*remote.UnreachableError](err)
	switch {
	case lost || ctx.Err() != nil:
		f.Text, f.Fix = "not judged: "+checks.OneLine(err.Error(), 300), "re-check"
	case err != nil:
		f.Level, f.Text, f.Fix = checks.Block, checks.OneLine(err.Error(), 300), "see the text: the Swarm does not see who has a port outside of it, and its task would fail at the start"
	default:
		f.Level, f.Text = checks.Pass, fmt.Sprintf("the ports of service %s are free", n.of.Name)
	}
	return []checks.Finding{f}
}

// image may be there, be pulled, or be brought by an earlier step.
func (n *swarmNeed) image(ctx context.Context, w checks.World, eng *docker.Engine) checks.Finding {
	f := checks.Finding{Check: n.CheckName(), Key: "image of " + n.key, Host: n.node}
	if h, ok := w.Hosts[n.node]; ok && h.Runner != nil {
		if at, err := docker.Look(ctx, h); err == nil {
			defer at.Close()
			name, _, pinned := strings.Cut(n.of.Image, "@")
			if pinned {
				name = n.of.Image
			}
			if _, there, err := dockerInspect(ctx, at, name); err == nil && there {
				f.Level, f.Text = checks.Pass, fmt.Sprintf("image %s is there", n.of.Image)
				return f
			}
		}
	}
	if _, err := eng.DistributionInspect(ctx, n.of.Image, client.DistributionInspectOptions{}); err != nil {
		f.Text = fmt.Sprintf("image %s is not on %s, and its registry does not give it to %s: %s", n.of.Image, n.node, n.on, checks.OneLine(err.Error(), 200))
		f.Fix = "if a step of this plan brings it first (docker.image), accept that; else correct the name, or log the node in to the registry"
		return f
	}
	f.Level, f.Text = checks.Pass, fmt.Sprintf("image %s can be pulled", n.of.Image)
	return f
}
