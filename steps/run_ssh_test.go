package steps

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
)

// openSSH runs commands by ssh(1): the real thing, and enough for these tests.
type openSSH struct{ config string }

func (o openSSH) Run(ctx context.Context, c remote.Cmd) error {
	c.Argv = []string{"ssh", "-F", o.config, "-o", "BatchMode=yes", "server", remote.Quote(c.Argv...)}
	err := remote.Local("").Run(ctx, c)
	if exit, ok := errors.AsType[*remote.ExitError](err); ok && exit.Status == 255 {
		return &remote.LostError{Host: "chat", Err: errors.New(strings.TrimSpace(exit.Stderr))}
	}
	return err
}

// TestRunLinkCut kills the SSH sessions of a running script, twice: it goes on,
// nothing of its log is missing, and it is not run again.
func TestRunLinkCut(t *testing.T) {
	remotetest.Need(t, "ssh")
	b := &runBox{home: t.TempDir()}
	// A home of its own: the tester's .bashrc may take its time, or break when killed.
	d := remotetest.StartSSHD(t, remotetest.SSHDOptions{Extra: []string{"SetEnv HOME=" + b.home}})
	b.over = openSSH{d.Config}
	t.Cleanup(func() { endJobs(t, b.home) })
	dir := t.TempDir()
	r := &run{
		Script: "echo x >>effects; for i in 1 2 3; do echo line $i; until [ -e go$i ]; do sleep .05; done; done",
		Dir:    dir, Progress: &LogProgress{Match: `line (\d)`, Total: 3},
	}
	e, log := runEnv(b.host())
	var mu sync.Mutex
	var links []string
	e.Link = func(s string) { mu.Lock(); defer mu.Unlock(); links = append(links, s) }
	done := make(chan error, 1)
	go func() { done <- r.Apply(t.Context(), e) }()
	for _, i := range []string{"1", "2", "3"} {
		for !strings.Contains(log.String(), "line "+i+"\n") {
			select {
			case err := <-done:
				t.Fatalf("ended early: %v\n%s", err, log)
			case <-time.After(10 * time.Millisecond):
			}
		}
		if i != "3" {
			d.KillSessions()
		}
		if err := os.WriteFile(dir+"/go"+i, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := content(t, dir+"/effects"); got != "x\n" {
		t.Errorf("effects %q", got)
	}
	if got, want := log.String(), "line 1\nline 2\nline 3\n"; got != want {
		t.Errorf("log %q, want %q", got, want)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(links) != 4 || !strings.HasPrefix(links[0], "lost (") || !strings.HasPrefix(links[1], "connected again") {
		t.Errorf("links: %q", links)
	}
}
