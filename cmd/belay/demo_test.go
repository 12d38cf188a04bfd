package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startDemo starts a headless demo with directories of its own.
func startDemo(t *testing.T, args ...string) (cmd *exec.Cmd, tmp string, out *strings.Builder) {
	t.Helper()
	tmp, out = t.TempDir(), &strings.Builder{}
	cmd = exec.CommandContext(t.Context(), program(t), append([]string{"demo", "--headless"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "HOME="+t.TempDir(), "BELAY_TEST_DEMO="+tmp)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, tmp, out
}

// nothingLeft looks for processes and files of a demo that is over.
func nothingLeft(t *testing.T, tmp string) {
	t.Helper()
	for _, pid := range demoProcesses(t, tmp) {
		t.Errorf("process %s is still running", pid)
	}
	left, err := os.ReadDir(tmp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("%s is still there", filepath.Join(tmp, e.Name()))
	}
}

// demoProcesses are those whose environment names tmp (Linux).
func demoProcesses(t *testing.T, tmp string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		if env, err := os.ReadFile(file); err == nil && strings.Contains(string(env), "BELAY_TEST_DEMO="+tmp) {
			found = append(found, filepath.Base(filepath.Dir(file)))
		}
	}
	return found
}

func TestDemoHeadless(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"forward": {nil, exitClosed, []string{"verdict healthy", "run ended: closed"}},
		"cutover": {[]string{"--fail", "cutover"}, exitRolledBack, []string{"FAILED  Wait until the new chat is healthy", "undone  Stop the old chat", "run ended: rolled back"}},
		"soak":    {[]string{"--fail", "soak"}, exitRolledBack, []string{"verdict degraded", "undone  Stop the old chat", "run ended: rolled back"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			cmd, tmp, out := startDemo(t, c.args...)
			err := cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Fatalf("%v, want exit code %d\n%s", err, c.code, out)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
			nothingLeft(t, tmp)
		})
	}
}

// TestDemoInterrupted ends a demo in its middle, as Ctrl-C does.
func TestDemoInterrupted(t *testing.T) {
	cmd, tmp, out := startDemo(t)
	for start := time.Now(); len(demoProcesses(t, tmp)) < 2; time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatalf("the old chat never ran:\n%s", out)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Errorf("an interrupted demo said all went well:\n%s", out)
	}
	nothingLeft(t, tmp)
}
