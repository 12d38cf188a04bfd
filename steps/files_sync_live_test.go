package steps

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestFilesSyncLive: what changes at the source while it is copied is no
// failure of a live pass, and one of a pass that says nothing.
func TestFilesSyncLive(t *testing.T) {
	shell := fileShells(t)["dash"]
	dir := t.TempDir()
	fileWrite(t, dir+"/a/stays", "1", 0o644)
	fileWrite(t, dir+"/a/grows", "1", 0o644)
	s := filesSyncStep(dir+"/a", dir+"/b")
	s.Live = true
	e := filesSyncEnv(shell, shell)
	e.apply(t, s)
	fileWrite(t, dir+"/a/grows", "12", 0o644)
	fileWrite(t, dir+"/a/new", "1", 0o644)
	e.verify(t, s)
	if !strings.Contains(e.log.String(), "changed at the source since") {
		t.Errorf("log: %s", e.log.String())
	}
	s.Live = false
	if err := s.Verify(t.Context(), e.Env); err == nil {
		t.Error("a source that changed passed as alike")
	}
}

// TestFilesSyncLiveProof has the source change in ways that a proof may take
// for losses.
func TestFilesSyncLiveProof(t *testing.T) {
	dir := t.TempDir()
	// A host on which a file is written right before and right after it is read.
	busy := dir + "/bin"
	fileWrite(t, busy+"/sha256sum", `#!/bin/sh
PATH=${PATH#*:}
for f do case $f in */grows) echo more >>"$f" ;; esac; done
sha256sum "$@" || exit
for f do case $f in */grows) echo more >>"$f" ;; esac; done
`, 0o755)
	from := []string{"env", "PATH=" + busy + ":" + os.Getenv("PATH"), "dash"}
	fileWrite(t, dir+"/a/grows", "1", 0o644)
	fileWrite(t, dir+"/a/sub/stays", "1", 0o644)
	fileWrite(t, dir+"/new/deep/early", "1", 0o644) // is older than the copy, and comes by a rename
	fileWrite(t, dir+"/swap/stays", "another", 0o644)
	old := time.Now().Add(-time.Hour)
	for _, p := range []string{"/a/grows", "/a/sub/stays", "/a/sub", "/new/deep/early", "/new/deep", "/new", "/swap/stays", "/swap"} {
		if err := os.Chtimes(dir+p, old, old); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2500 * time.Millisecond) // so that the copy begins after all that, as a stamp tells
	s := filesSyncStep(dir+"/a", dir+"/b")
	s.Live = true
	e := filesSyncEnv(from, []string{"dash"})
	e.apply(t, s)
	e.verify(t, s)
	if got := content(t, dir+"/a/grows"); !strings.Contains(got, "more\nmore\n") || !strings.Contains(e.log.String(), "1 entry changed at the source since") {
		t.Errorf("nothing was written while it was read: %q, %s", got, e.log.String())
	}
	for _, err := range []error{
		os.Rename(dir+"/new", dir+"/a/new"),
		os.Rename(dir+"/a/sub", dir+"/former"),
		os.Rename(dir+"/swap", dir+"/a/sub"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	e.verify(t, s)
	// What is lost without any change at the source is found all the same.
	e = filesSyncEnv([]string{"dash"}, []string{"dash"})
	s.Live = true
	fileWrite(t, dir+"/c/kept/f", "1", 0o644)
	time.Sleep(2500 * time.Millisecond)
	s.From.Path, s.To.Path = dir+"/c", dir+"/d"
	e.apply(t, s)
	fileWrite(t, dir+"/c/kept/g", "1", 0o644) // the directory is busy
	if err := os.Remove(dir + "/d/kept/f"); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "kept/f is missing") {
		t.Errorf("a loss in a busy directory: %v", err)
	}
}
