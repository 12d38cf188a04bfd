package steps

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"belay/checks"
	"belay/remote"
	"belay/steps/docker"
	"belay/steps/kubernetes"
)

func init() {
	register(Kind{
		Name:    "kubernetes.env",
		Summary: "Makes a ConfigMap and a Secret from an environment file, or from the environment of a Docker container; quotes, blanks and = in values are kept, what looks secret goes to the Secret and is never shown.",
		Example: `- step: Bring the settings into the cluster
  on: ops
  kubernetes.env:
    from: {host: old, container: chatnio}
    namespace: chat
    config_map: chatnio-config
    secret: chatnio-secrets
    set: {MYSQL_HOST: db.internal, MYSQL_PASSWORD: {secret: mysql_password}}
`,
		New: func() Step { return &kubeEnv{} },
	})
}

// kubeEnvFrom is where the variables come from.
type kubeEnvFrom struct {
	Host      string `yaml:"host" host:"" doc:"the host that has the file or the container; left out, the host of the step"`
	File      string `yaml:"file" doc:"absolute path of an environment file (KEY=value lines as Docker and Compose read them)"`
	Container string `yaml:"container" doc:"name of a Docker container, running or not; what it has from its image stays out"`
}

type kubeEnv struct {
	From        kubeEnvFrom          `yaml:"from" doc:"where the variables come from; left out, only those of set"`
	ConfigMap   string               `yaml:"config_map" doc:"name of the ConfigMap for what is not secret"`
	Secret      string               `yaml:"secret" doc:"name of the Secret"`
	Secrets     []string             `yaml:"secrets" doc:"names of the variables that are secret, * and ? as in file names; left out, those whose names or values look it (PASSWORD, TOKEN, KEY, DSN, a URL with a password …)"`
	Set         map[string]fileValue `yaml:"set" doc:"variables that get another value, or are added, each a text or {secret: name}"`
	Drop        []string             `yaml:"drop" doc:"names of variables that stay out, * and ? as in file names"`
	kubeCluster `yaml:",inline"`
	Force       bool `yaml:"force" doc:"take over variables that another field manager set to something else"`
}

// kubeEnvSecret are names that look like a secret's.
var kubeEnvSecret = regexp.MustCompile(`(?i)(passw|passphrase|secret|token|credential|(^|_)(pass|pwd|key|dsn|salt)s?$|api_?key|private_?key|access_?key)`)

// kubeEnvFilled is a reference that Compose would fill in.
var kubeEnvFilled = regexp.MustCompile(`\$\{`)

func (c *kubeEnv) Validate() error {
	errs := c.kubeCluster.validate()
	if c.ConfigMap == "" && c.Secret == "" {
		errs = append(errs, Field("config_map", "name a ConfigMap, a Secret, or both"))
	}
	for field, name := range map[string]string{"config_map": c.ConfigMap, "secret": c.Secret} {
		if name != "" && !kubeName.MatchString(name) {
			errs = append(errs, Field(field, "%q cannot be the name of one", name))
		}
	}
	if c.From.File != "" {
		errs = append(errs, fileCheckPath("from.file", c.From.File))
	}
	if c.From.File != "" && c.From.Container != "" {
		errs = append(errs, Field("from.container", "the variables come from a file or from a container, not from both"))
	}
	if c.From.Container != "" && !dockerName.MatchString(c.From.Container) {
		errs = append(errs, Field("from.container", "%q cannot be the name of a container", c.From.Container))
	}
	if c.From.File == "" && c.From.Container == "" && len(c.Set) == 0 {
		errs = append(errs, Field("from", "say a file, a container, or at least one variable under set"))
	}
	for _, key := range slices.Sorted(maps.Keys(c.Set)) {
		if !fileEnvKey.MatchString(key) {
			errs = append(errs, Field("set."+key, "%q cannot be the name of a variable", key))
		}
		if c.Set[key].Secret != "" && c.Secret == "" {
			errs = append(errs, Field("set."+key, "a secret needs the Secret that it goes to: say secret"))
		}
	}
	for field, patterns := range map[string][]string{"secrets": c.Secrets, "drop": c.Drop} {
		for i, p := range patterns {
			if _, err := path.Match(p, ""); err != nil || p == "" {
				errs = append(errs, Field(fmt.Sprintf("%s.%d", field, i), "%q is not a pattern", p))
			}
		}
	}
	return errors.Join(errs...)
}

// HostNames is the host that has the file or the container.
func (c *kubeEnv) HostNames() []string { return fileOn(c.From.Host) }

func (c *kubeEnv) Repeatable() bool { return true }

// Hints explains the refusal of server-side apply.
func (c *kubeEnv) Hints() []Hint { return kubeConflictHints }

// Needs asks for the cluster and the rights, and for the engine of a container.
func (c *kubeEnv) Needs(on string) []checks.Check {
	var may [][2]string
	for kind, name := range map[string]string{"configmaps": c.ConfigMap, "secrets": c.Secret} {
		if name != "" {
			may = append(may, [2]string{"get", kind}, [2]string{"patch", kind}, [2]string{"create", kind})
		}
	}
	slices.SortFunc(may, func(a, b [2]string) int { return strings.Compare(a[1]+a[0], b[1]+b[0]) })
	all := []checks.Check{&kubeNeed{on: on, key: strings.TrimSpace(c.Namespace + " " + c.ConfigMap + " " + c.Secret), of: c.kubeCluster, may: may}}
	if c.From.Container != "" {
		host := c.From.Host
		if host == "" {
			host = on
		}
		all = append(all, &dockerNeed{on: host, key: c.From.Container})
	}
	return all
}

// variables are all that there is to bring, secrets filled in.
func (c *kubeEnv) variables(ctx context.Context, e Env) (vars map[string]string, hidden map[string]bool, err error) {
	h := e.Host
	if c.From.Host != "" {
		if h, err = dockerPeer(e, c.From.Host); err != nil {
			return nil, nil, err
		}
	}
	vars, hidden = map[string]string{}, map[string]bool{}
	switch {
	case c.From.File != "":
		b, err := remote.ReadFile(ctx, h, path.Clean(c.From.File))
		if err != nil {
			return nil, nil, err
		}
		if vars, err = kubeEnvRead(string(b), c.settled); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", c.From.File, err)
		}
	case c.From.Container != "":
		if vars, err = kubeEnvOf(ctx, h, c.From.Container); err != nil {
			return nil, nil, err
		}
	}
	maps.DeleteFunc(vars, func(key, _ string) bool { return kubeEnvMatch(c.Drop, key) })
	for key, v := range c.Set {
		vars[key] = v.Text
		if v.Secret != "" {
			value, err := e.Secret(ctx, v.Secret)
			if err != nil {
				return nil, nil, err
			}
			vars[key] = value.Reveal()
		}
	}
	for key, value := range vars {
		looks := kubeEnvSecret.MatchString(key) || fileUserinfo.MatchString(value)
		if c.Secrets != nil {
			looks = kubeEnvMatch(c.Secrets, key)
		}
		hidden[key] = c.Set[key].Secret != "" || looks
	}
	return vars, hidden, nil
}

// settled tells whether the plan itself says what becomes of a variable.
func (c *kubeEnv) settled(key string) bool {
	_, set := c.Set[key]
	return set || kubeEnvMatch(c.Drop, key)
}

func kubeEnvMatch(patterns []string, key string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, key); return ok })
}

// kubeEnvRead reads an environment file. A line that is no assignment is an
// error, and so is a value that something else would have to fill in: either
// would be a setting that silently is another one in the cluster.
func kubeEnvRead(text string, settled func(key string) bool) (map[string]string, error) {
	vars := map[string]string{}
	line := 1
	for _, l := range fileEnvParse(strings.TrimPrefix(text, "\ufeff")) {
		at := line
		line += strings.Count(l.String(), "\n")
		switch rest := strings.TrimSpace(l.tail); {
		case l.key == "" && (rest == "" || rest[0] == '#'):
		case l.key == "":
			return nil, fmt.Errorf("line %d is no KEY=value", at)
		case settled(l.key):
		case !strings.HasPrefix(l.value, "'") && kubeEnvFilled.MatchString(l.value):
			return nil, fmt.Errorf("line %d: the value of %s refers to another variable by ${…}, which nobody fills in in a cluster: write its value under set, or put it in single quotes if it is meant so", at, l.key)
		default:
			vars[l.key] = fileEnvText(l.value)
		}
	}
	return vars, nil
}

// kubeEnvOf is the environment that a container was given, without what it has
// from its image.
func kubeEnvOf(ctx context.Context, h remote.Host, name string) (map[string]string, error) {
	eng, err := docker.Look(ctx, h)
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	b, there, err := dockerFind(ctx, eng, name)
	if err == nil && (!there || b.Config == nil) {
		err = fmt.Errorf("container %s is not on %s", name, h.Name)
	}
	if err != nil {
		return nil, err
	}
	own := map[string]bool{}
	if image, there, err := dockerInspect(ctx, eng, b.Image); err != nil {
		return nil, err
	} else if there && image.Config != nil {
		for _, line := range image.Config.Env {
			own[line] = true
		}
	}
	vars := map[string]string{}
	for _, line := range b.Config.Env {
		if key, value, ok := strings.Cut(line, "="); ok && !own[line] {
			vars[key] = value
		}
	}
	return vars, nil
}

// set makes the objects.
func (c *kubeEnv) set(ctx context.Context, e Env) (*kubeObjects, error) {
	vars, hidden, err := c.variables(ctx, e)
	if err != nil {
		return nil, err
	}
	open, closed := map[string]any{}, map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(vars)) {
		value := vars[key]
		switch {
		case !fileEnvKey.MatchString(key):
			return nil, fmt.Errorf("%.80q cannot be the name of a variable in a cluster; name it under drop", key)
		case hidden[key] && c.Secret == "":
			return nil, fmt.Errorf("variable %s looks secret, and there is no Secret that it could go to: say secret, or say under secrets which ones are secret", key)
		case hidden[key]:
			closed[key] = base64.StdEncoding.EncodeToString([]byte(value))
		case c.ConfigMap == "":
			return nil, fmt.Errorf("variable %s is not secret, and there is no ConfigMap that it could go to: say config_map, or name it under secrets or drop", key)
		case !utf8.ValidString(value):
			return nil, fmt.Errorf("the value of %s is not UTF-8, which a ConfigMap cannot hold; name it under secrets", key)
		default:
			open[key] = value
		}
	}
	s := &kubeObjects{of: c.kubeCluster, waits: kubeEnvWaits, force: c.Force}
	if c.ConfigMap != "" {
		s.objects = append(s.objects, kubernetes.Object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": c.ConfigMap}, "data": open})
	}
	if c.Secret != "" {
		s.objects = append(s.objects, kubernetes.Object{"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": map[string]any{"name": c.Secret}, "data": closed})
	}
	return s, nil
}

// Pending shows what changes; of the Secret only the names.
func (c *kubeEnv) Pending(ctx context.Context, e Env) ([]Change, error) {
	s, err := c.set(ctx, e)
	if err != nil {
		return nil, err
	}
	return s.pending(ctx, e)
}

func (c *kubeEnv) Apply(ctx context.Context, e Env) error {
	s, err := c.set(ctx, e)
	if err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	return s.apply(ctx, e)
}

// Verify reads both back.
func (c *kubeEnv) Verify(ctx context.Context, e Env) error {
	s, err := c.set(ctx, e)
	if err != nil {
		return err
	}
	return s.verify(ctx, e)
}

// Undo goes by what was remembered.
func (c *kubeEnv) Undo(ctx context.Context, e Env) error {
	return (&kubeObjects{of: c.kubeCluster, waits: kubeEnvWaits}).undo(ctx, e)
}

// kubeEnvWaits: a ConfigMap and a Secret are ready at once.
var kubeEnvWaits = kubeWaits{Wait: remote.Duration(time.Minute), GiveUp: remote.Duration(time.Minute)}
