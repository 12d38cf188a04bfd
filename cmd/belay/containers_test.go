package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"belay/remote/lab/dockerlab"
)

// boxedShop is a Compose project with four servers in containers, which their
// host publishes nowhere; two of them have the same database and password.
const boxedShop = `version: "2.4"
services:
  db: &postgres
    image: lab/postgres:15
    environment: {POSTGRES_PASSWORD_FILE: /run/password}
    volumes: ["./password:/run/password:ro"]
  auth: *postgres
  maria:
    image: lab/mariadb:10.11
    environment: {MARIADB_ROOT_PASSWORD_FILE: /run/password}
    volumes: ["./password:/run/password:ro"]
  cache:
    image: lab/redis:7
    command: [redis-server, --requirepass, lab-admin, --save, ""]
`

const boxedFill = `cd /srv/shop
for c in shop_db_1 shop_auth_1; do
  until docker exec $c psql -h /tmp -U postgres -qc "SELECT 1" >/dev/null 2>&1; do sleep 0.2; done
  docker exec $c psql -h /tmp -U postgres -qc "CREATE DATABASE shop" || exit
  docker exec $c psql -h /tmp -U postgres -q shop -c "CREATE TABLE orders AS SELECT i AS id, '$c ' || repeat(md5(i::text), 8) AS what FROM generate_series(1, 60000) i" -c "ALTER TABLE orders ADD PRIMARY KEY (id)" || exit
done
until docker exec shop_maria_1 mariadb -S /tmp/sock -uroot -plab-admin -e "SELECT 1" >/dev/null 2>&1; do sleep 0.2; done
docker exec shop_maria_1 mariadb -S /tmp/sock -uroot -plab-admin -e "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, what TEXT); INSERT INTO shop.orders SELECT seq, concat('order ', seq) FROM shop.seq_1_to_2000" || exit
docker exec -e REDISCLI_AUTH=lab-admin shop_cache_1 redis-cli EVAL 'for i = 1, 500 do redis.call("SET", "key:" .. i, i) end' 0
`

// boxedSwap starts two containers again so that each has the other's address:
// the engine gives the lowest that is free.
const boxedSwap = `at() { docker inspect -f "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}" "$1"; }
          db=$(at shop_db_1) auth=$(at shop_auth_1)
          docker stop -t 0 shop_db_1 shop_auth_1
          if [ "${db##*.}" -lt "${auth##*.}" ]; then docker start shop_auth_1 shop_db_1; else docker start shop_db_1 shop_auth_1; fi
          echo "db was at $db, and is at $(at shop_db_1)"
          [ "$(at shop_auth_1)" = "$db" ] || [ "$(at shop_db_1)" = "$auth" ]`

const boxedPlan = `belay: 1
name: boxed-shop
hosts: {old: {}, new: {}}
secrets:
  pw: {env: LAB_ADMIN}
prepare:
  - step: Add a table, where the container alone has psql
    on: old
    postgres.sql: {container: shop_db_1, database: shop, password: {secret: pw}, sql: "CREATE TABLE extra (id int)", undo: DROP TABLE extra, verify: "SELECT count(*) = 0 FROM extra"}
  - step: Add one to MariaDB
    on: old
    mysql.sql: {container: shop_maria_1, database: shop, password: {secret: pw}, sql: "CREATE TABLE extra (id int)", undo: DROP TABLE extra, verify: "SELECT COUNT(*) = 0 FROM extra"}
  - step: Dump PostgreSQL
    on: old
    postgres.dump: {container: shop_db_1, database: shop, password: {secret: pw}, to: /srv/dumps/postgres}
  - step: Dump MariaDB
    on: old
    mysql.dump: {container: shop_maria_1, databases: [shop], password: {secret: pw}, to: /srv/dumps/maria.sql.gz}
  - step: Bring the dumps over
    files.sync: {from: {host: old, path: /srv/dumps}, to: {host: new, path: /srv/dumps}}
  - together:
      - step: Restore PostgreSQL beside
        on: new
        postgres.restore: {container: shop_auth_1, database: shop, password: {secret: pw}, from: /srv/dumps/postgres, no_owner: true}
      - step: Restore MariaDB
        on: new
        mysql.restore: {container: shop_maria_1, databases: [shop], password: {secret: pw}, from: /srv/dumps/maria.sql.gz}
cutover:
  - together:
      - step: Copy db to a container
        retry: {times: 60, wait: 1s}
        postgres.copy:
          from: {host: old, container: shop_db_1, database: shop, password: {secret: pw}}
          to: {host: new, container: shop_db_1, password: {secret: pw}}
      - step: Copy auth to a server of the host's own
        retry: {times: 60, wait: 1s}
        postgres.copy:
          from: {host: old, container: shop_auth_1, database: shop, password: {secret: pw}}
          to: {host: new, addr: "127.0.0.1:5433", password: {secret: pw}}
      - step: Both start again and change places
        on: old
        run: |
          sleep 0.5
          ` + boxedSwap + `
      - step: Copy MariaDB to a server of the host's own
        mysql.copy:
          from: {host: old, container: shop_maria_1, password: {secret: pw}}
          to: {host: new, addr: "127.0.0.1:3307", password: {secret: pw}}
          databases: [shop]
      - step: Copy Redis to a container
        redis.copy:
          from: {host: old, container: shop_cache_1, password: {secret: pw}}
          to: {host: new, container: shop_cache_1, password: {secret: pw}}
  - step: Prove them equal
    retry: {times: 60, wait: 1s}
    compare:
      pairs:
        - name: db
          postgres:
            old: {host: old, container: shop_db_1, database: shop, password: {secret: pw}}
            new: {host: new, container: shop_db_1, database: shop, password: {secret: pw}}
        - name: auth
          postgres:
            old: {host: old, container: shop_auth_1, database: shop, password: {secret: pw}}
            new: {host: new, addr: "127.0.0.1:5433", database: shop, password: {secret: pw}}
        - name: restored
          postgres:
            old: {host: old, container: shop_db_1, database: shop, password: {secret: pw}}
            new: {host: new, container: shop_auth_1, database: shop, password: {secret: pw}}
        - name: maria
          mysql:
            old: {host: old, container: shop_maria_1, password: {secret: pw}}
            new: {host: new, container: shop_maria_1, password: {secret: pw}}
            databases: [shop]
        - name: maria, the host's own
          mysql:
            old: {host: old, container: shop_maria_1, password: {secret: pw}}
            new: {host: new, addr: "127.0.0.1:3307", password: {secret: pw}}
            databases: [shop]
        - name: cache
          redis:
            old: {host: old, container: shop_cache_1, password: {secret: pw}}
            new: {host: new, container: shop_cache_1, password: {secret: pw}}
  - step: Get the new shop ready
    on: new
    postgres.sql: {addr: "127.0.0.1:5433", database: shop, password: {secret: pw}, sql: "INSERT INTO orders VALUES (-1, 'a'), (-2, 'b')", verify: "SELECT count(*) = 2 FROM orders WHERE id < 0", undo: DELETE FROM orders WHERE id < 0}
  - step: Let the users in
    on: new
    proxy: {listen: "127.0.0.1:6000", to: "127.0.0.1:5433", by: socat}
  - step: They write
    on: new
    run: {script: "psql -h /srv/db/native -p 5433 -U postgres -q shop -c \"INSERT INTO orders VALUES (-3, 'c'), (-4, 'd'), (-5, 'e')\"", verify: "true"}
`

// TestBoxed moves databases that containers have on hosts which publish none of
// their ports, while two of them change places; and goes back.
func TestBoxed(t *testing.T) {
	files := map[string]string{"/srv/shop/docker-compose.yml": boxedShop, "/srv/shop/password": "lab-admin\n", "/srv/dumps/.keep": ""}
	l := dockerlab.Up(t, // old has client programs in its containers alone
		dockerlab.Server{Name: "old", Docker: dockerlab.ComposeV1, Files: files},
		dockerlab.Server{Name: "new", Docker: dockerlab.ComposeV1, Databases: true, Files: files})
	for _, name := range []string{"old", "new"} {
		l.Boxes(name)
		l.Exec(name, "cd /srv/shop && docker-compose up -d")
	}
	l.Exec("old", boxedFill)
	l.Exec("new", "rm -r /srv/dumps; lab-db make postgres native 5433; lab-db make mariadb native2 3307")

	dir := t.TempDir()
	env := []string{"LAB_ADMIN=lab-admin", "BELAY_SSH_CONFIG=" + l.SSHConfig(), "BELAY_STATE=" + filepath.Join(dir, "state"), "BELAY_TEST_HOSTS=real"}
	wrong := strings.NewReplacer("{container: shop_maria_1, databases: [shop]", "{container: shop_cache_1, databases: [shop]", "to: {host: new, container: shop_db_1", "to: {host: new, container: shop-db-1").Replace(boxedPlan)
	wrong = strings.ReplaceAll(wrong, "from: {host: old, container: shop_auth_1", "from: {host: old, container: shop-auth-1")
	write(t, filepath.Join(dir, "wrong.yaml"), wrong)
	write(t, filepath.Join(dir, "plan.yaml"), boxedPlan)
	_, out := belay(t, dir, env, "assess", "wrong.yaml")
	for _, want := range []string{
		"unknown  new          container shop-db-1 on new: there is none of that name; there are shop_auth_1, shop_cache_1, shop_db_1, shop_maria_1",
		"block    old          container shop-auth-1 on old: there is none of that name; there are shop_auth_1, ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	write(t, filepath.Join(dir, "answers.yaml"), labAnswers("old", "  - {question: close, choice: rollback}", `  - {question: rollback, choice: go, text: old, reason: "seen enough"}`))
	code, out := belay(t, dir, env, "run", "plan.yaml", "--headless", "--answers", "answers.yaml")
	if code != exitRolledBack {
		t.Fatalf("belay ended with %d:\n%s", code, out)
	}
	run := regexp.MustCompile(`Run (\S+): rolled back`).FindStringSubmatch(out)
	if run == nil {
		t.Fatalf("which run?\n%s", out)
	}
	_, out = belay(t, dir, env, "report", run[1])
	for _, want := range []string{"database shop in container shop_db_1 on new | nothing was written since “Let the users in” began",
		"database shop at 127.0.0.1:5433 on new | 3 rows written since “Let the users in” began (public.orders 3 added; 5 rows since it was copied)"} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), want) { // the columns are as wide as they must be
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	left := l.Exec("new", `for c in shop_db_1 shop_auth_1; do docker exec $c psql -h /tmp -U postgres -Atc "SELECT datname FROM pg_database WHERE datname LIKE 'shop%'"; done
docker exec shop_maria_1 mariadb -S /tmp/sock -uroot -plab-admin -Ne "SHOW DATABASES LIKE 'shop%'"
docker exec -e REDISCLI_AUTH=lab-admin shop_cache_1 redis-cli DBSIZE; ls /srv`)
	if left != "0\nshop\ndb\n" && left != "0\ndb\nshop\n" {
		t.Errorf("after the rollback there is on new:\n%s", left)
	}
}
