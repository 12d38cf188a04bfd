package remotetest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// SSHDOptions change the server of StartSSHD.
type SSHDOptions struct {
	NoForwarding bool     // AllowTcpForwarding no, AllowStreamLocalForwarding no
	MaxSessions  int      // 0: OpenSSH's own default, 10
	Extra        []string // further lines of sshd_config, before ours (the first value wins)
	HostKeyTypes []string // of ssh-keygen -t; default: ed25519
}

// SSHD is a real OpenSSH server on a free port of 127.0.0.1, for the user who
// runs the test. Everything of it lies in a directory of the test's own; the
// real ~/.ssh is neither read nor written.
type SSHD struct {
	Name       string // how Config calls the server: "server"
	User       string
	Addr       string // 127.0.0.1:port
	Port       int
	Dir        string
	Home       string // HOME of the sessions, empty at first
	Key        string // private key file that the server accepts (ed25519, no passphrase)
	KnownHosts string // file that knows the server's keys
	Config     string // ssh_config with User, Port, IdentityFile, UserKnownHostsFile for Name
	Authorized string // authorized_keys file of the server
	Log        string // what sshd says, at level VERBOSE

	t   testing.TB
	mu  sync.Mutex
	cmd *exec.Cmd
}

// StartSSHD starts a server and ends it, with all its sessions, when the test
// ends. It skips the test when sshd is not installed (see Need).
func StartSSHD(t testing.TB, o SSHDOptions) *SSHD {
	t.Helper()
	Need(t, "sshd", "ssh-keygen")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	s := &SSHD{
		Name: "server", User: me.Username, Dir: dir, Key: in("id"), KnownHosts: in("known_hosts"),
		Config: in("config"), Authorized: in("authorized_keys"), Log: in("sshd.log"), t: t, Port: FreePort(t),
	}
	s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))
	s.Home = in("home")
	if err := os.Mkdir(s.Home, 0o700); err != nil {
		t.Fatal(err)
	}
	pub := WriteKey(t, s.Key)
	s.write(s.Authorized, string(ssh.MarshalAuthorizedKey(pub)))
	s.write(s.Config, fmt.Sprintf(
		"Host %s\n\tHostName 127.0.0.1\n\tPort %d\n\tUser %s\n\tIdentityFile %s\n\tIdentitiesOnly yes\n\tUserKnownHostsFile %s\n\tGlobalKnownHostsFile none\n",
		s.Name, s.Port, s.User, s.Key, s.KnownHosts))
	s.writeServer(o)
	t.Cleanup(s.Stop)
	s.Restart()
	return s
}

func (s *SSHD) writeServer(o SSHDOptions) {
	s.t.Helper()
	lines := append([]string{}, o.Extra...)
	known := ""
	for _, typ := range append(o.HostKeyTypes, "ed25519")[:max(1, len(o.HostKeyTypes))] {
		file := filepath.Join(s.Dir, "host_"+typ)
		if out, err := exec.Command("ssh-keygen", "-q", "-t", typ, "-N", "", "-C", "", "-f", file).CombinedOutput(); err != nil {
			s.t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
		pub, err := os.ReadFile(file + ".pub")
		if err != nil {
			s.t.Fatal(err)
		}
		known += fmt.Sprintf("[127.0.0.1]:%d %s\n", s.Port, strings.TrimSpace(string(pub)))
		lines = append(lines, "HostKey "+file)
	}
	s.write(s.KnownHosts, known)
	forwarding := "yes"
	if o.NoForwarding {
		forwarding = "no"
	}
	if o.MaxSessions > 0 {
		lines = append(lines, fmt.Sprintf("MaxSessions %d", o.MaxSessions))
	}
	lines = append(lines,
		"ListenAddress "+s.Addr, "PidFile none", "UsePAM no", "StrictModes no", "LogLevel VERBOSE", "MaxStartups 200",
		"AuthorizedKeysFile "+s.Authorized, "PermitRootLogin yes", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
		// bash reads ~/.bashrc under sshd: not that of whoever runs the test
		// and the lock is not that of this machine
		"SetEnv HOME="+s.Home+" BELAY_LOCK="+filepath.Join(s.Dir, "belay.lock"), "AllowTcpForwarding "+forwarding, "AllowStreamLocalForwarding "+forwarding)
	s.write(s.file(), strings.Join(lines, "\n")+"\n")
	if os.Getuid() == 0 {
		// Root's sshd wants its privilege separation directory.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	// From OpenSSH 9.8 on, failed logins from one address are punished.
	s.write(s.file(), strings.Join(append(lines, "PerSourcePenalties no"), "\n")+"\n")
	if exec.Command(Find("sshd"), "-t", "-f", s.file()).Run() != nil {
		s.write(s.file(), strings.Join(lines, "\n")+"\n")
	}
}

func (s *SSHD) file() string { return filepath.Join(s.Dir, "sshd_config") }

func (s *SSHD) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Restart starts the server again on its port after Stop, with the
// configuration as it is on disk now. Running, it is stopped first.
func (s *SSHD) Restart() {
	s.t.Helper()
	s.Stop()
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(Find("sshd"), "-D", "-e", "-f", s.file())
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.cmd = cmd
	s.mu.Unlock()
	for range 200 {
		if c, err := net.Dial("tcp", s.Addr); err == nil {
			c.Close()
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	text, _ := os.ReadFile(s.Log)
	s.t.Fatalf("sshd does not answer on %s:\n%s", s.Addr, text)
}

// Stop ends the server and its sessions, as pulling the plug would.
func (s *SSHD) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	// Stopped first, it cannot take one more connection between look and kill.
	signal([]int{s.cmd.Process.Pid}, syscall.SIGSTOP)
	all := descendants(s.cmd.Process.Pid)
	_ = s.cmd.Process.Kill()
	signal(all, syscall.SIGKILL)
	_ = s.cmd.Wait()
	s.cmd = nil
}

// KillSessions ends every connection with what runs in it; the server goes on.
func (s *SSHD) KillSessions() { s.signal(syscall.SIGKILL) }

// Freeze stops every connection's process without closing it, as a dead link
// looks from the other side. Thaw lets them go on.
func (s *SSHD) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *SSHD) Thaw() { s.signal(syscall.SIGCONT) }

// FreezeServer stops the server itself: connections are made by the kernel and
// never answered. It stays so until Stop.
func (s *SSHD) FreezeServer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	signal([]int{s.cmd.Process.Pid}, syscall.SIGSTOP)
}

// Sessions returns the process ids of the server's connections and of what
// runs in them.
func (s *SSHD) Sessions() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return nil
	}
	return descendants(s.cmd.Process.Pid)
}

func (s *SSHD) signal(sig syscall.Signal) { signal(s.Sessions(), sig) }

func signal(pids []int, sig syscall.Signal) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, sig) // gone already is as good
	}
}

// descendants lists the children of pid, and theirs, from /proc or ps.
func descendants(pid int) []int {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil
	}
	children := map[int][]int{}
	for line := range strings.Lines(string(out)) {
		var p, parent int
		if _, err := fmt.Sscan(line, &p, &parent); err == nil {
			children[parent] = append(children[parent], p)
		}
	}
	var all []int
	for queue := children[pid]; len(queue) > 0; queue = queue[1:] {
		all = append(all, queue[0])
		queue = append(queue, children[queue[0]]...)
	}
	return all
}

// WriteKey writes a new ed25519 key in OpenSSH's format to path and path.pub.
func WriteKey(t testing.TB, path string) ssh.PublicKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err1 := ssh.MarshalPrivateKey(key, "")
	pub, err2 := ssh.NewPublicKey(key.Public())
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.WriteFile(path, pem.EncodeToMemory(block), 0o600),
		os.WriteFile(path+".pub", ssh.MarshalAuthorizedKey(pub), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	return pub
}
