package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"belay/checks"
	"belay/remote"
	"belay/steps/kubernetes"
)

func init() {
	register(Kind{
		Name:    "kubernetes.rollout",
		Summary: "Gives the containers of a Deployment, StatefulSet or DaemonSet new images, follows the rollout, says why pods fail, and goes back to the very revision that was there.",
		Example: `- step: Upgrade the API
  on: ops
  kubernetes.rollout:
    workload: deployment/fluxer-api
    namespace: fluxer
    images: {api: "ghcr.io/fluxerapp/fluxer-api:v1.3.0"}
    wait: 5m
`,
		New: func() Step { return &kubeRollout{} },
	})
}

type kubeRollout struct {
	Workload    string            `yaml:"workload" required:"" doc:"deployment/NAME, statefulset/NAME or daemonset/NAME"`
	Images      map[string]string `yaml:"images" required:"" doc:"container: image, by a tag or a digest; a tag that was moved is no change to Kubernetes, a digest always is"`
	kubeCluster `yaml:",inline"`
	kubeWaits   `yaml:",inline"`
	Unhealthy   string `yaml:"unhealthy" enum:"stay|back" default:"stay" doc:"when the new pods are not ready in time: let them stay for a look (the old ones serve on as far as the strategy keeps them), or go back at once and fail then"`
}

// kubeImage is a reference of an image without blanks or control characters;
// the registry knows the rest.
var kubeImage = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]*$`)

func (c *kubeRollout) Validate() error {
	errs := append(c.kubeCluster.validate(), c.kubeWaits.validate()...)
	if _, err := kubeRef(c.Workload); err != nil {
		errs = append(errs, Field("workload", "%w", err))
	}
	if len(c.Images) == 0 {
		errs = append(errs, Field("images", "name at least one container"))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Images)) {
		if !kubeLabel.MatchString(name) {
			errs = append(errs, Field("images."+name, "%q cannot be the name of a container", name))
		}
		if !kubeImage.MatchString(c.Images[name]) {
			errs = append(errs, Field("images."+name, "%q is not an image", c.Images[name]))
		}
	}
	return errors.Join(errs...)
}

func (c *kubeRollout) Repeatable() bool { return true }

// kubeResources are the names of the kinds for `auth can-i`.
var kubeResources = map[string][2]string{
	"Deployment":  {"deployments.apps", "replicasets.apps"},
	"StatefulSet": {"statefulsets.apps", "controllerrevisions.apps"},
	"DaemonSet":   {"daemonsets.apps", "controllerrevisions.apps"},
}

// Needs asks for the cluster, for the rights, and for the workload as it must
// be for a rollout that can be taken back.
func (c *kubeRollout) Needs(on string) []checks.Check {
	ref, err := kubeRef(c.Workload)
	if err != nil {
		return nil
	}
	r := kubeResources[ref.Kind]
	may := [][2]string{{"get", r[0]}, {"patch", r[0]}, {"list", r[1]}, {"list", "pods"}, {"get", "pods/log"}}
	if ref.Kind == "StatefulSet" {
		may = append(may, [2]string{"delete", "pods"}) // a broken one bars the way back
	}
	return []checks.Check{&kubeNeed{on: on, key: strings.TrimSpace(c.Namespace + " " + c.Workload), of: c.kubeCluster, may: may, judge: c.judge}}
}

func (c *kubeRollout) judge(ctx context.Context, h remote.Host, k kubernetes.Kubectl) (checks.Level, string, string) {
	w, there, err := c.find(ctx, h)
	switch {
	case err != nil:
		return kubeUnseen(ctx, err, "see the text")
	case !there:
		return checks.Warn, c.Workload + " is not there", "see its name and namespace, unless an earlier step makes it"
	}
	done, text, stuck := w.Status()
	if err := c.fits(w); err != nil {
		return checks.Block, err.Error(), "see the text"
	}
	switch {
	case !done:
		return checks.Warn, fmt.Sprintf("%s is not ready now: %s%s", c.Workload, text, kubeSuffix(stuck)), "see to it first: a rollout could not tell its own failures from these"
	case w.Replicas() == 0:
		return checks.Warn, c.Workload + " has 0 replicas: no pod would prove that the new image works", "scale it up first"
	case w.History() == 0:
		return checks.Warn, c.Workload + " keeps no old revisions (revisionHistoryLimit: 0): the way back is the pod template that belay keeps on the host", "set revisionHistoryLimit to at least 2"
	}
	return checks.Pass, fmt.Sprintf("%s is ready: %s", c.Workload, text), ""
}

func kubeSuffix(err error) string {
	if err == nil {
		return ""
	}
	return "; " + err.Error()
}

func (c *kubeRollout) find(ctx context.Context, h remote.Host) (kubernetes.Workload, bool, error) {
	ref, err := kubeRef(c.Workload)
	if err != nil {
		return kubernetes.Workload{}, false, err
	}
	return c.kubectl().Workload(ctx, h, ref)
}

// fits says why a rollout cannot be made with a workload that is there.
func (c *kubeRollout) fits(w kubernetes.Workload) error {
	has := w.Images()
	for _, name := range slices.Sorted(maps.Keys(c.Images)) {
		if _, ok := has[name]; !ok {
			return fmt.Errorf("%s has no container %s; it has %s", c.Workload, name, strings.Join(slices.Sorted(maps.Keys(has)), ", "))
		}
	}
	if w.Paused() {
		return fmt.Errorf("%s is paused: a new image would not be rolled out. Somebody may be at work there; else kubectl rollout resume %s", c.Workload, c.Workload)
	}
	if w.OnDelete() {
		return fmt.Errorf("%s replaces pods only when somebody deletes them (updateStrategy OnDelete): this step would wait for ever", c.Workload)
	}
	return nil
}

// others are the containers that have another image yet.
func (c *kubeRollout) others(w kubernetes.Workload, images map[string]string) []string {
	has := w.Images()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(images)) {
		if has[name] != images[name] {
			all = append(all, name)
		}
	}
	return all
}

func kubeSetImage(ref kubernetes.Ref, images map[string]string, names []string) []string {
	args := []string{"set", "image", strings.ToLower(ref.Kind) + "/" + ref.Name}
	for _, name := range names {
		args = append(args, name+"="+images[name])
	}
	return args
}

func (c *kubeRollout) Pending(ctx context.Context, e Env) ([]Change, error) {
	w, there, err := c.find(ctx, e.Host)
	if err != nil {
		return nil, err
	}
	if !there {
		return []Change{{Text: fmt.Sprintf("give %s its new images; how it is now can be told when it is there", c.Workload)}}, nil
	}
	if err := c.fits(w); err != nil {
		return nil, err
	}
	var changes []Change
	names, has := c.others(w, c.Images), w.Images()
	for _, name := range names {
		changes = append(changes, Change{Text: fmt.Sprintf("change the image of container %s of %s (%d pods) from %s to %s", name, c.Workload, w.Replicas(), has[name], c.Images[name])})
	}
	if len(names) > 0 {
		changes[0].Cmd = remote.Quote(c.kubectl().Cmd(kubeSetImage(w.Ref(), c.Images, names)...).Argv...)
		return changes, nil
	}
	if done, text, stuck := w.Status(); !done {
		changes = append(changes, Change{Text: fmt.Sprintf("wait until %s is ready (now: %s%s)", c.Workload, text, kubeSuffix(stuck))})
	}
	return changes, nil
}

// Verify counts the pods themselves: so many as there shall be run the images
// and are ready, and none runs another one.
func (c *kubeRollout) Verify(ctx context.Context, e Env) error {
	w, there, err := c.find(ctx, e.Host)
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("%s is not there", c.Workload)
	}
	if names := c.others(w, c.Images); len(names) > 0 {
		return fmt.Errorf("%s: container %s has image %s, not %s", c.Workload, names[0], w.Images()[names[0]], c.Images[names[0]])
	}
	return c.count(ctx, e, w)
}

// count asks the pods of a workload.
func (c *kubeRollout) count(ctx context.Context, e Env, w kubernetes.Workload) error {
	k, images := c.kubectl(), w.Images()
	k.Namespace = w.Ref().Namespace
	pods, err := k.Pods(ctx, e.Host, w.Selector())
	if err != nil {
		return err
	}
	ready, old := int64(0), int64(0)
	for _, p := range pods {
		switch {
		case p.Leaving || p.Phase == "Succeeded" || p.Phase == "Failed":
		case !kubeRuns(p, images):
			old++
		case !p.Ready:
			return fmt.Errorf("%s: pod %s is not ready", c.Workload, p.Name)
		default:
			if err := kubeDigests(p, images); err != nil {
				return fmt.Errorf("%s: %w", c.Workload, err)
			}
			ready++
		}
	}
	if want := w.Replicas() - w.Partition(); ready < want || old > w.Partition() {
		return fmt.Errorf("%s: %d pods run the images and are ready, %d are wanted; %d run others", c.Workload, ready, want, old)
	}
	return nil
}

// kubeDigests holds what the node runs against a digest that was asked for.
func kubeDigests(p kubernetes.Pod, images map[string]string) error {
	for name, image := range images {
		if _, digest, ok := strings.Cut(image, "@"); ok && p.IDs[name] != "" && !strings.Contains(p.IDs[name], digest) {
			return fmt.Errorf("pod %s runs %s in container %s, not %s", p.Name, p.IDs[name], name, digest)
		}
	}
	return nil
}
