package job

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/secret"
)

// hold runs until there is a file go in the home directory.
const hold = "until [ -e $HOME/go ]; do sleep .02; done"

func start(t *testing.T, m *machine, s Spec) {
	t.Helper()
	if rep, err := Start(t.Context(), m, s); err != nil || rep.State != Running {
		t.Fatalf("start: %+v %v", rep, err)
	}
	until(t, "the command has begun", func() bool { return exists(m.dir(s.ID) + "/pid") })
}

func look(t *testing.T, m *machine, id string) Report {
	t.Helper()
	rep, err := Look(t.Context(), m, id)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func pidIn(t *testing.T, m *machine, id, file string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.Fields(read(t, m.dir(id)+"/"+file))[0])
	if err != nil || pid < 2 {
		t.Fatal(pid, err)
	}
	return pid
}

func rewrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestStates(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		want := func(id string, s State) {
			t.Helper()
			if rep := look(t, m, id); rep.State != s {
				t.Errorf("%s, want %s", rep.State, s)
			}
		}
		want("none", None)
		if exists(m.home + "/.local") {
			t.Error("a look made something")
		}
		if _, err := Follow(t.Context(), m, "none", Options{}); err == nil {
			t.Error("followed a job that nobody started")
		}

		start(t, m, Spec{ID: "j", Script: hold})
		want("j", Running)
		claim := read(t, m.dir("j/claim"))
		w := strings.Fields(claim)
		rewrite(t, m.dir("j/claim"), w[0]+" "+w[1]+" 12345\n") // a reused pid: other start time
		want("j", Orphaned)
		rewrite(t, m.dir("j/claim"), w[0]+" 00000000-0000-0000-0000-000000000000 "+w[2]+"\n")
		want("j", Rebooted)
		rewrite(t, m.dir("j/claim"), "garbage $(touch "+m.home+"/pwned) `id` *\n")
		want("j", Rebooted)
		rewrite(t, m.dir("j/claim"), claim)
		want("j", Running)

		// The minder dies, the command lives; then its pid is somebody else's.
		if err := syscall.Kill(pidIn(t, m, "j", "claim"), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		until(t, "orphaned", func() bool { return look(t, m, "j").State == Orphaned })
		var unknown *UnknownError
		if _, err := Run(t.Context(), m, Spec{ID: "j", Script: hold}, Options{}); !errors.As(err, &unknown) || unknown.State != Orphaned {
			t.Error(err)
		}
		pid := read(t, m.dir("j/pid"))
		p := strings.Fields(pid)
		rewrite(t, m.dir("j/pid"), p[0]+" "+p[1]+" 12345\n")
		want("j", Lost)
		rewrite(t, m.dir("j/pid"), pid)
		want("j", Orphaned)
		rewrite(t, m.home+"/go", "")
		until(t, "lost", func() bool { return look(t, m, "j").State == Lost })
		if _, err := Run(t.Context(), m, Spec{ID: "j", Script: hold}, Options{}); !errors.As(err, &unknown) || unknown.State != Lost {
			t.Error(err)
		}
		if exists(m.home + "/pwned") {
			t.Error("a file's text was run")
		}
	})
}

func TestCancelBefore(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		for range 2 {
			rep, err := Cancel(t.Context(), m, "b", 0)
			if diff := cmp.Diff(Report{State: Done, Cancelled: true, Reaped: true}, rep); err != nil || diff != "" {
				t.Error(err, diff)
			}
		}
		var c *CancelledError
		if _, err := Run(t.Context(), m, Spec{ID: "b", Script: "echo x >$HOME/ran"}, Options{}); !errors.As(err, &c) || c.Began {
			t.Error(err)
		}
		if exists(m.home + "/ran") {
			t.Error("it ran all the same")
		}
	})
}

// TERM is ignored by a child; the group's KILL reaches it even though the
// leader, and with it the job, ended at once.
func TestCancelWhile(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		s := Spec{ID: "w", Script: `sh -c 'trap "" TERM; echo $$ >$HOME/child; while :; do sleep .05; done' & echo words; wait`}
		start(t, m, s)
		until(t, "the child is up", func() bool { return lines(m.home+"/child") == 1 })
		child, err := strconv.Atoi(strings.TrimSpace(read(t, m.home+"/child")))
		if err != nil {
			t.Fatal(err)
		}
		rep, err := Cancel(t.Context(), m, "w", 200*time.Millisecond)
		if err != nil || rep.State != Done || rep.Status != 143 || !rep.Cancelled {
			t.Error(err, rep)
		}
		until(t, "the child is gone", func() bool { return !alive(child) })
		var c *CancelledError
		var log bytes.Buffer
		if _, err := Run(t.Context(), m, s, Options{Log: &log}); !errors.As(err, &c) || !c.Began || c.Status != 143 || log.String() != "words\n" {
			t.Error(err, log.String())
		}
	})
}

// A second cancel finishes what a first one, cut off after TERM, left.
func TestCancelAgain(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		start(t, m, Spec{ID: "a", Script: `sh -c 'trap "" TERM; echo $$ >$HOME/child; while :; do sleep .05; done' & wait`})
		until(t, "the child is up", func() bool { return lines(m.home+"/child") == 1 })
		child, _ := strconv.Atoi(strings.TrimSpace(read(t, m.home+"/child")))
		rewrite(t, m.dir("a/cancel"), "")
		if err := syscall.Kill(-pidIn(t, m, "a", "pid"), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		until(t, "the job has ended", func() bool { return exists(m.dir("a/rc")) })
		if _, err := Cancel(t.Context(), m, "a", 0); err != nil {
			t.Error(err)
		}
		until(t, "the child is gone", func() bool { return !alive(child) })
	})
}

func TestCancelAfter(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		s := Spec{ID: "after", Script: "sleep 60 & echo $! >$HOME/left"}
		if _, err := Run(t.Context(), m, s, Options{}); err != nil {
			t.Fatal(err)
		}
		left, _ := strconv.Atoi(strings.TrimSpace(read(t, m.home+"/left")))
		defer syscall.Kill(left, syscall.SIGKILL)
		rep, err := Cancel(t.Context(), m, "after", 0)
		if err != nil || rep.Cancelled || rep.State != Done || rep.Status != 0 {
			t.Error(err, rep)
		}
		if !alive(left) {
			t.Error("what the ended job left running was killed")
		}
	})
}

// A process group that happens to have the number of the job's is let live.
func TestCancelSparesStrangers(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		start(t, m, Spec{ID: "mine", Script: hold})
		time.Sleep(50 * time.Millisecond)                       // born in the same tick (10 ms), the stranger could not be told from the job
		stranger := exec.Command("sh", "-c", "sleep 60 & wait") // #nosec: a fixed script
		stranger.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := stranger.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { syscall.Kill(-stranger.Process.Pid, syscall.SIGKILL); stranger.Wait() }()
		p := strings.Fields(read(t, m.dir("mine/pid")))
		real := pidIn(t, m, "mine", "pid")
		for _, n := range []string{strconv.Itoa(stranger.Process.Pid), "0", "1", "-1", "1x", ""} {
			rewrite(t, m.dir("mine/pid"), fmt.Sprintf("%s %s %s\n", n, p[1], p[2]))
			if n == "1" { // even with init's own start time
				rewrite(t, m.dir("mine/pid"), fmt.Sprintf("1 %s %s\n", p[1], statField(t, 1, 22)))
			}
			if rep := look(t, m, "mine"); rep.State != Running {
				t.Fatal(rep)
			}
			os.Remove(m.dir("mine/cancel"))
			cancelQuick(t, m, "mine")
			if !alive(stranger.Process.Pid) {
				t.Fatalf("pid %q: a stranger was killed", n)
			}
		}
		rewrite(t, m.dir("mine/pid"), strings.Join(p, " ")+"\n")
		if _, err := Cancel(t.Context(), m, "mine", 0); err != nil || alive(real) {
			t.Error("the real one lives on:", err)
		}
	})
}

// cancelQuick does not wait for the job to end, which it will not.
func cancelQuick(t *testing.T, m *machine, id string) {
	t.Helper()
	script := strings.Replace(protocol, "[ $i -lt 50 ]", "[ $i -lt 1 ]", 1)
	cmd := remote.Sh(bootstrap, strconv.Itoa(len(script)), "cancel", id, "0")
	cmd.Stdin = strings.NewReader(script)
	if err := m.Run(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
}

// alive is false for a zombie, too: who reaps it is not the job's business.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(b, []byte(") Z "))
}

func statField(t *testing.T, pid, n int) string {
	s := read(t, fmt.Sprintf("/proc/%d/stat", pid))
	return strings.Fields(s[strings.LastIndex(s, ")")+1:])[n-3]
}

func TestReap(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		s := Spec{ID: "r", Script: "echo words >>$HOME/ran; echo words; " + hold + "; exit 6"}
		start(t, m, s)
		if rep, err := Reap(t.Context(), m, "r"); err != nil || rep.Reaped || rep.State != Running || !exists(m.dir("r/log")) {
			t.Error("reaped while it ran:", err, rep)
		}
		rewrite(t, m.home+"/go", "")
		settled(t, m, "r")
		for range 2 {
			rep, err := Reap(t.Context(), m, "r")
			if diff := cmp.Diff(Report{State: Done, Began: true, Status: 6, Reaped: true}, rep); err != nil || diff != "" {
				t.Error(err, diff)
			}
		}
		names, _ := filepath.Glob(m.dir("r/*"))
		hidden, _ := filepath.Glob(m.dir("r/.[a-z]*"))
		if len(names) != 3 || len(hidden) != 0 {
			t.Error(names, hidden)
		}
		var exit *remote.ExitError
		if res, err := Run(t.Context(), m, s, Options{Offset: 6}); !errors.As(err, &exit) || exit.Status != 6 || res.Shrunk {
			t.Error(err, res)
		}
		var conflict *ConflictError
		if _, err := Run(t.Context(), m, Spec{ID: "r", Script: "other"}, Options{}); !errors.As(err, &conflict) {
			t.Error(err)
		}
		if n := lines(m.home + "/ran"); n != 1 {
			t.Errorf("ran %d times", n)
		}
	})
}

// The secret must not be in any file of the job, nor on a command line or in
// an environment of any process, while it is in use.
func TestSecretIsNowhere(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		planted := fmt.Sprintf("planted-%d-%s", os.Getpid(), filepath.Base(m.home))
		s := Spec{ID: "sec", Script: "read -r s; echo ${#s}; " + hold, Stdin: secret.New(planted + "\n")}
		start(t, m, s)
		until(t, "the secret was read", func() bool { return lines(m.dir("sec/log")) == 1 })
		files, looked := secretPlaces(t, m.home), 0
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				continue // a process that is gone
			}
			looked++
			for _, form := range []string{planted, encode(planted)} {
				if bytes.Contains(b, []byte(form)) {
					t.Errorf("%s holds the secret", f)
				}
			}
		}
		if looked < 20 || strings.TrimSpace(read(t, m.dir("sec/log"))) != strconv.Itoa(len(planted)) {
			t.Errorf("%d places looked at, log %q", looked, read(t, m.dir("sec/log")))
		}
		rewrite(t, m.home+"/go", "")
		settled(t, m, "sec")
	})
}

func secretPlaces(t *testing.T, home string) []string {
	var all []string
	err := filepath.WalkDir(home, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"/proc/[0-9]*/cmdline", "/proc/[0-9]*/environ"} {
		files, _ := filepath.Glob(pattern)
		all = append(all, files...)
	}
	return all
}
