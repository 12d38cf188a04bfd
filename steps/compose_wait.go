package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"belay/remote"
	"belay/steps/docker"
)

// composePoll is how often containers are looked at.
const composePoll = time.Second

// composeCrashing is how long a container may start again and again, or be
// unhealthy, before that is taken for its answer.
const composeCrashing = 30 * time.Second

// composeWait waits until services are as they should be.
type composeWait struct {
	services []string
	healthy  []string // must have a healthcheck, and pass it
	mayFail  []string
	limit    time.Duration
	settle   time.Duration  // how long a container without a healthcheck must be seen to run
	follow   *composeFollow // nil: nobody's log

	bad  map[string]time.Time         // since when a service has been failing
	runs map[composeRunning]time.Time // since when it was seen
}

// composeRunning is one start of a container.
type composeRunning struct {
	id       string
	started  int64 // by the engine's clock, which is compared with no other
	restarts int
}

// composeSettle is how long one is looked at where the plan does not say.
const composeSettle = 3 * time.Second

// see notes what runs, and forgets what no longer does. Looked at before
// anything is changed, what runs already need not settle.
func (w *composeWait) see(all []docker.Container, now time.Time) {
	runs := map[composeRunning]time.Time{}
	for _, c := range all {
		if c.State != "running" {
			continue
		}
		r := composeRunning{c.ID, c.Started.UnixNano(), c.Restarts}
		runs[r] = now
		if first, ok := w.runs[r]; ok {
			runs[r] = first
		}
	}
	w.runs = runs
}

// settled tells whether what runs of a service without telling how it is has
// done so for a while: right after its start, everything runs.
func (w *composeWait) settled(all []docker.Container, service string, now time.Time) bool {
	for _, c := range all {
		first, ok := w.runs[composeRunning{c.ID, c.Started.UnixNano(), c.Restarts}]
		if c.Service == service && ok && c.Health == "" && now.Sub(first) < w.settle {
			return false
		}
	}
	return true
}

// wait polls until every service is ready, one fails for good, or time is up.
func (w *composeWait) wait(ctx context.Context, e Env, project string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, w.limit, errComposeLate)
	defer cancel()
	w.bad = map[string]time.Time{}
	var last []docker.Container
	var open []string
	for {
		all, err := docker.Containers(ctx, e.Host, project)
		if err == nil {
			last = all
			if w.follow != nil {
				w.follow.take(ctx, e, all)
			}
			var failed string
			open, failed = w.judge(all, time.Now())
			e.Say(Progress{Done: int64(len(w.services) - len(open)), Total: int64(len(w.services)), Unit: "services", Text: composeText(open)})
			switch {
			case failed != "":
				return w.failure(ctx, e, all, failed)
			case len(open) == 0:
				return nil
			}
		} else if ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), errComposeLate) {
				return context.Cause(ctx)
			}
			if len(open) == 0 {
				return fmt.Errorf("project %s: the engine did not answer within %s", project, w.limit)
			}
			return fmt.Errorf("not ready after %s: %w", w.limit, w.failure(context.WithoutCancel(ctx), e, last, open[0]))
		case <-time.After(composePoll):
		}
	}
}

// explain adds to an error of Compose what the first service that fails says.
func (w *composeWait) explain(ctx context.Context, e Env, project string, err error) error {
	all, lookErr := docker.Containers(ctx, e.Host, project)
	if lookErr != nil {
		return err
	}
	if w.follow != nil {
		w.follow.take(ctx, e, all)
	}
	for _, s := range w.services {
		if _, _, crashing := composeServiceState(all, s, false); crashing && !slices.Contains(w.mayFail, s) {
			return fmt.Errorf("%w; %w", err, w.failure(ctx, e, all, s))
		}
	}
	return err
}

var errComposeLate = errors.New("the services were not ready in time")

func composeText(open []string) string {
	if len(open) == 0 {
		return "all are ready"
	}
	return "waiting for " + fileSome(open, 4)
}

// judge returns the services that are not ready yet, and the first that has
// failed for good.
func (w *composeWait) judge(all []docker.Container, now time.Time) (open []string, failed string) {
	w.see(all, now)
	for _, s := range w.services {
		ready, fatal, crashing := composeServiceState(all, s, slices.Contains(w.healthy, s))
		if slices.Contains(w.mayFail, s) {
			if !ready && !crashing && !fatal && slices.ContainsFunc(all, func(c docker.Container) bool { return c.Service == s }) {
				open = append(open, s)
			}
			continue
		}
		if ready && w.settled(all, s, now) {
			delete(w.bad, s)
			continue
		}
		open = append(open, s)
		if !crashing {
			continue
		}
		if w.bad[s].IsZero() {
			w.bad[s] = now
		}
		if failed == "" && (fatal || now.Sub(w.bad[s]) >= composeCrashing) {
			failed = s
		}
	}
	return open, failed
}

// composeServiceState looks at all containers of a service. fatal: nothing
// will change by waiting.
func composeServiceState(all []docker.Container, service string, needHealth bool) (ready, fatal, crashing bool) {
	n := 0
	ready = true
	for _, c := range all {
		if c.Service != service {
			continue
		}
		n++
		if c.Ready() && (!needHealth || c.Health == "healthy") {
			continue
		}
		ready = false
		ended := c.State == "exited" || c.State == "dead"
		if ended && c.Policy != "always" && c.Policy != "unless-stopped" && c.Policy != "on-failure" {
			fatal, crashing = true, true
		}
		if needHealth && c.State == "running" && c.Health == "" {
			fatal, crashing = true, true // it has no healthcheck
		}
		if ended || c.State == "restarting" || c.Health == "unhealthy" {
			crashing = true
		}
	}
	return ready && n > 0, fatal, crashing
}

// failure names the service, how its containers are, and what they said last.
func (w *composeWait) failure(ctx context.Context, e Env, all []docker.Container, service string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	msg := fmt.Sprintf("service %s is not up", service)
	n, runs := 0, ""
	for _, c := range all {
		if c.Service != service {
			continue
		}
		if c.Ready() && !slices.Contains(w.healthy, service) {
			runs = c.Name
			continue
		}
		n++
		msg += fmt.Sprintf("; %s: %s", c.Name, c)
		if c.State == "running" && c.Health == "" && slices.Contains(w.healthy, service) {
			msg += " without a healthcheck, though `healthy` names it"
		}
		logs, err := docker.Logs(ctx, e.Host, c.ID, 15)
		if err != nil {
			logs = err.Error()
		}
		fmt.Fprintf(e.Log, "last lines of %s:\n%s\n", c.Name, strings.TrimSpace(logs))
		if logs = strings.TrimSpace(logs); logs != "" {
			msg += "\n" + logs
		}
	}
	switch {
	case n > 0:
	case runs != "":
		msg += fmt.Sprintf(": %s runs, but not for %s yet", runs, w.settle)
	default:
		msg += ": it has no container"
	}
	return errors.New(msg)
}

// composeBefore is what was there before the step: services by name, and
// whether they ran.
type composeBefore struct {
	Project  string            `json:"project"`
	Running  map[string]string `json:"running"` // service → ID of its container
	Stopped  map[string]string `json:"stopped"`
	Networks []string          `json:"networks"`
}

func composeRemember(ctx context.Context, e Env, v composeView, key string) (composeBefore, error) {
	var b composeBefore
	found, err := e.Memory.Get(key, &b)
	if err != nil || found {
		return b, err
	}
	b = composeBefore{Project: v.project.Name, Running: map[string]string{}, Stopped: map[string]string{}}
	for _, c := range v.containers {
		if c.Running() || c.State == "restarting" {
			b.Running[c.Service] = c.ID
		} else if b.Running[c.Service] == "" {
			b.Stopped[c.Service] = c.ID
		}
	}
	for s := range b.Running {
		delete(b.Stopped, s)
	}
	if b.Networks, err = docker.Networks(ctx, e.Host, v.project.Name); err != nil {
		return b, err
	}
	return b, e.Memory.Put(key, b)
}

// composeRemove stops and removes containers, and the project's networks that
// are not in keep. It needs no compose file.
func composeRemove(ctx context.Context, e Env, ids []string, project string, keep []string) error {
	if len(ids) > 0 {
		cmd := remote.Sh(`docker stop -t 30 "$@" && docker rm -f "$@"`, ids...)
		cmd.Stdout, cmd.Stderr = e.Log, e.Log
		if err := e.Host.Run(ctx, cmd); err != nil {
			return fmt.Errorf("project %s: remove what was started: %w", project, err)
		}
	}
	now, err := docker.Networks(ctx, e.Host, project)
	if err != nil {
		return err
	}
	now = slices.DeleteFunc(now, func(n string) bool { return slices.Contains(keep, n) })
	if len(now) == 0 {
		return nil
	}
	cmd := remote.Sh(`docker network rm "$@"`, now...)
	cmd.Stdout, cmd.Stderr = e.Log, e.Log
	if err := e.Host.Run(ctx, cmd); err != nil {
		return fmt.Errorf("project %s: remove networks: %w", project, err)
	}
	return nil
}
