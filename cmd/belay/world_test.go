package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"belay/remote"
	"belay/steps/engine"
	"belay/steps/journal"
)

// ownWorld keeps the runs of different tests from meeting in the lock of one
// machine: to the program, every state directory is a world of its own, also
// where the tests share a pretend server. BELAY_TEST_LOCK names another one for
// this machine; with BELAY_TEST_HOSTS=real the hosts are machines of their own
// and keep their locks where they belong.
func ownWorld(program bool) {
	state := os.Getenv("BELAY_STATE")
	if !program || state == "" {
		os.Setenv("BELAY_LOCK", filepath.Join(os.TempDir(), fmt.Sprintf("belay-test-%d.lock", os.Getpid())))
		return
	}
	lock := filepath.Clean(state) + ".lock"
	os.Setenv("BELAY_LOCK", cmp.Or(os.Getenv("BELAY_TEST_LOCK"), lock))
	for name, walk := range walks {
		walks[name] = func(e *engine.Engine, ctx context.Context) (journal.Status, error) {
			for name, h := range e.Hosts {
				if h.Addr != remote.Local("").Addr && os.Getenv("BELAY_TEST_HOSTS") != "real" {
					h.Runner = ownLock{h.Runner, lock + "." + name}
					e.Hosts[name] = h
				}
			}
			return walk(e, ctx)
		}
	}
}

// ownLock moves the lock of a host for the commands of package hold.
type ownLock struct {
	remote.Runner
	lock string
}

func (o ownLock) Run(ctx context.Context, c remote.Cmd) error {
	if slices.ContainsFunc(c.Argv, func(word string) bool { return strings.Contains(word, "echo belay-lock 1\n") }) {
		c.Argv = append([]string{"env", "BELAY_LOCK=" + o.lock}, c.Argv...)
	}
	return o.Runner.Run(ctx, c)
}
