package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"belay/steps/kubernetes"
)

// kubePoll is how often the cluster is looked at.
const kubePoll = time.Second

var errKubeLate = errors.New("it was not ready in time")

// kubeWait waits until objects are as they should be.
type kubeWait struct {
	k      kubernetes.Kubectl
	limit  time.Duration
	giveUp time.Duration

	bad map[string]time.Time // since when a container has been failing
}

func (c kubeCluster) waiter(w kubeWaits) *kubeWait {
	return &kubeWait{k: c.kubectl(), limit: time.Duration(w.Wait), giveUp: time.Duration(w.GiveUp)}
}

// wait polls until every object is ready, one has failed for good, or time is
// up. A cluster that does not answer for a while is waited for as well.
func (w *kubeWait) wait(ctx context.Context, e Env, refs []kubernetes.Ref) error {
	ctx, cancel := context.WithTimeoutCause(ctx, w.limit, errKubeLate)
	defer cancel()
	w.bad = map[string]time.Time{}
	said, last := "", error(nil)
	for {
		ready, open, err := w.look(ctx, e, refs)
		_, deaf := errors.AsType[*kubernetes.SaidError](err)
		switch {
		case err != nil && !deaf && ctx.Err() == nil:
			return err
		case err == nil && len(open) == 0:
			return nil
		case err == nil && said != open[0]:
			said = open[0]
			fmt.Fprintln(e.Log, said)
		}
		if err == nil {
			e.Say(Progress{Done: int64(ready), Total: int64(len(refs)), Unit: "objects", Text: open[0]})
		} else if ctx.Err() == nil {
			last = err
		}
		if pause(ctx, kubePoll) == nil {
			continue
		}
		if why := context.Cause(ctx); !errors.Is(why, errKubeLate) {
			return why
		}
		return w.late(context.WithoutCancel(ctx), e, refs, said, last)
	}
}

func (w *kubeWait) late(ctx context.Context, e Env, refs []kubernetes.Ref, said string, last error) error {
	err := fmt.Errorf("not ready after %s: %s", w.limit, said)
	if said == "" {
		err = fmt.Errorf("not ready after %s: the cluster gave no answer: %w", w.limit, last)
	}
	for _, r := range refs {
		if !r.IsWorkload() {
			continue
		}
		if wl, there, findErr := w.k.Workload(ctx, e.Host, r); findErr == nil && there {
			if done, _, _ := wl.Status(); !done {
				return fmt.Errorf("%w%s", err, w.story(ctx, e, wl))
			}
		}
	}
	return err
}

// look tells how many objects are ready, and what the others wait for. An
// error that is no SaidError is the end of waiting.
func (w *kubeWait) look(ctx context.Context, e Env, refs []kubernetes.Ref) (ready int, open []string, err error) {
	for _, r := range refs {
		o, there, err := w.k.Find(ctx, e.Host, r)
		if err != nil {
			return ready, open, err
		}
		if !there {
			return ready, open, fmt.Errorf("%s vanished while it was waited for", r)
		}
		done, text, err := w.one(ctx, e, o)
		if err != nil {
			return ready, open, err
		}
		if done {
			ready++
		} else {
			open = append(open, r.String()+": "+text)
		}
	}
	return ready, open, nil
}

func (w *kubeWait) one(ctx context.Context, e Env, o kubernetes.Object) (done bool, text string, err error) {
	if !o.Ref().IsWorkload() {
		return w.k.Ready(ctx, e.Host, o)
	}
	wl, err := kubernetes.AsWorkload(o)
	if err != nil {
		return false, "", err
	}
	done, text, stuck := wl.Status()
	if done {
		return true, text, nil
	}
	pods, err := w.pods(ctx, e, wl)
	if err != nil {
		return false, text, err
	}
	why, lasting := w.judge(pods, time.Now())
	if why != "" {
		text += "; " + why
	}
	if lasting && stuck == nil {
		stuck = fmt.Errorf("%s: its new pods have been failing for %s (%s)", wl.Ref(), w.giveUp, text)
	}
	if stuck != nil {
		return false, text, fmt.Errorf("%w%s", stuck, w.story(ctx, e, wl))
	}
	return false, text, nil
}

// pods are the workload's newest, those of the template that it has now.
func (w *kubeWait) pods(ctx context.Context, e Env, wl kubernetes.Workload) ([]kubernetes.Pod, error) {
	k := w.k
	k.Namespace = wl.Ref().Namespace
	all, err := k.Pods(ctx, e.Host, wl.Selector())
	images := wl.Images()
	return slices.DeleteFunc(all, func(p kubernetes.Pod) bool { return p.Leaving || !kubeRuns(p, images) }), err
}

// kubeRuns tells whether a pod's containers have these images, as far as they
// are named.
func kubeRuns(p kubernetes.Pod, images map[string]string) bool {
	for c, image := range p.Images {
		if want, named := images[c]; named && want != image {
			return false
		}
	}
	return true
}

// judge names what stands in the way, and whether something has been failing
// for longer than it may. Pods come and go, so containers are told by name.
func (w *kubeWait) judge(pods []kubernetes.Pod, now time.Time) (why string, lasting bool) {
	seen := map[string]string{}
	for _, p := range pods {
		for _, t := range p.Trouble {
			if !p.Ready && t.Lasting && seen[t.Container] == "" {
				seen[t.Container] = t.String()
			}
		}
	}
	maps.DeleteFunc(w.bad, func(c string, _ time.Time) bool { return seen[c] == "" })
	var all []string
	for _, c := range slices.Sorted(maps.Keys(seen)) {
		if w.bad[c].IsZero() {
			w.bad[c] = now
		}
		lasting = lasting || now.Sub(w.bad[c]) >= w.giveUp
		all = append(all, seen[c])
	}
	return strings.Join(all, "; "), lasting
}

// kubeStoryPods is how many failing pods are told of: they mostly fail alike.
const kubeStoryPods = 2

// story is what the failing pods say: their state, and their last lines.
func (w *kubeWait) story(ctx context.Context, e Env, wl kubernetes.Workload) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	pods, err := w.pods(ctx, e, wl)
	if err != nil {
		return ""
	}
	var b strings.Builder
	n := 0
	for _, p := range pods {
		if p.Ready {
			continue
		}
		if n++; n > kubeStoryPods {
			fmt.Fprintf(&b, "\nand more pods that are not ready")
			break
		}
		fmt.Fprintf(&b, "\npod %s is %s", p.Name, strings.ToLower(p.Phase))
		if len(p.Trouble) == 0 {
			b.WriteString(" and not ready (see its readiness probe)")
		}
		for _, t := range p.Trouble {
			fmt.Fprintf(&b, "; %s", t)
		}
		for _, c := range slices.Sorted(maps.Keys(p.Images)) {
			if text, err := w.k.Logs(ctx, e.Host, p, c, 15); err == nil && text != "" {
				fmt.Fprintf(e.Log, "last lines of %s in pod %s:\n%s\n", c, p.Name, text)
				fmt.Fprintf(&b, "\n%s", text)
			}
		}
	}
	return b.String()
}
