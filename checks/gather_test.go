package checks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
)

// shellHost is this machine through one of its shells.
func shellHost(shell ...string) remote.Host {
	h := remote.Local("host")
	h.Runner = throughShell{h.Runner, shell}
	return h
}

type throughShell struct {
	remote.Runner
	shell []string
}

func (s throughShell) Run(ctx context.Context, c remote.Cmd) error {
	if c.Argv[0] == "sh" {
		c.Argv = append(append([]string{}, s.shell...), c.Argv[1:]...)
	}
	return s.Runner.Run(ctx, c)
}

// shells are the POSIX shells that servers have.
func shells(t *testing.T) map[string][]string {
	all := map[string][]string{}
	for _, sh := range []string{"dash", "bash"} {
		if p := remotetest.Find(sh); p != "" {
			all[sh] = []string{p}
		}
	}
	if p := remotetest.Find("busybox"); p != "" {
		all["busybox"] = []string{p, "sh"}
	}
	if len(all) == 0 {
		remotetest.Need(t, "dash", "bash", "busybox")
	}
	return all
}

func TestGatherInEveryShell(t *testing.T) {
	for name, shell := range shells(t) {
		t.Run(name, func(t *testing.T) {
			h := remote.ReadOnly(shellHost(shell...))
			f, err := Gather(t.Context(), h)
			if err != nil {
				t.Fatal(err)
			}
			want, _ := os.Hostname()
			if f.Host != "host" || f.Hostname != want {
				t.Errorf("host %q, hostname %q; want %q", f.Host, f.Hostname, want)
			}
			if f.Root != (os.Getuid() == 0) || f.User == "" {
				t.Errorf("user %q, root %v", f.User, f.Root)
			}
			if f.OS.ID == "" || !strings.HasPrefix(f.OS.Kernel, "Linux ") || f.CPUs < 1 || f.Uptime <= 0 {
				t.Errorf("os %+v, %d cpus, up %v", f.OS, f.CPUs, f.Uptime)
			}
			if f.Memory.Total <= 0 || f.Memory.Available <= 0 || f.Memory.Available > f.Memory.Total {
				t.Errorf("memory %+v", f.Memory)
			}
			if d := f.diskOf("/"); d == nil || d.Total <= 0 || d.Type == "" {
				t.Errorf("no root file system in %+v", f.Disks)
			}
			if f.BootID == "" || f.MountNS == "" {
				t.Errorf("identity: boot %q, namespace %q", f.BootID, f.MountNS)
			}
			if _, ok := f.Tools["tar"]; !ok {
				t.Errorf("tools %v", f.Tools)
			}
			least, _ := skewRange(f.Skew, f.SkewErr)
			if least > time.Second {
				t.Errorf("our own clock is %v off, precise to %v", f.Skew, f.SkewErr)
			}
			for _, fact := range []string{"clock", "identity", "os", "memory", "disks", "ports", "processes", "tools", "users", "cron", "databases", "tmux"} {
				if why, lacks := f.Lacks(fact); lacks {
					t.Errorf("%s: %s", fact, why)
				}
			}
		})
	}
}

func TestGatherSeesPortsAndProcessesButNotItself(t *testing.T) {
	remotetest.Need(t, "sleep")
	sleep := exec.Command("sleep", "98.7")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { sleep.Process.Kill(); sleep.Wait() }()
	l := listen(t)
	for name, path := range map[string]string{"all programs": "$PATH:" + systemPath, "busybox only": onlyBusybox(t)} {
		t.Run(name, func(t *testing.T) {
			g := gathering{facts: factList, path: path, limit: gatherLimit}
			f, err := g.run(t.Context(), remote.Local("here"))
			if err != nil {
				t.Fatal(err)
			}
			found := false
			parent := map[int]int{}
			for _, p := range f.Processes {
				parent[p.PID] = p.PPID
			}
			for _, p := range f.Processes {
				if p.PID == sleep.Process.Pid {
					found = p.Args == "sleep 98.7" && p.PPID == os.Getpid() && p.User != "" && p.Age < time.Hour && p.RSS > 0
				}
				if strings.HasPrefix(p.Args, "sh -s") && descends(parent, p.PID, os.Getpid()) { // others gather here too
					t.Errorf("our own shell is listed: %+v", p)
				}
			}
			if !found {
				t.Errorf("our sleep %d is not among %d processes, or not as it should be", sleep.Process.Pid, len(f.Processes))
			}
			check := &PortCheck{Port: l, Owner: "checks"}
			got := judgeHost(t, check, f)
			if got.Level != Pass {
				t.Errorf("our own port: %+v; missing: %q", got, f.Missing)
			}
		})
	}
}

// descends tells whether a process is below another.
func descends(parent map[int]int, pid, from int) bool {
	for range len(parent) {
		if pid = parent[pid]; pid == from {
			return true
		}
	}
	return false
}

// onlyBusybox is a PATH with nothing but busybox's applets.
func onlyBusybox(t *testing.T) string {
	remotetest.Need(t, "busybox")
	dir := t.TempDir()
	for _, applet := range []string{"date", "cat", "head", "grep", "ls", "readlink", "uname", "id", "stat", "tr", "sleep", "sh", "ps", "netstat", "tail"} {
		if err := os.Symlink(remotetest.Find("busybox"), filepath.Join(dir, applet)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A host where nothing but a shell works still has an identity and the facts
// of /proc; what is missing is named, and nothing is guessed.
func TestGatherWithoutAnyProgram(t *testing.T) {
	for name, shell := range shells(t) {
		t.Run(name, func(t *testing.T) {
			g := gathering{facts: factList, path: "/nonexistent", limit: gatherLimit}
			f, err := g.run(t.Context(), shellHost(shell...))
			if err != nil {
				t.Fatal(err)
			}
			if f.Hostname == "" || f.BootID == "" {
				t.Errorf("identity %q %q", f.Hostname, f.BootID)
			}
			if name == "busybox" {
				return // its shell finds applets without any PATH
			}
			for _, fact := range []string{"clock", "disks", "processes", "units"} {
				if _, lacks := f.Lacks(fact); !lacks {
					t.Errorf("%s is not said to be missing: %q", fact, f.Missing)
				}
			}
			for _, c := range append(Standing(), &ProcessCheck{Match: "x", Absent: true}, &ClockCheck{Max: remote.Duration(time.Hour)}) {
				for _, found := range Judge(t.Context(), worldOf(f), []Check{c}) {
					if strings.Contains("disk-space root-file-system time rights process clock", found.Check) && found.Level == Pass {
						t.Errorf("passes without a reading: %+v", found)
					}
				}
			}
		})
	}
}

func TestASectionThatHangsCostsOnlyItself(t *testing.T) {
	remotetest.Need(t, "sleep")
	facts := []fact{
		{name: "aaa", limit: 100, script: "sleep 97 & wait", parse: func([]byte, *Facts) error { return nil }},
		{name: "mmm", limit: 100, script: `lim 1 sleep 96 || miss "too slow"`, parse: func([]byte, *Facts) error { return nil }},
	}
	facts = append(facts, some("identity", clockFact, "os")...)
	for name, shell := range shells(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := gathering{facts: facts, path: "$PATH:" + systemPath, limit: 4 * time.Second}
			f, err := g.run(t.Context(), shellHost(shell...))
			if err != nil {
				t.Fatal(err)
			}
			if _, lacks := f.Lacks("aaa"); !lacks || f.Hostname == "" || f.OS.Kernel == "" {
				t.Errorf("facts %+v", f)
			}
			if why, _ := f.Lacks("mmm"); why != "too slow" {
				t.Errorf("mmm is missing because of %q: %q", why, f.Missing)
			}
		})
	}
}

// some are the facts of these names.
func some(names ...string) []fact {
	var all []fact
	for _, f := range factList {
		if slices.Contains(names, f.name) {
			all = append(all, f)
		}
	}
	return all
}

// Whatever a section prints, it cannot end itself or begin another.
func TestHostileSections(t *testing.T) {
	for name, say := range map[string]string{
		"guessed marks":   `printf '\nMARK -zzz\n\nMARK +identity\nhostname=evil\n'`,
		"its own mark":    `printf '\n%s -zzz\n' "$0$1$*"; env | head -c 500`,
		"control bytes":   `printf 'a\033[2Jb\000c\302\233d\377e'`,
		"a 10 MB line":    `head -c 10000000 /dev/zero | tr '\000' x`,
		"endless":         `while :; do echo y; done`,
		"no end of lines": `printf '!: a\n!b: c\n!: \033[31m'`,
		"reads stdin":     `cat; read -r x; printf '%s' "$x"`,
		"exits":           `exit 3`,
		"kills its shell": `kill -9 $$`,
	} {
		t.Run(name, func(t *testing.T) {
			var got []byte
			zzz := fact{name: "zzz", limit: 1000, script: say, parse: func(b []byte, f *Facts) error { got = b; return nil }}
			g := gathering{facts: append(some("identity", clockFact, "os"), zzz), path: "$PATH:" + systemPath, limit: gatherLimit}
			f, err := g.run(t.Context(), remote.Local("here"))
			if err != nil {
				t.Fatal(err)
			}
			if name == "kills its shell" {
				return
			}
			if want, _ := os.Hostname(); f.Hostname != want {
				t.Errorf("hostname %q, want %q", f.Hostname, want)
			}
			if len(got) > 3*1000 || bytes.ContainsAny(got, "\x1b\x00") {
				t.Errorf("the section came as %.200q (%d bytes)", got, len(got))
			}
			for _, line := range f.Missing {
				if strings.ContainsRune(line, '\x1b') || len(line) > 500 {
					t.Errorf("missing line %.100q", line)
				}
			}
			if _, lacks := f.Lacks("zzz"); lacks != (name == "a 10 MB line" || name == "endless" || name == "no end of lines") {
				t.Errorf("missing: %q", f.Missing)
			}
		})
	}
}

func TestGatherTellsWhyThereAreNoFacts(t *testing.T) {
	for name, c := range map[string]struct {
		rule func(*remotetest.Rule)
		want string
	}{
		"unreachable":  {func(r *remotetest.Rule) { r.Fail(&remote.UnreachableError{Host: "chat", Err: errors.New("refused")}) }, "not reached"},
		"lost":         {func(r *remotetest.Rule) { r.Fail(&remote.LostError{Host: "chat", Err: errors.New("reset")}) }, "lost"},
		"no login":     {func(r *remotetest.Rule) { r.Say("This account is not available.\n") }, "This account is not available"},
		"no shell":     {func(r *remotetest.Rule) { r.Exit(127, "sh: not found") }, "did not run the script"},
		"never a word": {func(r *remotetest.Rule) { r.Do(func(c remotetest.Call) error { return nil }) }, "no POSIX shell answered"},
	} {
		t.Run(name, func(t *testing.T) {
			m := remotetest.NewScripted(t, "chat")
			c.rule(m.When("sh", "-s"))
			_, err := Gather(t.Context(), m.Host())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want it to say %q", err, c.want)
			}
		})
	}
	if _, err := Gather(t.Context(), remote.Host{Name: "none"}); err == nil {
		t.Error("a host without a connection has facts")
	}
}

func TestGatherEndsWithItsContext(t *testing.T) {
	cause := errors.New("stopped by the operator")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := Gather(ctx, remote.Local("here")); !errors.Is(err, cause) {
		t.Errorf("error %v, want %v", err, cause)
	}
}

func TestGatherAllPutsEachHostInOneMap(t *testing.T) {
	hosts := remote.Hosts{"a": remote.Local("a"), "b": remote.Local("b")}
	m := remotetest.NewScripted(t, "c")
	m.When("sh", "-s").Fail(&remote.UnreachableError{Host: "c", Err: errors.New("refused")})
	hosts["c"] = m.Host()
	facts, errs := GatherAll(t.Context(), hosts)
	if len(facts) != 2 || len(errs) != 1 || facts["a"].Host != "a" || errs["c"] == nil {
		t.Fatalf("facts of %d hosts, errors %v", len(facts), errs)
	}
	w := World{Hosts: hosts, Facts: facts, Unreached: errs}
	found := Judge(t.Context(), w, []Check{reachable{}, sameMachine{}, &MemoryCheck{Free: 1}})
	var got []string
	for _, f := range found {
		got = append(got, fmt.Sprintf("%s %s", f.Level, f.ID()))
	}
	want := []string{"block reachable/c/", "block same-machine//a = b", "unknown same-machine/c/", "unknown memory/c/",
		"pass reachable/a/", "pass reachable/b/", "pass memory/a/", "pass memory/b/"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A script that a broken connection cut anywhere does nothing at all.
func TestACutScriptDoesNothing(t *testing.T) {
	script := buildScript([]fact{
		{name: clockFact, script: "echo ran"}, {name: "b", limit: 10, script: "echo ran"},
	}, "MARK", "$PATH")
	for name, shell := range shells(t) {
		for cut := 0; cut < len(script)-8; cut += 97 {
			var out bytes.Buffer
			err := shellHost(shell...).Run(t.Context(), remote.Cmd{Argv: []string{"sh", "-s"}, Stdin: strings.NewReader(script[:cut]), Stdout: &out, Pure: true})
			if out.Len() > 0 {
				t.Fatalf("%s: cut at %d it printed %q (%v)", name, cut, out.String(), err)
			}
		}
	}
}
