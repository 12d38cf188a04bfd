package kubernetes

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Object is an object of the API as JSON has it.
type Object map[string]any

// Ref names an object.
type Ref struct {
	Group     string `json:"group,omitempty"` // "apps"; "" for the core
	Version   string `json:"version,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"` // "" where it was not said, or there is none
	Name      string `json:"name"`
}

// String is "deployment/api", for people.
func (r Ref) String() string {
	s := strings.ToLower(r.Kind) + "/" + r.Name
	if r.Namespace != "" {
		s += " in " + r.Namespace
	}
	return s
}

// arg is the name for kubectl: deployment.v1.apps/api, so that a like kind of
// another group is not meant.
func (r Ref) arg() string {
	kind := r.Kind
	switch {
	case r.Group != "" && r.Version != "":
		kind += "." + r.Version + "." + r.Group
	case r.Group != "":
		kind += "." + r.Group
	}
	return kind + "/" + r.Name
}

// Arg is the object's name on kubectl's command line.
func (r Ref) Arg() string { return r.arg() }

// Same tells whether both name one object, where one of them may not say its
// namespace.
func (r Ref) Same(o Ref) bool {
	return r.Group == o.Group && r.Kind == o.Kind && r.Name == o.Name && (r.Namespace == o.Namespace || r.Namespace == "" || o.Namespace == "")
}

// Ref is the object's name.
func (o Object) Ref() Ref {
	group, version, ok := strings.Cut(o.Text("apiVersion"), "/")
	if !ok {
		group, version = "", group
	}
	return Ref{Group: group, Version: version, Kind: o.Text("kind"), Namespace: o.Text("metadata", "namespace"), Name: o.Text("metadata", "name")}
}

// At is the value at a path of keys; nil when there is none.
func (o Object) At(path ...string) any {
	var v any = map[string]any(o)
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// Text is the string at a path; "" when there is none.
func (o Object) Text(path ...string) string {
	s, _ := o.At(path...).(string)
	return s
}

// Parse reads manifests: YAML documents, or JSON, or lists of either. A
// refusal names the document by its number.
func Parse(text []byte) ([]Object, error) {
	var all []Object
	d := yaml.NewDecoder(bytes.NewReader(text))
	for n := 1; ; n++ {
		var doc yaml.Node
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		plainDates(&doc, map[*yaml.Node]bool{})
		var v any
		if err := doc.Decode(&v); err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		if v == nil {
			continue // nothing but comments
		}
		m, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("document %d is not an object", n)
		}
		flat, err := flatten(m)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		for _, o := range flat {
			if err := o.valid(); err != nil {
				return nil, fmt.Errorf("document %d: %w", n, err)
			}
		}
		all = append(all, flat...)
	}
}

// plainDates keeps what looks like a date as it is written: JSON has no dates.
func plainDates(n *yaml.Node, seen map[*yaml.Node]bool) {
	if seen[n] {
		return
	}
	seen[n] = true
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!timestamp" {
		n.Tag = "!!str"
	}
	for _, c := range n.Content {
		plainDates(c, seen)
	}
	if n.Alias != nil {
		plainDates(n.Alias, seen)
	}
}

func (o Object) valid() error {
	r := o.Ref()
	if _, err := json.Marshal(o); err != nil { // a key that is no text, a number that is none
		return fmt.Errorf("JSON cannot hold it: %w", err)
	}
	switch {
	case r.Version == "" || r.Kind == "":
		return errors.New("it has no apiVersion or no kind")
	case r.Name == "" && o.Text("metadata", "generateName") != "":
		return fmt.Errorf("a %s with generateName cannot be applied: it would be another one each time. Give it a name", r.Kind)
	case r.Name == "":
		return fmt.Errorf("a %s has no name", r.Kind)
	case strings.ContainsAny(r.Name+r.Namespace, " /%\n\t") || strings.HasPrefix(r.Name, "-"):
		return fmt.Errorf("%q cannot be the name of a %s", r.Name, r.Kind)
	}
	return nil
}
