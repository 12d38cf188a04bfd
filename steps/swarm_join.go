package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"time"

	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"belay/checks"
	"belay/remote"
	"belay/steps/docker"
)

func init() {
	register(Kind{
		Name:    "swarm.join",
		Summary: "Makes a Docker Swarm on a host, or joins hosts to the Swarm of another one, as workers or managers, with labels by which tasks are placed; leaving is the way back.",
		Example: `- step: Join the servers to the Swarm of the database host
  on: [apps, spare]
  swarm.join: {manager: db, as: worker, labels: {disk: slow}}
`,
		New: func() Step { return &swarmJoin{} },
	})
}

type swarmJoin struct {
	Manager string            `yaml:"manager" host:"" scalar:"" required:"" doc:"host whose Swarm is joined; on that host itself the Swarm is made, unless there is one. Mind that an engine which leaves a Swarm forgets the names of the containers that run on its own networks, until they are started again: servers with such are better left out"`
	As      string            `yaml:"as" enum:"worker|manager" default:"worker" doc:"what it becomes; three or five managers outlive the loss of one or two"`
	Address string            `yaml:"address" doc:"the host's address for the other nodes, or an interface of it; needed where it has several"`
	Listen  string            `yaml:"listen" default:"0.0.0.0:2377" doc:"address:port at which it hears the other nodes, should it be or become a manager"`
	Labels  map[string]string `yaml:"labels" doc:"labels of the node, for constraints such as node.labels.disk == fast; others that it has stay"`
	Wait    remote.Duration   `yaml:"wait" default:"1m" doc:"how long it may take until the node is ready"`
}

var swarmLabel = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_./-]{0,80}[a-zA-Z0-9])?$`)

func (j *swarmJoin) Validate() error {
	var errs []error
	if host, _, err := net.SplitHostPort(j.Listen); err != nil || net.ParseIP(host) == nil {
		errs = append(errs, Field("listen", "%q is not address:port", j.Listen))
	}
	for k := range j.Labels {
		if !swarmLabel.MatchString(k) {
			errs = append(errs, Field("labels", "%q cannot be the name of a label", k))
		}
	}
	if j.Wait <= 0 {
		errs = append(errs, Field("wait", "it must be more than 0"))
	}
	return errors.Join(errs...)
}

// HostNames is the manager's.
func (j *swarmJoin) HostNames() []string { return []string{j.Manager} }

// Needs asks whether the engine may be in a Swarm, and is not in another one.
func (j *swarmJoin) Needs(on string) []checks.Check {
	return []checks.Check{&dockerNeed{on: on, key: "swarm of " + j.Manager, judge: func(ctx context.Context, w checks.World, eng *docker.Engine, h remote.Host) (string, error) {
		v, err := eng.Info(ctx, client.InfoOptions{})
		if err != nil {
			return "", err
		}
		if v.Info.LiveRestoreEnabled {
			return "", fmt.Errorf("the engine of %s runs with live-restore, with which it cannot be in a Swarm; take that out of its daemon.json, and reload it", h.Name)
		}
		info := v.Info.Swarm
		if info.LocalNodeState == swarm.LocalNodeStateInactive {
			return fmt.Sprintf("Docker engine %s is in no Swarm, and may join one", eng.Version), nil
		}
		if on == j.Manager {
			return fmt.Sprintf("Docker engine %s is a manager of a Swarm", eng.Version), swarmManages(info)
		}
		at, err := j.look(ctx, Env{Host: h, Hosts: w.Hosts})
		if err != nil {
			return "", err
		}
		at.close()
		if !at.member {
			return "", j.other(h.Name)
		}
		return fmt.Sprintf("Docker engine %s is in the Swarm of %s", eng.Version, j.Manager), nil
	}}}
}

func (j *swarmJoin) Repeatable() bool { return true }

func (j *swarmJoin) other(host string) error {
	return fmt.Errorf("%s is a node of another Swarm than %s's; it was left there. If nobody needs that one, `docker swarm leave` there and retry", host, j.Manager)
}

// swarmJoined is remembered; no token is in it.
type swarmJoined struct {
	Begun  bool              `json:"begun"`
	Made   bool              `json:"made,omitempty"`   // the Swarm, or would have
	Joined bool              `json:"joined,omitempty"` // the Swarm, or would have
	Node   string            `json:"node,omitempty"`   // its ID, once known
	Role   string            `json:"role,omitempty"`   // that a node had which was there before
	Had    map[string]string `json:"had,omitempty"`    // labels that it had, of those that are set
}

const swarmJoinedKey = "swarm.join"

func (j *swarmJoin) remembered(e Env) (rec swarmJoined, err error) {
	if e.Memory != nil {
		_, err = e.Memory.Get(swarmJoinedKey, &rec)
	}
	return rec, err
}

// swarmAt is a host and its Swarm. The manager's engine is for looking only.
type swarmAt struct {
	self    swarm.Info
	boss    swarm.Info
	manager *docker.Engine
	member  bool       // the host is a node of the manager's Swarm
	node    swarm.Node // if it is
}

func (a *swarmAt) close() {
	if a != nil && a.manager != nil {
		a.manager.Close()
	}
}

func (j *swarmJoin) look(ctx context.Context, e Env) (a *swarmAt, err error) {
	a = &swarmAt{}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	boss, err := dockerPeer(e, j.Manager)
	if err != nil {
		return nil, err
	}
	if a.manager, err = docker.Look(ctx, boss); err != nil {
		return nil, err
	}
	if a.boss, err = swarmOf(ctx, a.manager, boss); err != nil {
		return nil, err
	}
	if a.self = a.boss; e.Host.Name != j.Manager {
		if a.self, err = swarmInfo(ctx, e.Host); err != nil {
			return nil, err
		}
	}
	if err := swarmManages(a.boss); errors.Is(err, errNoSwarm) {
		return a, nil
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", j.Manager, err)
	}
	if a.self.LocalNodeState == swarm.LocalNodeStateLocked {
		return nil, fmt.Errorf("%s: its Swarm is locked: `docker swarm unlock` there, with the key", e.Host.Name)
	}
	if a.self.NodeID != "" {
		a.node, a.member, err = swarmNode(ctx, a.manager, a.self.NodeID)
	}
	return a, err
}

func swarmNode(ctx context.Context, manager *docker.Engine, id string) (n swarm.Node, there bool, err error) {
	v, err := manager.NodeInspect(ctx, id, client.NodeInspectOptions{})
	if dockerGone(err) {
		return n, false, nil
	}
	if err != nil {
		return n, false, fmt.Errorf("node %s: %w", dockerShort(id), err)
	}
	return v.Node, true, nil
}

// role is what the host becomes: who makes a Swarm is its manager.
func (j *swarmJoin) role(e Env) swarm.NodeRole {
	if e.Host.Name == j.Manager {
		return swarm.NodeRoleManager
	}
	return swarm.NodeRole(j.As)
}

func (j *swarmJoin) Pending(ctx context.Context, e Env) ([]Change, error) {
	a, err := j.look(ctx, e)
	if err != nil {
		return nil, err
	}
	defer a.close()
	self := e.Host.Name == j.Manager
	switch active := a.self.LocalNodeState != swarm.LocalNodeStateInactive; {
	case active && !a.member && a.self.LocalNodeState == swarm.LocalNodeStatePending:
		return []Change{{Text: fmt.Sprintf("wait until %s has joined", e.Host.Name)}}, nil
	case active && !a.member:
		return nil, j.other(e.Host.Name)
	case !active && self:
		return []Change{{Text: fmt.Sprintf("make a Swarm on %s, with %s as its manager", e.Host.Name, e.Host.Name)}}, nil
	case !active:
		return []Change{{Text: fmt.Sprintf("join %s to the Swarm of %s as a %s", e.Host.Name, j.Manager, j.As)}}, nil
	}
	var changes []Change
	if a.node.Status.State != swarm.NodeStateReady {
		changes = append(changes, Change{Text: fmt.Sprintf("wait until node %s is ready, which is %s", e.Host.Name, a.node.Status.State)})
	}
	if role := j.role(e); a.node.Spec.Role != role {
		changes = append(changes, Change{Text: fmt.Sprintf("make node %s a %s; it is a %s", e.Host.Name, role, a.node.Spec.Role)})
	}
	for _, k := range slices.Sorted(maps.Keys(j.Labels)) {
		if had, there := a.node.Spec.Labels[k]; !there || had != j.Labels[k] {
			changes = append(changes, Change{Text: fmt.Sprintf("label node %s with %s=%s", e.Host.Name, k, j.Labels[k])})
		}
	}
	return changes, nil
}

// Verify asks the manager for the node, which Apply has asked to join.
func (j *swarmJoin) Verify(ctx context.Context, e Env) error {
	a, err := j.look(ctx, e)
	if err != nil {
		return err
	}
	defer a.close()
	if !a.member {
		return fmt.Errorf("%s is not a node of the Swarm of %s", e.Host.Name, j.Manager)
	}
	n := a.node
	if n.Status.State != swarm.NodeStateReady || n.Spec.Availability != swarm.NodeAvailabilityActive {
		return fmt.Errorf("node %s is %s, and %s for tasks: %s", e.Host.Name, n.Status.State, n.Spec.Availability, n.Status.Message)
	}
	if role := j.role(e); n.Spec.Role != role {
		return fmt.Errorf("node %s is a %s, and should be a %s", e.Host.Name, n.Spec.Role, role)
	}
	for k, v := range j.Labels {
		if n.Spec.Labels[k] != v {
			return fmt.Errorf("node %s has the label %s=%q, and should have %q", e.Host.Name, k, n.Spec.Labels[k], v)
		}
	}
	return nil
}

func (j *swarmJoin) limit() time.Duration { return time.Duration(j.Wait) }
