package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"belay/remote"
)

// Pod is one pod of a workload.
type Pod struct {
	Name      string
	Namespace string
	Owner     string // uid of who made it
	Labels    map[string]string
	Images    map[string]string // container → image, as the template said
	IDs       map[string]string // container → what runs, as the node said
	Ready     bool
	Leaving   bool // it is being deleted
	Phase     string
	Trouble   []Trouble
}

// Trouble is why a pod is not ready.
type Trouble struct {
	Container string // "" for the pod as a whole
	Reason    string // ImagePullBackOff, CrashLoopBackOff, Unschedulable …
	Message   string
	Restarts  int64
	Lasting   bool // waiting alone mends it only if something else changes
}

// String is "api: CrashLoopBackOff (3 restarts): back-off …".
func (t Trouble) String() string {
	s := t.Reason
	if t.Container != "" {
		s = t.Container + ": " + s
	}
	if t.Restarts > 0 {
		s += fmt.Sprintf(" (%d restarts)", t.Restarts)
	}
	if t.Message != "" {
		s += ": " + t.Message
	}
	return s
}

// lasting are the reasons for which kubelet only tries the same again
// (k8s.io/kubernetes/pkg/kubelet/images, kubelet/container).
var lasting = map[string]bool{
	"ImagePullBackOff": true, "ErrImagePull": true, "InvalidImageName": true, "ErrImageNeverPull": true,
	"CrashLoopBackOff": true, "CreateContainerConfigError": true, "CreateContainerError": true, "RunContainerError": true,
	"Unschedulable": true, "Error": true, "OOMKilled": true,
}

type podForm struct {
	Metadata struct {
		Name, Namespace, DeletionTimestamp string
		Labels                             map[string]string
		OwnerReferences                    []struct {
			UID        string
			Controller bool
		}
	}
	Spec struct {
		Containers []struct{ Name, Image string }
	}
	Status struct {
		Phase, Reason, Message                   string
		Conditions                               []struct{ Type, Status, Reason, Message string }
		ContainerStatuses, InitContainerStatuses []containerForm
	}
}

type containerForm struct {
	Name, ImageID    string
	RestartCount     int64
	Ready            bool
	State, LastState struct {
		Waiting    *struct{ Reason, Message string }
		Terminated *struct {
			Reason, Message string
			ExitCode        int64
		}
	}
}

// Pods are those that match a selector.
func (k Kubectl) Pods(ctx context.Context, h remote.Runner, selector string) ([]Pod, error) {
	objects, err := k.List(ctx, h, "pods", selector)
	if err != nil {
		return nil, err
	}
	var all []Pod
	for _, o := range objects {
		b, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		var f podForm
		if err := json.Unmarshal(b, &f); err != nil {
			return nil, fmt.Errorf("pods: unexpected answer: %w", err)
		}
		all = append(all, f.pod())
	}
	return all, nil
}

func (f podForm) pod() Pod {
	p := Pod{Name: f.Metadata.Name, Namespace: f.Metadata.Namespace, Labels: f.Metadata.Labels, Leaving: f.Metadata.DeletionTimestamp != "",
		Phase: f.Status.Phase, Images: map[string]string{}, IDs: map[string]string{}}
	for _, o := range f.Metadata.OwnerReferences {
		if o.Controller {
			p.Owner = o.UID
		}
	}
	for _, c := range f.Spec.Containers {
		p.Images[c.Name] = c.Image
	}
	for _, c := range f.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			p.Ready = true
		}
		if c.Type == "PodScheduled" && c.Status == "False" {
			p.Trouble = append(p.Trouble, Trouble{Reason: c.Reason, Message: c.Message, Lasting: lasting[c.Reason]})
		}
	}
	if f.Status.Reason != "" {
		p.Trouble = append(p.Trouble, Trouble{Reason: f.Status.Reason, Message: f.Status.Message})
	}
	for _, c := range slices.Concat(f.Status.InitContainerStatuses, f.Status.ContainerStatuses) {
		p.IDs[c.Name] = c.ImageID
		if t, bad := c.trouble(); bad {
			p.Trouble = append(p.Trouble, t)
		}
	}
	return p
}

func (c containerForm) trouble() (t Trouble, bad bool) {
	t = Trouble{Container: c.Name, Restarts: c.RestartCount}
	switch w, x := c.State.Waiting, c.State.Terminated; {
	case w != nil && lasting[w.Reason]:
		t.Reason, t.Message = w.Reason, w.Message
		if last := c.LastState.Terminated; last != nil {
			t.Message = strings.TrimPrefix(t.Message+"; it ended with status "+strconv.FormatInt(last.ExitCode, 10), "; ")
		}
	case x != nil && x.ExitCode != 0:
		t.Reason, t.Message = x.Reason, fmt.Sprintf("it ended with status %d", x.ExitCode)
	default:
		return t, false
	}
	t.Lasting = lasting[t.Reason]
	return t, true
}

// Logs are the last n lines of a container; of its last run but one where the
// newest has said nothing yet.
func (k Kubectl) Logs(ctx context.Context, h remote.Runner, p Pod, container string, n int) (string, error) {
	k.Namespace = p.Namespace
	var last error
	for _, more := range [][]string{nil, {"--previous"}} {
		args := append([]string{"logs", p.Name, "--container", container, "--tail", strconv.Itoa(n), "--limit-bytes=8192"}, more...)
		out, err := k.Look(ctx, h, nil, args...)
		if text := strings.TrimSpace(string(out)); err == nil && text != "" {
			return text, nil
		}
		last = err
	}
	return "", last
}
