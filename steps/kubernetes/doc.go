// Package kubernetes speaks to a cluster through the kubectl of a host: JSON
// in and out, manifests by stdin, credentials only from the kubeconfig that
// lies on that host. It knows no steps.
//
//	k := kubernetes.Kubectl{Kubeconfig: "/etc/kube/config", Namespace: "chat"}
//	w, err := k.Workload(ctx, host, kubernetes.Ref{Kind: "Deployment", Name: "api"})
//	ready, text, err := w.Status()
package kubernetes
