package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"belay/remote/lab/dockerlab"
)

// From two servers never seen before to a closed migration: init drafts the
// plan, and it is carried out as it was drafted.
func TestInitToClosed(t *testing.T) {
	const compose = "services:\n  web:\n    image: ghcr.io/shop/web:1\n    command: [serve, --name, web, --listen, \":8080\"]\n    ports: [\"8080:8080\"]\n    volumes: [\"data:/data\"]\nvolumes:\n  data: {}\n"
	l := dockerlab.Up(t,
		dockerlab.Server{Name: "old", Docker: dockerlab.ComposeV2, Files: map[string]string{"/opt/shop/compose.yaml": compose}},
		dockerlab.Server{Name: "new", Docker: dockerlab.ComposeV2})
	l.Standins("old", "ghcr.io/shop/web:1")
	// A site that nobody linked, of an nginx that nobody's systemd started.
	l.Exec("old", "printf 'server { listen 80; server_name shop.test; location / { proxy_pass http://127.0.0.1:8080; } }\n' >/etc/nginx/sites-enabled/shop && chmod 640 /etc/nginx/sites-enabled/shop && nginx")
	l.Exec("new", "nginx")
	l.Exec("old", "cd /opt/shop && docker compose up -d && echo precious >/var/lib/docker/volumes/shop_data/_data/orders")
	dir := t.TempDir()
	env := []string{"BELAY_SSH_CONFIG=" + l.SSHConfig(), "BELAY_STATE=" + filepath.Join(dir, "state"), "BELAY_TEST_HOSTS=real"}
	code, out := belay(t, dir, env, "init", "--from", "old", "--to", "new", "--clients", "none", "--out", "plan.yaml")
	if code != 0 {
		t.Fatalf("init ended with %d:\n%s", code, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "plan.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if code, out := belay(t, dir, env, "check", "plan.yaml"); code != 0 {
		t.Fatalf("check ended with %d:\n%s\n%s", code, out, text)
	}
	if code, out := belay(t, dir, env, "plan", "plan.yaml"); code != 0 {
		t.Fatalf("plan ended with %d:\n%s\n%s", code, out, text)
	}
	write(t, filepath.Join(dir, "lab.yaml"), "environment: lab\nvars: {soak: 20s, look_every: 2s, compare_every: 2s, bad_for: 8s}\n")
	write(t, filepath.Join(dir, "answers.yaml"), labAnswers("old", toTheEnd, "  - {question: close, choice: close, text: old}", "  - {question: manual, choice: done}"))
	code, out = belay(t, dir, env, "run", "plan.yaml", "--with", "lab.yaml", "--headless", "--answers", "answers.yaml")
	if code != exitClosed {
		t.Fatalf("run ended with %d:\n%s\n%s", code, out, text)
	}
	if got := l.Exec("new", "cat /var/lib/docker/volumes/shop_data/_data/orders; docker ps --format '{{.Image}} {{.State}}'"); !strings.Contains(got, "precious") || !strings.Contains(got, "ghcr.io/shop/web:1 running") {
		t.Errorf("on the new server: %s", got)
	}
	if got := l.Exec("new", "stat -c '%a %n' /etc/nginx/sites-*/shop; curl -s -o /dev/null -w '%{http_code}' -H 'Host: shop.test' http://127.0.0.1/_health"); got != "640 /etc/nginx/sites-available/shop\n777 /etc/nginx/sites-enabled/shop\n200" {
		t.Errorf("nginx on the new server: %s", got)
	}
	if got := l.Exec("old", "docker ps -q | wc -l; docker volume ls -q"); !strings.HasPrefix(got, "0") || !strings.Contains(got, "shop_data") {
		t.Errorf("on the old server: %s", got)
	}
}

// Databases for whose copies people cannot wait are drafted to follow, and are
// carried over as drafted: PostgreSQL and MariaDB, with the old servers kept
// equal until the close.
func TestInitFollowsToClosed(t *testing.T) {
	l := dockerlab.Up(t, dockerlab.Server{Name: "old", Docker: dockerlab.ComposeV2, Databases: true}, dockerlab.Server{Name: "new", Docker: dockerlab.ComposeV2, Databases: true})
	for s, port := range map[string]string{"old": "3306", "new": "3307"} {
		l.Exec(s, "lab-db make postgres main 5432 && lab-db make mariadb shop "+port+" && mariadb -S /srv/db/shop/sock -e 'set global binlog_format=row'")
	}
	l.Exec("old", `psql -q -h /srv/db/main -U postgres -c "create role shop login password 'x'" -c "create database shop owner shop" &&
psql -q -h /srv/db/main -U postgres shop -c "create table orders(id bigint primary key generated always as identity, t text); alter table orders owner to shop; insert into orders(t) select md5(i::text) from generate_series(1, 20000) i" &&
psql -q -h /srv/db/main -U postgres -c "create table notes(id int primary key); insert into notes values (7)" &&
mariadb -S /srv/db/shop/sock -e "create database blog; create table blog.posts(id int primary key auto_increment, t text); insert into blog.posts(t) values ('one'), ('two')"`)
	dir := t.TempDir()
	env := []string{"BELAY_SSH_CONFIG=" + l.SSHConfig(), "BELAY_STATE=" + filepath.Join(dir, "state"), "BELAY_TEST_HOSTS=real"}
	code, out := belay(t, dir, env, "init", "--from", "old", "--to", "new", "--clients", "none", "--freeze", "1ms", "--move", "database postgresql 5432", "--move", "database mysql 3306", "--out", "plan.yaml")
	if code != 0 {
		t.Fatalf("init ended with %d:\n%s", code, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "plan.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	overlay := "environment: lab\nvars: {soak: 10s, look_every: 2s, compare_every: 2s, bad_for: 8s}\nsecrets:\n"
	for _, name := range []string{"postgresql_5432_old", "postgresql_5432_new", "mysql_3306_old", "mysql_3306_new"} {
		overlay += "  " + name + ": {env: LAB_ADMIN}\n"
	}
	write(t, filepath.Join(dir, "lab.yaml"), overlay)
	env = append(env, "LAB_ADMIN=lab-admin")
	write(t, filepath.Join(dir, "answers.yaml"), labAnswers("old", toTheEnd, "  - {question: close, choice: close, text: old}", "  - {question: manual, choice: done}"))
	code, out = belay(t, dir, env, "run", "plan.yaml", "--with", "lab.yaml", "--headless", "--answers", "answers.yaml")
	if code != exitClosed {
		t.Fatalf("run ended with %d:\n%s\n%s", code, out, text)
	}
	if got := l.Exec("new", `psql -h /srv/db/main -U postgres shop -Atc "select count(*) from orders"; psql -h /srv/db/main -U postgres -Atc "select id from notes"; mariadb -S /srv/db/shop/sock -Ne "select count(*) from blog.posts"`); strings.Join(strings.Fields(got), " ") != "20000 7 2" {
		t.Errorf("on the new server: %s", got)
	}
}
