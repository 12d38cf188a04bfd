package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"

	"belay/remote"
)

// Ready tells whether an object that is no workload does its work: a Job has
// completed, a claim is bound, a Pod is ready. Kinds that it does not know are
// ready as soon as they are there; so is a Service, whose address outside may
// come from somebody else. An error says that it has failed for good.
func (k Kubectl) Ready(ctx context.Context, h remote.Runner, o Object) (done bool, text string, err error) {
	r := o.Ref()
	switch r.Group + "/" + r.Kind {
	case "batch/Job":
		if c, ok := o.condition("Failed"); ok {
			return false, "", fmt.Errorf("%s failed: %s", r, c)
		}
		if _, ok := o.condition("Complete"); ok {
			return true, "", nil
		}
		suspended, _ := o.At("spec", "suspend").(bool)
		return suspended, fmt.Sprintf("%s pods succeeded, %s failed", number(o.At("status", "succeeded")), number(o.At("status", "failed"))), nil
	case "/PersistentVolumeClaim":
		phase := o.Text("status", "phase")
		if phase == "Lost" {
			return false, "", fmt.Errorf("%s has lost its volume", r)
		}
		if phase == "Bound" {
			return true, "", nil
		}
		late, err := k.bindsLate(ctx, h, o.Text("spec", "storageClassName"))
		return late, "no volume is bound to it yet", err
	case "/Pod":
		_, ok := o.condition("Ready")
		phase := o.Text("status", "phase")
		if phase == "Failed" {
			return false, "", fmt.Errorf("%s failed: %s", r, o.Text("status", "message"))
		}
		return ok || phase == "Succeeded", "it is " + phase, nil
	case "/Namespace":
		return o.Text("status", "phase") == "Active", "it is " + o.Text("status", "phase"), nil
	case "apiextensions.k8s.io/CustomResourceDefinition":
		_, ok := o.condition("Established")
		return ok, "it is not established yet", nil
	case "apiregistration.k8s.io/APIService":
		_, ok := o.condition("Available")
		return ok, "it is not available yet", nil
	}
	return true, "", nil
}

// bindsLate tells whether claims of a storage class get their volume only when
// a pod wants it.
func (k Kubectl) bindsLate(ctx context.Context, h remote.Runner, class string) (bool, error) {
	if class == "" {
		return false, nil
	}
	o, there, err := k.Find(ctx, h, Ref{Group: "storage.k8s.io", Version: "v1", Kind: "StorageClass", Name: class})
	return there && o.Text("volumeBindingMode") == "WaitForFirstConsumer", err
}

// condition is the message of a condition that is true.
func (o Object) condition(kind string) (string, bool) {
	all, _ := o.At("status", "conditions").([]any)
	for _, v := range all {
		c, _ := v.(map[string]any)
		if c["type"] == kind && c["status"] == "True" {
			return fmt.Sprintf("%v: %v", c["reason"], c["message"]), true
		}
	}
	return "", false
}

func number(v any) string {
	if n, ok := v.(json.Number); ok {
		return n.String()
	}
	return "0"
}
