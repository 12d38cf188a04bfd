package kubernetes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"belay/remote"
)

// Kinds are the workloads whose rollouts can be watched, by the words that
// kubectl takes for them.
var Kinds = map[string]string{
	"deployment": "Deployment", "deployments": "Deployment", "deploy": "Deployment",
	"statefulset": "StatefulSet", "statefulsets": "StatefulSet", "sts": "StatefulSet",
	"daemonset": "DaemonSet", "daemonsets": "DaemonSet", "ds": "DaemonSet",
}

// IsWorkload tells whether an object is one of Kinds.
func (r Ref) IsWorkload() bool {
	return r.Group == "apps" && (r.Kind == "Deployment" || r.Kind == "StatefulSet" || r.Kind == "DaemonSet")
}

// Workload is a Deployment, StatefulSet or DaemonSet.
type Workload struct {
	Object
	form form
}

// form is what of it is looked at.
type form struct {
	Metadata struct {
		UID         string
		Generation  int64
		Annotations map[string]string
	}
	Spec struct {
		Replicas             *int64
		Paused               bool
		RevisionHistoryLimit *int64
		Selector             struct {
			MatchLabels      map[string]string
			MatchExpressions []json.RawMessage
		}
		UpdateStrategy struct {
			Type          string
			RollingUpdate struct{ Partition int64 }
		}
		Template struct {
			Spec struct {
				Containers, InitContainers []struct{ Name, Image string }
			}
		}
	}
	Status struct {
		ObservedGeneration                                              int64
		Replicas, UpdatedReplicas, ReadyReplicas, AvailableReplicas     int64
		CurrentRevision, UpdateRevision                                 string
		DesiredNumberScheduled, UpdatedNumberScheduled, NumberAvailable int64
		NumberReady                                                     int64
		Conditions                                                      []struct{ Type, Status, Reason, Message string }
	}
}

// AsWorkload reads an object as a workload.
func AsWorkload(o Object) (Workload, error) {
	w := Workload{Object: o}
	b, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(b, &w.form)
	}
	if err != nil {
		return w, fmt.Errorf("%s: unexpected answer: %w", o.Ref(), err)
	}
	return w, nil
}

// Workload reads one; there is false when there is none.
func (k Kubectl) Workload(ctx context.Context, h remote.Runner, r Ref) (w Workload, there bool, err error) {
	o, there, err := k.Find(ctx, h, r)
	if err != nil || !there {
		return w, there, err
	}
	w, err = AsWorkload(o)
	return w, true, err
}

// Images are its containers' images by name, those of init containers as well.
func (w Workload) Images() map[string]string {
	all := map[string]string{}
	for _, c := range slices.Concat(w.form.Spec.Template.Spec.Containers, w.form.Spec.Template.Spec.InitContainers) {
		all[c.Name] = c.Image
	}
	return all
}

// Paused tells whether a Deployment ignores changes for now.
func (w Workload) Paused() bool { return w.form.Spec.Paused }

// History is how many old revisions are kept (ten when it does not say).
func (w Workload) History() int64 {
	if n := w.form.Spec.RevisionHistoryLimit; n != nil {
		return *n
	}
	return 10
}

// OnDelete tells whether pods are replaced only when somebody deletes them.
func (w Workload) OnDelete() bool { return w.form.Spec.UpdateStrategy.Type == "OnDelete" }

// Replicas is how many pods it is to have.
func (w Workload) Replicas() int64 {
	switch {
	case w.Ref().Kind == "DaemonSet":
		return w.form.Status.DesiredNumberScheduled
	case w.form.Spec.Replicas == nil:
		return 1
	}
	return *w.form.Spec.Replicas
}

// Updated is how many pods run the newest template, and Ready how many of all
// are ready.
func (w Workload) Updated() int64 {
	return w.form.Status.UpdatedReplicas + w.form.Status.UpdatedNumberScheduled
}

// Ready is how many pods are ready.
func (w Workload) Ready() int64 { return w.form.Status.ReadyReplicas + w.form.Status.NumberReady }

// Partition is how many of a StatefulSet's pods a rollout leaves as they are.
func (w Workload) Partition() int64 { return w.form.Spec.UpdateStrategy.RollingUpdate.Partition }

// Status is what `kubectl rollout status` judges by
// (k8s.io/kubectl/pkg/polymorphichelpers/rollout_status.go), and what is
// waited for. An error says that it will not come to be by itself.
func (w Workload) Status() (done bool, text string, err error) {
	s, want := w.form.Status, w.Replicas()
	if s.ObservedGeneration < w.form.Metadata.Generation || s.ObservedGeneration == 0 {
		return false, "the change is not seen yet", nil
	}
	switch w.Ref().Kind {
	case "Deployment":
		for _, c := range s.Conditions {
			if c.Type == "Progressing" && c.Reason == "ProgressDeadlineExceeded" {
				return false, w.progress(), fmt.Errorf("%s made no progress for as long as its progressDeadlineSeconds allow", w.Ref())
			}
		}
		done = s.UpdatedReplicas >= want && s.Replicas <= s.UpdatedReplicas && s.AvailableReplicas >= s.UpdatedReplicas
	case "StatefulSet":
		p := w.form.Spec.UpdateStrategy.RollingUpdate.Partition
		switch {
		case s.ReadyReplicas < want || w.OnDelete():
			done = s.ReadyReplicas >= want
		case p > 0:
			done = s.UpdatedReplicas >= want-p
		default:
			done = s.UpdateRevision == s.CurrentRevision
		}
	case "DaemonSet":
		done = (s.UpdatedNumberScheduled >= want || w.OnDelete()) && s.NumberAvailable >= want
	}
	return done, w.progress(), nil
}

func (w Workload) progress() string {
	text := fmt.Sprintf("%d of %d pods are new, %d ready", w.Updated(), w.Replicas(), w.Ready())
	if old := w.form.Status.Replicas - w.form.Status.UpdatedReplicas; old > 0 && w.Ref().Kind == "Deployment" {
		text += fmt.Sprintf(", %d old ones are still there", old)
	}
	return text
}

// Selector is the label selector of its pods, for kubectl. Expressions are not
// part of it: Owned sorts the pods by who owns them.
func (w Workload) Selector() string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(w.form.Spec.Selector.MatchLabels)) {
		all = append(all, key+"="+w.form.Spec.Selector.MatchLabels[key])
	}
	return strings.Join(all, ",")
}

// Template is the pod template in a form that compares equal for equal
// templates.
func (w Workload) Template() string { return templateText(w.At("spec", "template")) }

// Print is a short name of the template.
func (w Workload) Print() string { return Print(w.Template()) }

// Print is a short name of a text.
func Print(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:12])
}

// templateText leaves out the label that a ReplicaSet's template has besides.
func templateText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	var t map[string]any
	if json.Unmarshal(b, &t) != nil {
		return ""
	}
	if meta, ok := t["metadata"].(map[string]any); ok {
		if labels, ok := meta["labels"].(map[string]any); ok {
			delete(labels, "pod-template-hash")
			if len(labels) == 0 {
				delete(meta, "labels")
			}
		}
		delete(meta, "creationTimestamp") // null, from some versions
	}
	b, _ = json.Marshal(t)
	return string(b)
}

const revisionNote = "deployment.kubernetes.io/revision"

// Revision is a template that a workload had, or has.
type Revision struct {
	Number int64
	Print  string // of the template
	Name   string // of the object that keeps it
}

// Revisions are those that the cluster still keeps, oldest first: ReplicaSets
// of a Deployment, ControllerRevisions of the others.
func (k Kubectl) Revisions(ctx context.Context, h remote.Runner, w Workload) ([]Revision, error) {
	kind := "controllerrevisions.apps"
	if w.Ref().Kind == "Deployment" {
		kind = "replicasets.apps"
	}
	k.Namespace = w.Ref().Namespace
	objects, err := k.List(ctx, h, kind, w.Selector())
	if err != nil {
		return nil, err
	}
	var all []Revision
	for _, o := range objects {
		if !owned(o, w.form.Metadata.UID) {
			continue
		}
		r := Revision{Name: o.Ref().Name}
		if kind == "replicasets.apps" {
			notes, _ := o.At("metadata", "annotations").(map[string]any)
			text, _ := notes[revisionNote].(string)
			r.Number, _ = strconv.ParseInt(text, 10, 64)
			r.Print = Print(templateText(o.At("spec", "template")))
		} else {
			n, _ := o.At("revision").(json.Number)
			r.Number, _ = n.Int64()
			r.Print = Print(templateText(revised(o.At("data", "spec", "template"))))
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Revision) int { return int(a.Number - b.Number) })
	return all, nil
}

// revised drops the directive that a ControllerRevision's patch has in its
// template.
func revised(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	m = maps.Clone(m)
	delete(m, "$patch")
	return m
}

// owned tells whether the object's owner has that uid.
func owned(o Object, uid string) bool {
	owners, _ := o.At("metadata", "ownerReferences").([]any)
	return slices.ContainsFunc(owners, func(v any) bool {
		m, _ := v.(map[string]any)
		return uid != "" && m["uid"] == uid
	})
}

// Current is the number of the revision that the workload has now; 0 when it
// is not known.
func Current(w Workload, all []Revision) int64 {
	n := int64(0)
	for _, r := range all {
		if r.Print == w.Print() {
			n = r.Number
		}
	}
	return n
}
