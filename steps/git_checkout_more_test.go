package steps

import (
	"errors"
	"os"
	"strings"
	"testing"

	"belay/remote/remotetest"
)

func TestGitCheckoutRefs(t *testing.T) {
	remotetest.Need(t, "git", "dash")
	repo := gitRepo(t)
	one := gitRun(t, repo, "rev-parse", "v1^{commit}")
	two := gitRun(t, repo, "rev-parse", "main")
	for ref, want := range map[string]string{
		"v1": one, "main": two, "next": two, "refs/heads/main": two, "refs/tags/v1": one, one: one,
	} {
		for _, depth := range []int{0, 1} {
			e := newFileEnv([]string{"dash"})
			s := &gitCheckout{Repo: "file://" + repo, Dir: t.TempDir() + "/app", Ref: ref, Depth: depth}
			if err := s.Validate(); err != nil {
				t.Fatal(err)
			}
			e.apply(t, s)
			e.verify(t, s)
			if got := gitRun(t, s.Dir, "rev-parse", "HEAD"); got != want {
				t.Errorf("%s depth %d: at %s, not %s", ref, depth, got, want)
			}
			if n := gitRun(t, s.Dir, "rev-list", "--count", "HEAD"); depth == 1 && n != "1" {
				t.Errorf("%s depth 1: %s commits", ref, n)
			}
		}
	}
	e := newFileEnv([]string{"dash"})
	s := &gitCheckout{Repo: repo, Dir: t.TempDir() + "/app", Ref: "nothing"}
	if _, err := s.Pending(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "no branch or tag") {
		t.Errorf("pending: %v", err)
	}
	gitRun(t, repo, "tag", "main", "v1^{commit}")
	s.Ref = "main"
	if _, err := s.Pending(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "both a branch and a tag") {
		t.Errorf("pending: %v", err)
	}
}

// TestGitCheckoutPinned: a branch that moves during a run does not move the run.
func TestGitCheckoutPinned(t *testing.T) {
	remotetest.Need(t, "git", "dash")
	repo := gitRepo(t)
	e := newFileEnv([]string{"dash"})
	s := &gitCheckout{Repo: repo, Dir: t.TempDir() + "/app", Ref: "main"}
	e.apply(t, s)
	fileWrite(t, repo+"/f", "three", 0o644)
	gitRun(t, repo, "commit", "-q", "-a", "-m", "three")
	if c := e.pending(t, s); len(c) > 0 {
		t.Errorf("pending: %v", c)
	}
	e.verify(t, s)
	if c := newFileEnv([]string{"dash"}).pending(t, s); len(c) != 1 {
		t.Errorf("another run: %v", c)
	}
}

func TestGitCheckoutDirty(t *testing.T) {
	remotetest.Need(t, "git", "dash")
	repo := gitRepo(t)
	dir := t.TempDir() + "/app"
	gitRun(t, ".", "clone", "-q", repo, dir)
	fileWrite(t, dir+"/f", "mine", 0o644)
	// A hook of the tree must not run.
	fileWrite(t, dir+"/.git/hooks/post-checkout", "#!/bin/sh\ntouch "+dir+"/hooked\n", 0o755)
	e := newFileEnv([]string{"dash"})
	s := &gitCheckout{Repo: repo, Dir: dir, Ref: "v1", Clean: "refuse"}
	if _, err := s.Pending(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "M f") {
		t.Errorf("pending: %v", err)
	}
	if err := s.Apply(t.Context(), e.Env); err == nil {
		t.Error("apply did not refuse")
	}
	s.Clean = "overwrite"
	e.apply(t, s)
	e.verify(t, s)
	if _, err := os.Stat(dir + "/hooked"); err == nil {
		t.Error("a hook ran")
	}
	err := s.Undo(t.Context(), e.Env)
	if !errors.Is(err, ErrNoWayBack) {
		t.Errorf("undo: %v", err)
	}
	if got := gitRun(t, dir, "symbolic-ref", "--short", "HEAD"); got != "main" {
		t.Errorf("undo leads to %s", got)
	}
}

// TestGitCheckoutUsed: a clone in which something was made is kept on the way back.
func TestGitCheckoutUsed(t *testing.T) {
	remotetest.Need(t, "git", "dash")
	e := newFileEnv([]string{"dash"})
	s := &gitCheckout{Repo: gitRepo(t), Dir: t.TempDir() + "/app", Ref: "v1"}
	e.apply(t, s)
	fileWrite(t, s.Dir+"/.env", "ignored by git, but somebody's", 0o600)
	e.undo(t, s)
	if _, err := os.Stat(s.Dir); err == nil {
		t.Error("the clone is still there")
	}
	if _, err := os.Stat(s.Dir + ".after-" + e.ID + "/.env"); err != nil {
		t.Error(err)
	}
}

func TestGitCheckoutValidate(t *testing.T) {
	for _, s := range []gitCheckout{
		{Repo: "https://u:pw@h/r.git", Dir: "/x", Ref: "main"},
		{Repo: "ext::sh -c x", Dir: "/x", Ref: "main"},
		{Repo: "--upload-pack=x", Dir: "/x", Ref: "main"},
		{Repo: "relative/path", Dir: "/x", Ref: "main"},
		{Repo: "https://h/r.git", Dir: "x", Ref: "main"},
		{Repo: "https://h/r.git", Dir: "/x", Ref: "--force"},
		{Repo: "https://h/r.git", Dir: "/x", Ref: "a..b"},
		{Repo: "https://h/r.git", Dir: "/x", Ref: "main", Depth: -1},
	} {
		if s.Validate() == nil {
			t.Errorf("%+v was not refused", s)
		}
	}
	for _, repo := range []string{"https://h/r.git", "git@h:me/r.git", "ssh://git@h:22/r", "/srv/r.git", "file:///srv/r"} {
		if err := (&gitCheckout{Repo: repo, Dir: "/x", Ref: "v1.2.0"}).Validate(); err != nil {
			t.Errorf("%s: %v", repo, err)
		}
	}
}
