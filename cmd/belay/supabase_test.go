package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belay/remote/lab/dockerlab"
	"belay/remote/remotetest"
)

// supabaseLab is the world of scenario 3: a project at Supabase, a new server,
// and a name server that point-dns changes.
type supabaseLab struct {
	*dockerlab.Lab
	dns     *remotetest.DNS
	point   string // the command
	overlay string
}

func supabase(t *testing.T) supabaseLab {
	t.Helper()
	api := dockerlab.API(t)
	hosted, vps := dockerlab.Tree(t, "testdata/supabase/hosted"), dockerlab.Tree(t, "testdata/supabase/vps")
	hosted["/usr/local/bin/api"], vps["/usr/local/bin/api"] = api, api
	maps.Copy(vps, certificate(t, "api.example.org"))
	s := supabaseLab{
		Lab: dockerlab.Up(t, dockerlab.Server{Name: "hosted", Databases: true, Files: hosted}, dockerlab.Server{Name: "vps", Databases: true, Files: vps}),
		dns: remotetest.StartDNS(t, "example.org", "127.0.0.1", 0, ""),
	}
	s.dns.Write("api 2 IN A 192.0.2.10")
	s.Exec("hosted", "/root/make")
	s.Exec("vps", "/root/make")
	s.point = filepath.Join(t.TempDir(), "point-dns")
	script := fmt.Sprintf("#!/bin/sh\nsed \"s/^${1%%%%.example.org} .*/${1%%%%.example.org} 2 IN A $2/\" %[1]q >%[1]q.new && mv %[1]q.new %[1]q\n", s.dns.File)
	if err := os.WriteFile(s.point, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	s.overlay = `environment: lab
vars:
  dns_servers: ` + s.dns.Addr + `
  point_dns: ` + s.point + `
  ttl: 2s
  hosted: hosted:5432
  app_repo: file:///srv/sojorn.git
  build: mkdir -p bin && cp /usr/local/bin/api bin/api
  app_start: |
    set -a; . ./.env; set +a
    nohup go-backend/bin/api --listen 127.0.0.1:8080 --name sojorn $(cat /etc/api-flags) >api.log 2>&1 </dev/null &
    echo $! >api.pid
  app_stop: '[ ! -s api.pid ] || kill "$(cat api.pid)" || :; rm -f api.pid'
  insecure: true
  room: 100MiB
  soak: 15s
  look_every: 300ms
  bad_for: 2s
  slow: 60s
  slower: 1000x
  old_health: http://hosted:8080/health
  old_feed: http://hosted:8080/api/v1/feed
secrets:
  hosted_password: {env: LAB_HOSTED}
  pg_password: {env: LAB_PG}
  app_password: {env: LAB_APP}
`
	return s
}

// certificate is a self-signed one for nginx.
func certificate(t *testing.T, name string) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"/etc/nginx/api.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})),
		"/etc/nginx/api.key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})),
	}
}

// old and now are what the API says of itself before and after.
func (s supabaseLab) old() string {
	out, _ := s.Try("hosted", "curl -sS http://127.0.0.1:8080/health")
	return strings.TrimSpace(out)
}

func (s supabaseLab) now() string {
	out, _ := s.Try("vps", "curl -ksS --resolve api.example.org:443:127.0.0.1 https://api.example.org/health")
	return strings.TrimSpace(out)
}

// posts tries to post at Supabase and says whether that was possible.
func (s supabaseLab) posts() bool {
	_, err := s.Try("hosted", "curl -fsS -X POST -d 'written at Supabase' http://127.0.0.1:8080/api/v1/posts")
	return err == nil
}

var supabaseSecrets = []string{"LAB_HOSTED=lab-admin", "LAB_PG=lab-admin", "LAB_APP=app-secret-7"}

func (s supabaseLab) run(t *testing.T, then ...string) (int, string) {
	t.Helper()
	return onLab(t, s.Lab, "supabase-to-postgres", s.overlay, labAnswers("vps", then...), supabaseSecrets...)
}

func TestSupabaseForward(t *testing.T) {
	s := supabase(t)
	s.Exec("vps", ": >/etc/api-flags")
	if was := s.old(); was != `{"name":"supabase","users":72,"posts":298}` {
		t.Fatalf("before: %s", was)
	}
	code, out := s.run(t, toTheEnd, "  - {question: manual, choice: done}", "  - {question: close, choice: close, text: vps}")
	if code != exitClosed {
		t.Fatalf("belay ended with %d:\n%s", code, out)
	}
	if now := s.now(); now != `{"name":"sojorn","users":72,"posts":298}` {
		t.Errorf("after: %s", now)
	}
	if s.posts() {
		t.Error("Supabase still takes posts, which nobody would see")
	}
	zone, err := os.ReadFile(s.dns.File)
	if err != nil || !strings.Contains(string(zone), "api 2 IN A 203.0.113.10\n") {
		t.Errorf("DNS: %s, %v", zone, err)
	}
	state := s.Exec("vps", `psql -Atqh /srv/db/main -U postgres sojorn -c "SELECT string_agg(extname, ' ' ORDER BY extname COLLATE \"C\") FROM pg_extension" \
  -c "SELECT count(*) FROM pg_policies" -c "SELECT version, dirty FROM schema_migrations" -c "SELECT count(*) FROM public.search('Beacon 17')"
stat -c %a /opt/sojorn/.env`)
	if want := "pg_trgm plpgsql uuid-ossp\n0\n2|f\n120\n600\n"; state != want {
		t.Errorf("the new server says:\n%s, want\n%s", state, want)
	}
}

func TestSupabaseRollsBackWhenTheSoakFails(t *testing.T) {
	s := supabase(t)
	s.Exec("vps", "echo --sick-after 15s >/etc/api-flags")
	s.overlay = strings.Replace(s.overlay, "soak: 15s", "soak: 10m", 1)
	code, out := s.run(t, `  - {question: soak, choice: rollback, reason: "errors"}`, `  - {question: rollback, choice: go, text: vps, reason: "the backend answers 503"}`)
	if code != exitRolledBack {
		t.Fatalf("belay ended with %d:\n%s", code, out)
	}
	// When Supabase took posts again, belay waited until everybody was back.
	thawed, back := strings.Index(out, "undone  Freeze the database"), strings.Index(out, "undone  See the old address in DNS")
	if thawed < 0 || back < thawed {
		t.Errorf("undone was:\n%s", out)
	}
	if was := s.old(); was != `{"name":"supabase","users":72,"posts":298}` {
		t.Errorf("afterwards: %s", was)
	}
	if !s.posts() {
		t.Error("nobody can post at Supabase after the rollback")
	}
	zone, err := os.ReadFile(s.dns.File)
	if err != nil || !strings.Contains(string(zone), "api 2 IN A 192.0.2.10\n") {
		t.Errorf("DNS: %s, %v", zone, err)
	}
}
