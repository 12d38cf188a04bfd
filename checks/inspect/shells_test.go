package inspect

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
)

// withEnv sets a variable for every command.
type withEnv struct {
	remote.Runner
	set string
}

func (w withEnv) Run(ctx context.Context, c remote.Cmd) error {
	c.Argv = append([]string{"env", w.set}, c.Argv...)
	return w.Runner.Run(ctx, c)
}

// counting counts the round trips.
type counting struct {
	remote.Runner
	mu sync.Mutex
	n  int
}

func (c *counting) Run(ctx context.Context, cmd remote.Cmd) error {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	return c.Runner.Run(ctx, cmd)
}

// throughShell runs sh scripts in another shell.
type throughShell struct {
	remote.Runner
	shell []string
}

func (s throughShell) Run(ctx context.Context, c remote.Cmd) error {
	if c.Argv[0] == "sh" {
		c.Argv = append(slices.Clone(s.shell), c.Argv[1:]...)
	}
	return s.Runner.Run(ctx, c)
}

var shells = [][]string{{"dash"}, {"bash", "--posix"}, {"busybox", "sh"}}

// In every shell this test's own process is found, with its directory, its
// executable and the names of its environment.
func TestLookInEveryShell(t *testing.T) {
	remotetest.Need(t, "sleep")
	dir := t.TempDir()
	write(t, dir, "a.yaml", "")
	write(t, dir, "my.env", "A=hunter2\n  export B = no\nexport C=\"hunter2\n D=1 \" \nE=x\\\nF=1\nG='-----BEGIN X-----\nH=1\n-----END X-----'\nI=\nsixteenLettersOfBase64Text==\nJ=1")
	sleep := exec.Command("sleep", "611")
	sleep.Dir, sleep.Env = dir, []string{"ONLY_NAME=hunter2\nMORE=hunter2", "bad-name=1"}
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { sleep.Process.Kill(); sleep.Wait() }()
	for _, shell := range shells {
		t.Run(shell[0], func(t *testing.T) {
			remotetest.Need(t, shell[0])
			here := remote.Local("here")
			here.Runner = throughShell{here.Runner, shell}
			sections, missing, err := checks.Read(t.Context(), here, ask(&checks.Facts{Processes: []checks.Process{{PID: sleep.Process.Pid, PPID: 1, Args: "sleep 611"}}}), limit)
			if err != nil {
				t.Fatal(err)
			}
			r := parse(sections, missing)
			p := r.procs[sleep.Process.Pid]
			if p == nil || p.dir != dir || filepath.Base(p.exe) != "sleep" && filepath.Base(p.exe) != "coreutils" {
				t.Errorf("process %+v, missing %q", p, missing)
			}
			if got := r.env[sleep.Process.Pid]; !slices.Equal(got, []string{"ONLY_NAME"}) {
				t.Errorf("environment %q", got)
			}
			if got := r.configs[dir]; !slices.Equal(got, []string{"a.yaml"}) {
				t.Errorf("configuration files %q of %q", got, r.configs)
			}
			i := slices.IndexFunc(r.envFiles, func(e EnvFile) bool { return e.Path == filepath.Join(dir, "my.env") })
			if i < 0 {
				t.Fatalf("environment files %+v", r.envFiles)
			}
			if want := []string{"A", "C", "E", "G", "I", "J"}; !slices.Equal(r.envFiles[i].Keys, want) {
				t.Errorf("keys %q, want %q", r.envFiles[i].Keys, want)
			}
			for name, text := range sections {
				if strings.Contains(string(text), "hunter2") {
					t.Errorf("a value left the host in section %s", name)
				}
			}
			if len(r.packages) == 0 || len(r.origins) == 0 {
				t.Errorf("%d packages, origins %q; missing %q", len(r.packages), r.origins, missing)
			}
		})
	}
}

// What a host calls its files, directories and units cannot make the script do
// anything.
func TestHostileNames(t *testing.T) {
	dir := t.TempDir()
	trap := filepath.Join(dir, "trap")
	nasty := "'; touch " + trap + "; echo $(touch " + trap + ") `touch " + trap + "` \n touch " + trap + "\n\x1b[2J"
	facts := &checks.Facts{
		Units:     []checks.Unit{{Name: nasty, Active: "active"}, {Name: "--version", Active: "active"}},
		Projects:  []checks.ComposeProject{{Name: nasty, Dir: "/" + nasty}, {Name: "p", Dir: "/$(touch " + trap + ")"}},
		Processes: []checks.Process{{PID: os.Getpid(), PPID: 1, Args: "nginx -c /$(touch${IFS}" + trap + ") /x';touch${IFS}" + trap + ";'.pem"}},
	}
	conf := filepath.Join(dir, "nginx.conf")
	write(t, dir, "nginx.conf", fmt.Sprintf("include $(touch %[1]s);\ninclude `touch %[1]s`; ssl_certificate $(touch %[1]s);\nssl_certificate '; touch %[1]s ;';\ninclude %[2]s/*;\n", trap, dir))
	facts.Processes[0].Args += " nginx -c " + conf
	for _, shell := range shells {
		remotetest.Need(t, shell[0])
		here := remote.Local("here")
		here.Runner = throughShell{here.Runner, shell}
		sections, _, err := checks.Read(t.Context(), here, ask(facts), limit)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(sections["nginx"]), "="+conf) {
			t.Errorf("%s: the configuration was not read: %q", shell[0], sections["nginx"])
		}
		if _, err := os.Stat(trap); err == nil {
			t.Fatalf("%s: a name was run", shell[0])
		}
	}
}

// Who is not root is told what stays hidden, and how to see it.
func TestLookWithoutRights(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	remotetest.Need(t, "setpriv", "ss")
	port := remotetest.FreePort(t)
	cmd := exec.Command(me(t))
	cmd.Env = append(os.Environ(), fmt.Sprintf("INSPECT_STANDIN=listen %d", port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	waitFor(t, port)
	here := remote.Local("here")
	here.Runner = throughShell{here.Runner, []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh"}}
	found, err := Look(t.Context(), remote.Hosts{"here": here}, []string{"here", "nobody-knows"})
	if err != nil {
		t.Fatal(err)
	}
	h := found.Hosts[0]
	want := Gap{fmt.Sprintf("tcp port %d on 127.0.0.1: its process is hidden", port), "look again as root: belay inspect --sudo here"}
	if h.Root || !slices.Contains(h.Gaps, want) || !slices.Contains(h.NotWhole, AreaPorts) || !slices.Contains(h.NotWhole, AreaEnvironment) {
		t.Errorf("not understood: %+v; not whole: %q", h.Gaps, h.NotWhole)
	}
	if found.Hosts[1].Unreached == "" {
		t.Errorf("%+v", found.Hosts[1])
	}
}
