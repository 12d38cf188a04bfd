package steps

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"belay/checks"
	"belay/remote"
	"belay/steps/kubernetes"
)

func init() {
	register(Kind{
		Name:    "kubernetes.apply",
		Summary: "Applies Kubernetes manifests (server-side, as field manager belay), shows first what they would change, waits until workloads, Jobs and claims are ready, and puts back what was there before.",
		Example: `- step: Make the Service
  on: ops
  kubernetes.apply:
    namespace: chat
    manifests: |
      apiVersion: v1
      kind: Service
      metadata: {name: chatnio}
      spec:
        selector: {app: chatnio}
        ports: [{port: 80, targetPort: 8000}]
`,
		New: func() Step { return &kubeApply{} },
	})
}

type kubeApply struct {
	Files       []string `yaml:"files" doc:"absolute paths on the host: files, or directories whose *.yaml, *.yml and *.json are taken (not those below)"`
	Manifests   string   `yaml:"manifests" doc:"manifests in the plan itself, YAML; nothing secret"`
	kubeCluster `yaml:",inline"`
	kubeWaits   `yaml:",inline"`
	Force       bool `yaml:"force" doc:"take over fields that another field manager set to something else; left out, that is an error which names them"`
	DeleteData  bool `yaml:"delete_data" doc:"the way back deletes also claims, volumes, namespaces and custom resource definitions that the step made, with all that is in them; left out, they stay"`
}

func (c *kubeApply) Validate() error {
	errs := append(c.kubeCluster.validate(), c.kubeWaits.validate()...)
	if len(c.Files) == 0 && strings.TrimSpace(c.Manifests) == "" {
		errs = append(errs, Field("files", "nothing is to be applied: give files or manifests"))
	}
	for i, f := range c.Files {
		errs = append(errs, fileCheckPath(fmt.Sprintf("files.%d", i), f))
	}
	objects, err := kubernetes.Parse([]byte(c.Manifests))
	if err == nil {
		_, err = kubeSort(objects)
	}
	if err != nil {
		errs = append(errs, Field("manifests", "%w", err))
	}
	return errors.Join(errs...)
}

func (c *kubeApply) Repeatable() bool { return true }

// Hints explains the refusal of server-side apply.
func (c *kubeApply) Hints() []Hint { return kubeConflictHints }

var kubeConflictHints = []Hint{{
	Match: `conflicts? with "`,
	Cause: "a field that the manifest sets has another value, which another field manager (such as kubectl edit, Helm or an operator) set",
	Fix:   "see who is right: take the field out of the manifest, or say force: true to take it over",
}}

// Needs asks for the cluster, and for the right to apply each kind of object
// that can be told by now.
func (c *kubeApply) Needs(on string) []checks.Check {
	key := path.Clean(strings.Join(c.Files, " "))
	if len(c.Files) == 0 {
		objects, _ := kubernetes.Parse([]byte(c.Manifests))
		var names []string
		for _, o := range objects {
			names = append(names, o.Ref().String())
		}
		key = strings.Join(names, " ")
	}
	return []checks.Check{&kubeNeed{on: on, key: strings.TrimSpace(c.Namespace + " " + key), of: c.kubeCluster, judge: c.judge}}
}

func (c *kubeApply) judge(ctx context.Context, h remote.Host, k kubernetes.Kubectl) (checks.Level, string, string) {
	objects, missing, err := c.load(ctx, h)
	if err != nil {
		return kubeUnseen(ctx, err, "see the text")
	}
	asked := map[string]bool{}
	for _, o := range objects {
		r := o.Ref()
		kind := strings.TrimSuffix(strings.ToLower(r.Kind)+"."+r.Group, ".")
		for _, verb := range []string{"patch", "create"} {
			if asked[verb+kind] {
				continue
			}
			asked[verb+kind] = true
			if r.Namespace != "" {
				k.Namespace = r.Namespace
			}
			ok, err := k.Allowed(ctx, h, verb, kind)
			if err != nil {
				return kubeUnseen(ctx, err, "see the text")
			}
			if !ok {
				return checks.Block, fmt.Sprintf("the login of the kubeconfig may not %s %s", verb, kind), "give it a role that allows that, or use another kubeconfig"
			}
		}
	}
	if missing != "" {
		return checks.Warn, missing + " is not there yet", "see the path, unless an earlier step makes it"
	}
	return checks.Pass, fmt.Sprintf("%d objects can be applied", len(objects)), ""
}

// load reads the manifests of the plan and of the host. missing is a path that
// is not there.
func (c *kubeApply) load(ctx context.Context, h remote.Host) (all []kubernetes.Object, missing string, err error) {
	if all, err = kubernetes.Parse([]byte(c.Manifests)); err != nil {
		return nil, "", fmt.Errorf("manifests: %w", err)
	}
	const list = `if [ -d "$1" ]; then
	for f in "$1"/*.json "$1"/*.yaml "$1"/*.yml; do [ ! -f "$f" ] || printf '%s\n' "$f"; done
elif [ -e "$1" ]; then printf '%s\n' "$1"; fi`
	for _, f := range c.Files {
		f = path.Clean(f)
		cmd := remote.Sh(list, f)
		cmd.Pure = true
		out, err := remote.Output(ctx, h, cmd)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", f, err)
		}
		found := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		if len(out) == 0 {
			missing = f
			continue
		}
		slices.Sort(found)
		for _, f := range found {
			text, err := remote.ReadFile(ctx, h, f)
			if err != nil {
				return nil, "", err
			}
			objects, err := kubernetes.Parse(text)
			if err != nil {
				return nil, "", fmt.Errorf("%s: %w", f, err)
			}
			all = append(all, objects...)
		}
	}
	all, err = kubeSort(all)
	return all, missing, err
}

func (c *kubeApply) set(ctx context.Context, e Env) (*kubeObjects, string, error) {
	objects, missing, err := c.load(ctx, e.Host)
	s := &kubeObjects{of: c.kubeCluster, waits: c.kubeWaits, force: c.Force, deleteData: c.DeleteData, objects: objects}
	if err == nil && missing == "" && len(objects) == 0 {
		err = errors.New("the files hold no manifest")
	}
	return s, missing, err
}

func (c *kubeApply) Pending(ctx context.Context, e Env) ([]Change, error) {
	s, missing, err := c.set(ctx, e)
	if err != nil {
		return nil, err
	}
	if missing != "" {
		return []Change{{Text: "apply " + strings.Join(c.Files, ", ") + "; what that changes can be told when " + missing + " is there"}}, nil
	}
	return s.pending(ctx, e)
}

func (c *kubeApply) Apply(ctx context.Context, e Env) error {
	s, missing, err := c.set(ctx, e)
	if err == nil && missing != "" {
		err = fmt.Errorf("%s is not there, or has no manifest in it; nothing was changed", missing)
	}
	if err != nil {
		return err
	}
	return s.apply(ctx, e)
}

// Verify asks what applying again would change.
func (c *kubeApply) Verify(ctx context.Context, e Env) error {
	s, missing, err := c.set(ctx, e)
	if err == nil && missing != "" {
		err = fmt.Errorf("%s is not there", missing)
	}
	if err != nil {
		return err
	}
	return s.verify(ctx, e)
}

// Undo goes by what was remembered: the manifests may be gone.
func (c *kubeApply) Undo(ctx context.Context, e Env) error {
	s := &kubeObjects{of: c.kubeCluster, waits: c.kubeWaits, deleteData: c.DeleteData}
	return s.undo(ctx, e)
}
