package remotetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

const kubeNodeName = "node-1"

// kubeMeta is the metadata of an object, as far as the node looks at it.
type kubeMeta struct {
	Name, Namespace, UID string
	Labels               map[string]string
	DeletionTimestamp    string
}

// kubePod is a pod, likewise.
type kubePod struct {
	Metadata kubeMeta
	Spec     struct {
		NodeName, RestartPolicy string
		Containers              []kubeContainer
		Volumes                 []struct {
			Name                  string
			HostPath              *struct{ Path string }
			PersistentVolumeClaim *struct{ ClaimName string }
		}
	}
	Status struct {
		Phase, StartTime  string
		Conditions        []map[string]any
		ContainerStatuses []map[string]any
	}
}

type kubeContainer struct {
	Name, Image string
	EnvFrom     []struct {
		ConfigMapRef, SecretRef *struct {
			Name     string
			Optional bool
		}
	}
	Env          []struct{ Name, Value string }
	VolumeMounts []struct{ Name, MountPath string }
}

// startKubeNode registers the node and begins to do its work.
func startKubeNode(k *Kube) *kubeNode {
	k.t.Helper()
	n := &kubeNode{k: k, faults: map[string]KubeFault{}, ports: map[int]net.Listener{}, done: make(chan struct{}), ended: make(chan struct{})}
	// The API server asks the node for logs by HTTPS, and does not look at the
	// certificate unless it is told to.
	logs := httptest.NewUnstartedServer(http.HandlerFunc(n.log))
	logs.StartTLS()
	n.logs = logs.Config
	port := logs.Listener.Addr().(*net.TCPAddr).Port
	node := map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": kubeNodeName}}
	if _, err := k.API("POST", "/api/v1/nodes", "application/json", node); err != nil {
		k.t.Fatal(err)
	}
	status := map[string]any{"status": map[string]any{
		"addresses":       []any{map[string]any{"type": "InternalIP", "address": "127.0.0.1"}},
		"capacity":        map[string]any{"cpu": "64", "memory": "256Gi", "pods": "1000"},
		"allocatable":     map[string]any{"cpu": "64", "memory": "256Gi", "pods": "1000"},
		"daemonEndpoints": map[string]any{"kubeletEndpoint": map[string]any{"Port": port}},
		"conditions":      []any{kubeCondition("Ready", true, "KubeletReady", "simulated")},
	}}
	if _, err := k.API("PATCH", "/api/v1/nodes/"+kubeNodeName+"/status", "application/merge-patch+json", status); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(logs.Close)
	go n.work()
	return n
}

func (n *kubeNode) stop() {
	close(n.done)
	<-n.ended
	for _, l := range n.ports {
		l.Close()
	}
}

// work looks five times a second what is to be done. What fails, because an
// object was changed meanwhile, is seen again the next time.
func (n *kubeNode) work() {
	defer close(n.ended)
	for {
		select {
		case <-n.done:
			return
		case <-time.After(200 * time.Millisecond):
		}
		for _, p := range n.pods("") {
			n.tend(p)
		}
		n.open()
	}
}

func kubeList[T any](n *kubeNode, path string) []T {
	out, err := n.k.API("GET", path, "", nil)
	var list struct{ Items []T }
	if err != nil || json.Unmarshal(out, &list) != nil {
		return nil
	}
	return list.Items
}

func (n *kubeNode) pods(namespace string) []kubePod {
	at := "/api/v1/pods"
	if namespace != "" {
		at = "/api/v1/namespaces/" + namespace + "/pods"
	}
	return kubeList[kubePod](n, at)
}

// tend brings one pod a step further: scheduled, started, ended.
func (n *kubeNode) tend(p kubePod) {
	at := "/api/v1/namespaces/" + p.Metadata.Namespace + "/pods/" + p.Metadata.Name
	switch {
	case p.Metadata.DeletionTimestamp != "" && p.Spec.NodeName != "":
		_, _ = n.k.API("DELETE", at, "application/json", map[string]any{"gracePeriodSeconds": 0, "preconditions": map[string]any{"uid": p.Metadata.UID}})
	case p.Metadata.DeletionTimestamp != "" || p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed":
	case p.Spec.NodeName == "":
		if why := n.unbound(p); why != "" {
			c := kubeCondition("PodScheduled", false, "Unschedulable", why)
			n.status(at, p, map[string]any{"conditions": []any{c}})
			return
		}
		_, _ = n.k.API("POST", at+"/binding", "application/json", map[string]any{"apiVersion": "v1", "kind": "Binding",
			"metadata": map[string]any{"name": p.Metadata.Name}, "target": map[string]any{"apiVersion": "v1", "kind": "Node", "name": kubeNodeName}})
	default:
		n.status(at, p, n.state(p))
	}
}

// status tells the API server, if there is anything new.
func (n *kubeNode) status(at string, p kubePod, s map[string]any) {
	a, _ := json.Marshal(s["containerStatuses"])
	b, _ := json.Marshal(p.Status.ContainerStatuses)
	if s["phase"] == nil && len(p.Status.Conditions) > 0 || s["phase"] == p.Status.Phase && kubeSame(a, b) {
		return
	}
	_, _ = n.k.API("PATCH", at+"/status", "application/merge-patch+json", map[string]any{"metadata": map[string]any{"uid": p.Metadata.UID}, "status": s})
}

// kubeSame compares what was said of the containers before; the API server
// adds fields of its own.
func kubeSame(said, has []byte) bool {
	var a, b []struct {
		Image string
		Ready bool
		State map[string]struct{ Reason string }
	}
	return json.Unmarshal(said, &a) == nil && json.Unmarshal(has, &b) == nil && fmt.Sprint(a) == fmt.Sprint(b)
}

func kubeCondition(kind string, ok bool, reason, message string) map[string]any {
	is := "False"
	if ok {
		is = "True"
	}
	return map[string]any{"type": kind, "status": is, "reason": reason, "message": message, "lastTransitionTime": kubeNow()}
}

func kubeNow() string { return time.Now().UTC().Format(time.RFC3339) }

// unbound says which claim of a pod has no volume yet.
func (n *kubeNode) unbound(p kubePod) string {
	for _, v := range p.Spec.Volumes {
		if c := v.PersistentVolumeClaim; c != nil && n.hostPath(p.Metadata.Namespace, c.ClaimName) == "" {
			return fmt.Sprintf("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims (%s).", c.ClaimName)
		}
	}
	return ""
}

// hostPath is the directory behind a claim; "" while it is not bound.
func (n *kubeNode) hostPath(namespace, claim string) string {
	var c struct {
		Spec   struct{ VolumeName string }
		Status struct{ Phase string }
	}
	var v struct {
		Spec struct{ HostPath struct{ Path string } }
	}
	if n.get("/api/v1/namespaces/"+namespace+"/persistentvolumeclaims/"+claim, &c) != nil || c.Status.Phase != "Bound" ||
		n.get("/api/v1/persistentvolumes/"+c.Spec.VolumeName, &v) != nil {
		return ""
	}
	return v.Spec.HostPath.Path
}

func (n *kubeNode) get(path string, v any) error {
	out, err := n.k.API("GET", path, "", nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(out, v)
}

// state is how a scheduled pod is: the fault of its first broken image, else
// running, or done for a pod that is to end.
func (n *kubeNode) state(p kubePod) map[string]any {
	start := p.Status.StartTime
	if start == "" {
		start = kubeNow()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	phase, ready := "Running", true
	var all []any
	for _, c := range p.Spec.Containers {
		f := n.faults[c.Image]
		if _, err := n.environment(p, c); err != nil {
			f = KubeFault{Reason: "CreateContainerConfigError", Log: err.Error()}
		}
		s := map[string]any{"name": c.Name, "image": c.Image, "imageID": "sim://" + c.Image, "restartCount": 0, "ready": f.Reason == ""}
		ended := func(status int) map[string]any {
			return map[string]any{"exitCode": status, "reason": map[bool]string{true: "Completed", false: "Error"}[status == 0], "startedAt": start, "finishedAt": kubeNow()}
		}
		switch once := p.Spec.RestartPolicy == "Never" || p.Spec.RestartPolicy == "OnFailure"; {
		case once && f.Reason == "":
			phase, ready = "Succeeded", false
			s["ready"], s["state"] = false, map[string]any{"terminated": ended(0)}
		case once && f.Reason != "ImagePullBackOff" && f.Reason != "CreateContainerConfigError":
			phase, ready = "Failed", false
			s["state"] = map[string]any{"terminated": ended(1)}
		case f.Reason == "" || f.Reason == "NotReady":
			ready = ready && f.Reason == ""
			s["state"], s["started"] = map[string]any{"running": map[string]any{"startedAt": start}}, true
		case f.Reason == "CrashLoopBackOff":
			ready = false
			s["restartCount"], s["lastState"] = 3, map[string]any{"terminated": ended(1)}
			s["state"] = map[string]any{"waiting": map[string]any{"reason": f.Reason, "message": "back-off 40s restarting failed container"}}
		default:
			ready = false
			phase = "Pending"
			message := f.Log
			if f.Reason == "ImagePullBackOff" {
				message = fmt.Sprintf("Back-off pulling image %q", c.Image)
			}
			s["state"] = map[string]any{"waiting": map[string]any{"reason": f.Reason, "message": message}}
		}
		all = append(all, s)
	}
	n.serial++
	ip := fmt.Sprintf("10.244.%d.%d", n.serial/250%250, n.serial%250+1)
	return map[string]any{"phase": phase, "startTime": start, "hostIP": "127.0.0.1", "podIP": ip, "podIPs": []any{map[string]any{"ip": ip}},
		"containerStatuses": all, "conditions": []any{
			kubeCondition("PodScheduled", true, "", ""), kubeCondition("Initialized", true, "", ""),
			kubeCondition("ContainersReady", ready, "", ""), kubeCondition("Ready", ready, "", ""),
		}}
}

// environment is a container's, or the error that kubelet would name.
func (n *kubeNode) environment(p kubePod, c kubeContainer) (map[string]string, error) {
	env := map[string]string{}
	for _, from := range c.EnvFrom {
		kind, ref := "configmaps", from.ConfigMapRef
		if from.SecretRef != nil {
			kind, ref = "secrets", from.SecretRef
		}
		if ref == nil {
			continue
		}
		at := "/api/v1/namespaces/" + p.Metadata.Namespace + "/" + kind + "/" + ref.Name
		var err error
		if kind == "secrets" { // their data is base64
			var s struct{ Data map[string][]byte }
			err = n.get(at, &s)
			for k, v := range s.Data {
				env[k] = string(v)
			}
		} else {
			var s struct{ Data map[string]string }
			err = n.get(at, &s)
			maps.Copy(env, s.Data)
		}
		if err != nil && !ref.Optional {
			return nil, fmt.Errorf("%s %q not found", strings.TrimSuffix(kind, "s"), ref.Name)
		}
	}
	for _, e := range c.Env {
		env[e.Name] = e.Value
	}
	return env, nil
}
