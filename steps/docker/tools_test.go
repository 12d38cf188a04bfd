package docker

import (
	"bytes"
	"context"
	"crypto/rand"
	"os/exec"
	"strings"
	"testing"

	"belay/remote"
	"belay/remote/remotetest"
)

// TestOffer packs and unpacks by every shell that a host may have.
func TestOffer(t *testing.T) {
	remotetest.Need(t, "dash", "busybox", "zstd")
	random := make([]byte, 5<<20)
	_, _ = rand.Read(random) // never fails
	streams := map[string][]byte{"random": random, "text": bytes.Repeat([]byte("all work and no play\n"), 200_000), "short": []byte("x"), "nothing": nil}
	for _, shell := range [][]string{{"dash"}, {"bash"}, {"busybox", "sh"}} {
		for _, how := range []string{"try-zstd", "try-gzip", "zstd", "gzip", "none"} {
			for name, b := range streams {
				want := strings.TrimPrefix(how, "try-")
				if how != want && name != "text" {
					want = "none" // it does not get smaller
				}
				dir := t.TempDir()
				packed := shellOut(t, shell, PackScript+`offer "$1" "$2"`, b, how, dir)
				if got, _, _ := strings.Cut(string(packed), "\n"); got != want {
					t.Errorf("%s, %s, %s: packed by %s, want %s", shell, how, name, got, want)
				}
				if got := shellOut(t, shell, PackScript+`accept && unpack "$how"`, packed); !bytes.Equal(got, b) {
					t.Errorf("%s, %s, %s: %d bytes came back of %d, or others", shell, how, name, len(got), len(b))
				}
			}
		}
		c := exec.Command(shell[0], append(shell[1:], "-c", PackScript+"accept")...)
		c.Stdin = strings.NewReader("sh\n")
		if c.Run() == nil {
			t.Errorf("%s: an unknown packer was accepted", shell)
		}
	}
}

func shellOut(t *testing.T, shell []string, script string, stdin []byte, args ...string) []byte {
	t.Helper()
	words := append(append(append([]string{}, shell...), "-c", script, "belay"), args...)
	c := exec.Command(words[0], words[1:]...)
	c.Stdin = bytes.NewReader(stdin)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", shell, err, said.String())
	}
	return out
}

// bareRunner is a host that has no programs but its shell.
type bareRunner struct {
	remote.Runner
	path string
}

func (r bareRunner) Run(ctx context.Context, c remote.Cmd) error {
	c.Argv = append([]string{"env", "PATH=" + r.path, "/bin/sh"}, c.Argv[1:]...)
	return r.Runner.Run(ctx, c)
}

func TestCommon(t *testing.T) {
	remotetest.Need(t, "zstd", "b2sum")
	here := remote.Local("here")
	bare := here
	bare.Runner = bareRunner{here.Runner, t.TempDir()}
	for _, c := range []struct {
		hosts []remote.Host
		want  Tools
	}{
		{[]remote.Host{here, here}, Tools{"try-zstd", "b2sum"}},
		{[]remote.Host{here, bare}, Tools{"none", "sha256sum"}},
		{[]remote.Host{here}, Tools{"try-zstd", "b2sum"}},
	} {
		got, err := Common(t.Context(), c.hosts...)
		if err != nil || got != c.want {
			t.Errorf("%d hosts: %+v, %v; want %+v", len(c.hosts), got, err, c.want)
		}
	}
}
