package inspect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/ssh"
)

// programFor is the program that listens on a port.
func programFor(t *testing.T, h *Host, port int) *Program {
	t.Helper()
	for _, p := range h.Programs {
		if slices.ContainsFunc(p.Listens, func(l Listen) bool { return l.Port == port }) {
			return p
		}
	}
	t.Fatalf("nobody listens on %d; not understood: %+v", port, h.Gaps)
	return nil
}

// inSession starts a command in a tmux session of the test's own.
func inSession(t *testing.T, name, dir, command string) {
	t.Helper()
	remotetest.Need(t, "tmux")
	tmp, err := os.MkdirTemp("", "belaytmux") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMUX_TMPDIR", tmp)
	cmd := exec.Command("tmux", "-f", "/dev/null", "new-session", "-d", "-s", name, "-c", dir, command)
	cmd.Env = append(os.Environ(), "TMUX_TMPDIR="+tmp)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v: %s", err, out)
	}
	t.Cleanup(func() {
		end := exec.Command("tmux", "kill-server")
		end.Env = append(os.Environ(), "TMUX_TMPDIR="+tmp)
		_ = end.Run()
		_ = os.RemoveAll(tmp)
	})
}

// TestMain makes this test binary a server, too, for who asks by environment:
// words "dial PORT", "log FILE" and "listen PORT", done in turn.
func TestMain(m *testing.M) {
	words := strings.Fields(os.Getenv("INSPECT_STANDIN"))
	if len(words) == 0 {
		os.Exit(m.Run())
	}
	var kept []any // open until the end
	for i := 0; i+1 < len(words); i += 2 {
		var it any
		var err error
		switch at := "127.0.0.1:" + words[i+1]; words[i] {
		case "dial":
			it, err = net.Dial("tcp", at)
		case "log":
			it, err = os.Create(words[i+1])
		case "listen":
			it, err = net.Listen("tcp", at)
		}
		if err != nil {
			panic(err)
		}
		kept = append(kept, it)
	}
	time.Sleep(10 * time.Minute)
	runtime.KeepAlive(kept)
}

func me(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func waitFor(t *testing.T, port int) {
	t.Helper()
	for range 600 {
		if c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("nothing listens on %d after 30 s", port)
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A server as people leave them, looked at through a real sshd: a PostgreSQL
// and a Redis, and in a tmux session a program that uses one of them.
func TestARealHost(t *testing.T) {
	remotetest.Need(t, "ss", "psql", "redis-cli", "setpriv")
	pg := remotetest.StartPostgres(t, remotetest.PostgresOptions{User: "postgres"})
	pg.Exec("postgres", "create database shop")
	pg.Exec("postgres", `create table "no tes" (i int primary key); create view seen as select * from "no tes"`)
	red := remotetest.StartRedis(t, remotetest.RedisOptions{})
	red.Do("set", "a", "1")
	_, redisPort, _ := net.SplitHostPort(red.Addr)
	sshd := remotetest.StartSSHD(t, remotetest.SSHDOptions{})

	dir := t.TempDir()
	web := remotetest.FreePort(t)
	write(t, dir, "app.toml", "x = 1\n")
	write(t, dir, ".env", "DATABASE_URL=postgres://app:hunter2@db/shop\nexport API_KEY='hunter2\nHUNTER=2'\nPLAIN=1\n# NOT_A_KEY=1\nKEY=\"-----BEGIN PRIVATE KEY-----\nHunter2hunter2hunter2aa==\nHIDDEN=1\n-----END PRIVATE KEY-----\"\nLAST=\"a\\\"b\"\n")
	session := "app" + strconv.Itoa(web)
	inSession(t, session, dir, fmt.Sprintf("APP_SECRET=hunter2 INSPECT_STANDIN='dial %d log app.log listen %d' %s --config app.toml --password hunter2", pg.Port, web, me(t)))
	waitFor(t, web)

	network := ssh.NewNetwork(ssh.Options{Config: sshd.Config})
	defer network.Close()
	host, err := network.Open(sshd.Name, ssh.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	// Where the login looks for tmux sockets of this user.
	host.Runner = withEnv{host.Runner, "TMUX_TMPDIR=" + os.Getenv("TMUX_TMPDIR")}
	counted := &counting{Runner: host.Runner}
	host.Runner = counted
	found, err := Look(t.Context(), remote.Hosts{"server": host}, []string{"server"})
	if err != nil {
		t.Fatal(err)
	}
	h := found.Hosts[0]
	if h.Unreached != "" || h.Name != "server" || counted.n != 2 {
		t.Fatalf("host %q, %q, %d round trips", h.Name, h.Unreached, counted.n)
	}

	p := programFor(t, h, pg.Port)
	if len(p.Databases) != 1 || p.Databases[0].Kind != "postgresql" || p.Databases[0].Dir != filepath.Join(pg.Dir, "data") ||
		!slices.ContainsFunc(p.Databases[0].Names, func(s Size) bool { return s.Name == "shop" && s.Bytes > 1<<20 }) || !slices.Equal(p.Databases[0].Own, []string{"public.no tes"}) {
		t.Errorf("PostgreSQL: %+v", p.Databases)
	}
	if !slices.Contains(p.Sockets, pg.Socket) {
		t.Errorf("PostgreSQL's sockets are %q, not %q", p.Sockets, pg.Socket)
	}
	n, _ := strconv.Atoi(redisPort)
	r := programFor(t, h, n)
	if len(r.Databases) != 1 || r.Databases[0].Kind != "redis" || !strings.HasPrefix(r.Databases[0].Version, "7.") || !slices.Contains(r.Databases[0].Names, Size{Name: "db0", Bytes: -1, Keys: 1}) {
		t.Errorf("Redis: %+v", r.Databases)
	}
	if s := programFor(t, h, sshd.Port); len(s.Processes) == 0 || filepath.Base(s.Processes[0].Exe) != "sshd" {
		t.Errorf("sshd: %+v", s)
	}
	checkApp(t, h, programFor(t, h, web), session, dir, p)

	b, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := Text(&text, found, 80, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{"hunter2", "Hunter2"} {
		if i := strings.Index(string(b)+text.String(), never); i >= 0 {
			t.Errorf("%q came through: %.200s", never, (string(b) + text.String())[max(0, i-100):])
		}
	}
}

// A MySQL of the test's own, which listens for its X protocol, too, is one
// server with the databases that its directory holds.
func TestARealMySQL(t *testing.T) {
	remotetest.Need(t, "ss")
	for kind, start := range map[string]func(testing.TB, remotetest.MySQLOptions) *remotetest.MySQL{"mysql": remotetest.StartMySQL, "mariadb": remotetest.StartMariaDB} {
		t.Run(kind, func(t *testing.T) {
			var o remotetest.MySQLOptions
			if kind == "mysql" {
				o.Settings = []string{"--mysqlx=ON", "--mysqlx-bind-address=127.0.0.1", "--mysqlx-port=" + strconv.Itoa(remotetest.FreePort(t)), "--mysqlx-socket=x"}
			}
			m := start(t, o)
			m.Exec("", "CREATE DATABASE `my-shop`; CREATE DATABASE void; CREATE TABLE `my-shop`.a (n int)")
			found, err := Look(t.Context(), remote.Hosts{"here": remote.Local("here")}, []string{"here"})
			if err != nil {
				t.Fatal(err)
			}
			p := programFor(t, found.Hosts[0], m.Port)
			want := Database{Kind: kind, Port: m.Port, Dir: filepath.Join(m.Dir, "data"), Names: []Size{{Name: "my-shop", Bytes: -1}, {Name: "void", Bytes: -1}}}
			for i := range p.Databases {
				p.Databases[i].Version = "" // as installed
			}
			if d := cmp.Diff([]Database{want}, p.Databases); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if !slices.Contains(p.Sockets, m.Socket) {
				t.Errorf("sockets %q", p.Sockets)
			}
		})
	}
}

// checkApp: the program in tmux is known by its session, with its directory,
// files, environment and the database that it uses.
func checkApp(t *testing.T, h *Host, app *Program, session, dir string, pg *Program) {
	t.Helper()
	if app.Kind != KindTmux || app.Name != session {
		t.Errorf("the app is %s %q, not tmux %q", app.Kind, app.Name, session)
	}
	if !slices.ContainsFunc(app.Processes, func(p Process) bool { return p.Dir == dir && p.Exe == me(t) }) {
		t.Errorf("processes %+v", app.Processes)
	}
	for _, f := range []File{{filepath.Join(dir, "app.toml"), "config"}, {filepath.Join(dir, "app.log"), "written"}} {
		if !slices.Contains(app.Files, f) {
			t.Errorf("%+v is not among %+v", f, app.Files)
		}
	}
	if !slices.Contains(app.Env, "APP_SECRET") || !slices.Contains(app.EnvFiles, filepath.Join(dir, ".env")) {
		t.Errorf("environment %q, files %q", app.Env, app.EnvFiles)
	}
	if !slices.ContainsFunc(app.Connects, func(c Connect) bool { return c.What == "postgresql" && c.Program == pg.Key() }) {
		t.Errorf("connects to %+v, not to %s", app.Connects, pg.Key())
	}
	for _, e := range h.EnvFiles {
		if want := []string{"DATABASE_URL", "API_KEY", "PLAIN", "KEY", "LAST"}; e.Path == filepath.Join(dir, ".env") && !slices.Equal(e.Keys, want) {
			t.Errorf("keys %q, want %q", e.Keys, want)
		}
	}
}

// An nginx of the test's own passes requests to a program in tmux, with a
// certificate; where there is no nginx its configuration alone is read.
func TestARealNginx(t *testing.T) {
	remotetest.Need(t, "openssl", "ss")
	dir := t.TempDir()
	if out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", filepath.Join(dir, "key.pem"),
		"-out", filepath.Join(dir, "site.pem"), "-subj", "/CN=x", "-addext", "subjectAltName=DNS:chat.example.org", "-days", "9").CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v: %s", err, out)
	}
	front, back := remotetest.FreePort(t), remotetest.FreePort(t)
	write(t, dir, "nginx.conf", fmt.Sprintf("worker_processes 1; daemon off; pid %[1]s/pid; error_log %[1]s/error.log;\nevents {}\nhttp {\n access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n include sites/*.conf;\n}\n", dir))
	if err := os.Mkdir(filepath.Join(dir, "sites"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "sites/chat.conf", fmt.Sprintf("server {\n listen 127.0.0.1:%d ssl; server_name chat.example.org;\n ssl_certificate %s/site.pem; ssl_certificate_key %s/key.pem;\n location / { proxy_pass http://127.0.0.1:%d; }\n}\n", front, dir, dir, back))
	session := "web" + strconv.Itoa(back)
	inSession(t, session, dir, fmt.Sprintf("INSPECT_STANDIN='listen %d' %s", back, me(t)))
	waitFor(t, back)
	args := []string{"nginx", "-c", filepath.Join(dir, "nginx.conf")}
	nginx := remotetest.Find("nginx")
	if nginx == "" {
		// A stand-in of that name: what is tested is the reading of its files.
		nginx = filepath.Join(dir, "nginx")
		b, err := os.ReadFile("/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(nginx, b, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	cmd := &exec.Cmd{Path: nginx, Args: args, Dir: dir, Env: append(os.Environ(), fmt.Sprintf("INSPECT_STANDIN=listen %d", front))}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// Not KILL: nginx ends its workers itself.
	defer func() { cmd.Process.Signal(syscall.SIGTERM); cmd.Wait() }()
	waitFor(t, front)

	found, err := Look(t.Context(), remote.Hosts{"here": remote.Local("here")}, []string{"here"})
	if err != nil {
		t.Fatal(err)
	}
	h := found.Hosts[0]
	p := programFor(t, h, front)
	i := slices.IndexFunc(p.Sites, func(s Site) bool { return slices.Equal(s.Names, []string{"chat.example.org"}) })
	if i < 0 {
		t.Fatalf("sites %+v of %s; not understood: %+v", p.Sites, p.Key(), h.Gaps)
	}
	want := []Route{{Path: "/", To: fmt.Sprintf("http://127.0.0.1:%d", back), Program: "tmux " + session}}
	if !slices.Equal(p.Sites[i].Routes, want) {
		t.Errorf("routes %+v, want %+v", p.Sites[i].Routes, want)
	}
	for _, c := range h.Certificates {
		if c.Path == filepath.Join(dir, "site.pem") {
			if !slices.Equal(c.Names, []string{"chat.example.org"}) || c.Program != p.Key() || c.Ends.Before(time.Now().AddDate(0, 0, 8)) {
				t.Errorf("certificate %+v", c)
			}
			return
		}
	}
	t.Errorf("the certificate is not among %+v", h.Certificates)
}

// A job in the system's own crontabs is found, masked, and given to the
// program whose directory it names.
func TestARealCronFile(t *testing.T) {
	remotetest.NeedMachine(t)
	remotetest.Need(t, "ss", "tmux")
	dir := t.TempDir()
	port := remotetest.FreePort(t)
	session := "cron" + strconv.Itoa(port)
	file := "/etc/cron.d/belay-inspect-" + strconv.Itoa(port)
	t.Cleanup(func() { _ = os.Remove(file) })
	if err := os.WriteFile(file, fmt.Appendf(nil, "MAILTO=root\n*/7 3 * * 1 nobody TOKEN=hunter2 %s/prune --password hunter2\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	inSession(t, session, dir, fmt.Sprintf("INSPECT_STANDIN='listen %d' %s", port, me(t)))
	waitFor(t, port)
	found, err := Look(t.Context(), remote.Hosts{"here": remote.Local("here")}, []string{"here"})
	if err != nil {
		t.Fatal(err)
	}
	h := found.Hosts[0]
	want := Job{Kind: "cron", User: "nobody", Where: file, When: "*/7 3 * * 1", Command: "TOKEN=*** " + dir + "/prune --password ***", Package: "-", Program: "tmux " + session, Why: "names " + dir}
	i := slices.IndexFunc(h.Jobs, func(j Job) bool { return reflect.DeepEqual(j, want) })
	if i < 0 {
		t.Fatalf("not among %+v; not understood: %+v", h.Jobs, h.Gaps)
	}
	if p := programFor(t, h, port); !slices.Contains(p.Jobs, i) {
		t.Errorf("jobs %v of %s", p.Jobs, p.Key())
	}
}

// A container of a real engine is found with the port that it publishes, its
// volume, the names of its environment, and the processes in it as its own.
func TestARealContainer(t *testing.T) {
	d := remotetest.StartDockerd(t)
	image := d.Busybox("inspect-test", "")
	id := strings.TrimSpace(d.Docker("run", "-d", "--name", "shop-web-1", "-e", "DB_PASSWORD=hunter2", "-v", "shopdata:/data", "--network", "none",
		"--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=web", "--label", "com.docker.compose.project.working_dir=/srv/shop",
		image, "sleep", "1000"))
	here := remote.Local("here")
	here.Runner = withEnv{here.Runner, "DOCKER_HOST=unix://" + d.Sock}
	found, err := Look(t.Context(), remote.Hosts{"here": here}, []string{"here"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range found.Hosts[0].Programs {
		if p.Container == nil || p.Container.ID != id {
			continue
		}
		if p.Name != "shop-web-1" || p.Container.Project != "shop" || p.Container.Service != "web" || p.Container.Dir != "/srv/shop" || p.State != "running" {
			t.Errorf("%+v %+v", p, p.Container)
		}
		if !slices.Contains(p.Env, "DB_PASSWORD") || !slices.Contains(p.Mounts, Volume{Type: "volume", Source: "shopdata", Target: "/data"}) {
			t.Errorf("environment %q, volumes %+v", p.Env, p.Mounts)
		}
		if p.Exec != "sleep 1000" || !slices.ContainsFunc(p.Processes, func(x Process) bool { return strings.Contains(x.Args, "sleep 1000") }) {
			t.Errorf("runs %q, processes %+v", p.Exec, p.Processes)
		}
		return
	}
	t.Errorf("the container is not among %d programs; not understood: %+v", len(found.Hosts[0].Programs), found.Hosts[0].Gaps)
}
