package steps

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"belay/remote"
	"belay/steps/kubernetes"
)

// kubeRolled is a workload as it was before the step. Its whole template, in
// which there may be secrets, is kept on the host.
type kubeRolled struct {
	Workload string            `json:"workload"`
	Revision int64             `json:"revision"` // its number, for people; it may get another one
	Template string            `json:"template"` // print of the template
	Images   map[string]string `json:"images"`   // of the containers of this step
	New      string            `json:"new,omitempty"`
}

const kubeRolledKey = "kubernetes-rollout"

func (c *kubeRollout) remembered(e Env) (rec kubeRolled, found bool, err error) {
	found, err = e.Memory.Get(kubeRolledKey, &rec)
	return rec, found && rec.Workload != "", err
}

// kept is the name under which the template lies on the host.
func (c *kubeRollout) kept(e Env) string { return e.ID + ".template.json" }

func (c *kubeRollout) Apply(ctx context.Context, e Env) error {
	w, there, err := c.find(ctx, e.Host)
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("%s is not there; nothing was changed", c.Workload)
	}
	if err := c.fits(w); err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	rec, found, err := c.remembered(e)
	if err != nil {
		return err
	}
	if !found {
		if rec, err = c.begin(ctx, e, w); err != nil {
			return err
		}
	}
	if names := c.others(w, c.Images); len(names) > 0 {
		if err := c.set(ctx, e, w, c.Images, names); err != nil {
			return err
		}
		if w, there, err = c.find(ctx, e.Host); err != nil || !there {
			return fmt.Errorf("%s after its images were set: there is %v: %w", c.Workload, there, err)
		}
	}
	rec.New = w.Print()
	if err := e.Memory.Put(kubeRolledKey, rec); err != nil {
		return err
	}
	if err := c.waiter(c.kubeWaits).wait(ctx, e, []kubernetes.Ref{w.Ref()}); err != nil {
		return c.failed(ctx, e, rec, err)
	}
	return nil
}

// begin remembers what there is before anything is changed.
func (c *kubeRollout) begin(ctx context.Context, e Env, w kubernetes.Workload) (kubeRolled, error) {
	rec := kubeRolled{Workload: c.Workload, Template: w.Print(), Images: map[string]string{}}
	for name := range c.Images {
		rec.Images[name] = w.Images()[name]
	}
	revisions, err := c.kubectl().Revisions(ctx, e.Host, w)
	if err != nil {
		return rec, fmt.Errorf("%w; nothing was changed", err)
	}
	rec.Revision = kubernetes.Current(w, revisions)
	if err := kubernetes.Keep(ctx, e.Host, c.kept(e), []byte(w.Template())); err != nil {
		return rec, fmt.Errorf("%w; nothing was changed", err)
	}
	fmt.Fprintf(e.Log, "%s is at revision %d: %s\n", c.Workload, rec.Revision, kubeImages(rec.Images))
	return rec, e.Memory.Put(kubeRolledKey, rec)
}

func kubeImages(images map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(images)) {
		all = append(all, name+" "+images[name])
	}
	return strings.Join(all, ", ")
}

// change runs a command that changes something; what it says goes to the log.
func (c kubeCluster) change(ctx context.Context, e Env, k kubernetes.Kubectl, args ...string) error {
	fmt.Fprintf(e.Log, "$ %s\n", remote.Quote(k.Cmd(args...).Argv...))
	out, err := k.Change(ctx, e.Host, nil, args...)
	_, _ = e.Log.Write(out)
	return err
}

func (c *kubeRollout) set(ctx context.Context, e Env, w kubernetes.Workload, images map[string]string, names []string) error {
	k := c.kubectl()
	k.Namespace = w.Ref().Namespace
	if err := c.change(ctx, e, k, kubeSetImage(w.Ref(), images, names)...); err != nil {
		return fmt.Errorf("%s: set image: %w", c.Workload, err)
	}
	return nil
}

// failed goes back at once where the plan says so.
func (c *kubeRollout) failed(ctx context.Context, e Env, rec kubeRolled, why error) error {
	if c.Unhealthy != "back" || ctx.Err() != nil {
		return why
	}
	fmt.Fprintf(e.Log, "%v\ngoing back to revision %d\n", why, rec.Revision)
	if err := c.back(ctx, e, rec); err != nil {
		return fmt.Errorf("%w; going back failed too: %w", why, err)
	}
	return fmt.Errorf("%w; %s is as it was before again", why, c.Workload)
}

// Undo goes back to the revision that was there.
func (c *kubeRollout) Undo(ctx context.Context, e Env) error {
	rec, found, err := c.remembered(e)
	if err != nil || !found {
		return err
	}
	if err := c.back(ctx, e, rec); err != nil {
		return err
	}
	if err := kubernetes.Drop(ctx, e.Host, c.kept(e)); err != nil {
		return err
	}
	return e.Memory.Put(kubeRolledKey, kubeRolled{})
}

func (c *kubeRollout) back(ctx context.Context, e Env, rec kubeRolled) error {
	w, there, err := c.find(ctx, e.Host)
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("%s is not there any more: somebody deleted it since. It had %s", c.Workload, kubeImages(rec.Images))
	}
	exact := true
	switch now := w.Print(); {
	case now == rec.Template:
		fmt.Fprintf(e.Log, "%s has the template from before\n", c.Workload)
	case len(c.others(w, rec.Images)) == 0:
		exact = false
		fmt.Fprintf(e.Log, "%s has the images from before; what else was changed since stays\n", c.Workload)
	case len(c.others(w, c.Images)) > 0:
		return fmt.Errorf("%s: container %s has image %s, which is neither what this step set nor what was there before (%s): somebody changed it since. Nothing was changed",
			c.Workload, c.others(w, c.Images)[0], w.Images()[c.others(w, c.Images)[0]], kubeImages(rec.Images))
	case rec.New == "" || now == rec.New:
		if err := c.revert(ctx, e, w, rec); err != nil {
			return err
		}
	default:
		// The revision before would take that back as well.
		exact = false
		fmt.Fprintf(e.Log, "%s was changed by somebody else since; only the images are put back\n", c.Workload)
		if err := c.set(ctx, e, w, rec.Images, c.others(w, rec.Images)); err != nil {
			return err
		}
	}
	return c.settle(ctx, e, rec, exact)
}

// revert takes the revision with the template from before, whatever number it
// has by now; where the cluster has dropped it, the template that was kept.
func (c *kubeRollout) revert(ctx context.Context, e Env, w kubernetes.Workload, rec kubeRolled) error {
	k := c.kubectl()
	k.Namespace = w.Ref().Namespace
	all, err := k.Revisions(ctx, e.Host, w)
	if err != nil {
		return err
	}
	number := int64(0)
	for _, r := range all {
		if r.Print == rec.Template {
			number = r.Number
		}
	}
	if number > 0 {
		if err := c.change(ctx, e, k, "rollout", "undo", strings.ToLower(w.Ref().Kind)+"/"+w.Ref().Name, fmt.Sprintf("--to-revision=%d", number)); err != nil {
			return fmt.Errorf("%s: undo to revision %d: %w", c.Workload, number, err)
		}
		return nil
	}
	text, err := kubernetes.Kept(ctx, e.Host, c.kept(e))
	if err != nil {
		return fmt.Errorf("%s: the cluster has dropped revision %d: %w", c.Workload, rec.Revision, err)
	}
	var template map[string]any
	if err := json.Unmarshal(text, &template); err != nil || kubernetes.Print(string(text)) != rec.Template {
		return fmt.Errorf("%s: the cluster has dropped revision %d, and what was kept of it is not readable; nothing was changed", c.Workload, rec.Revision)
	}
	fmt.Fprintf(e.Log, "the cluster has dropped revision %d; its pod template is put back from what was kept\n", rec.Revision)
	w.Object["spec"].(map[string]any)["template"] = template
	delete(w.Object["metadata"].(map[string]any), "managedFields")
	in, err := kubernetes.Stdin([]kubernetes.Object{w.Object}) // with its resourceVersion: a change meanwhile is a conflict
	if err != nil {
		return err
	}
	if _, err := k.Change(ctx, e.Host, in, "replace", "-f", "-"); err != nil {
		return fmt.Errorf("%s: put the template back: %w", c.Workload, err)
	}
	return nil
}

// settle waits for the old pods, and proves that they are.
func (c *kubeRollout) settle(ctx context.Context, e Env, rec kubeRolled, exact bool) error {
	w, _, err := c.find(ctx, e.Host)
	if err != nil {
		return err
	}
	if w.Ref().Kind == "StatefulSet" {
		if err := c.unblock(ctx, e, w); err != nil {
			return err
		}
	}
	if err := c.waiter(c.kubeWaits).wait(ctx, e, []kubernetes.Ref{w.Ref()}); err != nil {
		return fmt.Errorf("%s has its former template again: %w", c.Workload, err)
	}
	if w, _, err = c.find(ctx, e.Host); err != nil {
		return err
	}
	if exact && w.Print() != rec.Template {
		return fmt.Errorf("%s does not have the template from before, though it was put back", c.Workload)
	}
	return c.count(ctx, e, w)
}

// unblock deletes pods of another template that never got ready: a StatefulSet
// waits for them before it goes on, also on the way back (Kubernetes' "forced
// rollback").
func (c *kubeRollout) unblock(ctx context.Context, e Env, w kubernetes.Workload) error {
	k := c.kubectl()
	k.Namespace = w.Ref().Namespace
	pods, err := k.Pods(ctx, e.Host, w.Selector())
	if err != nil {
		return err
	}
	for _, p := range pods {
		if p.Ready || p.Leaving || kubeRuns(p, w.Images()) {
			continue
		}
		if err := c.change(ctx, e, k, "delete", "pod", p.Name, "--wait=false"); err != nil {
			return fmt.Errorf("%s: delete broken pod %s, which bars the way back: %w", c.Workload, p.Name, err)
		}
	}
	return nil
}
