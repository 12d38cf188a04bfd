package remotetest

import (
	"os"
	"os/exec"
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

// NeedMachine skips t unless this machine was given to the tests: root, and
// BELAY_TEST_ALL=1 as `make test` and CI set it. It is for tests that make
// accounts or change files under /etc.
func NeedMachine(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 || os.Getenv("BELAY_TEST_ALL") != "1" {
		t.Skip("changes this machine (an account, sudo rules); run as root with BELAY_TEST_ALL=1")
	}
}
