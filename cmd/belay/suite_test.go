package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/steps/engine"
	"belay/steps/journal"
)

// What the suites share: real OpenSSH servers, and a belay that is killed at a
// chosen point of what it does.

// killAt, in the environment, makes this test binary a belay that kills itself
// as kill -9 does: "run 17 before" is before the 17th command that it sends.
// The points are
//
//	append  an event goes into the journal; after: it is written and synced
//	run     a command is sent to a host; after: it has ended, nobody was told
//	send    a piece of a command's input is fetched, when all before it is sent
//	heard   a piece of a command's output has come; after: it is taken in
//
// The number 0 kills nobody and counts the points into the file countTo.
const (
	killAt  = "BELAY_TEST_KILL_AT"
	countTo = "BELAY_TEST_COUNT_TO"
)

var killPoints = []string{"append", "run", "send", "heard"}

// It is an init and not a part of TestMain because a keeper, too, is started
// from this binary, and must be killed the same way.
func init() {
	at := os.Getenv(killAt)
	if at == "" {
		return
	}
	d := &doom{count: map[string]*atomic.Int64{}}
	if _, err := fmt.Sscan(at, &d.kind, &d.n, &d.when); err != nil {
		panic(err)
	}
	for _, kind := range killPoints {
		d.count[kind] = &atomic.Int64{}
	}
	ownWorld(true)
	for name, walk := range walks {
		walks[name] = func(e *engine.Engine, ctx context.Context) (journal.Status, error) {
			e.Log = &doomedLog{e.Log, d}
			for name, h := range e.Hosts {
				h.Runner = doomedRunner{h.Runner, d}
				e.Hosts[name] = h
			}
			status, err := walk(e, ctx)
			d.tell()
			return status, err
		}
	}
	os.Exit(realMain())
}

// doom knows where this process dies.
type doom struct {
	kind, when string
	n          int64
	count      map[string]*atomic.Int64
}

// point does one thing of a kind, unless or until it is the one to die at.
func (d *doom) point(kind string, do func()) {
	here := d.count[kind].Add(1) == d.n && d.kind == kind
	if here && d.when == "before" {
		die()
	}
	do()
	if here {
		die()
	}
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func (d *doom) tell() {
	if path := os.Getenv(countTo); path != "" {
		var b strings.Builder
		for _, kind := range killPoints {
			fmt.Fprintln(&b, kind, d.count[kind].Load())
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			panic(err)
		}
	}
}

type doomedLog struct {
	engine.Log
	d *doom
}

func (l *doomedLog) Append(e journal.Event) (err error) {
	l.d.point("append", func() { err = l.Log.Append(e) })
	return err
}

type doomedRunner struct {
	remote.Runner
	d *doom
}

func (r doomedRunner) Run(ctx context.Context, c remote.Cmd) (err error) {
	if c.Stdin != nil {
		c.Stdin = doomedReader{c.Stdin, r.d}
	}
	if c.Stdout != nil {
		c.Stdout = doomedWriter{c.Stdout, r.d}
	}
	r.d.point("run", func() { err = r.Runner.Run(ctx, c) })
	return err
}

type doomedReader struct {
	io.Reader
	d *doom
}

func (r doomedReader) Read(b []byte) (n int, err error) {
	r.d.point("send", func() { n, err = r.Reader.Read(b) })
	return n, err
}

type doomedWriter struct {
	io.Writer
	d *doom
}

func (w doomedWriter) Write(b []byte) (n int, err error) {
	w.d.point("heard", func() { n, err = w.Writer.Write(b) })
	return n, err
}

// dress gives a server a host name of its own: an assessment rightly refuses
// one machine under three names.
func dress(t *testing.T, s *remotetest.SSHD, name string) {
	t.Helper()
	bin := filepath.Join(s.Dir, "bin")
	write(t, filepath.Join(bin, "uname"), "#!/bin/sh\n[ \"$*\" = -n ] && { echo "+name+"; exit; }\nPATH=${PATH#*:}\nexec uname \"$@\"\n")
	conf := filepath.Join(s.Dir, "sshd_config")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	home := "SetEnv HOME=" + s.Home
	err = errors.Join(os.Chmod(filepath.Join(bin, "uname"), 0o700),
		os.WriteFile(conf, []byte(strings.Replace(string(text), home, home+" PATH="+bin+":"+os.Getenv("PATH"), 1)), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	s.Restart()
}

// fleet are real OpenSSH servers, each with a HOME of its own, that belay
// knows by the names a, b, c …
type fleet struct {
	servers map[string]*remotetest.SSHD
	config  string // for BELAY_SSH_CONFIG
}

// newFleet starts the servers. lines go into ssh_config for all of them.
func newFleet(t *testing.T, names []string, lines ...string) *fleet {
	t.Helper()
	f := &fleet{servers: map[string]*remotetest.SSHD{}, config: filepath.Join(t.TempDir(), "ssh_config")}
	var text strings.Builder
	for _, name := range names {
		s := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
		f.servers[name] = s
		dress(t, s, name)
		own, err := os.ReadFile(s.Config)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(strings.Replace(string(own), "Host server", "Host "+name, 1))
	}
	if len(lines) > 0 {
		text.WriteString("Host *\n\t" + strings.Join(lines, "\n\t") + "\n")
	}
	write(t, f.config, text.String())
	return f
}
