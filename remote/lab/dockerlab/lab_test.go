package dockerlab_test

import (
	"os/exec"
	"strings"
	"testing"

	"belay/remote/lab/dockerlab"
)

func over(l *dockerlab.Lab, name, script string) (string, error) {
	out, err := exec.Command("ssh", "-F", l.SSHConfig(), "-o", "ConnectTimeout=5", name, script).Output()
	return string(out), err
}

func TestTwoServers(t *testing.T) {
	l := dockerlab.Up(t, dockerlab.Server{Name: "old"}, dockerlab.Server{Name: "new", Files: map[string]string{
		"/etc/lab-boot.d/50-mark": "date +%s%N >>/var/boots\n",
	}})
	ids := map[string]bool{}
	for _, name := range []string{"old", "new"} {
		out, err := over(l, name, "hostname; cat /etc/machine-id; id -u")
		lines := strings.Fields(out)
		if err != nil || len(lines) != 3 || lines[0] != name || lines[2] != "0" {
			t.Fatalf("%s says %q, %v", name, out, err)
		}
		ids[lines[1]] = true
	}
	if len(ids) != 2 {
		t.Error("both servers have the same machine id")
	}
	if out, err := over(l, "old", "getent hosts new && tmux new -d -s x sleep 100 && tmux ls"); err != nil {
		t.Errorf("old: %q, %v", out, err)
	}

	l.Cut("old")
	if out, err := over(l, "old", "true"); err == nil {
		t.Errorf("a cut server said %q", out)
	}
	if _, err := over(l, "new", "true"); err != nil {
		t.Errorf("new: %v", err)
	}
	l.Restore("old")
	l.Hang("old")
	if out, err := over(l, "old", "true"); err == nil {
		t.Errorf("a hanging server said %q", out)
	}
	l.Restore("old")
	if out := l.Exec("old", "tmux ls"); !strings.HasPrefix(out, "x:") {
		t.Errorf("after Restore: %q", out)
	}

	l.Reboot("new")
	if out, err := over(l, "new", "wc -l </var/boots"); strings.TrimSpace(out) != "2" || err != nil {
		t.Errorf("boots: %q, %v", out, err)
	}
}

func TestDockerInside(t *testing.T) {
	for name, with := range map[string]dockerlab.Docker{"docker-compose": dockerlab.ComposeV1, "docker compose": dockerlab.ComposeV2} {
		t.Run(name, func(t *testing.T) { composeUp(t, name, with) })
	}
}

func composeUp(t *testing.T, compose string, with dockerlab.Docker) {
	l := dockerlab.Up(t, dockerlab.Server{Name: "chat", Docker: with})
	l.Standins("chat", "ghcr.io/fluxerapp/fluxer-server:v1.2.3")
	l.Exec("chat", `mkdir /app && cat >/app/docker-compose.yml <<'END'
version: "2.4"
services:
  api:
    image: ghcr.io/fluxerapp/fluxer-server:v1.2.3
    command: serve --name api --listen :8080
    healthcheck: {test: [CMD, /bin/standin, probe, "http://127.0.0.1:8080/_health"], interval: 1s}
    ports: ["127.0.0.1:8088:8080"]
END
cd /app && `+compose+` up -d 2>&1`)
	out := l.Exec("chat", `id=$(docker ps -q)
for i in $(seq 60); do [ "$(docker inspect -f '{{.State.Health.Status}}' $id)" = healthy ] && break; sleep 0.5; done
curl -fsS -X POST http://127.0.0.1:8088/_rpc; docker inspect -f '{{.State.Health.Status}}' $id`)
	if out != "{\"result\":\"pong\",\"from\":\"api\"}\nhealthy\n" {
		t.Errorf("%q", out)
	}
	l.Reboot("chat")
	if out := l.Exec("chat", "docker ps -aq | wc -l"); out != "1\n" {
		t.Errorf("after a reboot: %q containers", out)
	}
}

func TestDatabasesInside(t *testing.T) {
	l := dockerlab.Up(t, dockerlab.Server{Name: "db", Databases: true})
	l.Exec("db", "lab-db make postgres shop 5433 && lab-db make mariadb blog 3307 && lab-db make redis cache 6380")
	for _, c := range []struct{ name, write, read, want string }{
		{"shop", `PGPASSWORD=lab-admin psql -qh 127.0.0.1 -p 5433 -U postgres -c "CREATE EXTENSION pg_trgm; CREATE EXTENSION \"uuid-ossp\"; CREATE TABLE t AS SELECT 1 AS n"`,
			`PGPASSWORD=lab-admin psql -Atqh 127.0.0.1 -p 5433 -U postgres -c "SELECT n FROM t"`, "1\n"},
		{"blog", `mariadb -h 127.0.0.1 -P 3307 -u root -plab-admin -e "CREATE DATABASE b; CREATE TABLE b.t SELECT 2 AS n"`,
			`mariadb -Nh 127.0.0.1 -P 3307 -u root -plab-admin -e "SELECT n FROM b.t"`, "2\n"},
		{"cache", `REDISCLI_AUTH=lab-admin redis-cli -p 6380 set n 3 && REDISCLI_AUTH=lab-admin redis-cli -p 6380 save`,
			`REDISCLI_AUTH=lab-admin redis-cli -p 6380 get n`, "3\n"},
	} {
		l.Exec("db", c.write)
		for _, then := range []string{":", "lab-db stop " + c.name + "; lab-db start " + c.name, "lab-db kill " + c.name + "; lab-db start " + c.name} {
			l.Exec("db", then)
			if out := l.Exec("db", c.read); out != c.want {
				t.Errorf("%s after %q: %q", c.name, then, out)
			}
		}
		l.Exec("db", "lab-db stop "+c.name)
		if out, err := l.Try("db", c.read); err == nil {
			t.Errorf("stopped %s says %q", c.name, out)
		}
	}
}
