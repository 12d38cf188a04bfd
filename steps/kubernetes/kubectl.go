package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"belay/remote"
)

// Kubectl is how a host's kubectl is called.
type Kubectl struct {
	Command    []string // default: kubectl; "k3s", "kubectl" for instance
	Kubeconfig string   // path on the host; "": what kubectl finds itself
	Context    string   // "": the current one
	Namespace  string   // "": that of the context
}

// Cmd is `kubectl args…` for this cluster.
func (k Kubectl) Cmd(args ...string) remote.Cmd {
	argv := append([]string{}, k.Command...)
	if len(argv) == 0 {
		argv = []string{"kubectl"}
	}
	for _, o := range [][2]string{{"--kubeconfig", k.Kubeconfig}, {"--context", k.Context}, {"--namespace", k.Namespace}} {
		if o[1] != "" {
			argv = append(argv, o[0], o[1])
		}
	}
	return remote.Cmd{Argv: append(argv, args...)}
}

// patience is how long one request may take.
const patience = "--request-timeout=60s"

// Look runs a command that changes nothing and returns what it prints.
func (k Kubectl) Look(ctx context.Context, h remote.Runner, stdin io.Reader, args ...string) ([]byte, error) {
	c := k.Cmd(append(args, patience)...)
	c.Pure, c.Stdin = true, stdin
	out, err := remote.Output(ctx, h, c)
	return out, explain(err)
}

// Change runs a command that changes something and returns what it prints.
func (k Kubectl) Change(ctx context.Context, h remote.Runner, stdin io.Reader, args ...string) ([]byte, error) {
	c := k.Cmd(args...)
	c.Stdin = stdin
	out, err := remote.Output(ctx, h, c)
	return out, explain(err)
}

// SaidError is an error of kubectl with all that it said, not only its last
// line: a refusal names each conflict on a line of its own.
type SaidError struct {
	Err  *remote.ExitError
	Said string
}

func (e *SaidError) Error() string { return "kubectl: " + e.Said }
func (e *SaidError) Unwrap() error { return e.Err }

func explain(err error) error {
	exit, ok := errors.AsType[*remote.ExitError](err)
	if !ok {
		return err
	}
	said := strings.TrimSpace(exit.Stderr)
	if said == "" {
		return err
	}
	return &SaidError{exit, strings.Join(strings.Fields(said), " ")}
}

// Find reads one object; there is false when there is none.
func (k Kubectl) Find(ctx context.Context, h remote.Runner, r Ref) (o Object, there bool, err error) {
	if r.Namespace != "" {
		k.Namespace = r.Namespace
	}
	out, err := k.Look(ctx, h, nil, "get", r.arg(), "--ignore-not-found", "-o", "json", "--show-managed-fields")
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", r, err)
	}
	all, err := Decode(out)
	if err != nil || len(all) == 0 {
		return nil, false, err
	}
	return all[0], true, nil
}

// List reads the objects of a kind ("pods") that match a label selector; "" is
// all.
func (k Kubectl) List(ctx context.Context, h remote.Runner, kind, selector string) ([]Object, error) {
	args := []string{"get", kind, "-o", "json"}
	if selector != "" {
		args = append(args, "--selector", selector)
	}
	out, err := k.Look(ctx, h, nil, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return Decode(out)
}

// Decode reads the JSON that kubectl prints: objects one after the other, or
// in lists.
func Decode(out []byte) ([]Object, error) {
	var all []Object
	d := json.NewDecoder(bytes.NewReader(out))
	d.UseNumber()
	for {
		var o Object
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("kubectl: unexpected answer: %w", err)
		}
		flat, err := flatten(o)
		if err != nil {
			return nil, err
		}
		all = append(all, flat...)
	}
}

// flatten takes lists apart.
func flatten(o Object) ([]Object, error) {
	items, isList := o["items"].([]any)
	if !isList || !strings.HasSuffix(o.Ref().Kind, "List") {
		return []Object{o}, nil
	}
	var all []Object
	for _, item := range items {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, errors.New("a list holds something that is no object")
		}
		flat, err := flatten(m)
		if err != nil {
			return nil, err
		}
		all = append(all, flat...)
	}
	return all, nil
}

// Stdin is objects as kubectl reads them from "-f -".
func Stdin(objects []Object) (io.Reader, error) {
	items := make([]any, len(objects))
	for i, o := range objects {
		items[i] = map[string]any(o)
	}
	b, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	return bytes.NewReader(b), err
}
