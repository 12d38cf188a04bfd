package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"belay/remote/lab/dockerlab"
	"belay/steps/plan/shipped"
)

// coaiHost is the server of scenario 4: CoAI in a container, its MariaDB and its
// uploads on the host.
type coaiHost struct {
	*dockerlab.Lab
	migrations string // directory that the plan takes the hops from
	overlay    string
}

func coaiUp(t *testing.T, version string) *coaiHost {
	t.Helper()
	files := dockerlab.Tree(t, "testdata/coai/server")
	migrations := t.TempDir()
	for p, text := range dockerlab.Tree(t, "testdata/coai/migrations") {
		write(t, filepath.Join(migrations, p), text)
		maps.Copy(files, map[string]string{"/root" + p: text})
	}
	l := &coaiHost{Lab: dockerlab.Up(t, dockerlab.Server{Name: "coai", Docker: dockerlab.ComposeV2, Databases: true, Files: files}), migrations: migrations}
	l.CoAI("coai", version+".0", "2.0.0")
	l.Exec("coai", "/root/make "+version)
	l.overlay = `environment: lab
vars:
  migrations: ` + migrations + `
  db_kind: mariadb
  room: 100MiB
  memory: 100MiB
  start_limit: 90s
  soak: 5s
  look_every: 300ms
  bad_for: 2s
secrets:
  db_password: {env: LAB_DB}
  api_key: {env: LAB_KEY}
  admin_key: {env: LAB_KEY}
`
	return l
}

var coaiEnv = []string{"LAB_DB=lab-admin", "LAB_KEY=key-of-ada"}

// says is what CoAI shows of everything that it keeps, with the version that
// answers before it.
func (l *coaiHost) says(t *testing.T) string {
	t.Helper()
	return l.Exec("coai", `for i in $(seq 60); do curl -fsS http://127.0.0.1:8000/health >/dev/null 2>&1 && break; sleep 0.5; done
curl -fsS http://127.0.0.1:8000/v1/system/version; curl -fsS http://127.0.0.1:8000/v1/everything`)
}

// world is that, and what lies below it: settings, uploads and the schema.
func (l *coaiHost) world(t *testing.T) string {
	t.Helper()
	return l.says(t) + l.Exec("coai", `cat /opt/chatnio/.env; stat -c '%a %u %n' /opt/chatnio/.env
cd /storage && find . -print | LC_ALL=C sort; find . -type f -exec sha256sum {} + | LC_ALL=C sort
mariadb-dump -S /srv/db/coai/sock --skip-dump-date --skip-extended-insert chatnio | sed '/^-- /d'
docker ps -a --format '{{.Image}} {{.Names}} {{.State}}'; docker images --format '{{.Repository}}:{{.Tag}}' | LC_ALL=C sort`)
}

// settle takes the backups away, which a rollback keeps.
func (l *coaiHost) settle(*testing.T) { l.Exec("coai", "rm -rf /var/backups/coai-to-2.0") }

func (l *coaiHost) run(t *testing.T, then ...string) (int, string) {
	t.Helper()
	return onLab(t, l.Lab, "coai-upgrade", l.overlay, labAnswers("coai", then...), coaiEnv...)
}

// change changes a migration until the test ends with the function it returns.
func (l *coaiHost) change(t *testing.T, name, from, to string) (back func()) {
	t.Helper()
	p := filepath.Join(l.migrations, name)
	was, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	write(t, p, strings.Replace(string(was), from, to, 1))
	return func() { write(t, p, string(was)) }
}

// forward takes CoAI to 2.0 and looks at what came of it. before is what it
// showed of its data.
func (l *coaiHost) forward(t *testing.T) {
	t.Helper()
	before := strings.SplitN(l.says(t), "\n", 2)[1]
	code, out := l.run(t, toTheEnd, "  - {question: close, choice: close, text: coai}")
	if code != exitClosed {
		t.Fatalf("belay ended with %d:\n%s", code, out)
	}
	after := strings.SplitN(l.says(t), "\n", 2)
	if after[0] != `{"version":"2.0.0"}` {
		t.Errorf("it answers as %s", after[0])
	}
	if after[1] != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after[1])
	}
	state := l.Exec("coai", `cd /storage; ls uploads | wc -l; find . -name '*avatar*' -o -name README -o -name latest | wc -l; find . -type f ! -path './uploads/*' | wc -l
mariadb -NS /srv/db/coai/sock chatnio -e "SELECT GROUP_CONCAT(version ORDER BY version) FROM schema_migrations; SELECT preferences->'$.theme', preferences->'$.sounds' FROM users WHERE id = 1" -e "SHOW TABLES LIKE 'belay%'" 2>&1 ||
mariadb -NS /srv/db/coai/sock chatnio -e "SELECT GROUP_CONCAT(version ORDER BY version) FROM schema_migrations; SELECT JSON_VALUE(preferences, '$.theme'), JSON_VALUE(preferences, '$.sounds'), JSON_VALUE(preferences, '$.language') FROM users WHERE id = 1; SHOW COLUMNS FROM users LIKE 'is_admin'; SHOW TABLES LIKE 'belay%'"
grep -E 'SECRET|KEY|LEGACY|TAG' /opt/chatnio/.env; ls /var/backups/coai-to-2.0 | grep -c -e '-1\.[6-9]\.0.*gz$'`)
	hops := "4"
	if strings.Contains(before, "1.8") || l.Exec("coai", "ls /var/backups/coai-to-2.0 | grep -c -e '-1\\.6\\.0' || :") == "0\n" {
		hops = "2"
	}
	for _, want := range []string{"36\n1\n0\n", "1.6.0,1.7.0,1.8.0,1.9.0,2.0.0\ndark\t1\ten\n", "\nSECRET=tokens-and-more # rotate yearly\nMY_JWT_SECRET=of-another-program\nOPENAI_API_KEY=key-of-ada\n", "CHATNIO_TAG=v2.0.0\n", "\n" + hops + "\n"} {
		if !strings.Contains(state, want) {
			t.Errorf("the server does not say %q:\n%s", want, state)
		}
	}
}

func TestCoAIFrom16(t *testing.T) { coaiUp(t, "1.6").forward(t) }

// TestCoAIFrom18 takes one server through all that can go wrong, which leaves
// it as it was, and then to 2.0.
func TestCoAIFrom18(t *testing.T) {
	l := coaiUp(t, "1.8")
	before := l.world(t)
	same := func(t *testing.T, out string) {
		t.Helper()
		if after := l.world(t); after != before {
			t.Fatalf("before:\n%s\nafter:\n%s\nbelay said:\n%s", before, after, out)
		}
		l.settle(t)
	}
	t.Run("a version that nobody expects stops it before anything", func(t *testing.T) {
		l.Exec("coai", `mariadb -S /srv/db/coai/sock chatnio -e "INSERT INTO schema_migrations (version) VALUES ('1.8.1-hotfix')"`)
		code, out := l.run(t)
		if code == exitClosed || !strings.Contains(out, "1.8.1-hotfix") || strings.Contains(out, "Fetch the new image") && strings.Contains(out, "passed") {
			t.Errorf("belay ended with %d:\n%s", code, out)
		}
		l.Exec("coai", `mariadb -S /srv/db/coai/sock chatnio -e "DELETE FROM schema_migrations WHERE version = '1.8.1-hotfix'"`)
		same(t, out)
	})
	t.Run("a hop that fails half way leads back", func(t *testing.T) {
		defer l.change(t, "1.9-to-2.0.sql", "ALTER TABLE conversations", "ALTER TABLE talks")()
		code, out := l.run(t, "  - {question: failed, step: bring-the-schema-to-2-0-0, choice: rollback}", `  - {question: rollback, choice: emergency, text: coai, reason: "a hop failed"}`)
		if code != exitRolledBack {
			t.Fatalf("belay ended with %d:\n%s", code, out)
		}
		same(t, out)
	})
	t.Run("the graceful way keeps what was written since", func(t *testing.T) {
		code, out := l.graceful(t)
		if code != exitRolledBack {
			t.Fatalf("belay ended with %d:\n%s", code, out)
		}
		kept := l.Exec("coai", "cut -f3 /var/backups/coai-to-2.0/since-conversations.tsv; gzip -dc /var/backups/coai-to-2.0/database-of-2.0.sql.gz | grep -c 'since the cutover'")
		if !strings.Contains(kept, "since the cutover\n") || !strings.HasSuffix(kept, "\n1\n") {
			t.Errorf("kept: %s", kept)
		}
		same(t, out)
	})
	t.Run("every step", func(t *testing.T) {
		text, err := shipped.Read("coai-upgrade")
		if err != nil {
			t.Fatal(err)
		}
		failEveryStep(t, everyStep{plan: string(text), overlay: l.overlay, host: "coai", way: "emergency",
			env:   append([]string{"BELAY_SSH_CONFIG=" + l.SSHConfig()}, coaiEnv...),
			world: l.world, settle: l.settle, tries: 3,
			idle: []string{"fetch-the-new-image", "remove-the-old-names-of-the-uploads", "drop-what-was-counted-before"}})
	})
	if !t.Failed() {
		l.forward(t)
	}
}

// graceful writes something to 2.0 while it is watched, and goes back.
func (l *coaiHost) graceful(t *testing.T) (int, string) {
	t.Helper()
	overlay := l.overlay
	l.overlay = strings.Replace(overlay, "soak: 5s", "soak: 10m", 1)
	defer func() { l.overlay = overlay }()
	// Somebody talks to 2.0 once belay watches it, and then it goes ill.
	l.Exec("coai", `cat >/root/talk <<'EOT'
until docker ps --format '{{.Image}}' | grep -q v2.0.0 && docker logs "$(docker ps -q)" 2>&1 | grep -q 'GET /health$'; do sleep 0.2; done
curl -fsS -X POST -H 'Authorization: Bearer key-of-ada' -d 'since the cutover' http://127.0.0.1:8000/v1/conversations
mariadb -S /srv/db/coai/sock chatnio -e 'RENAME TABLE user_roles TO user_roles_ill'
EOT
nohup sh /root/talk >/root/talk.log 2>&1 </dev/null &`)
	return l.run(t, `  - {question: soak, choice: rollback, reason: "errors"}`, `  - {question: rollback, choice: graceful, text: coai, reason: "2.0 is ill"}`)
}
