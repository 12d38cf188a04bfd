package main

import (
	"maps"
	"strings"
	"testing"

	"belay/remote/lab/dockerlab"
	"belay/steps/plan/shipped"
)

// cloudLab is CoAI on Amazon, with stand-ins of aws and gcloud that keep their
// state in a directory and log what they were told.
func cloudLab(t *testing.T) *coaiHost {
	t.Helper()
	files := dockerlab.Tree(t, "testdata/coai/server")
	maps.Copy(files, dockerlab.Tree(t, "testdata/coai/cloud"))
	files["/usr/local/bin/coai"] = dockerlab.CoAIProgram(t)
	l := &coaiHost{Lab: dockerlab.Up(t, dockerlab.Server{Name: "coai", Databases: true, Files: files})}
	l.Exec("coai", "/root/cloud")
	l.overlay = `environment: lab
vars:
  app_start: /root/coai start
  app_stop: /root/coai stop
  rds_addr: 127.0.0.1:3306
  rds_user: root
  proxy_start: "true"
  proxy_stop: "true"
  start_limit: 60s
  soak: 5s
  look_every: 300ms
  bad_for: 2s
secrets:
  rds_password: {env: LAB_RDS}
  sql_password: {env: LAB_SQL}
  app_password: {env: LAB_APP}
`
	return l
}

var cloudEnv = []string{"LAB_RDS=lab-admin", "LAB_SQL=of-cloud-sql-7", "LAB_APP=app $ecret"}

// cloudWorld is what CoAI shows, and what both providers have.
func (l *coaiHost) cloudWorld(t *testing.T) string {
	t.Helper()
	return l.says(t) + l.Exec("coai", `cat /opt/chatnio/.env /var/lib/cloud/rds; ls -d /srv/db/* /var/lib/cloud/gs/* /var/lib/cloud/snapshots/* 2>/dev/null || :
cd /var/lib/cloud/s3 && find . -type f -exec sha256sum {} + | LC_ALL=C sort
mariadb-dump -S /srv/db/rds/sock --skip-dump-date chatnio | sed 's/ AUTO_INCREMENT=[0-9]*//' # a stop closes its gaps`)
}

func TestCoAICloud(t *testing.T) {
	l := cloudLab(t)
	before := l.cloudWorld(t)
	text, err := shipped.Read("coai-cloud")
	if err != nil {
		t.Fatal(err)
	}
	failEveryStep(t, everyStep{plan: string(text), overlay: l.overlay, host: "coai", way: "emergency",
		env:   append([]string{"BELAY_SSH_CONFIG=" + l.SSHConfig()}, cloudEnv...),
		world: l.cloudWorld, settle: func(*testing.T) { l.Exec("coai", "rm -rf /var/backups/coai-to-gcp") }, tries: 4})
	if t.Failed() {
		return
	}
	code, out := onLab(t, l.Lab, "coai-cloud", l.overlay, labAnswers("coai", toTheEnd, "  - {question: close, choice: close, text: coai}"), cloudEnv...)
	if code != exitClosed {
		t.Fatalf("belay ended with %d:\n%s", code, out)
	}
	data := func(world string) string { // what CoAI shows, without where it comes from
		i := strings.Index(world, "\n")
		return world[i:strings.Index(world, "VERSION=")]
	}
	after := l.says(t) + "VERSION="
	if data(after) != data(before) {
		t.Errorf("before:\n%s\nafter:\n%s", data(before), data(after))
	}
	state := l.Exec("coai", `cat /var/lib/cloud/rds; grep -E '^(MYSQL_|STORAGE|GCS)' /opt/chatnio/.env; ls /var/lib/cloud/gs /var/lib/cloud/snapshots; lab-db stop rds; curl -fsS http://127.0.0.1:8000/health`)
	for _, want := range []string{"stopped\n", "MYSQL_HOST=127.0.0.1\nMYSQL_PORT=3307\n", "STORAGE_TYPE=gcs\nGCS_BUCKET=chatnio-storage-gcp\n", "gs:\nchatnio-storage-gcp\n", "chatnio-db-before-gcp\n", `"status":"ok"`} {
		if !strings.Contains(state, want) {
			t.Errorf("the server does not say %q:\n%s", want, state)
		}
	}
	said := l.Exec("coai", "cat /var/lib/cloud/log")
	for _, s := range cloudEnv {
		if _, secret, _ := strings.Cut(s, "="); strings.Contains(said, secret) {
			t.Errorf("a secret stood on a command line:\n%s", said)
		}
	}
}
