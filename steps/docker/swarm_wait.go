package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
)

// Rollout waits until a Swarm runs a service as its spec says. A new container
// counts as running once its healthcheck passes: the Swarm itself waits for that.
type Rollout struct {
	Service string        // name or ID
	Limit   time.Duration // for all of it
	Stable  time.Duration // how long the same tasks must have been running
	Back    bool          // the way back: the Swarm's own rollback is what is waited for
	Say     func(done, total int64, text string)
	Log     io.Writer
}

const (
	rolloutPoll  = 500 * time.Millisecond
	rolloutFails = 3                // tasks that ended or were refused, until that is the answer
	rolloutStuck = 20 * time.Second // how long no node may suit
)

var errRolloutLate = errors.New("the time is up")

// Rolled is how far a rollout has come.
type Rolled struct {
	Ready, Want int
	State       swarm.UpdateState // of the Swarm's own update; "" for none
	Note        string            // what is awaited, or stands in the way
	Fatal       string            // waiting will not help
	tasks       string            // those that run
	stuck       bool              // no node suits
}

// Done tells whether all run.
func (r Rolled) Done() bool { return r.Fatal == "" && r.Note == "" && r.Ready == r.Want }

// Wait returns nil when the service is as it should be. Its error names the
// tasks that fail, with their errors; the log gets what they printed last.
func (r Rollout) Wait(ctx context.Context, e *Engine) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.Limit, errRolloutLate)
	defer cancel()
	var last Rolled
	var since, stuck time.Time
	for {
		now, err := r.Look(ctx, e)
		switch {
		case err != nil && ctx.Err() == nil:
			return err
		case err != nil:
		case now.Fatal != "":
			return r.failure(ctx, e, now.Fatal)
		default:
			r.Say(int64(now.Ready), int64(now.Want), now.Note)
			if !now.Done() || now.tasks != last.tasks || since.IsZero() {
				since = time.Now()
			}
			if now.Done() && time.Since(since) >= r.Stable {
				return nil
			}
			if !now.stuck {
				stuck = time.Time{}
			} else if stuck.IsZero() {
				stuck = time.Now()
			} else if time.Since(stuck) > rolloutStuck {
				return r.failure(ctx, e, now.Note)
			}
			last = now
		}
		select {
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), errRolloutLate) {
				return context.Cause(ctx)
			}
			return r.failure(ctx, e, fmt.Sprintf("after %s %d of %d tasks run; %s", r.Limit, last.Ready, last.Want, orWord(last.Note, "they did not stay")))
		case <-time.After(rolloutPoll):
		}
	}
}

// Look is how far the rollout is now. Read-only.
func (r Rollout) Look(ctx context.Context, e *Engine) (Rolled, error) {
	v, err := e.ServiceInspect(ctx, r.Service, client.ServiceInspectOptions{})
	if err != nil {
		return Rolled{}, fmt.Errorf("service %s: %w", r.Service, err)
	}
	tasks, err := e.TaskList(ctx, client.TaskListOptions{Filters: make(client.Filters).Add("service", v.Service.ID)})
	if err != nil {
		return Rolled{}, fmt.Errorf("tasks of service %s: %w", r.Service, err)
	}
	return judgeRollout(v.Service, tasks.Items, r.Back), nil
}

// judgeRollout has no side effects.
func judgeRollout(s swarm.Service, tasks []swarm.Task, back bool) (r Rolled) {
	if s.UpdateStatus != nil {
		r.State = s.UpdateStatus.State
	}
	all := s.PreviousSpec == nil || r.State == swarm.UpdateStateCompleted || r.State == swarm.UpdateStateRollbackCompleted
	var fails, running []string
	stale := 0
	for _, t := range tasks {
		mine := all || sameTask(t.Spec, s.Spec.TaskTemplate)
		wanted := t.DesiredState == swarm.TaskStateRunning || t.DesiredState == swarm.TaskStateReady
		if failed := t.Status.State == swarm.TaskStateFailed || t.Status.State == swarm.TaskStateRejected; failed && t.CreatedAt.After(rolloutBegan(s)) {
			fails = append(fails, fmt.Sprintf("%s: %s: %s", taskName(s, t), t.Status.State, t.Status.Err))
		}
		switch {
		case wanted && !mine:
			stale++
		case wanted:
			r.Want++
			if t.Status.State == swarm.TaskStateRunning {
				running = append(running, t.ID)
			} else if t.Status.Err != "" && t.Status.State == swarm.TaskStatePending {
				r.Note, r.stuck = "no node suits: "+t.Status.Err, true
			} else if r.Note == "" {
				r.Note = fmt.Sprintf("waiting for %s, which is %s", taskName(s, t), t.Status.State)
			}
		}
	}
	slices.Sort(running)
	r.Ready, r.tasks = len(running), strings.Join(running, " ")
	if m := s.Spec.Mode.Replicated; m != nil && m.Replicas != nil {
		r.Want = int(*m.Replicas)
	}
	if r.Note == "" && (stale > 0 || r.Ready != r.Want) {
		r.Note = fmt.Sprintf("%d of %d tasks run, %d old ones", r.Ready, r.Want, stale)
	}
	if r.Ready < r.Want && len(fails) > 0 && !r.stuck {
		r.Note = fails[0]
	}
	r.Fatal = rolloutFatal(s, r, fails, back)
	return r
}

// rolloutBegan is when the spec became what it is, for the engine's own clock.
func rolloutBegan(s swarm.Service) time.Time {
	if s.UpdateStatus != nil && s.UpdateStatus.StartedAt != nil {
		return s.UpdateStatus.StartedAt.Add(-time.Second)
	}
	if s.PreviousSpec != nil {
		return s.UpdatedAt.Add(-time.Second)
	}
	return time.Time{}
}

func rolloutFatal(s swarm.Service, r Rolled, fails []string, back bool) string {
	why := ""
	if len(fails) > 0 {
		why = "; " + fails[0]
	}
	switch r.State {
	case swarm.UpdateStatePaused, swarm.UpdateStateRollbackPaused:
		return fmt.Sprintf("the Swarm paused the update (%s)%s", s.UpdateStatus.Message, why)
	case swarm.UpdateStateRollbackCompleted:
		if !back {
			return fmt.Sprintf("the Swarm went back to the former spec by itself (%s)%s", s.UpdateStatus.Message, why)
		}
	case swarm.UpdateStateUpdating, swarm.UpdateStateRollbackStarted:
		return "" // the Swarm itself gives up, as its update configuration says
	}
	if len(fails) >= rolloutFails && r.Ready < r.Want {
		return fmt.Sprintf("its tasks keep failing%s", why)
	}
	return ""
}

func taskName(s swarm.Service, t swarm.Task) string {
	if t.Slot == 0 {
		return fmt.Sprintf("%s.%.12s", s.Spec.Name, t.NodeID)
	}
	return fmt.Sprintf("%s.%d", s.Spec.Name, t.Slot)
}

// sameTask tells whether a task was made from the spec. Networks, which the
// Swarm writes in its own way, the platforms of the image, and what is empty in
// one and absent in the other do not count.
func sameTask(a, b swarm.TaskSpec) bool {
	text := func(t swarm.TaskSpec) any {
		t.Networks = nil
		if t.Runtime == swarm.RuntimeContainer { // a service says so, its tasks do not
			t.Runtime = ""
		}
		if t.Placement != nil {
			p := *t.Placement
			p.Platforms = nil
			t.Placement = &p
		}
		out, err := json.Marshal(t)
		var v any
		if err == nil {
			err = json.Unmarshal(out, &v)
		}
		if err != nil {
			return err
		}
		return pruned(v)
	}
	return reflect.DeepEqual(text(a), text(b))
}

// pruned leaves out what is empty; nil if all is.
func pruned(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k := range x {
			if x[k] = pruned(x[k]); x[k] == nil {
				delete(x, k)
			}
		}
		if len(x) == 0 {
			return nil
		}
	case []any:
		if len(x) == 0 {
			return nil
		}
	case string:
		if x == "" {
			return nil
		}
	case float64:
		if x == 0 {
			return nil
		}
	case bool:
		if !x {
			return nil
		}
	}
	return v
}

// failure adds what the tasks printed to the log.
func (r Rollout) failure(ctx context.Context, e *Engine, why string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	said := &bytes.Buffer{}
	if out, err := e.ServiceLogs(ctx, r.Service, client.ServiceLogsOptions{ShowStdout: true, ShowStderr: true, Tail: "15"}); err == nil {
		// A node that is gone never answers: what came until then is what there is.
		_, _ = stdcopy.StdCopy(said, said, io.LimitReader(out, 64<<10))
		out.Close()
	}
	if text := strings.TrimSpace(said.String()); text != "" {
		fmt.Fprintf(r.Log, "last lines of %s:\n%s\n", r.Service, text)
	}
	return fmt.Errorf("service %s does not run as it should: %s", r.Service, why)
}
