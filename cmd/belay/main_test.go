package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"belay/remote/lab"
)

// TestMain makes this test binary the program, too: under the name belay (for
// the scripts and whoever finds it on PATH) and as the belay that dies.
func TestMain(m *testing.M) {
	// The demo's servers run the program under a name of their own.
	if len(os.Args) > 1 && os.Args[1] == "lab-chat" {
		main()
	}
	ownWorld(filepath.Base(os.Args[0]) == "belay" || os.Getenv(dieAt) != "")
	if os.Getenv(dieAt) != "" {
		os.Exit(mortalMain())
	}
	// What the machine of the tests has set must not leak into them; what a
	// test sets for the program must reach it.
	if filepath.Base(os.Args[0]) != "belay" {
		for _, name := range []string{"SSH_CONNECTION", "SSH_CLIENT", "XDG_STATE_HOME", "BELAY_STATE", "BELAY_SSH_CONFIG"} {
			os.Unsetenv(name)
		}
	}
	testscript.Main(m, map[string]func(){"belay": main})
}

// TestScripts runs testdata/script/*.txtar. Besides testscript's own commands:
//
//	code N PROGRAM…   run it; it must end with status N
//	far up|cut|back   a pretend server "far" that belay knows, its link cut, mended
//	flip FILE A B     replace A by B in a file, which must hold A
//	tree FILE DIR     write names, modes and contents under DIR to FILE
//	fill FILE…        put the script's directory in place of WORK in files
//	run               set $RUN to the only run under the state directory
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Values["lab"] = &scriptLab{}
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("BELAY_STATE", filepath.Join(e.WorkDir, "state"))
			e.Setenv("BELAY_SSH_CONFIG", os.DevNull)
			e.Setenv("TMPDIR", filepath.Join(e.WorkDir, ".tmp"))
			return os.MkdirAll(filepath.Join(e.WorkDir, "home"), 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": scriptCode, "far": scriptFar, "flip": scriptFlip, "tree": scriptTree, "run": scriptRun,
			"fill": scriptFill,
		},
	})
}

func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("ended with %d, want %d", got, want)
	}
}

// scriptLab is where a script keeps its pretend server.
type scriptLab struct{ *lab.Lab }

func scriptFar(ts *testscript.TestScript, _ bool, args []string) {
	l := ts.Value("lab").(*scriptLab)
	switch {
	case len(args) == 1 && args[0] == "up" && l.Lab == nil:
		var err error
		l.Lab, err = lab.Start(context.Background(), ts.MkAbs("lab"), "far")
		ts.Check(err)
		ts.Setenv("BELAY_SSH_CONFIG", l.SSHConfig())
		ts.Setenv("FAR", l.Home("far"))
		ts.Defer(func() {
			if err := l.Stop(); err != nil {
				ts.Logf("the lab: %v", err)
			}
		})
	case len(args) == 1 && args[0] == "cut":
		l.Cut("far")
	case len(args) == 1 && args[0] == "back":
		ts.Check(l.Restore("far"))
	default:
		ts.Fatalf("usage: far up|cut|back")
	}
}

func scriptFlip(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	changed := strings.Replace(text, args[1], args[2], 1)
	if changed == text {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(changed), 0o600))
}

func scriptTree(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(tree(ts.MkAbs(args[1]))), 0o600))
}

func scriptFill(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		text := strings.ReplaceAll(ts.ReadFile(file), "WORK", ts.Getenv("WORK"))
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}

func scriptRun(ts *testscript.TestScript, _ bool, _ []string) {
	found, err := filepath.Glob(filepath.Join(ts.Getenv("BELAY_STATE"), "runs", "*"))
	ts.Check(err)
	if len(found) != 1 {
		ts.Fatalf("there are %d runs: %q", len(found), found)
	}
	ts.Setenv("RUN", found[0])
}

// tree lists what is under dir: names, modes, contents. What belay keeps for
// its own use on a host (jobs, under .local) is no part of it.
func tree(dir string) string {
	var b strings.Builder
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			b.WriteString(err.Error() + "\n")
			return nil
		}
		if d.Name() == ".local" || d.Name() == "tmp" {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		b.WriteString(strings.TrimPrefix(path, dir) + " " + info.Mode().String())
		if info.Mode().IsRegular() {
			text, _ := os.ReadFile(path)
			b.WriteString(" " + strconv.Quote(string(text)))
		}
		b.WriteString("\n")
		return nil
	})
	return b.String()
}

// processes are the command lines of this machine that match, by process id.
func processes(t *testing.T, match string) map[int]string {
	t.Helper()
	re := regexp.MustCompile(match)
	found := map[int]string{}
	dirs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(dirs) == 0 {
		t.Skip("needs /proc")
	}
	for _, path := range dirs {
		line, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if text := strings.ReplaceAll(string(line), "\x00", " "); re.MatchString(text) {
			found[pid] = text
		}
	}
	return found
}

// program is the path of belay: this test binary under its other name.
func program(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("belay")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// belay runs the program in dir with further environment and returns how it
// ended and what it said.
func belay(t *testing.T, dir string, env []string, args ...string) (code int, out string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), program(t), args...)
	c.Dir, c.Env = dir, append(os.Environ(), env...)
	b, err := c.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if c.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
		t.Fatalf("belay %q was killed:\n%s", args, b)
	}
	return c.ProcessState.ExitCode(), string(b)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// theRun is the only run directory under a state directory.
func theRun(t *testing.T, state string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(state, "runs", "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("runs: %q, %v", found, err)
	}
	return found[0]
}
