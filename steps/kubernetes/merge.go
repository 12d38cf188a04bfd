package kubernetes

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Plain is a deep copy of what somebody may have meant: without status, and
// without what the API server and its controllers note in the metadata.
func (o Object) Plain() Object {
	var c Object
	b, err := json.Marshal(o)
	if err != nil || json.Unmarshal(b, &c) != nil {
		return Object{}
	}
	delete(c, "status")
	meta, _ := c["metadata"].(map[string]any)
	for _, key := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"} {
		delete(meta, key)
	}
	notes, _ := meta["annotations"].(map[string]any)
	maps.DeleteFunc(notes, func(key string, _ any) bool {
		return key == "kubectl.kubernetes.io/last-applied-configuration" ||
			strings.HasPrefix(key, "deployment.kubernetes.io/") || strings.HasPrefix(key, "pv.kubernetes.io/") || strings.HasPrefix(key, "deprecated.daemonset.template.")
	})
	if len(notes) == 0 {
		delete(meta, "annotations")
	}
	return c
}

// Equal tells whether two objects mean the same.
func Equal(a, b Object) bool { return reflect.DeepEqual(a.Plain(), b.Plain()) }

// MadeBy tells whether an object can be one that a field manager applied
// (server-side): it says so, or nobody's fields are in it at all, as with a
// namespace of which only the name was said.
func (o Object) MadeBy(who string) bool {
	all, _ := o.At("metadata", "managedFields").([]any)
	others := false
	for _, v := range all {
		m, _ := v.(map[string]any)
		if m["manager"] == who && m["operation"] == "Apply" {
			return true
		}
		others = others || m["manager"] != "kube-controller-manager" && m["subresource"] == nil
	}
	return !others
}

// Back is what to apply so that an object is as it was before, where applied
// changed it to after: the former values of all that was applied, and of what
// was taken away. Whatever else became of the object since is not touched.
// foreign are the paths that somebody else has changed to a third value since.
func Back(before, applied, after, now Object) (back Object, foreign []string) {
	b, a, n := before.Plain(), after.Plain(), now.Plain()
	foreign = thirds(map[string]any(b), map[string]any(a), map[string]any(n), "")
	v, _ := restrict(map[string]any(b), map[string]any(applied.Plain()), map[string]any(a))
	back, _ = v.(map[string]any)
	if back == nil {
		back = Object{}
	}
	meta, _ := back["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
		back["metadata"] = meta
	}
	back["apiVersion"], back["kind"], meta["name"] = b["apiVersion"], b["kind"], b.Text("metadata", "name")
	if ns := b.Text("metadata", "namespace"); ns != "" {
		meta["namespace"] = ns
	}
	return back, foreign
}

// restrict is the part of before that applied speaks of, or that after lacks.
// Lists are taken whole.
func restrict(before, applied, after any) (any, bool) {
	b, ok := before.(map[string]any)
	ap, okApplied := applied.(map[string]any)
	af, okAfter := after.(map[string]any)
	if !ok || !okApplied && !okAfter {
		return before, true
	}
	out := map[string]any{}
	for key, v := range b {
		pv, inApplied := ap[key]
		av, inAfter := af[key]
		switch {
		case !inAfter:
			out[key] = v
		case inApplied:
			if part, ok := restrict(v, pv, av); ok {
				out[key] = part
			}
		default:
			// Not applied: only what is gone of it.
			if m, isMap := v.(map[string]any); isMap {
				if part, ok := restrict(m, map[string]any{}, av); ok && len(part.(map[string]any)) > 0 {
					out[key] = part
				}
			}
		}
	}
	return out, true
}

// thirds are the paths that were changed from before to after and are neither
// now.
func thirds(before, after, now any, at string) []string {
	return changed(before, after, now, at, func(before, after, now any) bool {
		return !reflect.DeepEqual(now, after) && !reflect.DeepEqual(now, before)
	})
}

// Left are the paths that were changed from before to after and are not as
// before now.
func Left(before, after, now Object) []string {
	return changed(before.Plain(), after.Plain(), now.Plain(), "", func(before, _, now any) bool {
		return !reflect.DeepEqual(now, before)
	})
}

// changed are the paths that differ from before to after, and of which is says
// so as well.
func changed(before, after, now any, at string, is func(before, after, now any) bool) []string {
	if reflect.DeepEqual(before, after) || !is(before, after, now) {
		return nil
	}
	b, ok1 := asMap(before)
	a, ok2 := asMap(after)
	n, ok3 := asMap(now)
	if !ok1 || !ok2 || !ok3 {
		return []string{strings.TrimPrefix(at, ".")}
	}
	keys := maps.Clone(b)
	maps.Copy(keys, a)
	var all []string
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		all = append(all, changed(b[key], a[key], n[key], at+"."+key, is)...)
	}
	return all
}

func asMap(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return v, true
	case Object:
		return v, true
	}
	return nil, false
}
