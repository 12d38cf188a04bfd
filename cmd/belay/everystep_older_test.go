package main

import (
	"os"
	"regexp"
	"testing"

	"belay/remote/lab/dockerlab"
	"belay/steps/plan/shipped"
)

// TestFailEveryStepOfScenario1 fails in the steps from Stoat Chat to Fluxer.
func TestFailEveryStepOfScenario1(t *testing.T) {
	l := stoatServer(t, dockerlab.ComposeV2, "")
	failEveryStep(t, everyStep{
		plan: shippedText(t, "stoat-to-fluxer"), overlay: labOverlay, host: "chat", tries: 2,
		env: []string{"BELAY_SSH_CONFIG=" + l.SSHConfig()},
		world: func(t *testing.T) string {
			return served(t, l) + l.Exec("chat", `curl -fsS http://127.0.0.1:8088/
cd /root && find . -name .ssh -prune -o ! -path './stoatchat/data/*.log' ! -path './.local*' -printf '%p %y %m %u %s\n' | LC_ALL=C sort
find stoatchat -type f ! -path '*/data/*.log' -exec sha256sum {} + | LC_ALL=C sort
tmux ls -F '#{session_name} #{session_windows}'; pgrep -fc '^bash /root/stoatchat/scripts/'
docker ps -aq; docker network ls --format '{{.Name}}' | LC_ALL=C sort`)
		},
		// The archive is kept by a rollback, and so is what the databases wrote.
		settle: func(*testing.T) {
			l.Exec("chat", "rm -f /var/backups/*.tar.zst*; docker volume prune --force")
		},
	})
}

// TestFailEveryStepOfSupabase fails in the steps from Supabase to a server of
// one's own.
func TestFailEveryStepOfSupabase(t *testing.T) {
	s := supabase(t)
	s.Exec("vps", ": >/etc/api-flags")
	failEveryStep(t, everyStep{
		plan: shippedText(t, "supabase-to-postgres"), overlay: s.overlay, host: "vps", tries: 2,
		answers: []string{"  - {question: manual, choice: done}"},
		env:     append([]string{"BELAY_SSH_CONFIG=" + s.SSHConfig()}, supabaseSecrets...),
		world: func(t *testing.T) string {
			zone, err := os.ReadFile(s.dns.File)
			if err != nil {
				t.Fatal(err)
			}
			// Somebody posts, and takes that back, so that the data stay.
			return s.old() + regexp.MustCompile(`(?m)^api .*`).FindString(string(zone)) + s.Exec("hosted", `
psql -h 127.0.0.1 -qAt "dbname=postgres user=edge password=edge" -c "INSERT INTO public.posts (author, body) SELECT id, 'after' FROM auth.users LIMIT 1" -c "DELETE FROM public.posts WHERE body = 'after'" 2>&1
export PGPASSWORD=lab-admin
pg_dump -h /srv/db/supabase -U postgres postgres | grep -v -e restrict -e setval | sha256sum
psql -h /srv/db/supabase -U postgres -qAt postgres -c "SELECT datname, setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"`) +
				s.Exec("vps", `psql -h /srv/db/main -U postgres -qAt postgres -c "SELECT datname FROM pg_database ORDER BY 1" -c "SELECT rolname FROM pg_roles ORDER BY 1"
pgrep -x api || :; ls /root /opt /var/lib/postgresql | grep -v after-`)
		},
		// What the backend wrote beside its code, its log, is kept.
		settle: func(t *testing.T) { s.Exec("vps", "rm -rf /opt/sojorn.after-*") },
	})
}

// TestFailEveryStepOfDatabases fails in the steps of nine databases to one
// host.
func TestFailEveryStepOfDatabases(t *testing.T) {
	l := nine(t)
	failEveryStep(t, everyStep{
		plan: shippedText(t, "databases-to-one-host"), overlay: nineOverlay, host: "apps", tries: 2,
		env:   append([]string{"BELAY_SSH_CONFIG=" + l.SSHConfig()}, nineSecrets...),
		world: func(t *testing.T) string { return l.Exec("apps", nineWorld) + l.Exec("db", nineNew) },
	})
}

// nineWorld is what the applications find, that they can write it, and all that
// the old servers hold.
const nineWorld = `/root/count
grep -v written /root/write | sh || exit
export PGPASSWORD=app-gitlab; psql -qh 127.0.0.1 -p 5432 -U gitlab gitlabhq_production -c "DELETE FROM users WHERE username = 'user6'" || exit
export PGPASSWORD=app-ws_gibd; psql -qh 127.0.0.1 -p 5434 -U ws_gibd ws_gibd -c "DELETE FROM trades WHERE at = '2026-12-31' AND price IS NULL" || exit
mariadb -h 127.0.0.1 -P 3306 -u appwrite -papp-appwrite appwrite -e "DELETE FROM users WHERE name = 'Grace'" || exit
mariadb -h 127.0.0.1 -P 3307 -u mailcow -papp-mailcow mailcow -e "DELETE FROM mailbox WHERE username = 'new@example.org'" || exit
export REDISCLI_AUTH=lab-admin
for p in 6379 6380 6381 6382; do
  redis-cli -p $p set written after; redis-cli -p $p del written
  redis-cli -p $p role | head -1; redis-cli -p $p config get replica-read-only
  redis-cli -p $p eval "local all, sum = redis.call('keys', '*'), '' table.sort(all) for _, k in ipairs(all) do sum = redis.sha1hex(sum .. k .. redis.call('dump', k)) end return sum" 0
done
for n in gibd-postgres:5432 keycloak-postgres:5433 wizardsofts-megabuild-postgres-1:5434; do
  pg_dumpall -h /srv/db/${n%:*} -p ${n#*:} -U postgres | grep -v -e '^-- ' -e restrict -e setval | sha256sum
done
for n in appwrite-mariadb mailcowdockerized-mysql-mailcow-1; do
  mariadb-dump -S /srv/db/$n/sock --all-databases --skip-dump-date | sed 's/ AUTO_INCREMENT=[0-9]*//' | sha256sum
  mariadb -NS /srv/db/$n/sock -e 'SELECT @@read_only'
done
ls /srv/db; pgrep -l socat || :`

// nineNew is that nothing is left on the new servers.
const nineNew = `export REDISCLI_AUTH=lab-admin
for p in 6380 6381 6382 6383; do redis-cli -p $p dbsize; redis-cli -p $p role | head -1; done
for n in gitlab:5435 keycloak:5434 megabuild:5436; do
  psql -h /srv/db/${n%:*} -p ${n#*:} -U postgres -qAt postgres -c "SELECT datname FROM pg_database ORDER BY 1" -c "SELECT rolname FROM pg_roles ORDER BY 1"
done
for n in appwrite mailcow; do mariadb -NS /srv/db/$n/sock -e 'SHOW DATABASES; SELECT user, host FROM mysql.user ORDER BY 1, 2'; done`

func shippedText(t *testing.T, name string) string {
	t.Helper()
	text, err := shipped.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
