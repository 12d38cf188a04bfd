package dockerlab

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// API is the program remote/lab/dockerlab/api, static, for Server.Files.
func API(t testing.TB) string {
	t.Helper()
	return string(build(t, "api"))
}

// build makes a static program of a package beside this one.
func build(t testing.TB, name string) []byte {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "belay/remote/lab/dockerlab/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", name, err, out)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	return program
}
