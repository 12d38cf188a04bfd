package dockerlab

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"belay/remote/remotetest"
)

// Server is one server to start.
type Server struct {
	Name   string            // its host name, its name in SSHConfig and on the lab's network
	Docker Docker            // what of Docker is inside
	Files  map[string]string // by absolute path, there before it boots; executable

	// Databases: PostgreSQL, MariaDB and Redis are installed, and started by
	// the program lab-db: l.Exec(name, "lab-db make postgres shop 5432").
	Databases bool

	// Systemd: process 1 is systemd, which runs sshd, cron, nginx, PostgreSQL and
	// Redis; nothing of Docker or Databases goes with it.
	Systemd bool
}

// Docker says what of Docker a server has.
type Docker int

// The zero Docker is none.
const (
	NoDocker  Docker = iota
	ComposeV1        // an engine, and docker-compose 1.29
	ComposeV2        // an engine, and the docker compose plugin
)

// Lab is a set of running servers.
type Lab struct {
	t       testing.TB
	dir, id string
	servers map[string]*server
}

type server struct {
	container string // its id
	port      string // on 127.0.0.1, of sshd
	cut       bool
}

// Up starts servers and returns when their sshd (and Docker) answer. They end
// with the test.
func Up(t testing.TB, servers ...Server) *Lab {
	t.Helper()
	remotetest.Need(t, "docker", "ssh")
	needEngine(t)
	sweep(t)
	var id [6]byte
	rand.Read(id[:])
	l := &Lab{t: t, dir: t.TempDir(), id: hex.EncodeToString(id[:]), servers: map[string]*server{}}
	clientPEM, client := newKey(t)
	write(t, filepath.Join(l.dir, "client_key"), clientPEM)
	t.Cleanup(l.down)
	docker(t, "network", "create", "--label", l.label(), l.network())
	var config, known strings.Builder
	for _, s := range servers {
		host := l.create(s, client.PublicKey())
		port := l.servers[s.Name].port
		fmt.Fprintf(&config, "Host %s\n\tHostName 127.0.0.1\n\tPort %s\n\tUser root\n\tIdentityFile %s\n\tIdentitiesOnly yes\n"+
			"\tUserKnownHostsFile %s\n\tStrictHostKeyChecking yes\n\n", s.Name, port, l.path("client_key"), l.path("known_hosts"))
		fmt.Fprintf(&known, "[127.0.0.1]:%s %s", port, ssh.MarshalAuthorizedKey(host))
	}
	write(t, l.path("known_hosts"), []byte(known.String()))
	write(t, l.SSHConfig(), []byte(config.String()))
	for _, s := range servers {
		l.await(s.Name)
	}
	return l
}

// create makes and starts the container of one server; it returns its host key.
func (l *Lab) create(s Server, client ssh.PublicKey) ssh.PublicKey {
	t := l.t
	t.Helper()
	hostPEM, host := newKey(t)
	var machine [16]byte
	rand.Read(machine[:])
	files := map[string][]byte{
		"etc/ssh/ssh_host_ed25519_key": hostPEM,
		"root/.ssh/authorized_keys":    ssh.MarshalAuthorizedKey(client),
		"etc/machine-id":               []byte(hex.EncodeToString(machine[:]) + "\n"),
	}
	for path, content := range s.Files {
		files[strings.TrimPrefix(path, "/")] = []byte(content)
	}
	port := freePort(t)
	args := []string{"create", "--hostname", s.Name, "--network", l.network(), "--network-alias", s.Name,
		"--label", l.label(), "--env", "LAB_ID=" + l.id + "-" + s.Name, "--cap-add", "NET_ADMIN", "--publish", "127.0.0.1:" + port + ":22"}
	if s.Systemd { // its control groups lie below the container's own; it takes them where it may write, as an engine does
		args = append(args, "--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
			"--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--env", "container=docker",
			"--tmpfs", "/run:exec,mode=755", "--tmpfs", "/run/lock", "--stop-signal", "SIGRTMIN+3")
	} else {
		args = append(args, "--init")
	}
	if s.Docker != NoDocker { // an engine inside, without --privileged, which is more than some machines may give
		args = append(args, "--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--cap-add", "SYSLOG",
			"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
			"--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--volume", "/var/lib/docker")
		args = append(args, newerEngine(files)...)
	}
	container := docker(t, append(args, serverImage(t, s))...)
	l.servers[s.Name] = &server{container: container, port: port}
	cp := exec.Command("docker", "cp", "-", container+":/")
	cp.Stdin = archive(t, files)
	if out, err := cp.CombinedOutput(); err != nil {
		t.Fatalf("server %s: docker cp: %v, %s", s.Name, err, out)
	}
	docker(t, "start", container)
	return host.PublicKey()
}

// await waits for sshd, and for the engine inside.
func (l *Lab) await(name string) {
	l.t.Helper()
	var last []byte
	for start := time.Now(); time.Since(start) < 2*time.Minute; time.Sleep(100 * time.Millisecond) {
		out, err := exec.Command("ssh", "-F", l.SSHConfig(), "-o", "ConnectTimeout=5", name,
			"{ [ ! -e /etc/lab-boot.d/10-dockerd ] || docker version; } && case $(systemctl is-system-running 2>&1) in initializing|starting) exit 1; esac").CombinedOutput()
		if err == nil {
			return
		}
		last = out
	}
	l.t.Fatalf("server %s did not come up: %s\n%s", name, last, l.boot(name))
}

// boot is what a server printed.
func (l *Lab) boot(name string) string {
	out, _ := exec.Command("docker", "logs", "--tail", "30", l.servers[name].container).CombinedOutput()
	return string(out)
}

func (l *Lab) path(name string) string { return filepath.Join(l.dir, name) }
func (l *Lab) network() string         { return "belay-lab-" + l.id }
func (l *Lab) label() string           { return fmt.Sprintf("belay.lab=%d", os.Getpid()) }

// SSHConfig is the path of an ssh_config file that knows every server by its
// name, strictly, as root.
func (l *Lab) SSHConfig() string { return l.path("ssh_config") }

// Exec runs a shell script as root on a server, not through SSH, and returns
// its standard output; the test fails if the script does.
func (l *Lab) Exec(name, script string) string {
	l.t.Helper()
	out, err := l.Try(name, script)
	if err != nil {
		l.t.Fatalf("on %s: %s: %v", name, script, err)
	}
	return out
}

// Try is Exec that returns the error.
func (l *Lab) Try(name, script string) (string, error) {
	cmd := exec.Command("docker", "exec", "-i", l.servers[name].container, "sh", "-c", script)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s%s", err, out.String(), errs.String())
	}
	return out.String(), nil
}

// Cut takes a server off the network: its connections break, new ones are
// refused. Restore brings it back.
func (l *Lab) Cut(name string) {
	l.t.Helper()
	docker(l.t, "network", "disconnect", l.network(), l.servers[name].container)
	l.servers[name].cut = true
}

// Hang freezes a server: connections stay open and nothing answers.
func (l *Lab) Hang(name string) {
	l.t.Helper()
	docker(l.t, "pause", l.servers[name].container)
}

// Restore undoes Cut and Hang and waits for the server to answer.
func (l *Lab) Restore(name string) {
	l.t.Helper()
	s := l.servers[name]
	if s.cut {
		docker(l.t, "network", "connect", "--alias", name, l.network(), s.container)
		s.cut = false
	} else {
		docker(l.t, "unpause", s.container)
	}
	l.await(name)
}

// Reboot ends everything on a server at once and boots it again.
func (l *Lab) Reboot(name string) {
	l.t.Helper()
	docker(l.t, "restart", "--time", "0", l.servers[name].container)
	l.await(name)
}

// Standins brings the image of the program standin to a server's own engine,
// under the given names: it takes the place of images that are not to be had.
func (l *Lab) Standins(name string, tags ...string) {
	l.t.Helper()
	names := map[string]string{}
	image := standinImage(l.t)
	for _, tag := range tags {
		names[tag] = image
	}
	l.load(name, names)
}

// Boxes brings the images lab/postgres:15, lab/mariadb:10.11 and lab/redis:7 to
// a server's own engine: database servers with the interface of the official
// images. Their administrators are those of lab-db, with the password that the
// image is given.
func (l *Lab) Boxes(name string) {
	l.t.Helper()
	l.load(name, boxImages(l.t))
}

// load brings images of this machine to a server's own engine, under new names.
func (l *Lab) load(name string, names map[string]string) {
	l.t.Helper()
	save := exec.Command("docker", append([]string{"save"}, slices.Compact(slices.Sorted(maps.Values(names)))...)...)
	load := exec.Command("docker", "exec", "-i", l.servers[name].container, "docker", "load")
	pipe, err := save.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	load.Stdin = pipe
	if err := save.Start(); err != nil {
		l.t.Fatal(err)
	}
	out, loadErr := load.CombinedOutput()
	if err := save.Wait(); err != nil || loadErr != nil {
		l.t.Fatalf("on %s: docker save | docker load: %v, %v, %s", name, err, loadErr, out)
	}
	for to, from := range names {
		l.Exec(name, "docker tag "+from+" "+to)
	}
}

func newKey(t testing.TB) ([]byte, ssh.Signer) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "belay lab")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), signer
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func freePort(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
