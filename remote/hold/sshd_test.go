package hold

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"belay/remote"
	"belay/remote/remotetest"
)

// overSSH runs commands with OpenSSH's own client.
type overSSH struct{ server *remotetest.SSHD }

func (s overSSH) Run(ctx context.Context, c remote.Cmd) error {
	cmd := exec.CommandContext(ctx, "ssh", "-F", s.server.Config, "-o", "BatchMode=yes", s.server.Name, remote.Quote(c.Argv...))
	var said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 255 {
		return &remote.UnreachableError{Host: s.server.Name, Err: errors.New(said.String())}
	}
	return err
}

// The whole story with a real server, whose login says which file is the lock
// and prints a greeting of its own.
func TestOverSSH(t *testing.T) {
	remotetest.Need(t, "ssh")
	lock := t.TempDir() + "/belay.lock"
	home := t.TempDir()
	server := remotetest.StartSSHD(t, remotetest.SSHDOptions{Extra: []string{"SetEnv HOME=" + home + " BELAY_LOCK=" + lock}})
	write(t, home+"/.bashrc", "echo Welcome; echo free\n")
	host := remote.Host{Name: "a", Runner: overSSH{server}}
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if fresh, err := Take(t.Context(), host, rec("run-"+strconv.Itoa(i))); fresh && err == nil {
				won.Add(1)
			} else if !errors.As(err, new(*HeldError)) {
				t.Errorf("%v, %v", fresh, err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 20 hold the machine", won.Load())
	}
	h, err := Look(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Break(t.Context(), host, "last", *h, rec("").Since); err != nil {
		t.Error(err)
	}
	if fresh, err := Take(t.Context(), host, rec("last")); !fresh || err != nil {
		t.Errorf("%v, %v", fresh, err)
	}
	server.Stop()
	if _, err := Take(t.Context(), host, rec("last")); !errors.As(err, new(*remote.UnreachableError)) {
		t.Errorf("a server that is down: %v", err)
	}
	server.Restart()
	if had, err := Release(t.Context(), host, "last"); !had || err != nil {
		t.Errorf("%v, %v", had, err)
	}
	if _, err := os.Stat(lock); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
