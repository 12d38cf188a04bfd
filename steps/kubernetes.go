package steps

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"

	"belay/checks"
	"belay/remote"
	"belay/steps/kubernetes"
)

// kubeCluster is how a host reaches a cluster: the parameters that all the
// kinds have.
type kubeCluster struct {
	Namespace  string   `yaml:"namespace" doc:"namespace; left out, that of the context"`
	Kubeconfig string   `yaml:"kubeconfig" doc:"absolute path of the kubeconfig on the host, which holds the credentials; left out, what kubectl finds there"`
	Context    string   `yaml:"context" doc:"context of the kubeconfig; left out, the current one"`
	Kubectl    []string `yaml:"kubectl" doc:"the program on the host, if not kubectl: /opt/bin/kubectl, or [k3s, kubectl]"`
}

// kubeWaits are the parameters of a kind that waits.
type kubeWaits struct {
	Wait   remote.Duration `yaml:"wait" default:"10m" doc:"how long it may take until all is ready"`
	GiveUp remote.Duration `yaml:"give_up" default:"1m" doc:"how long a pod may fail for a reason that seldom goes by itself (ImagePullBackOff, CrashLoopBackOff, Unschedulable …) before that is taken for its answer"`
}

// kubeLabel is a name as RFC 1123 wants it, which namespaces and containers have.
var kubeLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// kubeName is the name of most objects: a DNS subdomain.
var kubeName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

func (c kubeCluster) validate() []error {
	var errs []error
	if c.Namespace != "" && !kubeLabel.MatchString(c.Namespace) {
		errs = append(errs, Field("namespace", "%q cannot be the name of a namespace", c.Namespace))
	}
	if c.Kubeconfig != "" {
		errs = append(errs, fileCheckPath("kubeconfig", c.Kubeconfig))
	}
	if strings.HasPrefix(c.Context, "-") || strings.ContainsAny(c.Context, "\n\x00") {
		errs = append(errs, Field("context", "%q cannot be the name of a context", c.Context))
	}
	for i, w := range c.Kubectl {
		if w == "" || strings.ContainsAny(w, "\n\x00") || i == 0 && strings.HasPrefix(w, "-") {
			errs = append(errs, Field(fmt.Sprintf("kubectl.%d", i), "%q is not a word of a command; several words are a list", w))
		}
	}
	return errs
}

func (w kubeWaits) validate() []error {
	var errs []error
	if w.Wait <= 0 {
		errs = append(errs, Field("wait", "it must be more than 0"))
	}
	if w.GiveUp <= 0 {
		errs = append(errs, Field("give_up", "it must be more than 0"))
	}
	return errs
}

func (c kubeCluster) kubectl() kubernetes.Kubectl {
	config := c.Kubeconfig
	if config != "" {
		config = path.Clean(config)
	}
	return kubernetes.Kubectl{Command: c.Kubectl, Kubeconfig: config, Context: c.Context, Namespace: c.Namespace}
}

// kubeRef reads "deployment/api".
func kubeRef(s string) (kubernetes.Ref, error) {
	word, name, ok := strings.Cut(s, "/")
	kind := kubernetes.Kinds[strings.ToLower(word)]
	if !ok || kind == "" || !kubeName.MatchString(name) {
		return kubernetes.Ref{}, fmt.Errorf("%q is not deployment/NAME, statefulset/NAME or daemonset/NAME", s)
	}
	return kubernetes.Ref{Group: "apps", Version: "v1", Kind: kind, Name: name}, nil
}

// kubeNeed is the assessment that the kinds rely on: the cluster answers, the
// versions fit, and what else a kind asks of it.
type kubeNeed struct {
	on    string
	key   string
	of    kubeCluster
	may   [][2]string // verb and resource that the login must be allowed
	judge func(ctx context.Context, h remote.Host, k kubernetes.Kubectl) (checks.Level, string, string)
}

// CheckName is what the findings are called by.
func (n *kubeNeed) CheckName() string { return "kubernetes" }

// Assess gives the worst of what it finds.
func (n *kubeNeed) Assess(ctx context.Context, w checks.World) ([]checks.Finding, error) {
	f := checks.Finding{Check: n.CheckName(), Key: n.key, Host: n.on}
	h, ok := w.Hosts[n.on]
	if !ok || h.Runner == nil {
		f.Text, f.Fix = fmt.Sprintf("not judged: host %q was not reached", n.on), "re-check"
		return []checks.Finding{f}, nil
	}
	f.Level, f.Text, f.Fix = n.look(ctx, h, n.of.kubectl())
	f.Text = checks.OneLine(f.Text, 400)
	return []checks.Finding{f}, nil
}

func (n *kubeNeed) look(ctx context.Context, h remote.Host, k kubernetes.Kubectl) (checks.Level, string, string) {
	client, server, err := k.Versions(ctx, h)
	if err != nil {
		return kubeUnseen(ctx, err, "see that kubectl is installed there and that its kubeconfig leads to the cluster: kubectl version")
	}
	if client.Major == 1 && client.Minor < kubeOldest {
		return checks.Block, fmt.Sprintf("kubectl is %s, and these steps need 1.%d or newer (server-side apply)", client, kubeOldest), "install a kubectl that fits the cluster, and name it by kubectl if it is not in the PATH"
	}
	for _, m := range n.may {
		ok, err := k.Allowed(ctx, h, m[0], m[1])
		if err != nil {
			return kubeUnseen(ctx, err, "ask it yourself: kubectl auth can-i "+m[0]+" "+m[1])
		}
		if !ok {
			return checks.Block, fmt.Sprintf("the login of the kubeconfig may not %s %s", m[0], m[1]), "give it a role that allows that, or use another kubeconfig"
		}
	}
	level, text, fix := checks.Pass, fmt.Sprintf("the cluster (%s) answers kubectl %s", server, client), ""
	if n.judge != nil {
		if level, text, fix = n.judge(ctx, h, k); level != checks.Pass {
			return level, text, fix
		}
	}
	if skew := client.Minor - server.Minor; client.Major != server.Major || skew > 1 || skew < -1 {
		return checks.Warn, fmt.Sprintf("kubectl is %s and the cluster %s: only one minor version apart is supported", client, server), "install a kubectl that fits"
	}
	return level, text, fix
}

// kubeOldest is the first minor version of kubectl with all that is used here:
// server-side apply for everybody (1.22), --show-managed-fields (1.21).
const kubeOldest = 22

// kubeUnseen is the verdict where nothing could be seen: a host that does not
// answer leaves it open, a cluster that does not blocks.
func kubeUnseen(ctx context.Context, err error, fix string) (checks.Level, string, string) {
	_, gone := errors.AsType[*remote.UnreachableError](err)
	_, lost := errors.AsType[*remote.LostError](err)
	if gone || lost || ctx.Err() != nil {
		return checks.Unknown, err.Error(), "re-check"
	}
	return checks.Block, err.Error(), fix
}
