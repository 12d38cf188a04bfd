package steps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
	"belay/steps/kubernetes"
)

// kubeBox is a namespace of a test's own and a host that reaches it, whose
// link can be cut at the n-th command that changes something.
type kubeBox struct {
	*remotetest.Kube
	ns    string
	state string // where the host keeps things
	over  remote.Runner

	mu    sync.Mutex
	cut   int // 0: never
	after bool
	count int
	ran   []string
}

func (b *kubeBox) Run(ctx context.Context, c remote.Cmd) error {
	b.mu.Lock()
	hit := false
	if !c.Pure {
		b.count++
		hit = b.count == b.cut
		b.ran = append(b.ran, strings.Join(c.Argv, " "))
	}
	b.mu.Unlock()
	if hit && !b.after {
		return &remote.UnreachableError{Host: "ops", Err: errors.New("the link was cut")}
	}
	c.Argv = slices.Concat([]string{"env", "XDG_STATE_HOME=" + b.state}, c.Argv)
	err := b.over.Run(ctx, c)
	if hit {
		return &remote.LostError{Host: "ops", Err: errors.New("the link was cut")}
	}
	return err
}

func (b *kubeBox) heal(cut int, after bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut, b.after, b.count, b.ran = cut, after, 0, nil
}

// changes are the commands that changed something since heal.
func (b *kubeBox) changes() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.ran, "\n")
}

func newKubeBox(t *testing.T, k *remotetest.Kube, ns string) *kubeBox {
	t.Helper()
	k.Do("", "create", "namespace", ns)
	return &kubeBox{Kube: k, ns: ns, state: t.TempDir(), over: remote.Local("")}
}

func (b *kubeBox) cluster() kubeCluster {
	return kubeCluster{Namespace: b.ns, Kubeconfig: b.Kubeconfig, Kubectl: []string{b.Kubectl}}
}

// quick waits long, and gives up soon.
var kubeQuick = kubeWaits{Wait: remote.Duration(2 * time.Minute), GiveUp: remote.Duration(time.Second)}

func (b *kubeBox) env() *fileEnv {
	e := newFileEnv(nil)
	e.with(b)
	e.Hosts = remote.Hosts{"box": e.Host}
	return e
}

func (b *kubeBox) k(args ...string) string {
	return strings.TrimSpace(b.Do("", append([]string{"--namespace", b.ns}, args...)...))
}

// app makes a workload with two containers, and waits for it.
func (b *kubeBox) app(t *testing.T, kind, name, more string) {
	t.Helper()
	b.Do(fmt.Sprintf(`apiVersion: apps/v1
kind: %s
metadata: {name: %s, namespace: %s}
spec:
  %s
  selector: {matchLabels: {app: %[2]s}}
  template:
    metadata: {labels: {app: %[2]s}}
    spec:
      containers:
      - {name: api, image: "%[2]s:v1", env: [{name: DSN, value: "u:hush-hush@db"}]}
      - {name: side, image: "side:v1"}
`, kind, name, b.ns, more), "create", "-f", "-")
	b.ready(t, strings.ToLower(kind)+"/"+name)
}

func (b *kubeBox) ready(t *testing.T, name string) {
	t.Helper()
	b.k("rollout", "status", name, "--timeout=120s")
}

// before is what must be the same after a way back: the template, and which
// ReplicaSet has the pods.
func (b *kubeBox) before(name string) string {
	return b.k("get", name, "-o", "jsonpath={.spec.template}") + b.k("get", "replicasets", "-o", `jsonpath={range .items[?(@.spec.replicas>0)]}{.metadata.name}{end}`)
}

func TestKubernetes(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Kubernetes")
	}
	k := remotetest.StartKube(t)
	// The cluster must outlive the parallel tests.
	t.Run("group", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *kubeBox){
			"rollout":             kubeTestRollout,
			"rollout-ssh":         kubeTestSSH,
			"rollout-fails":       kubeTestFails,
			"rollout-back":        kubeTestBack,
			"rollout-dropped":     kubeTestDropped,
			"rollout-statefulset": kubeTestStatefulSet,
			"rollout-others":      kubeTestOthers,
			"rollout-cut":         kubeTestRolloutCut,
			"rollout-needs":       kubeTestNeeds,
			"apply":               kubeTestApply,
			"apply-data":          kubeTestData,
			"apply-files":         kubeTestFiles,
			"apply-cut":           kubeTestApplyCut,
			"env":                 kubeTestEnv,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, newKubeBox(t, k, name))
			})
		}
	})
}

func (b *kubeBox) rollout(name, image string) *kubeRollout {
	return &kubeRollout{Workload: name, Images: map[string]string{"api": image}, kubeCluster: b.cluster(), kubeWaits: kubeQuick, Unhealthy: "stay"}
}

func kubeTestRollout(t *testing.T, b *kubeBox) {
	b.app(t, "Deployment", "web", "replicas: 3")
	was := b.before("deployment/web")
	s, e := b.rollout("deployment/web", "web:v2"), b.env()
	if c := e.pending(t, s); len(c) != 1 || !strings.Contains(c[0].Text, "of deployment/web (3 pods) from web:v1 to web:v2") || !strings.Contains(c[0].Cmd, "set image deployment/web 'api=web:v2'") {
		t.Errorf("pending: %+v", c)
	}
	e.apply(t, s)
	e.verify(t, s)
	if c := e.pending(t, s); len(c) != 0 {
		t.Errorf("pending afterwards: %+v", c)
	}
	if images := b.k("get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}"); images != "web:v2 web:v2 web:v2" {
		t.Errorf("the pods run %s", images)
	}
	e.apply(t, s) // again, as after a crash
	e.undo(t, s)
	e.undo(t, s)
	if now := b.before("deployment/web"); now != was {
		t.Errorf("after undo %s, was %s", now, was)
	}
	if left, _ := filepath.Glob(b.state + "/belay/kubernetes/*"); len(left) > 0 {
		t.Errorf("left on the host: %v", left)
	}
	// By digest, which the node must confirm.
	digest := "web@sha256:" + strings.Repeat("ab", 32)
	s, e = b.rollout("deployment/web", digest), b.env()
	e.apply(t, s)
	e.verify(t, s)
	for key, v := range e.Memory.(MapMemory) {
		if strings.Contains(string(v), "hush") {
			t.Errorf("memory %s holds a secret of the template: %s", key, v)
		}
	}
}

// kubeTestSSH goes through a real sshd.
func kubeTestSSH(t *testing.T, b *kubeBox) {
	remotetest.Need(t, "ssh")
	d := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	b.over = openSSH{d.Config}
	b.app(t, "Deployment", "web", "replicas: 1")
	was := b.before("deployment/web")
	s, e := b.rollout("deployment/web", "web:v2"), b.env()
	e.pending(t, s)
	e.apply(t, s)
	e.verify(t, s)
	e.undo(t, s)
	if now := b.before("deployment/web"); now != was {
		t.Errorf("after undo %s, was %s", now, was)
	}
}

func kubeTestFails(t *testing.T, b *kubeBox) {
	b.app(t, "Deployment", "pull", "replicas: 2")
	b.Break("pull:v2", remotetest.KubeFault{Reason: "ImagePullBackOff"})
	b.Break("crash:v2", remotetest.KubeFault{Reason: "CrashLoopBackOff", Log: "FATAL: no such table: users\nbye"})
	b.app(t, "Deployment", "crash", "replicas: 2")
	for name, want := range map[string][]string{
		"pull":  {"ImagePullBackOff", `Back-off pulling image "pull:v2"`, "2 of 2 pods are new"},
		"crash": {"CrashLoopBackOff", "3 restarts", "FATAL: no such table: users", "status 1"},
	} {
		was := b.before("deployment/" + name)
		s, e := b.rollout("deployment/"+name, name+":v2"), b.env()
		err := s.Apply(t.Context(), e.Env)
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		for _, w := range want[:len(want)-1] {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v\ndoes not say %q", name, err, w)
			}
		}
		if err := s.Verify(t.Context(), e.Env); err == nil {
			t.Errorf("%s: verified", name)
		}
		e.undo(t, s)
		if now := b.before("deployment/" + name); !strings.HasPrefix(now, was[:len(was)/2]) {
			t.Errorf("%s: after undo %s, was %s", name, now, was)
		}
	}
}

func kubeTestBack(t *testing.T, b *kubeBox) {
	b.app(t, "Deployment", "back", "replicas: 2")
	b.Break("back:v2", remotetest.KubeFault{Reason: "CrashLoopBackOff", Log: "out of luck"})
	was := b.before("deployment/back")
	s, e := b.rollout("deployment/back", "back:v2"), b.env()
	s.Unhealthy = "back"
	err := s.Apply(t.Context(), e.Env)
	if err == nil || !strings.Contains(err.Error(), "out of luck") || !strings.Contains(err.Error(), "as it was before again") {
		t.Errorf("apply: %v", err)
	}
	if now := b.before("deployment/back"); now != was {
		t.Errorf("after going back %s, was %s", now, was)
	}
	e.undo(t, s)
	if now := b.before("deployment/back"); now != was {
		t.Errorf("after undo %s, was %s", now, was)
	}
}

// kubeTestDropped has a cluster that keeps no old revision.
func kubeTestDropped(t *testing.T, b *kubeBox) {
	b.app(t, "Deployment", "web", "revisionHistoryLimit: 0")
	was := b.k("get", "deployment/web", "-o", "jsonpath={.spec.template}")
	s, e := b.rollout("deployment/web", "web:v2"), b.env()
	found := kubeFindings(t, b, s)
	if found[0].Level != checks.Warn || !strings.Contains(found[0].Text, "revisionHistoryLimit: 0") {
		t.Errorf("findings: %+v", found)
	}
	e.apply(t, s)
	for range 600 { // the old ReplicaSet goes a moment later
		if b.k("get", "replicasets", "-o", "name") != "" && strings.Count(b.k("get", "replicasets", "-o", "name"), "\n") == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	e.undo(t, s)
	if now := b.k("get", "deployment/web", "-o", "jsonpath={.spec.template}"); now != was {
		t.Errorf("after undo %s, was %s", now, was)
	}
	if log := e.log.String(); !strings.Contains(log, "the cluster has dropped revision") {
		t.Errorf("log: %s", log)
	}
}

func kubeTestStatefulSet(t *testing.T, b *kubeBox) {
	b.app(t, "StatefulSet", "db", "replicas: 2")
	was := b.k("get", "statefulset/db", "-o", "jsonpath={.spec.template}")
	s, e := b.rollout("statefulset/db", "db:v2"), b.env()
	e.apply(t, s)
	e.verify(t, s)
	e.undo(t, s)
	if now := b.k("get", "statefulset/db", "-o", "jsonpath={.spec.template}"); now != was {
		t.Errorf("after undo %s, was %s", now, was)
	}
	// A broken pod would bar the way back for ever.
	b.Break("db:v3", remotetest.KubeFault{Reason: "ImagePullBackOff"})
	s, e = b.rollout("statefulset/db", "db:v3"), b.env()
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "ImagePullBackOff") {
		t.Errorf("apply: %v", err)
	}
	e.undo(t, s)
	if images := b.k("get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}"); images != "db:v1 db:v1" {
		t.Errorf("the pods run %s", images)
	}
}

// kubeTestOthers has somebody else at work.
func kubeTestOthers(t *testing.T, b *kubeBox) {
	b.app(t, "Deployment", "web", "replicas: 1")
	s, e := b.rollout("deployment/web", "web:v2"), b.env()
	e.apply(t, s)
	b.k("set", "image", "deployment/web", "api=web:v3")
	if err := s.Undo(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "web:v3, which is neither") {
		t.Errorf("undo: %v", err)
	}
	b.k("set", "image", "deployment/web", "api=web:v2")
	b.k("set", "env", "deployment/web", "--containers=side", "MORE=1")
	e.undo(t, s)
	if now := b.k("get", "deployment/web", "-o", `jsonpath={.spec.template.spec.containers[*].image} {.spec.template.spec.containers[1].env[0].name}`); now != "web:v1 side:v1 MORE" {
		t.Errorf("after undo: %s", now)
	}
	b.k("rollout", "pause", "deployment/web")
	if _, err := s.Pending(t.Context(), b.env().Env); err == nil || !strings.Contains(err.Error(), "is paused") {
		t.Errorf("pending: %v", err)
	}
	s.Images = map[string]string{"apu": "web:v2"}
	if _, err := s.Pending(t.Context(), b.env().Env); err == nil || !strings.Contains(err.Error(), "no container apu; it has api, side") {
		t.Errorf("pending: %v", err)
	}
}

// kubeTestRolloutCut cuts the link at every command that changes something.
func kubeTestRolloutCut(t *testing.T, b *kubeBox) {
	b.app(t, "Deployment", "web", "replicas: 1")
	was := b.before("deployment/web")
	for n := 1; ; n++ {
		b.heal(n, n%2 == 0)
		s, e := b.rollout("deployment/web", "web:v2"), b.env()
		cut := s.Apply(t.Context(), e.Env)
		b.heal(0, false)
		e.apply(t, s)
		e.verify(t, s)
		b.heal(n, n%2 == 1)
		undone := s.Undo(t.Context(), e.Env)
		b.heal(0, false)
		e.undo(t, s)
		if now := b.before("deployment/web"); now != was {
			t.Fatalf("cut %d: after undo %s, was %s", n, now, was)
		}
		if cut == nil && undone == nil {
			if n < 3 {
				t.Errorf("only %d cuts", n)
			}
			return
		}
	}
}

func kubeFindings(t *testing.T, b *kubeBox, s Needer) []checks.Finding {
	t.Helper()
	var all []checks.Finding
	for _, c := range s.Needs("box") {
		found, err := c.Assess(t.Context(), checks.World{Hosts: remote.Hosts{"box": remote.ReadOnly(remote.Host{Name: "box", Runner: b})}})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

func kubeTestNeeds(t *testing.T, b *kubeBox) {
	b.app(t, "Deployment", "web", "replicas: 1")
	s := b.rollout("deployment/web", "web:v2")
	expect := func(level checks.Level, text string) {
		t.Helper()
		if f := kubeFindings(t, b, s)[0]; f.Level != level || !strings.Contains(f.Text, text) {
			t.Errorf("%+v, want %v %q", f, level, text)
		}
	}
	expect(checks.Pass, "deployment/web is ready")
	s.Workload = "deployment/wep"
	expect(checks.Warn, "deployment/wep is not there")
	s.Workload = "deployment/web"
	s.Kubeconfig = b.Config("guest")
	expect(checks.Block, "may not get deployments.apps")
	b.k("create", "role", "roller", "--verb=get,list,patch", "--resource=deployments.apps,replicasets.apps,pods")
	b.k("create", "rolebinding", "roller", "--role=roller", "--user=guest")
	expect(checks.Block, "may not get pods/log")
	s.Kubeconfig = b.Dir + "/nothing"
	expect(checks.Block, "")
	s.Kubectl = []string{"/no/kubectl"}
	expect(checks.Block, "")
}

const kubeShop = `apiVersion: v1
kind: ConfigMap
metadata: {name: shop, labels: {kept: "yes"}}
data: {MODE: new, ADDED: "1"}
---
apiVersion: v1
kind: Secret
metadata: {name: shop}
stringData: {PASSWORD: planted-secret}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
      - {name: shop, image: "shop:v2", envFrom: [{configMapRef: {name: shop}}, {secretRef: {name: shop}}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: migrate, image: "migrate:v2"}]
`

func (b *kubeBox) apply(manifests string) *kubeApply {
	return &kubeApply{Manifests: manifests, kubeCluster: b.cluster(), kubeWaits: kubeQuick}
}

func kubeTestApply(t *testing.T, b *kubeBox) {
	b.Do(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shop","namespace":"apply","labels":{"team":"chat"}},"data":{"MODE":"old","OTHER":"x"}}`, "create", "-f", "-")
	was := b.k("get", "configmap", "shop", "-o", "jsonpath={.metadata.labels} {.data}")
	s, e := b.apply(kubeShop), b.env()
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), `conflict with "kubectl-create"`) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("without force: %v", err)
	}
	s.Force = true
	c := e.pending(t, s)
	all := fmt.Sprint(c)
	if len(c) != 4 || !strings.Contains(all, "-    MODE: old\n") || !strings.Contains(all, "+    MODE: new\n") || !strings.Contains(all, "make job/migrate") || strings.Contains(all, "planted") || strings.Contains(all, "cGxhbnRlZ") {
		t.Errorf("pending: %+v", c)
	}
	e.apply(t, s)
	e.verify(t, s)
	if c := e.pending(t, s); len(c) != 0 {
		t.Errorf("pending afterwards: %+v", c)
	}
	e.apply(t, s)
	if got := b.k("get", "configmap", "shop", "-o", "jsonpath={.data}"); got != `{"ADDED":"1","MODE":"new","OTHER":"x"}` {
		t.Errorf("applied: %s", got)
	}
	b.k("label", "configmap", "shop", "since=then") // stays
	e.undo(t, s)
	e.undo(t, s)
	if now := b.k("get", "configmap", "shop", "-o", "jsonpath={.metadata.labels} {.data}"); now != strings.Replace(was, `{"team"`, `{"since":"then","team"`, 1) {
		t.Errorf("after undo %s, was %s", now, was)
	}
	if left := b.k("get", "deployments,jobs,secrets,pods", "-o", "name"); left != "" {
		t.Errorf("left: %s", left)
	}
	// The next run finds nobody in its way, but for those who were there before.
	e2 := b.env()
	e2.apply(t, s)
	b.k("patch", "configmap", "shop", "--type=merge", "-p", `{"data":{"MODE":"third"}}`)
	if err := s.Undo(t.Context(), e2.Env); err == nil || !strings.Contains(err.Error(), "somebody has changed data.MODE") {
		t.Errorf("undo over somebody's change: %v", err)
	}
	if strings.Contains(e.log.String()+e2.log.String(), "planted") {
		t.Error("the log tells a secret")
	}
}

// kubeTestData: what may hold data stays.
func kubeTestData(t *testing.T, b *kubeBox) {
	manifests := `apiVersion: v1
kind: Namespace
metadata: {name: made}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: made}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: ""
  claimRef: {namespace: made, name: store}
  hostPath: {path: ` + t.TempDir() + `}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: store, namespace: made}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ""
  volumeName: made
  resources: {requests: {storage: 1Gi}}
`
	s, e := b.apply(manifests), b.env()
	s.Namespace = ""
	if c := e.pending(t, s); len(c) != 3 {
		t.Errorf("pending: %+v", c)
	}
	e.apply(t, s)
	e.verify(t, s)
	e.undo(t, s)
	if phase := b.Do("", "get", "pvc", "-n", "made", "store", "-o", "jsonpath={.status.phase}"); phase != "Bound" || strings.Count(e.log.String(), "stays, for it may hold data") != 3 {
		t.Errorf("the claim is %s:\n%s", phase, e.log.String())
	}
	b.Do("", "delete", "namespace", "made")
	b.Do("", "delete", "pv", "made")
	s, e = b.apply(manifests), b.env()
	s.Namespace, s.DeleteData = "", true
	e.apply(t, s)
	e.undo(t, s)
	if left := b.Do("", "get", "pv,ns", "--field-selector=metadata.name=made", "-o", "name"); left != "" {
		t.Errorf("left: %s", left)
	}
}

func kubeTestFiles(t *testing.T, b *kubeBox) {
	dir := t.TempDir()
	s, e := &kubeApply{Files: []string{dir + "/manifests", dir + "/more.json"}, kubeCluster: b.cluster(), kubeWaits: kubeQuick}, b.env()
	if c := e.pending(t, s); len(c) != 1 || !strings.Contains(c[0].Text, "can be told when") {
		t.Errorf("pending: %+v", c)
	}
	if f := kubeFindings(t, b, s); f[0].Level != checks.Warn {
		t.Errorf("findings: %+v", f)
	}
	if err := s.Apply(t.Context(), e.Env); err == nil {
		t.Error("applied what is not there")
	}
	for name, text := range map[string]string{
		"manifests/a.yaml":       "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, annotations: {day: 2026-03-04}}\n---\n# nothing\n---\nkind: List\napiVersion: v1\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}]\n",
		"manifests/readme.txt":   "not a manifest",
		"manifests/odd '\" .yml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n",
		"more.json":              `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d"}}`,
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if f := kubeFindings(t, b, s); f[0].Level != checks.Pass {
		t.Errorf("findings: %+v", f)
	}
	e.apply(t, s)
	e.verify(t, s)
	if got := b.k("get", "configmaps", "-o", "jsonpath={.items[*].metadata.name} {.items[0].metadata.annotations.day}"); got != "a b c d 2026-03-04" {
		t.Errorf("there are %s", got)
	}
	// A manifest that came since is not known to the way back.
	if err := os.WriteFile(dir+"/manifests/z.yml", []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: z}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "configmap/z was not among the manifests") {
		t.Errorf("apply: %v", err)
	}
	if err := os.RemoveAll(dir + "/manifests"); err != nil {
		t.Fatal(err)
	}
	e.undo(t, s) // goes without them
	if got := b.k("get", "configmaps", "-o", "name"); got != "" {
		t.Errorf("left: %s", got)
	}
}

func kubeTestApplyCut(t *testing.T, b *kubeBox) {
	const had = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"had","namespace":"apply-cut"},"data":{"a":"1","b":"2"}}`
	const want = `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"had"},"data":{"a":"one"}},{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"made"},"data":{"c":"3"}}]}`
	b.Do(had, "create", "-f", "-")
	state := func() string {
		return b.k("get", "configmaps", "-o", `jsonpath={range .items[*]}{.metadata.name}{.data}{end}`)
	}
	was := state()
	for n := 1; ; n++ {
		b.heal(n, n%2 == 0)
		s, e := b.apply(want), b.env()
		s.Force = true
		cut := s.Apply(t.Context(), e.Env)
		b.heal(0, false)
		e.apply(t, s)
		e.verify(t, s)
		if now := state(); now != `had{"a":"one","b":"2"}made{"c":"3"}` {
			t.Fatalf("cut %d: applied %s", n, now)
		}
		b.heal(n, n%2 == 1)
		undone := s.Undo(t.Context(), e.Env)
		b.heal(0, false)
		e.undo(t, s)
		if now := state(); now != was {
			t.Fatalf("cut %d: after undo %s, was %s", n, now, was)
		}
		if cut == nil && undone == nil {
			if n < 3 {
				t.Errorf("only %d cuts", n)
			}
			return
		}
	}
}

// kubeTestEnv brings values that a shell pipeline would break.
func kubeTestEnv(t *testing.T, b *kubeBox) {
	file := filepath.Join(t.TempDir(), ".env")
	text := "# a comment\nPLAIN=a b\nQUOTED=\"it's \\\"so\\\" = x\"\nexport SINGLE='$5 # no ${comment}'\nEMPTY=\nURL=postgres://u:p@db/x\nSESSION_KEY=k=k==\nLEGACY=1\nREF=${PLAIN}\nMULTI=\"one\ntwo: three\"\nYES=yes\nNUM=0123\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, e := &kubeEnv{From: kubeEnvFrom{File: file}, ConfigMap: "app", Secret: "app-secret", kubeCluster: b.cluster(), Drop: []string{"LEG*"}}, b.env()
	if _, err := s.Pending(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "line 9: the value of REF") {
		t.Errorf("pending: %v", err)
	}
	s.Set = map[string]fileValue{"REF": {Text: "a b"}, "DB": {Secret: "db_password"}}
	c := fmt.Sprint(e.pending(t, s))
	for _, hidden := range []string{"s3cr3t", "p@db", "k=k==", "az1rPT0="} {
		if strings.Contains(c, hidden) {
			t.Errorf("pending shows %s: %s", hidden, c)
		}
	}
	e.apply(t, s)
	e.verify(t, s)
	want := map[string]string{"PLAIN": "a b", "QUOTED": `it's "so" = x`, "SINGLE": "$5 # no ${comment}", "EMPTY": "", "REF": "a b", "MULTI": "one\ntwo: three", "YES": "yes", "NUM": "0123"}
	k := kubernetes.Kubectl{Command: []string{b.Kubectl}, Kubeconfig: b.Kubeconfig, Namespace: b.ns}
	o, _, err := k.Find(t.Context(), b, kubernetes.Ref{Version: "v1", Kind: "ConfigMap", Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	data, _ := o["data"].(map[string]any)
	if len(data) != len(want) {
		t.Errorf("data: %v", data)
	}
	for key, v := range want {
		if data[key] != v {
			t.Errorf("%s is %q, want %q", key, data[key], v)
		}
	}
	if got := b.k("get", "secret", "app-secret", "-o", `go-template={{range $k, $v := .data}}{{$k}}={{base64decode $v}};{{end}}`); got != `DB=s3cr3t $planted' "x;SESSION_KEY=k=k==;URL=postgres://u:p@db/x;` {
		t.Errorf("the Secret holds %s", got)
	}
	if strings.Contains(b.changes()+e.log.String(), "s3cr3t") {
		t.Errorf("a secret was told:\n%s\n%s", b.changes(), e.log.String())
	}
	e.undo(t, s)
	if left := b.k("get", "configmaps,secrets", "-o", "name"); left != "" {
		t.Errorf("left: %s", left)
	}
	s.Secret = ""
	s.Set = nil
	s.Drop = []string{"REF"}
	if _, err := s.Pending(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "looks secret") {
		t.Errorf("without a Secret: %v", err)
	}
}
