package remotetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// log answers what the API server asks for `kubectl logs`:
// /containerLogs/NAMESPACE/POD/CONTAINER.
func (n *kubeNode) log(w http.ResponseWriter, r *http.Request) {
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(part) != 4 || part[0] != "containerLogs" {
		http.NotFound(w, r)
		return
	}
	for _, p := range n.pods(part[1]) {
		if p.Metadata.Name != part[2] {
			continue
		}
		for _, c := range p.Spec.Containers {
			if c.Name == part[3] {
				n.mu.Lock()
				text := n.faults[c.Image].Log
				n.mu.Unlock()
				if text == "" {
					text = "listening"
				}
				fmt.Fprintln(w, text)
				return
			}
		}
	}
	http.NotFound(w, r)
}

// open listens on the node ports of all Services, on 127.0.0.1.
func (n *kubeNode) open() {
	type service struct {
		Metadata kubeMeta
		Spec     struct {
			Type     string
			Selector map[string]string
			Ports    []struct{ NodePort int }
		}
	}
	want := map[int]bool{}
	for _, s := range kubeList[service](n, "/api/v1/services") {
		for _, p := range s.Spec.Ports {
			if p.NodePort == 0 || len(s.Spec.Selector) == 0 {
				continue
			}
			want[p.NodePort] = true
			if n.ports[p.NodePort] != nil {
				continue
			}
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.NodePort)))
			if err != nil {
				continue // the next time, perhaps
			}
			n.ports[p.NodePort] = l
			namespace, name := s.Metadata.Namespace, s.Metadata.Name
			go func() {
				_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.answer(w, r, namespace, name) }))
			}()
		}
	}
	for port, l := range n.ports {
		if !want[port] {
			l.Close()
			delete(n.ports, port)
		}
	}
}

// answer is the application that stands in for every image: /health tells the
// image and the environment, any other path is a file of the volumes.
func (n *kubeNode) answer(w http.ResponseWriter, r *http.Request, namespace, service string) {
	var s struct {
		Spec struct{ Selector map[string]string }
	}
	if err := n.get("/api/v1/namespaces/"+namespace+"/services/"+service, &s); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	for _, p := range n.pods(namespace) {
		fits := p.Metadata.DeletionTimestamp == "" && p.Status.Phase == "Running" && slices.ContainsFunc(p.Status.Conditions, func(c map[string]any) bool {
			return c["type"] == "Ready" && c["status"] == "True"
		})
		for k, v := range s.Spec.Selector {
			fits = fits && p.Metadata.Labels[k] == v
		}
		if !fits || len(p.Spec.Containers) == 0 {
			continue
		}
		if r.URL.Path == "/health" || r.URL.Path == "/_health" {
			env, err := n.environment(p, p.Spec.Containers[0])
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"image": p.Spec.Containers[0].Image, "env": env})
			return
		}
		n.file(w, r, p)
		return
	}
	http.Error(w, "no pod is ready", http.StatusServiceUnavailable)
}

func (n *kubeNode) file(w http.ResponseWriter, r *http.Request, p kubePod) {
	for _, m := range p.Spec.Containers[0].VolumeMounts {
		rest, in := strings.CutPrefix(path.Clean(r.URL.Path), m.MountPath+"/")
		if !in {
			continue
		}
		for _, v := range p.Spec.Volumes {
			if v.Name != m.Name {
				continue
			}
			dir := ""
			if v.PersistentVolumeClaim != nil {
				dir = n.hostPath(p.Metadata.Namespace, v.PersistentVolumeClaim.ClaimName)
			} else if v.HostPath != nil {
				dir = v.HostPath.Path
			}
			b, err := os.ReadFile(filepath.Join(dir, rest))
			if dir != "" && err == nil {
				_, _ = w.Write(b)
				return
			}
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
	}
	http.NotFound(w, r)
}
