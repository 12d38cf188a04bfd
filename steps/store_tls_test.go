package steps

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
	"belay/steps/mysql"
)

// tlsCase is a login, and what is said when it is refused: "" where it is not.
type tlsCase struct{ name, mode, ca, as, said string }

// tlsCases are the logins that every kind of store is tried by. verify is the
// store's word for it.
func tlsCases(c remotetest.Certs, verify string) []tlsCase {
	return []tlsCase{
		{"any certificate", "require", "", "", ""},
		{"by the address", verify, c.CA, "", ""},
		{"by a name", verify, c.CA, "db.example.org", ""},
		{"an unknown authority", verify, "", "", "give the file of the authority as tls_ca"},
		{"another authority", verify, c.Other, "", "not by the authority in tls_ca"},
		{"another name", verify, c.CA, "elsewhere.example.org", `is for "db.example.org", 127.0.0.1, and not for elsewhere.example.org`},
		{"no file", verify, c.CA + ".gone", "", "tls_ca of db: read " + c.CA + ".gone"},
		{"no certificate", verify, c.Good.Key, "", "the file holds no certificate"},
	}
}

func (c tlsCase) judge(t *testing.T, err error) {
	t.Helper()
	if c.said == "" && err != nil || c.said != "" && (err == nil || !strings.Contains(err.Error(), c.said)) {
		t.Errorf("%s: %v; wanted %q", c.name, err, c.said)
	}
}

func (c tlsCase) set(s *store) { s.TLSCA, s.TLSName = c.ca, c.as }

// swap puts another certificate in the place of the server's.
func swap(t *testing.T, to, from remotetest.CertFiles) {
	t.Helper()
	for a, b := range map[string]string{from.Cert: to.Cert, from.Key: to.Key} {
		text, err := os.ReadFile(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(b, text, 0o600); err != nil { // it stays its owner's
			t.Fatal(err)
		}
	}
}

func tlsBad(verify, ca string) []struct {
	of    func(remotetest.Certs) remotetest.CertFiles
	login tlsCase
} {
	return []struct {
		of    func(remotetest.Certs) remotetest.CertFiles
		login tlsCase
	}{
		{func(c remotetest.Certs) remotetest.CertFiles { return c.Late }, tlsCase{"expired", verify, ca, "", `the certificate of "db.example.org", 127.0.0.1 expired on`}},
		{func(c remotetest.Certs) remotetest.CertFiles { return c.Misled }, tlsCase{"misled", verify, ca, "", `is for "other.example.org", and not for 127.0.0.1`}},
	}
}

func TestPostgresTLS(t *testing.T) {
	remotetest.Need(t, "pg_dump", "setsid")
	certs := remotetest.NewCerts(t)
	b := newPgBox(t, remotetest.PostgresOptions{Password: "pw", Settings: []string{"ssl = on", "ssl_cert_file = '" + certs.Good.Cert + "'", "ssl_key_file = '" + certs.Good.Key + "'"},
		HBA: []string{"local all all trust", "hostssl all all 127.0.0.1/32 scram-sha-256", "hostnossl all all 127.0.0.1/32 reject"}})
	b.Exec("postgres", "create table t (a int); insert into t values (7)")
	try := func(c tlsCase) error {
		s := b.store("postgres")
		c.set(&s.store)
		s.TLS = c.mode
		e, _ := b.env()
		srv, err := s.server(t.Context(), e)
		if err != nil {
			return err
		}
		conn, err := srv.Connect(t.Context())
		if err == nil {
			pgLogout(conn)
		}
		return err
	}
	plain := tlsCase{"without TLS", "disable", "", "", "set tls: require"}
	for _, c := range append(tlsCases(certs, "verify-full"), plain, tlsCase{"the chain alone", "verify-ca", certs.CA, "", ""}) {
		c.judge(t, try(c))
	}
	dump := func(c tlsCase) error {
		e, log := b.env()
		home := t.TempDir()
		t.Cleanup(func() { endJobs(t, home) })
		e.ID, e.Host.Runner = "run.dump", &runBox{home: home, over: remote.Local("db")}
		e.Hosts = remote.Hosts{e.Host.Name: e.Host}
		d := &postgresDump{postgresStore: b.store("postgres"), To: t.TempDir() + "/dump", Jobs: 2, Compress: "1"}
		c.set(&d.store)
		d.TLS = c.mode
		if err := d.Apply(t.Context(), e); err != nil {
			t.Log(log)
			return err
		}
		return d.Verify(t.Context(), looking(e))
	}
	for _, c := range []tlsCase{{"by a name", "verify-full", certs.CA, "db.example.org", ""}, {"any", "require", "", "", ""}} {
		c.judge(t, dump(c))
	}
	for _, bad := range tlsBad("verify-full", certs.CA) {
		swap(t, certs.Good, bad.of(certs))
		b.Exec("postgres", "select pg_reload_conf()")
		until(t, "the server shows its new certificate", func() bool { return try(bad.login) != nil })
		bad.login.judge(t, try(bad.login))
	}
}

func TestMySQLTLS(t *testing.T) { eachMySQL(t, looksAtCertificates) }

func looksAtCertificates(t *testing.T, start mysqlStart) {
	remotetest.Need(t, "mariadb-dump", "mariadb", "setsid")
	certs := remotetest.NewCerts(t)
	ssl := []string{"--ssl-cert=" + certs.Good.Cert, "--ssl-key=" + certs.Good.Key}
	box := newMySQLMove(t, start, append(ssl, "--require-secure-transport=ON"), nil)
	box.a.UsePrograms()
	open := func(s mysqlStore, c tlsCase) error {
		c.set(&s.store)
		s.TLS = c.mode
		db, err := mysqlOpen(t.Context(), box.e, s)
		if err == nil {
			db.Close()
		}
		return err
	}
	try := func(c tlsCase) error { return open(mysqlStoreOf(box.a, "a"), c) }
	for _, c := range append(tlsCases(certs, "verify"), tlsCase{"without TLS", "disable", "", "", "set tls: require"}) {
		c.judge(t, try(c))
	}
	none := "server does not support TLS"
	if box.b.Programs != "" {
		none = "Auto_Generated_Server_Certificate" // which MySQL makes for itself
	}
	tlsCase{"no TLS there", "verify", certs.CA, "", none}.judge(t, open(mysqlStoreOf(box.b, "b"), tlsCase{mode: "verify", ca: certs.CA}))
	box.a.Exec("", "SET GLOBAL require_secure_transport = OFF; ALTER USER '"+box.a.User+"'@'%' REQUIRE SSL")
	tlsCase{"an account of TLS", "disable", "", "", "set tls: require"}.judge(t, try(tlsCase{mode: "disable"}))
	box.a.Exec("", "SET GLOBAL require_secure_transport = ON")

	dump := func(c tlsCase) error {
		home := t.TempDir()
		t.Cleanup(func() { endJobs(t, home) })
		e := box.mine("dump" + strconv.Itoa(len(c.name)))
		e.Host = remote.Host{Name: "db", Runner: &runBox{home: home, over: remote.Local("db")}, Dialer: box.e.Host.Dialer}
		e.Hosts = remote.Hosts{"db": e.Host}
		d := &mysqlDump{mysqlStore: mysqlStoreOf(box.a, "a"), Databases: []string{"shop"}, To: filepath.Join(t.TempDir(), "d.sql"), Compress: "none"}
		c.set(&d.store)
		d.TLS = c.mode
		if err := d.Apply(t.Context(), e); err != nil {
			t.Log(box.log)
			return err
		}
		return d.Verify(t.Context(), mysqlLooking(e))
	}
	for _, c := range []tlsCase{{"by the address", "verify", certs.CA, "", ""}, {"by a name", "verify", certs.CA, "db.example.org", ""}, {"any", "require", "", "", ""}} {
		c.judge(t, dump(c))
	}
	mysqlFollowsByTLS(t, box, certs)
	if box.a.Programs != "" {
		return // it looks at certificates itself before it takes them
	}
	for _, bad := range tlsBad("verify", certs.CA) {
		swap(t, certs.Good, bad.of(certs))
		box.a.Exec("", "FLUSH SSL")
		bad.login.judge(t, try(bad.login))
	}
}

// mysqlFollowsByTLS: a server that replicates logs in by TLS and looks at the
// certificate, as the plan says of belay's own login.
func mysqlFollowsByTLS(t *testing.T, box *mysqlBox, certs remotetest.Certs) {
	t.Helper()
	r := box.replicate()
	r.From.TLS, r.From.TLSCA = "verify", certs.CA
	e := box.mine("follow")
	if err := r.Apply(t.Context(), e); err != nil {
		t.Fatalf("%v\n%s", err, box.log)
	}
	for _, m := range []*remotetest.MySQL{box.b, box.a} { // after a crash of either, too
		if err := r.Verify(t.Context(), mysqlLooking(e)); err != nil {
			t.Error(err)
		}
		m.Kill()
		m.Start()
		box.a.Exec("", "INSERT INTO shop.orders (writer) VALUES (7)")
		if err := r.Apply(t.Context(), e); err != nil {
			t.Fatalf("%v\n%s", err, box.log)
		}
	}
	if err := r.Verify(t.Context(), mysqlLooking(e)); err != nil {
		t.Error(err)
	}
	box.same(t)
	if err := r.Undo(t.Context(), e); err != nil {
		t.Errorf("undo: %v", err)
	}
	r.From.TLSCA = certs.Other // belay's own login is refused first
	tlsCase{"another authority", "", "", "", "not by the authority in tls_ca"}.judge(t, r.Apply(t.Context(), box.mine("other")))
	// The server itself looks, too.
	l := mysql.Replica{Name: "belay_tls", From: box.a.Addr, Databases: []string{"shop"}}
	var err error
	r.From.TLSCA = certs.CA
	if l.Source, err = r.From.server(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if l.Target, err = r.To.server(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	l.Source.CAFile = certs.Other
	source, err := l.Source.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := l.Target.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if err := l.Connect(t.Context(), source, target, false); err == nil || !strings.Contains(err.Error(), "SSL connection error") {
		t.Errorf("a server followed one whose certificate another authority signed: %v", err)
	}
	end := "STOP SLAVE 'belay_tls'; RESET SLAVE 'belay_tls' ALL"
	if box.b.Programs != "" {
		end = "STOP REPLICA FOR CHANNEL 'belay_tls'; RESET REPLICA ALL FOR CHANNEL 'belay_tls'"
	}
	box.b.Exec("", end)
	box.a.Exec("", "DROP USER belay_tls@'%'")
}

func TestRedisTLS(t *testing.T) {
	certs := remotetest.NewCerts(t)
	port := strconv.Itoa(remotetest.FreePort(t))
	r := remotetest.StartRedis(t, remotetest.RedisOptions{Settings: []string{"tls-port " + port, "tls-cert-file " + certs.Good.Cert, "tls-key-file " + certs.Good.Key, "tls-ca-cert-file " + certs.CA, "tls-auth-clients no"}})
	h := remote.Local("db")
	e, _ := runEnv(h)
	e.Secret = func(_ context.Context, name string) (secret.Value, error) { return secret.New(name), nil }
	try := func(c tlsCase) error {
		s := redisStore{store: store{Addr: "127.0.0.1:" + port}, TLS: c.mode}
		c.set(&s.store)
		srv, err := s.server(t.Context(), e)
		if err != nil {
			return err
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		client, err := srv.Connect(ctx)
		if err == nil {
			client.Close()
		}
		return err
	}
	for _, c := range append(tlsCases(certs, "verify-full"), tlsCase{"without TLS", "disable", "", "", "it may want TLS: set tls: require"}) {
		c.judge(t, try(c))
	}
	for _, bad := range tlsBad("verify-full", certs.CA) {
		f := bad.of(certs)
		r.Do("CONFIG", "SET", "tls-cert-file", f.Cert, "tls-key-file", f.Key)
		bad.login.judge(t, try(bad.login))
	}
}

// TestRedisAwaits: nobody listens at the target yet, which a step may bring; that
// it shows a wrong certificate, none does.
func TestRedisAwaits(t *testing.T) {
	certs := remotetest.NewCerts(t)
	port := strconv.Itoa(remotetest.FreePort(t))
	from := remotetest.StartRedis(t, remotetest.RedisOptions{})
	remotetest.StartRedis(t, remotetest.RedisOptions{Settings: []string{"tls-port " + port, "tls-cert-file " + certs.Good.Cert, "tls-key-file " + certs.Good.Key, "tls-ca-cert-file " + certs.CA, "tls-auth-clients no"}})
	w := checks.World{Hosts: remote.Hosts{"db": remote.Local("db")}, Secret: func(_ context.Context, name string) (secret.Value, error) { return secret.New(name), nil }}
	free := strconv.Itoa(remotetest.FreePort(t))
	for _, c := range []struct {
		to     redisStore
		awaits string
	}{
		{redisStore{store: store{Host: "db", Addr: "127.0.0.1:" + free}}, "port " + free + " of db"},
		{redisStore{store: store{Host: "db", Addr: "127.0.0.1:" + port, TLSCA: certs.Other}, TLS: "verify-full"}, ""},
		{redisStore{store: store{Host: "db", Addr: "127.0.0.1:" + port, TLSCA: certs.CA + ".none"}, TLS: "verify-full"}, ""},
	} {
		step := &redisCopy{redisEnds: redisEnds{From: redisStore{store: store{Host: "db", Addr: from.Addr}}, To: c.to}}
		found, err := step.Needs("db")[0].Assess(t.Context(), w)
		if err != nil || len(found) != 1 || found[0].Level != checks.Unknown || found[0].Awaits != c.awaits {
			t.Errorf("%+v, %v; want it to await %q", found, err, c.awaits)
		}
	}
}

// TestMySQLClientTLS: a client program that cannot look at the certificate does
// not log in, and is never told not to look.
func TestMySQLClientTLS(t *testing.T) {
	srv := mysql.Server{Addr: "10.0.0.7:3306", User: "root", TLS: "verify", Trust: remote.Trust{Name: "db.example.org"}}
	options, err := srv.ClientOptions(mysql.Version{MariaDB: true}, "")
	if err != nil {
		t.Fatal(err)
	}
	if text := options.Reveal(); !strings.Contains(text, "VERIFY_CA") || strings.Contains(text, "skip-ssl-verify") {
		t.Error(text)
	}
	root := t.TempDir()
	fileWrite(t, root+"/bin/mariadb", "#!/bin/sh\ncat /dev/fd/3\n", 0o755)
	script := strings.ReplaceAll(mysqlClientScript, "/etc/", root+"/etc/")
	run := func() (string, error) {
		c := exec.Command("sh", "-c", "PATH="+root+"/bin:$PATH\n"+script, "belay", "mariadb")
		c.Stdin = strings.NewReader(options.Reveal() + "\n#belay-end\n")
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := run(); err == nil || !strings.Contains(out, "give the file of its authority as tls_ca") {
		t.Errorf("without authorities: %v: %s", err, out)
	}
	fileWrite(t, root+"/etc/ssl/cert.pem", "x", 0o644)
	if out, err := run(); err != nil || !strings.Contains(out, `loose-ssl-ca="`+root+`/etc/ssl/cert.pem"`) {
		t.Errorf("with some: %v: %s", err, out)
	}
}

// TestStoreTLSOffline: what would not be looked at, or cannot be, is refused
// before anything is asked.
func TestStoreTLSOffline(t *testing.T) {
	for said, s := range map[string]postgresStore{
		"nobody looks at it unless tls verifies": {store: store{TLSCA: "/ca"}, TLS: "require"},
		"is not an absolute path":                {store: store{TLSCA: "ca.pem"}, TLS: "verify-ca"},
		"beside an IP address only":              {store: store{Addr: "db:5432", TLSName: "x"}, TLS: "verify-full"},
		"a socket has no TLS":                    {store: store{Addr: "/run/.s.PGSQL.5432"}, TLS: "verify-full"},
	} {
		s.Database = "d"
		if err := s.check("from"); err == nil || !strings.Contains(err.Error(), said) {
			t.Errorf("%v; wanted %q", err, said)
		}
	}
}
