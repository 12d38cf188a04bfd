package remotetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Need skips t, saying why, unless all the named programs are installed. With
// BELAY_TEST_ALL=1, as `make test` and CI set it, a missing one fails t
// instead: there nothing may be skipped. A few programs are looked for where
// Debian keeps them outside PATH (sshd, dockerd, PostgreSQL's own).
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if Find(p) != "" {
			continue
		}
		if os.Getenv("BELAY_TEST_ALL") == "1" {
			t.Fatalf("%s is not installed, and BELAY_TEST_ALL=1 forbids to skip; `make test` installs it", p)
		}
		t.Skipf("needs %s, which is not installed (`make test` installs it)", p)
	}
}

// Find returns the path of an installed program, or "".
func Find(program string) string {
	if p, err := exec.LookPath(program); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin"} {
		p := dir + "/" + program
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
			return p
		}
	}
	return ""
}

// needIn is the path of the first of some programs that is among those that
// Newer gave; or, where programs is empty, of the last, which t then needs.
func needIn(t testing.TB, programs string, names ...string) string {
	t.Helper()
	if programs == "" {
		name := names[len(names)-1]
		Need(t, name)
		return Find(name)
	}
	for _, name := range names {
		for _, dir := range []string{"usr/bin", "usr/sbin", "usr/lib/postgresql/*/bin"} {
			if found, _ := filepath.Glob(filepath.Join(programs, dir, name)); len(found) > 0 {
				return found[0]
			}
		}
	}
	t.Fatalf("none of %q is in %s", names, programs)
	return ""
}

// Newer returns the directory into which `.ci/newer` unpacked a server that is
// newer than this system's, such as BELAY_MYSQL=/var/cache/belay/…: its
// programs are in usr/bin, usr/sbin and usr/lib below it. Without it t is
// skipped, or fails as in Need, unless the variable is "none": Debian's archive
// could not give it.
func Newer(t testing.TB, variable string) string {
	t.Helper()
	switch dir := os.Getenv(variable); {
	case dir == "none":
		t.Skipf("%s=none: Debian's archive could not give it today", variable)
	case dir != "":
		return dir
	case os.Getenv("BELAY_TEST_ALL") == "1":
		t.Fatalf("%s is not set, and BELAY_TEST_ALL=1 forbids to skip; `make test` sets it", variable)
	default:
		t.Skipf("needs %s (`make test` sets it, see .ci/newer)", variable)
	}
	return ""
}

// NeedMachine skips t unless this machine was given to the tests: root, and
// BELAY_TEST_ALL=1 as `make test` and CI set it. It is for tests that make
// accounts or change files under /etc.
func NeedMachine(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 || os.Getenv("BELAY_TEST_ALL") != "1" {
		t.Skip("changes this machine (an account, sudo rules); run as root with BELAY_TEST_ALL=1")
	}
}
