package steps

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func gitRun(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"}, args...)...)
	cmd.Dir = dir
	// The same commits in every repository that a test makes.
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// gitRepo is a repository with tag v1 (annotated), branch main one commit
// further, and branch next beside it.
func gitRepo(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "origin")
	gitRun(t, ".", "init", "-q", dir)
	fileWrite(t, dir+"/f", "one", 0o644)
	fileWrite(t, dir+"/.gitignore", ".env\n", 0o644)
	gitRun(t, dir, "add", ".")
	gitRun(t, dir, "commit", "-q", "-m", "one")
	gitRun(t, dir, "tag", "-a", "-m", "v1", "v1")
	fileWrite(t, dir+"/f", "two", 0o644)
	gitRun(t, dir, "commit", "-q", "-a", "-m", "two")
	gitRun(t, dir, "branch", "next")
	return dir
}

// gitVolatile leaves out what git writes for itself; the tree and where HEAD
// points to remain.
func gitVolatile(rel string) bool {
	i := strings.Index(rel, ".git/")
	return i >= 0 && rel[i:] != ".git/HEAD"
}
