package ssh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

// answers is a person who says these texts, one after the other.
type answers struct {
	mu    sync.Mutex
	texts []string
	asked []string
}

func (a *answers) prompt(_ context.Context, kind PromptKind, text string) (secret.Value, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, string(kind)+": "+text)
	if len(a.texts) == 0 {
		return secret.Value{}, errors.New("dialog was closed")
	}
	v := a.texts[0]
	a.texts = a.texts[1:]
	return secret.New(v), nil
}

func (a *answers) set(o *Options) { o.Prompt = a.prompt }

func TestEncryptedKeyIsAskedForOnce(t *testing.T) {
	for _, format := range []string{"openssh", "pem"} {
		t.Run(format, func(t *testing.T) {
			s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
			key := filepath.Join(s.Dir, "locked")
			args := []string{"-q", "-t", "rsa", "-b", "2048", "-a", "1", "-N", "the passphrase", "-f", key}
			if format == "pem" {
				args = append(args, "-m", "PEM")
			}
			keygen(t, args...)
			write(t, s.Authorized, read(t, key+".pub"))
			write(t, s.Config, strings.Replace(read(t, s.Config), s.Key, key, 1))
			person := &answers{texts: []string{"wrong", "the passphrase"}}
			n := NewNetwork(Options{Config: s.Config, Agent: "none", Prompt: person.prompt})
			t.Cleanup(func() { n.Close() })
			for _, spec := range []Spec{{}, {Address: "localhost", ConnectTimeout: time.Minute}, {ConnectTimeout: time.Minute}} {
				if spec.Address != "" {
					add(t, s.KnownHosts, strings.Replace(read(t, s.KnownHosts), "127.0.0.1", "localhost", 1))
				}
				h, err := n.Open(s.Name, spec)
				must(t, err)
				must(t, runTrue(t, h))
			}
			if len(person.asked) != 2 || !strings.Contains(person.asked[0], key) || !strings.HasPrefix(person.asked[1], "passphrase: that was not it") {
				t.Errorf("asked %q", person.asked)
			}
			auth, ok := errors.AsType[*AuthError](runTrue(t, open(t, s)))
			if !ok || !strings.Contains(auth.Error(), "nobody is there to be asked") {
				t.Errorf("nobody there: %v", auth)
			}
			closed := &answers{}
			if auth, ok := errors.AsType[*AuthError](runTrue(t, open(t, s, closed.set))); !ok || !strings.Contains(auth.Error(), "dialog was closed") {
				t.Errorf("dialog closed: %v", auth)
			}
		})
	}
}

func TestRefusedLoginTellsWhatWasTried(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	write(t, s.Authorized, "")
	missing := filepath.Join(s.Dir, "missing")
	open1 := filepath.Join(s.Dir, "open")
	remotetest.WriteKey(t, open1)
	must(t, os.Chmod(open1, 0o644))
	add(t, s.Config, " IdentityFile "+missing+"\n IdentityFile "+open1+"\n")
	err := runTrue(t, open(t, s))
	auth, ok := errors.AsType[*AuthError](err)
	if !ok {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{s.Key, missing + " (missing)", "chmod 600 " + open1, fmt.Sprintf("login as %q", s.User)} {
		if !strings.Contains(auth.Error(), want) {
			t.Errorf("%q does not say %q", auth, want)
		}
	}
}

// startAgent is a real ssh-agent that holds the keys.
func startAgent(t *testing.T, keys ...string) string {
	t.Helper()
	remotetest.Need(t, "ssh-agent", "ssh-add")
	dir, err := os.MkdirTemp("", "belay")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "agent")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	until(t, "the agent listens", func() bool { _, err := os.Stat(socket); return err == nil })
	for _, k := range keys {
		add := exec.Command("ssh-add", "-q", k)
		add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("ssh-add: %v %s", err, out)
		}
	}
	return socket
}

func TestAgent(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	keys := []string{}
	for i := range 8 { // more than a server lets one try
		k := filepath.Join(s.Dir, fmt.Sprint("other", i))
		remotetest.WriteKey(t, k)
		keys = append(keys, k)
	}
	socket := startAgent(t, append(keys, s.Key)...)
	use := func(o *Options) { o.Agent = socket }
	// Only the public half is on disk: the agent has the key itself, last.
	must(t, os.Remove(s.Key))
	write(t, s.Config, strings.Replace(read(t, s.Config), s.Key+"\n", s.Key+".pub\n", 1))
	must(t, runTrue(t, open(t, s, use)))

	write(t, s.Config, strings.Replace(read(t, s.Config), "IdentitiesOnly yes", "IdentityAgent "+socket, 1))
	must(t, runTrue(t, open(t, s, func(o *Options) { o.Agent = "" })))

	write(t, s.Authorized, "")
	auth, ok := errors.AsType[*AuthError](runTrue(t, open(t, s, use)))
	if !ok || !strings.Contains(auth.Error(), "agent (9 keys)") {
		t.Errorf("error %v", auth)
	}
	auth, ok = errors.AsType[*AuthError](runTrue(t, open(t, s, func(o *Options) { o.Agent = socket + "-not" })))
	if !ok || !strings.Contains(auth.Error(), "agent (not reached)") {
		t.Errorf("error %v", auth)
	}
}

func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca")
	remotetest.WriteKey(t, ca)
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{Extra: []string{"TrustedUserCAKeys " + ca + ".pub"}})
	write(t, s.Authorized, "")
	if _, ok := errors.AsType[*AuthError](runTrue(t, open(t, s))); !ok {
		t.Fatal("the server lets in whom it should not know")
	}
	keygen(t, "-q", "-s", ca, "-I", "test", "-n", s.User, s.Key+".pub")
	t.Run("beside the key", func(t *testing.T) { must(t, runTrue(t, open(t, s))) })
	t.Run("key in an agent", func(t *testing.T) {
		socket := startAgent(t, s.Key)
		must(t, runTrue(t, open(t, s, func(o *Options) { o.Agent = socket })))
	})
	t.Run("named", func(t *testing.T) {
		elsewhere := filepath.Join(dir, "cert")
		must(t, os.Rename(s.Key+"-cert.pub", elsewhere))
		add(t, s.Config, " CertificateFile "+elsewhere+"\n")
		must(t, runTrue(t, open(t, s)))
	})
}

func TestPassword(t *testing.T) {
	remotetest.NeedMachine(t)
	remotetest.Need(t, "useradd", "userdel", "chpasswd")
	const name, password = "belay-test-ssh", "correct horse"
	drop := func() { _ = exec.Command("userdel", "-r", name).Run() }
	drop()
	t.Cleanup(drop)
	until(t, "useradd gets the lock of /etc/passwd", func() bool { return exec.Command("useradd", "-m", name).Run() == nil })
	until(t, "chpasswd gets it too", func() bool {
		c := exec.Command("chpasswd")
		c.Stdin = strings.NewReader(name + ":" + password)
		return c.Run() == nil
	})
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{Extra: []string{"PasswordAuthentication yes", "KbdInteractiveAuthentication no"}})
	person := &answers{texts: []string{"wrong", password}}
	n := NewNetwork(Options{Config: s.Config, Agent: "none", Prompt: person.prompt})
	t.Cleanup(func() { n.Close() })
	h, err := n.Open(s.Name, Spec{User: name})
	must(t, err)
	out, err := remote.Output(ctxFor(t), h, remote.Cmd{Argv: []string{"id", "-un"}})
	if err != nil || string(out) != name+"\n" {
		t.Errorf("id: %q, %v", out, err)
	}
	cancelUnderSudo(t, h, name, "%[1]s ALL=(ALL) NOPASSWD: ALL\n", secret.Value{})
	cancelUnderSudo(t, h, name, "Defaults:%[1]s timestamp_timeout=0\n%[1]s ALL=(ALL) ALL\n", secret.New(password))
	cancelUnderSudo(t, h, name, "Defaults:%[1]s timestamp_timeout=0,use_pty\n%[1]s ALL=(ALL) ALL\n", secret.New(password))
	// A new connection uses the password that was right.
	s.KillSessions()
	until(t, "it comes back", func() bool { return runTrue(t, h) == nil })
	if len(person.asked) != 2 || !strings.HasPrefix(person.asked[0], "password: password of "+name) {
		t.Errorf("asked %q", person.asked)
	}
}

// cancelUnderSudo: what runs as root is ended too.
func cancelUnderSudo(t *testing.T, h remote.Host, name, rule string, password secret.Value) {
	t.Helper()
	remotetest.Need(t, "sudo")
	file := filepath.Join("/etc/sudoers.d", name)
	t.Cleanup(func() { os.Remove(file) })
	must(t, os.WriteFile(file, fmt.Appendf(nil, rule, name), 0o440))
	r := remote.Sudo(h.Runner, password)
	pids := make(chan string, 1)
	c := remote.Sh("echo $$; exec sleep 1000")
	c.Stdout = lineTo(pids)
	ctx, cancel := context.WithCancel(ctxFor(t))
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, c) }()
	pid := <-pids
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled under sudo: %v", err)
	}
	until(t, "root's process "+pid+" is gone", func() bool {
		return r.Run(ctxFor(t), remote.Cmd{Argv: []string{"kill", "-0", pid}}) != nil
	})
}

type lineTo chan<- string

func (l lineTo) Write(p []byte) (int, error) { l <- strings.TrimSpace(string(p)); return len(p), nil }
