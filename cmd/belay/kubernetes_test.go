package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"belay/remote/lab/dockerlab"
	"belay/remote/remotetest"
	"belay/steps/plan/shipped"
)

// TestKubernetesPlans runs the shipped plans for Kubernetes on a real API
// server; what a node would do is simulated (see remotetest.Kube).
func TestKubernetesPlans(t *testing.T) {
	k := remotetest.StartKube(t)
	t.Run("fluxer-upgrade", func(t *testing.T) { fluxerInKubernetes(t, k) })
	t.Run("coai-docker-to-kubernetes", func(t *testing.T) { coaiToKubernetes(t, k) })
}

// kubeVars is an environment in which kubectl is the cluster's own, and what
// belay keeps on a host lies in a directory of the test's.
func kubeVars(t *testing.T, k *remotetest.Kube) []string {
	t.Helper()
	return []string{"PATH=" + k.Bin + ":" + os.Getenv("PATH"), "XDG_STATE_HOME=" + t.TempDir()}
}

// shippedHere runs a shipped plan headless, with an overlay and answers. out is
// what belay printed, kept the logs and the journal of the run.
func shippedHere(t *testing.T, name, overlay, answers string, env []string) (code int, out, kept string) {
	t.Helper()
	dir := t.TempDir()
	plan, err := shipped.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"plan.yaml": string(plan), "lab.yaml": overlay, "answers.yaml": answers} {
		write(t, filepath.Join(dir, name), text)
	}
	env = append([]string{"BELAY_STATE=" + filepath.Join(dir, "state")}, env...)
	code, out = belay(t, dir, env, "run", "plan.yaml", "--with", "lab.yaml", "--headless", "--answers", "answers.yaml")
	if testing.Verbose() {
		t.Logf("belay ended with %d:\n%s", code, out)
	}
	err = filepath.WalkDir(theRun(t, filepath.Join(dir, "state")), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		kept += "\n" + string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return code, out, kept
}

// get is what an address of this machine answers.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, strings.TrimSpace(string(b))
}

// fluxerInKubernetes is the world of scenario 2's second half: two of Fluxer's
// microservices in a cluster.
func fluxerInKubernetes(t *testing.T, k *remotetest.Kube) {
	k.Do("", "create", "namespace", "fluxer")
	port := remotetest.FreePort(t)
	for _, part := range []string{"api", "gateway"} {
		k.Do(fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: fluxer-%[1]s, namespace: fluxer}
spec:
  replicas: 2
  selector: {matchLabels: {app: fluxer-%[1]s}}
  template:
    metadata: {labels: {app: fluxer-%[1]s}}
    spec: {containers: [{name: %[1]s, image: "ghcr.io/fluxerapp/fluxer-%[1]s:v1.2.3"}]}
`, part), "create", "-f", "-")
	}
	k.Do(fmt.Sprintf(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"fluxer-api","namespace":"fluxer"},"spec":{"type":"NodePort","selector":{"app":"fluxer-api"},"ports":[{"port":80,"nodePort":%d}]}}`, port), "create", "-f", "-")
	k.Do("", "-n", "fluxer", "rollout", "status", "deployment/fluxer-api", "--timeout=120s")
	k.Do("", "-n", "fluxer", "rollout", "status", "deployment/fluxer-gateway", "--timeout=120s")
	health := fmt.Sprintf("http://127.0.0.1:%d/_health", port)
	backups := t.TempDir()
	overlay := func(version string) string {
		return fmt.Sprintf(`environment: lab
hosts:
  ops: {local: true}
vars: {kubeconfig: %s, health: %q, backups: %s, new: %s, ready: 4m, give_up: 2s, soak: 3s, look_every: 300ms, bad_for: 2s}
`, k.Kubeconfig, health, backups, version)
	}
	images := func() string {
		return k.Do("", "-n", "fluxer", "get", "pods", "-o", `jsonpath={range .items[*]}{.metadata.labels.pod-template-hash} {.spec.containers[0].image}{"\n"}{end}`)
	}
	env := append(kubeVars(t, k), "BELAY_SSH_CONFIG=/dev/null")
	manual := []string{"  - {question: manual, choice: done, text: \"snapshot 17\", times: 2}", toTheEnd}

	was := images()
	k.Break("ghcr.io/fluxerapp/fluxer-gateway:v1.3.1", remotetest.KubeFault{
		Reason: "CrashLoopBackOff", Log: "[ERROR] Migration failed: 003_schema_change.sql\n[ERROR] Reason: duplicate column name"})
	code, out, kept := shippedHere(t, "fluxer-upgrade-kubernetes", overlay("v1.3.1"), labAnswers("ops", append(manual,
		"  - {question: failed, step: upgrade-fluxer-gateway, choice: rollback}",
		"  - {question: rollback, choice: go, text: ops, reason: the gateway crashes}")...), env)
	if code != exitRolledBack {
		t.Fatalf("belay ended with %d:\n%s", code, out)
	}
	for _, want := range []string{"CrashLoopBackOff", "Reason: duplicate column name", "a migration was applied in part"} {
		if !strings.Contains(kept, want) {
			t.Errorf("belay did not say %q", want)
		}
	}
	// The same ReplicaSets as before: their names are in the pods' hashes.
	if now := images(); now != was {
		t.Errorf("after the rollback:\n%s, before:\n%s", now, was)
	}

	text, err := shipped.Read("fluxer-upgrade-kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	failEveryStep(t, everyStep{
		plan: string(text), overlay: overlay("v1.3.0"), host: "ops", env: env, tries: 2,
		answers: []string{"  - {question: manual, choice: done, text: \"snapshot 17\", times: 2}"},
		world: func(t *testing.T) string {
			_, now := get(t, health)
			return now + "\n" + images()
		},
	})
	if t.Failed() {
		return
	}

	code, out, _ = shippedHere(t, "fluxer-upgrade-kubernetes", overlay("v1.3.0"), labAnswers("ops", append(manual,
		"  - {question: close, choice: close, text: ops}")...), env)
	if code != exitClosed {
		t.Fatalf("belay ended with %d:\n%s", code, out)
	}
	if status, now := get(t, health); status != 200 || !strings.Contains(now, `"image":"ghcr.io/fluxerapp/fluxer-api:v1.3.0"`) {
		t.Errorf("afterwards: %d %s", status, now)
	}
	if now := images(); strings.Count(now, ":v1.3.0\n") != 4 {
		t.Errorf("the pods are %s", now)
	}
}

// coaiLab is the world of scenario 4's move: a container on a server, and a
// cluster. The password has all that a shell pipeline would break.
type coaiLab struct {
	*dockerlab.Lab
	k       *remotetest.Kube
	dns     *remotetest.DNS
	port    int
	store   string
	overlay string
	env     []string
}

const (
	coaiPassword = `pa"ss=w'rd $HOME \n: #x`
	coaiTitle    = `My "AI" = good: yes`
)

func coai(t *testing.T, k *remotetest.Kube) coaiLab {
	t.Helper()
	c := coaiLab{k: k, port: remotetest.FreePort(t), store: t.TempDir(), dns: remotetest.StartDNS(t, "example.org", "127.0.0.1", 0, "")}
	c.dns.Write("coai 2 IN A 192.0.2.10")
	c.Lab = dockerlab.Up(t, dockerlab.Server{Name: "old", Docker: dockerlab.ComposeV2})
	c.Standins("old", "programzmh/chatnio:v2.0.0")
	c.Exec("old", `set -e
cat >/root/env <<'E'
MYSQL_HOST=mysql
MYSQL_PASSWORD=`+coaiPassword+`
TITLE=`+coaiTitle+`
E
docker run -d --name chatnio --restart unless-stopped --env-file /root/env -v chatnio_storage:/storage -p 8000:8000 programzmh/chatnio:v2.0.0 \
  serve --name chatnio --listen :8000 --root /storage
mkdir -p /var/lib/docker/volumes/chatnio_storage/_data/uploads
cd /var/lib/docker/volumes/chatnio_storage/_data/uploads && echo cat >"a picture.txt" && ln "a picture.txt" linked && truncate -s 20M sparse
# People go on uploading for as long as it runs.
mkdir live
setsid sh -c 'while sleep 1; do if curl -fs http://127.0.0.1:8000/_health; then date +%s >new && mv new live/$(cat new); fi; done' >/dev/null 2>&1 </dev/null &`)
	point := filepath.Join(t.TempDir(), "point-dns")
	script := fmt.Sprintf("#!/bin/sh\nsed \"s/^${1%%%%.example.org} .*/${1%%%%.example.org} 2 IN A $2/\" %[1]q >%[1]q.new && mv %[1]q.new %[1]q\n", c.dns.File)
	if err := os.WriteFile(point, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	c.overlay = fmt.Sprintf(`environment: lab
vars:
  mysql_host: db.internal
  redis_host: cache.internal
  kubeconfig: %s
  namespace: coai
  path: %s
  storage_source: '{hostPath: {path: %[2]s/storage, type: DirectoryOrCreate}}'
  logs_source: '{hostPath: {path: %[2]s/logs, type: DirectoryOrCreate}}'
  node_port: %d
  health: http://127.0.0.1:%[3]d/health
  dns_servers: %s
  point_dns: %s
  ttl: 2s
  soak: 2s
  look_every: 300ms
  bad_for: 2s
`, k.Kubeconfig, c.store, c.port, c.dns.Addr, point)
	c.env = append(kubeVars(t, k), "BELAY_SSH_CONFIG="+c.SSHConfig(), "BELAY_TEST_HOSTS=real")
	return c
}

// seen is what people see of the old CoAI: its answer, its files, its name.
func (c coaiLab) seen(t *testing.T) string {
	t.Helper()
	zone, err := os.ReadFile(c.dns.File)
	if err != nil {
		t.Fatal(err)
	}
	i := strings.Index(string(zone), "coai ")
	return c.Exec("old", `for n in $(seq 100); do curl -fsS http://127.0.0.1:8000/_health && break; sleep .2; done
curl -fsS http://127.0.0.1:8000/uploads/linked
docker inspect chatnio --format '{{.Name}} {{.State.Running}} {{.HostConfig.RestartPolicy.Name}}'
cd /var/lib/docker/volumes/chatnio_storage/_data && find . -type f ! -path './uploads/live/*' ! -name new -exec sha256sum {} + | sort`) + string(zone[i:])
}

func coaiToKubernetes(t *testing.T, k *remotetest.Kube) {
	c := coai(t, k)
	text, err := shipped.Read("coai-docker-to-kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	failEveryStep(t, everyStep{
		plan: string(text), overlay: c.overlay, host: "old", env: c.env, tries: 3,
		world: c.seen,
		settle: func(t *testing.T) {
			// Namespace and volumes stay by intention.
			if left := k.Do("", "-n", "coai", "get", "pvc", "-o", "name"); strings.Count(left, "\n") == 1 {
				t.Errorf("of the claims is left: %s", left)
			}
			if left := k.Do("", "-n", "coai", "get", "deployments,pods,services,configmaps,secrets", "-o", "name"); left != "" {
				t.Errorf("left in the cluster:\n%s", left)
			}
			k.Do("", "delete", "namespace", "coai", "--ignore-not-found")
			k.Do("", "delete", "pv", "coai-storage", "coai-logs", "--ignore-not-found")
		},
	})
	if t.Failed() {
		return
	}
	code, out, kept := shippedHere(t, "coai-docker-to-kubernetes", c.overlay, labAnswers("old", toTheEnd, "  - {question: close, choice: close, text: old}"), c.env)
	if code != exitClosed {
		t.Fatalf("belay ended with %d:\n%s", code, out)
	}
	if strings.Contains(out+kept, `pa"ss`) || strings.Contains(kept, `pa\"ss`) {
		t.Error("the password was printed, or kept")
	}
	var now struct {
		Image string
		Env   map[string]string
	}
	status, answer := get(t, fmt.Sprintf("http://127.0.0.1:%d/health", c.port))
	if err := json.Unmarshal([]byte(answer), &now); status != 200 || err != nil {
		t.Fatalf("afterwards: %d %s", status, answer)
	}
	if now.Env["MYSQL_PASSWORD"] != coaiPassword || now.Env["TITLE"] != coaiTitle || now.Env["MYSQL_HOST"] != "db.internal" || now.Env["PATH"] != "" || now.Image != "programzmh/chatnio:v2.0.0" {
		t.Errorf("CoAI in the cluster has %q, %q", now.Env, now.Image)
	}
	if secrets := k.Do("", "-n", "coai", "get", "configmap", "chatnio-config", "-o", "jsonpath={.data.MYSQL_PASSWORD}"); secrets != "" {
		t.Errorf("the ConfigMap has the password: %s", secrets)
	}
	if _, file := get(t, fmt.Sprintf("http://127.0.0.1:%d/storage/uploads/linked", c.port)); file != "cat" {
		t.Errorf("the file is %q", file)
	}
	last := strings.Fields(c.Exec("old", "ls /var/lib/docker/volumes/chatnio_storage/_data/uploads/live | tail -1"))[0]
	if _, file := get(t, fmt.Sprintf("http://127.0.0.1:%d/storage/uploads/live/%s", c.port, last)); file != last {
		t.Errorf("the last upload is %q in the cluster, and was %q", file, last)
	}
	state := c.Exec("old", "docker ps -a --format '{{.Names}} {{.State}}'")
	if !strings.HasPrefix(state, "chatnio-docker.until-") || !strings.Contains(state, " exited") {
		t.Errorf("on the old server: %s", state)
	}
	if zone, err := os.ReadFile(c.dns.File); err != nil || !strings.Contains(string(zone), "coai 2 IN A 203.0.113.10\n") {
		t.Errorf("DNS: %s, %v", zone, err)
	}
}
