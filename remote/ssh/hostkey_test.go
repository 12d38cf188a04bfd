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

	"belay/remote"
	"belay/remote/remotetest"
)

func keygen(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("ssh-keygen", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen %q: %v: %s", args, err, out)
	}
	return string(out)
}

func fingerprint(t testing.TB, file string) string {
	t.Helper()
	return strings.Fields(keygen(t, "-l", "-f", file))[1]
}

func TestUnknownKeyIsRefusedUnlessAccepted(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	must(t, os.Remove(s.KnownHosts))
	want := UnknownKey{
		Host: "server", Address: fmt.Sprintf("[127.0.0.1]:%d", s.Port), Type: "ssh-ed25519",
		Fingerprint: fingerprint(t, filepath.Join(s.Dir, "host_ed25519.pub")), File: s.KnownHosts,
	}
	unknown, ok := errors.AsType[*UnknownHostKeyError](runTrue(t, open(t, s)))
	if !ok || unknown.Key != want || !strings.Contains(unknown.Error(), want.Fingerprint) {
		t.Errorf("nobody to ask: %v", unknown)
	}
	asked := 0
	ask := func(answer bool) func(*Options) {
		return func(o *Options) {
			o.HostKey = func(_ context.Context, k UnknownKey) (bool, error) {
				asked++
				if k != want {
					t.Errorf("asked about %+v, want %+v", k, want)
				}
				return answer, nil
			}
		}
	}
	if !errors.As(runTrue(t, open(t, s, ask(false))), &unknown) {
		t.Error("a refused key was used")
	}
	if _, err := os.Stat(s.KnownHosts); err == nil {
		t.Error("a refused key was noted")
	}
	h := open(t, s, ask(true))
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if err := runTrue(t, h); err != nil {
				t.Errorf("accepted: %v", err)
			}
		})
	}
	all.Wait()
	if asked != 2 {
		t.Errorf("asked %d times, want 2", asked)
	}
	must(t, runTrue(t, open(t, s)))
	// OpenSSH must agree with what we wrote.
	if out, err := exec.Command("ssh", "-F", s.Config, "-o", "BatchMode=yes", "server", "true").CombinedOutput(); err != nil {
		t.Errorf("ssh: %v: %s", err, out)
	}
}

func TestAcceptedKeyIsHashedWhenAskedFor(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	write(t, s.KnownHosts, "# no line break at the end")
	add(t, s.Config, " HashKnownHosts yes\n")
	yes := func(o *Options) { o.HostKey = func(context.Context, UnknownKey) (bool, error) { return true, nil } }
	must(t, runTrue(t, open(t, s, yes)))
	if text := read(t, s.KnownHosts); strings.Contains(text, "127.0.0.1") || !strings.Contains(text, "\n|1|") {
		t.Errorf("known_hosts: %s", text)
	}
	must(t, runTrue(t, open(t, s)))
	if out, err := exec.Command("ssh-keygen", "-F", fmt.Sprintf("[127.0.0.1]:%d", s.Port), "-f", s.KnownHosts).CombinedOutput(); err != nil {
		t.Errorf("ssh-keygen does not find the line: %v %s", err, out)
	}
}

func TestChangedKeyIsABlock(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	other := filepath.Join(s.Dir, "other")
	remotetest.WriteKey(t, other)
	write(t, s.KnownHosts, fmt.Sprintf("# first\n[127.0.0.1]:%d %s", s.Port, read(t, other+".pub")))
	never := func(o *Options) {
		o.HostKey = func(context.Context, UnknownKey) (bool, error) {
			t.Error("a changed key was offered for acceptance")
			return true, nil
		}
	}
	err := runTrue(t, open(t, s, never))
	changed, ok := errors.AsType[*HostKeyChangedError](err)
	if !ok {
		t.Fatalf("error %v", err)
	}
	if _, ok := errors.AsType[*remote.UnreachableError](err); !ok {
		t.Error("it is not an UnreachableError")
	}
	text := changed.Error()
	for _, want := range []string{
		fingerprint(t, filepath.Join(s.Dir, "host_ed25519.pub")), fingerprint(t, other+".pub"), s.KnownHosts + ":2", "nothing was sent", "ssh-keygen -f",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
	_, command, _ := strings.Cut(text, "right: ")
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		t.Errorf("the command that the error gives fails: %v %s", err, out)
	}
	if _, ok := errors.AsType[*UnknownHostKeyError](runTrue(t, open(t, s))); !ok {
		t.Error("after the command of the error the key should be unknown")
	}
}

// A server with several keys, of which known_hosts has one, shows that one.
func TestKnownKeyTypeGoesFirst(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{HostKeyTypes: []string{"rsa", "ecdsa", "ed25519"}})
	all := read(t, s.KnownHosts)
	for line := range strings.Lines(all) {
		write(t, s.KnownHosts, "bad line that nobody understands\n"+line)
		if err := runTrue(t, open(t, s)); err != nil {
			t.Errorf("known is only %.60s: %v", line, err)
		}
	}
}

func TestRevokedKey(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	add(t, s.KnownHosts, "@revoked * "+read(t, filepath.Join(s.Dir, "host_ed25519.pub")))
	changed, ok := errors.AsType[*HostKeyChangedError](runTrue(t, open(t, s)))
	if !ok || !changed.Revoked || !strings.Contains(changed.Error(), "revoked") {
		t.Errorf("error %v", changed)
	}
}

func TestHostCertificate(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca")
	remotetest.WriteKey(t, ca)
	host := filepath.Join(dir, "host")
	remotetest.WriteKey(t, host)
	keygen(t, "-q", "-s", ca, "-I", "host", "-h", "-n", "127.0.0.1", host+".pub")
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{Extra: []string{"HostKey " + host, "HostCertificate " + host + "-cert.pub"}})
	write(t, s.KnownHosts, "@cert-authority [127.0.0.1]:* "+read(t, ca+".pub"))
	must(t, runTrue(t, open(t, s)))
	write(t, s.KnownHosts, "@cert-authority elsewhere "+read(t, ca+".pub"))
	if _, ok := errors.AsType[*UnknownHostKeyError](runTrue(t, open(t, s))); !ok {
		t.Error("an authority for other hosts was trusted")
	}
}

func TestHostKeyAlias(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
	write(t, s.KnownHosts, "the-alias "+read(t, filepath.Join(s.Dir, "host_ed25519.pub")))
	if err := runTrue(t, open(t, s)); err == nil {
		t.Error("the key of another name was trusted")
	}
	add(t, s.Config, " HostKeyAlias the-alias\n")
	must(t, runTrue(t, open(t, s)))
}

// A person takes longer to compare a fingerprint than the server waits.
func TestSlowAnswerIsNotLost(t *testing.T) {
	s := remotetest.StartSSHD(t, remotetest.SSHDOptions{Extra: []string{"LoginGraceTime 1"}})
	must(t, os.Remove(s.KnownHosts))
	asked := 0
	h := open(t, s, func(o *Options) {
		o.HostKey = func(context.Context, UnknownKey) (bool, error) {
			asked++
			until(t, "the server has given up", func() bool { return len(s.Sessions()) == 0 })
			return true, nil
		}
	})
	must(t, runTrue(t, h))
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}
