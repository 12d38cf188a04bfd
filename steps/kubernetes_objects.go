package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"belay/remote/secret"
	"belay/steps/kubernetes"
)

// kubeOwner is the name that belay's fields have in a cluster.
const kubeOwner = "belay"

// kubeObjects are objects that a step wants in a cluster: what the kinds that
// apply have in common.
type kubeObjects struct {
	of         kubeCluster
	waits      kubeWaits
	force      bool // fields that somebody else owns are taken over
	deleteData bool // Undo deletes also what may hold data
	objects    []kubernetes.Object
}

// kubeSort puts namespaces first, and refuses an object that stands twice.
func kubeSort(all []kubernetes.Object) ([]kubernetes.Object, error) {
	for i, o := range all {
		for _, p := range all[:i] {
			if o.Ref().Same(p.Ref()) {
				return nil, fmt.Errorf("%s stands there twice", o.Ref())
			}
		}
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b kubernetes.Object) int { return kubeRank(a) - kubeRank(b) })
	return all, nil
}

func kubeRank(o kubernetes.Object) int {
	if r := o.Ref(); r.Group == "" && r.Kind == "Namespace" {
		return 0
	}
	return 1
}

// kubeView is one look: for each object how it is now and how it would be.
type kubeView struct {
	now   []kubernetes.Object // nil where there is none
	would []kubernetes.Object // nil where that cannot be told before its namespace is there
}

// look asks the cluster what there is, and, without changing anything, what
// applying would make of it.
func (s *kubeObjects) look(ctx context.Context, e Env) (v kubeView, err error) {
	k := s.of.kubectl()
	in, err := kubernetes.Stdin(s.objects)
	if err != nil {
		return v, err
	}
	out, err := k.Look(ctx, e.Host, in, "get", "-f", "-", "--ignore-not-found", "-o", "json", "--show-managed-fields")
	if err != nil {
		return v, err
	}
	if v.now, err = s.sort(out); err != nil {
		return v, err
	}
	var try []kubernetes.Object
	for i, o := range s.objects {
		if v.now[i] != nil || !s.homeless(o, v.now) {
			try = append(try, o)
		}
	}
	v.would = make([]kubernetes.Object, len(s.objects))
	if len(try) == 0 {
		return v, nil
	}
	if in, err = kubernetes.Stdin(try); err != nil {
		return v, err
	}
	out, err = k.Look(ctx, e.Host, in, append(s.words(), "--dry-run=server", "-o", "json")...)
	if err != nil {
		return v, err
	}
	v.would, err = s.sort(out)
	return v, err
}

func (s *kubeObjects) words() []string {
	args := []string{"apply", "--server-side", "--field-manager=" + kubeOwner, "-f", "-"}
	if s.force {
		args = append(args, "--force-conflicts")
	}
	return args
}

// sort gives what kubectl printed in the order of the objects.
func (s *kubeObjects) sort(out []byte) ([]kubernetes.Object, error) {
	all, err := kubernetes.Decode(out)
	sorted := make([]kubernetes.Object, len(s.objects))
	for i, o := range s.objects {
		for _, a := range all {
			if o.Ref().Same(a.Ref()) {
				sorted[i] = a
			}
		}
	}
	return sorted, err
}

// homeless tells whether an object's namespace is one that is yet to be made
// with it.
func (s *kubeObjects) homeless(o kubernetes.Object, now []kubernetes.Object) bool {
	namespace := o.Ref().Namespace
	if namespace == "" {
		namespace = s.of.Namespace
	}
	for i, p := range s.objects {
		if kubeRank(p) == 0 && p.Ref().Name == namespace && now[i] == nil && kubeRank(o) != 0 {
			return true
		}
	}
	return false
}

func (s *kubeObjects) pending(ctx context.Context, e Env) ([]Change, error) {
	v, err := s.look(ctx, e)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for i, o := range s.objects {
		switch name := o.Ref().String(); {
		case v.now[i] == nil && v.would[i] == nil:
			changes = append(changes, Change{Text: "make " + name, Diff: kubeDiff(name, nil, o)})
		case v.now[i] == nil:
			changes = append(changes, Change{Text: "make " + name, Diff: kubeDiff(name, nil, v.would[i])})
		case v.would[i] != nil && !kubernetes.Equal(v.now[i], v.would[i]):
			d := kubeDiff(name, v.now[i], v.would[i])
			changes = append(changes, Change{Text: fmt.Sprintf("change %s (%s)", name, fileDiffCount(d)), Diff: d})
		}
	}
	if len(changes) > 0 {
		return changes, nil
	}
	_, open, err := s.of.waiter(s.waits).look(ctx, e, s.refs())
	if err != nil {
		return []Change{{Text: "wait until all is ready (now: " + err.Error() + ")"}}, nil
	}
	for _, text := range open {
		changes = append(changes, Change{Text: "wait until all is ready (now: " + text + ")"})
	}
	return changes, nil
}

// kubeDiff shows what changes, as YAML; what a Secret holds is not shown.
func kubeDiff(name string, a, b kubernetes.Object) string {
	ta, sa := kubeText(a)
	tb, sb := kubeText(b)
	return fileDiffShown(name, ta, tb, sa, sb)
}

// kubeText is an object as YAML, whole and for the eyes.
func kubeText(o kubernetes.Object) (whole, shown string) {
	if o == nil {
		return "", ""
	}
	plain := o.Plain()
	whole = kubeYAML(plain)
	if r := o.Ref(); r.Group == "" && r.Kind == "Secret" {
		for _, field := range []string{"data", "stringData"} {
			values, _ := plain[field].(map[string]any)
			for key := range values {
				values[key] = secret.Mask
			}
		}
		return whole, kubeYAML(plain)
	}
	return whole, whole
}

func kubeYAML(o kubernetes.Object) string {
	b, err := yaml.Marshal(map[string]any(o))
	if err != nil {
		return ""
	}
	return string(b)
}

func (s *kubeObjects) refs() []kubernetes.Ref {
	var all []kubernetes.Ref
	for _, o := range s.objects {
		all = append(all, o.Ref())
	}
	return all
}

// kubeApplied is remembered. What there was before may hold secrets and lies on
// the host.
type kubeApplied struct {
	Made []kubeMade       `json:"made"`           // were not there before
	Had  []kubernetes.Ref `json:"had"`            // were
	Gone bool             `json:"gone,omitempty"` // undone, but for what is kept on the host
}

// kubeMade is an object that the step made; its uid is known when the step is
// done.
type kubeMade struct {
	kubernetes.Ref
	UID string `json:"uid,omitempty"`
}

const kubeAppliedKey = "kubernetes-apply"

// kubeKept is what lies on the host.
type kubeKept struct {
	Before  []kubernetes.Object `json:"before"`
	Applied []kubernetes.Object `json:"applied"`
	After   []kubernetes.Object `json:"after"` // foretold at first, then as it was
}

func kubeKeptName(e Env) string { return e.ID + ".before.json" }

func (s *kubeObjects) keep(ctx context.Context, e Env, k kubeKept) error {
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return kubernetes.Keep(ctx, e.Host, kubeKeptName(e), b)
}

func kubeKeptOf(ctx context.Context, e Env) (k kubeKept, err error) {
	b, err := kubernetes.Kept(ctx, e.Host, kubeKeptName(e))
	if err == nil {
		err = json.Unmarshal(b, &k)
	}
	return k, err
}

func (s *kubeObjects) apply(ctx context.Context, e Env) error {
	var rec kubeApplied
	found, err := e.Memory.Get(kubeAppliedKey, &rec)
	if err != nil {
		return err
	}
	if !found || len(rec.Made)+len(rec.Had) == 0 {
		if rec, err = s.begin(ctx, e); err != nil {
			return fmt.Errorf("%w; nothing was changed", err)
		}
	}
	if err := s.same(rec); err != nil {
		return err
	}
	in, err := kubernetes.Stdin(s.objects)
	if err != nil {
		return err
	}
	k := s.of.kubectl()
	out, err := k.Change(ctx, e.Host, in, s.words()...)
	_, _ = e.Log.Write(out)
	if err != nil {
		return fmt.Errorf("apply: %w; objects that the log names were applied before that", err)
	}
	if err := s.of.waiter(s.waits).wait(ctx, e, s.refs()); err != nil {
		return err
	}
	return s.done(ctx, e, rec)
}

// begin remembers what there is before anything is changed.
func (s *kubeObjects) begin(ctx context.Context, e Env) (rec kubeApplied, err error) {
	v, err := s.look(ctx, e)
	if err != nil {
		return rec, err
	}
	var kept kubeKept
	for i, o := range s.objects {
		if v.now[i] == nil {
			ref := o.Ref()
			if v.would[i] != nil {
				ref = v.would[i].Ref()
			}
			rec.Made = append(rec.Made, kubeMade{Ref: ref})
			continue
		}
		rec.Had = append(rec.Had, v.now[i].Ref())
		kept.Before, kept.Applied, kept.After = append(kept.Before, v.now[i]), append(kept.Applied, o), append(kept.After, v.would[i])
	}
	if len(kept.Before) > 0 {
		if err := s.keep(ctx, e, kept); err != nil {
			return rec, err
		}
	}
	return rec, e.Memory.Put(kubeAppliedKey, rec)
}

// same refuses objects that were not looked at before the first attempt: the
// way back would not know of them.
func (s *kubeObjects) same(rec kubeApplied) error {
	for _, o := range s.objects {
		is := o.Ref().Same
		if !slices.ContainsFunc(rec.Had, is) && !slices.ContainsFunc(rec.Made, func(m kubeMade) bool { return is(m.Ref) }) {
			return fmt.Errorf("%s was not among the manifests when this step began: somebody changed them since. Undo the step first, or put the manifests back", o.Ref())
		}
	}
	return nil
}

// done keeps how the changed objects came out (the API server fills in more
// than it foretells), and remembers which ones were made.
func (s *kubeObjects) done(ctx context.Context, e Env, rec kubeApplied) error {
	if len(rec.Had) > 0 {
		kept, err := kubeKeptOf(ctx, e)
		if err != nil {
			return err
		}
		for i, o := range kept.Before {
			now, there, err := s.of.kubectl().Find(ctx, e.Host, o.Ref())
			if err != nil || !there {
				return errors.Join(err, fmt.Errorf("%s vanished after it was applied", o.Ref()))
			}
			kept.After[i] = now
		}
		if err := s.keep(ctx, e, kept); err != nil {
			return err
		}
	}
	for i, m := range rec.Made {
		o, there, err := s.of.kubectl().Find(ctx, e.Host, m.Ref)
		if err != nil || !there {
			return errors.Join(err, fmt.Errorf("%s vanished after it was made", m.Ref))
		}
		rec.Made[i].UID = o.Text("metadata", "uid")
	}
	return e.Memory.Put(kubeAppliedKey, rec)
}

// verify asks what applying once more would change, and every object whether
// it does its work.
func (s *kubeObjects) verify(ctx context.Context, e Env) error {
	v, err := s.look(ctx, e)
	if err != nil {
		return err
	}
	for i, o := range s.objects {
		if v.now[i] == nil {
			return fmt.Errorf("%s is not there", o.Ref())
		}
		if v.would[i] != nil && !kubernetes.Equal(v.now[i], v.would[i]) {
			return fmt.Errorf("%s is not as it was applied:\n%s", o.Ref(), kubeDiff(o.Ref().String(), v.now[i], v.would[i]))
		}
	}
	_, open, err := s.of.waiter(s.waits).look(ctx, e, s.refs())
	if err == nil && len(open) > 0 {
		err = errors.New(open[0])
	}
	return err
}
