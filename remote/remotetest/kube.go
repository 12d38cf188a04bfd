package remotetest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Kube is a Kubernetes of one test's own on 127.0.0.1. The API server, the
// controllers behind Deployments, StatefulSets, Jobs, claims and the like, and
// kubectl are real; what a node would do is simulated by the test (see
// kubeNode): no container ever runs.
type Kube struct {
	Kubeconfig string // of an administrator
	Kubectl    string // path of the program
	Bin        string // the directory that it is in, for a PATH
	URL        string // of the API server
	Dir        string

	t     testing.TB
	http  *http.Client
	procs []*exec.Cmd
	node  *kubeNode
}

// kubeTokens are the users: the token, the user, and the groups.
var kubeTokens = [][3]string{
	{"admin-token", "admin", "system:masters"},
	{"guest-token", "guest", "guests"},
}

// kubeControllers are those that the tests need; each costs time.
const kubeControllers = "deployment-controller,replicaset-controller,statefulset-controller,daemonset-controller,job-controller," +
	"garbage-collector-controller,namespace-controller,endpointslice-controller,persistentvolume-binder-controller," +
	"persistentvolumeclaim-protection-controller,persistentvolume-protection-controller"

// StartKube starts a cluster with one simulated node and ends it with the test.
// It takes some ten seconds, so tests share one, each in a namespace of its
// own. The test is skipped where .ci/kube/build has not built the programs, or
// etcd is not installed (see Need).
func StartKube(t testing.TB) *Kube {
	t.Helper()
	bin := kubeBin(t)
	Need(t, "etcd")
	k := &Kube{t: t, Dir: t.TempDir(), Bin: bin, Kubectl: filepath.Join(bin, "kubectl")}
	k.http = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(k.stop)
	k.start()
	return k
}

// kubeBin is where the programs are: $BELAY_KUBE, as `make test` sets it, else
// what an earlier build left.
func kubeBin(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("BELAY_KUBE"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err == nil {
		found, _ := filepath.Glob(filepath.Join(cache, "belay", "kube-v*", "kubectl"))
		if len(found) > 0 {
			return filepath.Dir(found[len(found)-1])
		}
	}
	if os.Getenv("BELAY_TEST_ALL") == "1" {
		t.Fatal("no Kubernetes to test with, and BELAY_TEST_ALL=1 forbids to skip; .ci/kube/build makes it")
	}
	t.Skip("needs a Kubernetes, which .ci/kube/build makes (some minutes, once a machine)")
	return ""
}

func (k *Kube) path(name string) string { return filepath.Join(k.Dir, name) }

func (k *Kube) write(name, text string) string {
	k.t.Helper()
	if err := os.WriteFile(k.path(name), []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
	return k.path(name)
}

func (k *Kube) start() {
	k.t.Helper()
	etcd, peer := k.local(), k.local()
	k.run("etcd", Find("etcd"), "--data-dir="+k.path("data"), "--unsafe-no-fsync", "--listen-client-urls="+etcd,
		"--advertise-client-urls="+etcd, "--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer)
	key := k.write("sa.key", kubeKey(k.t))
	tokens := ""
	for i, u := range kubeTokens {
		tokens += fmt.Sprintf("%s,%s,%d,%q\n", u[0], u[1], i+1, u[2])
	}
	port := FreePort(k.t)
	k.URL = "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	k.run("kube-apiserver", filepath.Join(k.Bin, "kube-apiserver"), "--etcd-servers="+etcd, "--bind-address=127.0.0.1",
		"--secure-port="+strconv.Itoa(port), "--cert-dir="+k.path("certs"), "--token-auth-file="+k.write("tokens", tokens),
		"--authorization-mode=RBAC", "--service-account-key-file="+key, "--service-account-signing-key-file="+key,
		"--service-account-issuer=https://kube.test", "--service-cluster-ip-range=10.96.0.0/16", "--service-node-port-range=1024-65535",
		"--endpoint-reconciler-type=none", "--disable-admission-plugins=ServiceAccount", "--kubelet-preferred-address-types=InternalIP",
		"--enable-priority-and-fairness=false", "--watch-cache=true")
	k.Kubeconfig = k.Config("admin")
	k.await("the API server", func() error {
		_, err := k.API("GET", "/readyz", "", nil)
		return err
	})
	k.run("kube-controller-manager", filepath.Join(k.Bin, "kube-controller-manager"), "--kubeconfig="+k.Kubeconfig, "--secure-port=0",
		"--leader-elect=false", "--controllers="+kubeControllers, "--pvclaimbinder-sync-period=2s", "--kube-api-qps=200", "--kube-api-burst=400")
	k.node = startKubeNode(k)
	k.await("the namespace default", func() error {
		_, err := k.API("GET", "/api/v1/namespaces/default", "", nil)
		return err
	})
}

func (k *Kube) local() string {
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(k.t)))
}

func kubeKey(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}))
}

// Config writes a kubeconfig for a user, and returns its path: admin may do
// everything, guest what a role binding of the test's own allows.
func (k *Kube) Config(user string) string {
	k.t.Helper()
	token := ""
	for _, u := range kubeTokens {
		if u[1] == user {
			token = u[0]
		}
	}
	return k.write("config-"+user, fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: %[2]s, user: {token: %[3]s}}]
contexts: [{name: lab, context: {cluster: lab, user: %[2]s}}]
current-context: lab
`, k.URL, user, token))
}

// run starts a program that ends with the cluster; what it says goes to NAME.log.
func (k *Kube) run(name string, argv ...string) {
	k.t.Helper()
	log, err := os.OpenFile(k.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		k.t.Fatal(err)
	}
	defer log.Close()
	c := exec.Command(argv[0], argv[1:]...)
	c.Dir, c.Stdout, c.Stderr = k.Dir, log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.procs = append(k.procs, c)
}

// stop ends what start started, last first.
func (k *Kube) stop() {
	if k.node != nil {
		k.node.stop()
	}
	for i := len(k.procs) - 1; i >= 0; i-- {
		_ = k.procs[i].Process.Kill() // nothing of it is to be kept
		_ = k.procs[i].Wait()
	}
	k.http.CloseIdleConnections()
}

func (k *Kube) await(what string, ok func() error) {
	k.t.Helper()
	var err error
	for range 1800 {
		if err = ok(); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager"} {
		log, _ := os.ReadFile(k.path(name + ".log"))
		k.t.Logf("%s said last:\n%s", name, log[max(0, len(log)-3000):])
	}
	k.t.Fatalf("%s is not there after 3 minutes: %v", what, err)
}

// API speaks to the API server as the administrator, beside kubectl. kind is
// the body's type; an answer of 300 or more is an error.
func (k *Kube) API(method, path, kind string, body any) ([]byte, error) {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = bytes.NewReader(b)
	}
	r, err := http.NewRequest(method, k.URL+path, in)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+kubeTokens[0][0])
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	answer, err := k.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	out, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %.300s", method, path, answer.Status, out)
	}
	return out, err
}

// Do runs kubectl as the administrator; the test fails if it does. stdin may
// be "".
func (k *Kube) Do(stdin string, args ...string) string {
	k.t.Helper()
	out, err := k.Try(stdin, args...)
	if err != nil {
		k.t.Fatalf("kubectl %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// Try is Do for commands that may fail.
func (k *Kube) Try(stdin string, args ...string) (string, error) {
	c := exec.Command(k.Kubectl, append([]string{"--kubeconfig", k.Kubeconfig}, args...)...)
	var errs bytes.Buffer
	c.Stdin, c.Stderr = strings.NewReader(stdin), &errs
	out, err := c.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, errs.String())
	}
	return string(out), err
}

// KubeFault is what a container of an image does instead of working.
type KubeFault struct {
	Reason string // ImagePullBackOff, CrashLoopBackOff, or NotReady; for a Job's any other
	Log    string // what it says before it ends
}

// Break gives an image a fault; the zero fault mends it. Containers that are
// made from then on have it.
func (k *Kube) Break(image string, f KubeFault) {
	k.node.mu.Lock()
	defer k.node.mu.Unlock()
	k.node.faults[image] = f
}

// kubeNode does what kubelet, kube-proxy and the scheduler would: see
// kube_node.go.
type kubeNode struct {
	k      *Kube
	mu     sync.Mutex
	faults map[string]KubeFault
	ports  map[int]net.Listener // node ports
	logs   *http.Server
	done   chan struct{}
	ended  chan struct{}
	serial int
}
