package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/lab/dockerlab"
)

// systemdLook is what a server has of units, timers and jobs.
const systemdLook = `
for u in shop.service worker.service echo.socket tick.timer yearly.timer slow.timer never.timer dpkg-db-backup.timer; do
	echo "$u $(systemctl is-enabled $u 2>/dev/null) $(systemctl is-active $u)"
done
crontab -u app -l 2>/dev/null
ls /etc/cron.d /etc/cron.daily
ls -d /etc/nginx/sites-enabled/* /etc/nginx/conf.d/* /etc/nginx/snippets/shop* /etc/ssl/shop/* /etc/letsencrypt/*/* /etc/systemd/system/belay-proxy* 2>/dev/null
id app shop 2>/dev/null
true`

// From two servers that systemd runs, with cron, timers, databases and secrets
// in files, to a migration that is taken back, and then closed, by the plan as
// it was drafted. Jobs run on one side alone, all the time.
func TestInitSystemd(t *testing.T) {
	l := dockerlab.Up(t, dockerlab.Server{Name: "old", Systemd: true}, dockerlab.Server{Name: "new", Systemd: true})
	for _, name := range []string{"old", "new"} {
		script, err := os.ReadFile(filepath.Join("testdata", "systemd", name+".sh"))
		if err != nil {
			t.Fatal(err)
		}
		l.Exec(name, string(script))
	}
	dir := t.TempDir()
	env := []string{"BELAY_SSH_CONFIG=" + l.SSHConfig(), "BELAY_STATE=" + filepath.Join(dir, "state"), "BELAY_TEST_HOSTS=real",
		"PG_OLD=pw-old", "PG_NEW=pw-new", "RD_OLD=pw-redis-old", "RD_NEW=pw-redis-new"}
	write(t, filepath.Join(dir, "lab.yaml"), `environment: lab
vars: {soak: 10s, look_every: 1s, compare_every: 1s, bad_for: 8s}
secrets:
  postgresql_5432_old: {env: PG_OLD}
  postgresql_5432_new: {env: PG_NEW}
  redis_6379_old: {env: RD_OLD}
  redis_6379_new: {env: RD_NEW}
`)
	s := &systemdMove{T: t, l: l, dir: dir, env: env}
	s.belay(0, "init", "--from", "old", "--to", "new", "--clients", "proxy", "--out", "plan.yaml")
	s.belay(0, "check", "plan.yaml")
	s.belay(0, "plan", "plan.yaml", "--with", "lab.yaml")
	for _, want := range []string{"certbot renew --cert-name www.test --dry-run", "never.timer", "/etc/environment, which echo.service reads", "/etc/nginx/nginx.conf is not copied"} {
		if plan, err := os.ReadFile(filepath.Join(dir, "plan.yaml")); err != nil || !strings.Contains(string(plan), want) {
			t.Errorf("the plan says nothing of %s: %v", want, err)
		}
	}
	was, fresh := l.Exec("old", systemdLook), l.Exec("new", systemdLook)

	// The cutover waits for a job that runs.
	l.Exec("old", "systemctl start --no-block slow.service")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for t.Context().Err() == nil {
			if out, _ := l.Try("old", "systemctl is-enabled slow.timer"); strings.HasPrefix(out, "disabled") {
				time.Sleep(2 * time.Second) // the step is waiting now
				l.Try("old", "touch /var/log/jobs/enough")
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	}()
	// The soak's question, or that of the close, is left open.
	write(t, filepath.Join(dir, "answers.yaml"), labAnswers("old"))
	code, out := belay(t, dir, env, "run", "plan.yaml", "--with", "lab.yaml", "--headless", "--answers", "answers.yaml")
	if code != exitInterrupted && code != exitNoGo || !strings.Contains(out, "== soak ==") {
		t.Fatalf("run ended with %d:\n%s", code, out)
	}
	<-done
	s.moved()
	if n := strings.Count(l.Exec("new", "cat /var/log/jobs/yearly"), "\n"); n != 1 {
		t.Errorf("what was due on the old server was done %d times on the new one", n)
	}
	if _, report := belay(t, dir, env, "report"); !strings.Contains(report, "slow.service") {
		t.Errorf("the report does not tell of the job that was waited for:\n%s", report)
	}

	// All the way back: the old server is what it was, and so is the new one.
	s.answers(`  - {question: rollback, choice: go, text: old, reason: "a lab"}`)
	s.belay(exitRolledBack, "rollback", "--headless", "--answers", "answers.yaml")
	if got := l.Exec("old", systemdLook); got != was {
		t.Errorf("the old server is not what it was:\n%s\nbut was\n%s", got, was)
	}
	if got := l.Exec("new", systemdLook); got != fresh {
		t.Errorf("the new server is not what it was:\n%s\nbut was\n%s", got, fresh)
	}
	l.Exec("old", "systemctl start yearly.timer && sleep 1; systemctl stop yearly.timer")
	if out, _ := l.Try("old", "cat /var/log/jobs/yearly"); out != "" {
		t.Errorf("what the new server had done was done again: %s", out)
	}
	s.oneSide(2)

	if keys := l.Exec("new", "redis-cli --no-auth-warning -a pw-redis-new dbsize"); strings.TrimSpace(keys) != "0" {
		t.Errorf("the new Redis holds %s keys, and nobody had written there", keys)
	}

	// And once more, to the end.
	s.answers("  - {question: close, choice: close, text: old}", "  - {question: manual, choice: done}")
	s.belay(exitClosed, "run", "plan.yaml", "--with", "lab.yaml", "--headless", "--answers", "answers.yaml")
	s.moved()
	if n := strings.Count(l.Exec("new", "cat /var/log/jobs/yearly"), "\n"); n != 1 {
		t.Errorf("it was done %d times on the new server", n)
	}
	s.oneSide(3)
}

type systemdMove struct {
	*testing.T
	l   *dockerlab.Lab
	dir string
	env []string
}

func (s *systemdMove) answers(more ...string) {
	write(s.T, filepath.Join(s.dir, "answers.yaml"), labAnswers("old", append([]string{toTheEnd}, more...)...))
}

func (s *systemdMove) belay(want int, args ...string) {
	s.Helper()
	if code, out := belay(s.T, s.dir, s.env, args...); code != want {
		plan, _ := os.ReadFile(filepath.Join(s.dir, "plan.yaml"))
		s.Fatalf("belay %s ended with %d, not %d:\n%s\n%s", args[0], code, want, out, plan)
	}
}

// moved holds both servers against what a whole move makes of them.
func (s *systemdMove) moved() {
	s.Helper()
	got := s.l.Exec("new", systemdLook)
	for _, want := range []string{
		"shop.service enabled active", "worker.service disabled active", "echo.socket enabled active",
		"/etc/nginx/sites-enabled/shop\n", "/etc/nginx/conf.d/www.conf\n", "/etc/letsencrypt/renewal/www.test.conf\n", "tick.timer enabled active", "yearly.timer enabled active", "slow.timer enabled active",
		`* * * * * job crontab "$GREETING" $(date +\%H)`, `MAILTO=""`, "PATH=/opt/shop/bin:/usr/bin:/bin",
		"@daily cat >/var/log/jobs/stdin%first%second", "\nshop\n", "\nshop-clean\n", "uid=1500(app) gid=1500(app) groups=1500(app),985(shop)", "uid=986(shop) gid=985(shop)",
	} {
		if !strings.Contains(got, want) {
			s.Errorf("the new server lacks %q:\n%s", want, got)
		}
	}
	old := s.l.Exec("old", systemdLook)
	for _, not := range []string{" active\n", "job crontab", "\nshop\n", "\nshop-clean\n", " enabled ", "/sites-enabled/shop", "/conf.d/www.conf"} {
		if strings.Contains(old, not) {
			s.Errorf("the old server still has %q:\n%s", not, old)
		}
	}
	const ask = `curl -s http://127.0.0.1:8090/; stat -c ' %a %U:%G' /etc/shop/shop.env; su postgres -c "psql -At shop -c 'select count(*) from orders'"; redis-cli --no-auth-warning -a pw-redis-new get cart:1
su postgres -c "psql -At -c 'select what from notes'"; cat <>/dev/tcp/127.0.0.1/8091`
	if out := s.l.Exec("new", "cd /; bash -c "+remote.Quote(ask)); out != "secret of 18 letters, mode dropin, orders precious\n 640 root:shop\n500\napple\nin postgres itself\necho\n" {
		s.Errorf("the program on the new server says %q", out)
	}
	const web = `for n in shop.test www.test; do curl -sk -D /dev/stderr --resolve $n:443:127.0.0.1 https://$n/ 2>/dev/null
openssl s_client -connect 127.0.0.1:443 -servername $n </dev/null 2>/dev/null | openssl x509 -noout -subject; done
curl -sk -o /dev/null -D - --resolve shop.test:443:127.0.0.1 https://shop.test/api | grep -i x-shop | tr -d '\r'
stat -c '%A %U:%G %n' /etc/ssl/shop/key.pem /etc/letsencrypt/archive/www.test/privkey1.pem; readlink /etc/letsencrypt/live/www.test/privkey.pem`
	if out := s.l.Exec("new", web); out != "<h1>shop</h1>\nsubject=CN = shop.test\nof www\nsubject=O = Let's Encrypt, CN = www.test\nX-Shop: of-the-map\n"+
		"-rw------- root:root /etc/ssl/shop/key.pem\n-rw------- root:root /etc/letsencrypt/archive/www.test/privkey1.pem\n../../archive/www.test/privkey1.pem\n" {
		s.Errorf("nginx on the new server says %q", out)
	}
	if out := s.l.Exec("old", "curl -sk --resolve shop.test:443:127.0.0.1 https://shop.test/; systemctl is-enabled belay-proxy-443.socket"); out != "<h1>shop</h1>\nenabled\n" {
		s.Errorf("the old address says %q", out)
	}
}

// oneSide reads when and where each job ran: the sides took turns so often.
func (s *systemdMove) oneSide(turns int) {
	s.Helper()
	const read = `cd /var/log/jobs; for f in tick worker crond crontab; do [ ! -e $f ] || while read -r at rest; do echo "$f $at $(hostname)"; done <$f; done`
	time.Sleep(1500 * time.Millisecond) // the last turn shows
	all := strings.Split(strings.TrimSpace(s.l.Exec("old", read)+s.l.Exec("new", read)), "\n")
	slices.Sort(all)
	took, last := map[string]int{}, map[string]string{}
	for _, line := range all {
		w := strings.Fields(line)
		if last[w[0]] != "" && last[w[0]] != w[2] {
			took[w[0]]++
		}
		last[w[0]] = w[2]
	}
	for _, job := range []string{"tick", "worker"} {
		if took[job] != turns {
			s.Errorf("%s changed sides %d times, not %d:\n%s", job, took[job], turns, strings.Join(all, "\n"))
		}
	}
	for job, n := range took {
		if n > turns {
			s.Errorf("%s ran on both sides at a time:\n%s", job, strings.Join(all, "\n"))
		}
	}
}
