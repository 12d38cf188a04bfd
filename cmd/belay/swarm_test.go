package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"belay/remote/lab/dockerlab"
	"belay/steps/plan/shipped"
)

// swarmServers are those of scenario 5: apps, with nine databases in containers,
// and db, spare and monitor, which become a Swarm; a Docker engine on each.
func swarmServers(t *testing.T) *dockerlab.Lab {
	t.Helper()
	apps := dockerlab.Tree(t, "testdata/databases/apps")
	maps.Copy(apps, dockerlab.Tree(t, "testdata/swarm/apps"))
	apps["/root/admin"] = "lab-admin"
	l := dockerlab.Up(t,
		dockerlab.Server{Name: "apps", Docker: dockerlab.ComposeV1, Databases: true, Files: apps},
		dockerlab.Server{Name: "db", Docker: dockerlab.ComposeV1, Databases: true, Files: dockerlab.Tree(t, "testdata/swarm/db")},
		dockerlab.Server{Name: "spare", Docker: dockerlab.ComposeV1}, dockerlab.Server{Name: "monitor", Docker: dockerlab.ComposeV1})
	for _, name := range []string{"apps", "db"} {
		// The registry shall refuse at once, and not when time is up.
		l.Exec(name, "echo 127.0.0.1 registry-1.docker.io auth.docker.io >>/etc/hosts")
		l.Boxes(name)
	}
	l.Exec("apps", "for n in gitlab keycloak megabuild appwrite mailcowdockerized_mailcow-network; do docker network create $n || exit; done; /root/make")
	if before := l.Exec("apps", "/root/count"); before != everybody {
		t.Fatalf("before:\n%s", before)
	}
	return l
}

// swarmNames is what the applications find by the names that they know.
const swarmNames = `postgres is gitlabhq_production
gibd-postgres is gitlabhq_production
keycloak-postgres is keycloak
wizardsofts-megabuild-postgres-1 is ws_gibd
appwrite-mariadb is appwrite
mysql-mailcow is mailcow
gibd-redis 304
appwrite-redis 304
redis 304
redis-mailcow 304
`

// swarmOverlay is what differs in the lab; kept is for how long the old
// containers are kept.
func swarmOverlay(l *dockerlab.Lab, kept string) string {
	at := func(name string) string { return strings.Fields(l.Exec(name, "hostname -i"))[0] }
	_, secrets, _ := strings.Cut(nineOverlay, "secrets:\n")
	return fmt.Sprintf(`environment: lab
vars:
  db_address: %s
  apps_address: %s
  postgres_image: lab/postgres:15
  mariadb_image: lab/mariadb:10.11
  redis_image: lab/redis:7
  proxy_image: lab/redis:7
  kept: %s
  soak: 15s
  look_every: 1s
  bad_for: 5s
secrets:
%s`, at("db"), at("apps"), kept, secrets)
}

// TestSwarm goes back from failures, and then forward to the end, in one lab.
func TestSwarm(t *testing.T) {
	l := swarmServers(t)
	text, err := shipped.Read("databases-to-swarm")
	if err != nil {
		t.Fatal(err)
	}
	swarmAssessed(t, l, string(text))
	t.Run("back", func(t *testing.T) {
		var idle []string // what close removes is gone
		for _, s := range strings.Fields("gibd-postgres keycloak-postgres wizardsofts-megabuild-postgres-1 appwrite-mariadb mailcowdockerized-mysql-mailcow-1 " +
			"gibd-redis appwrite-redis wizardsofts-megabuild-redis-1 mailcowdockerized-redis-mailcow-1") {
			idle = append(idle, "remove-"+s)
		}
		failEveryStep(t, everyStep{
			plan: string(text), overlay: swarmOverlay(l, "7d"), host: "apps", idle: idle, tries: 1,
			env: append([]string{"BELAY_SSH_CONFIG=" + l.SSHConfig()}, nineSecrets...),
			world: func(t *testing.T) string {
				return l.Exec("apps", "/root/count; /root/names; /root/state") + l.Exec("db", "docker ps -aq; docker info --format '{{.Swarm.LocalNodeState}}'") +
					l.Exec("spare", "docker info --format '{{.Swarm.LocalNodeState}}'") + l.Exec("monitor", "docker info --format '{{.Swarm.LocalNodeState}}'")
			},
			settle: func(t *testing.T) { l.Exec("db", "docker volume prune --force") }, // volumes stay
		})
		if !t.Failed() {
			l.Exec("apps", "/root/write && /root/unwrite") // all take writes again
		}
	})
	if t.Failed() {
		return
	}
	t.Run("forward", func(t *testing.T) { swarmForward(t, l) })
}

func swarmForward(t *testing.T, l *dockerlab.Lab) {
	code, out := onLab(t, l, "databases-to-swarm", swarmOverlay(l, "0s"), labAnswers("apps", toTheEnd, "  - {question: close, choice: close, text: apps}"), nineSecrets...)
	if code != exitClosed {
		t.Fatalf("belay ended with %d:\n%s", code, out)
	}
	if after := l.Exec("apps", "/root/count"); after != everybody {
		t.Errorf("at the old ports:\n%s", after)
	}
	if after := l.Exec("apps", "/root/names"); after != swarmNames {
		t.Errorf("by the old names:\n%s", after)
	}
	l.Exec("apps", "/root/write")
	if got := l.Exec("db", "/root/written"); got != "user6\nnew@example.org\nafter\n" {
		t.Errorf("written through the proxies: %q", got)
	}
	state := l.Exec("apps", "/root/state")
	if strings.Count(state, "-proxy running") != 9 || strings.Count(state, "\n") != 10 || !strings.Contains(state, "swarm inactive") {
		t.Errorf("on apps there are:\n%s", state)
	}
	if vols := l.Exec("apps", "docker volume ls -q | grep -c ."); vols != "9\n" {
		t.Errorf("of the old volumes there are %s", vols)
	}
	nodes := l.Exec("db", `docker node ls --format '{{.Hostname}} {{.Status}} {{.ManagerStatus}}.' | sort; docker service ls --format '{{.Replicas}}' | sort | uniq -c
docker service inspect --format '{{(index .Endpoint.Ports 0).PublishMode}}' $(docker service ls -q) | sort | uniq -c`)
	if strings.Join(strings.Fields(nodes), " ") != "db Ready Leader. monitor Ready . spare Ready . 9 1/1 9 host" {
		t.Errorf("the Swarm is:\n%s", nodes)
	}
}

// swarmAssessed: of what the plan itself brings, the Swarm and nine servers,
// nobody is asked whether it will be there.
func swarmAssessed(t *testing.T, l *dockerlab.Lab, plan string) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "plan.yaml"), plan)
	write(t, filepath.Join(dir, "lab.yaml"), swarmOverlay(l, "7d"))
	env := append([]string{"BELAY_SSH_CONFIG=" + l.SSHConfig(), "BELAY_STATE=" + filepath.Join(dir, "state"), "BELAY_TEST_HOSTS=real"}, nineSecrets...)
	_, out := belay(t, dir, env, "assess", "plan.yaml", "--with", "lab.yaml")
	if strings.Contains("\n"+out, "\nunknown ") || strings.Contains("\n"+out, "\nblock ") || strings.Count(out, `comes with the step "Make the Swarm"`) != 1 {
		t.Errorf("the assessment:\n%s", out)
	}
}
