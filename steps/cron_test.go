package steps

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
)

func init() { jobPace = 5 * time.Millisecond }

// fakeCrontab is crontab(1) of files: -l and -r fail without one, as cron's do.
const fakeCrontab = `#!/bin/sh
[ "$1" = -u ] || exit 2
shift 2
f=$CRONTABS/tab
case $1 in
-l) [ -e "$f" ] && cat "$f" ;;
-r) rm "$f" ;;
-) [ ! -e "$f.full" ] && cat >"$f" ;;
*) exit 2 ;;
esac
`

type cronBox struct{ dir string }

func newCronBox(t *testing.T, name, tab string) (cronBox, remote.Host) {
	t.Helper()
	c := cronBox{t.TempDir()}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "crontab"), []byte(fakeCrontab), 0o700); err != nil {
		t.Fatal(err)
	}
	if tab != "" {
		c.set(t, "tab", tab)
	}
	b := &runBox{home: t.TempDir(), env: []string{"PATH=" + bin + ":/usr/bin:/bin", "CRONTABS=" + c.dir}, over: remote.Local(name)}
	h := b.host()
	h.Name = name
	return c, h
}

func (c cronBox) set(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (c cronBox) tab() string { b, _ := os.ReadFile(filepath.Join(c.dir, "tab")); return string(b) }

// cronPair is a crontab that moves, and its two steps.
func cronPair(t *testing.T, theirs string) (old, new cronBox, take *cronTake, give *cronGive, at, to Env, log func() string) {
	t.Helper()
	was := cronAside
	cronAside = t.TempDir() + "/"
	t.Cleanup(func() { cronAside = was })
	old, oldHost := newCronBox(t, "old", "MAILTO=x\n* * * * * echo \\%d%in\n")
	new, newHost := newCronBox(t, "new", theirs)
	hosts := remote.Hosts{"old": oldHost, "new": newHost}
	at, _ = runEnv(oldHost)
	to, text := runEnv(newHost)
	at.Hosts, to.Hosts = hosts, hosts
	at.ID, to.ID = "run.take.old", "run.give.new"
	return old, new, &cronTake{User: "root"}, &cronGive{User: "root", From: "old"}, at, to, func() string { return text.String() }
}

// A crontab moves and comes back; what the new host had is not lost, nor what
// was written there since.
func TestCronMoves(t *testing.T) {
	for _, theirs := range []string{"", "theirs\n"} {
		old, now, take, give, at, to, log := cronPair(t, theirs)
		ours := old.tab()
		if err := give.Apply(t.Context(), to); err == nil || !strings.Contains(err.Error(), "would run on both") || now.tab() != theirs {
			t.Fatalf("given while it is still on the old host: %v, %q", err, now.tab())
		}
		for range 2 { // a second time, as after a crash
			mustApply(t, take, at)
		}
		if todo, err := take.Pending(t.Context(), looking(at)); err != nil || len(todo) > 0 || old.tab() != "" {
			t.Fatalf("taken: %v, %v, %q", todo, err, old.tab())
		}
		for range 2 {
			mustApply(t, give, to)
		}
		if todo, err := give.Pending(t.Context(), looking(to)); err != nil || len(todo) > 0 || now.tab() != ours {
			t.Fatalf("given: %v, %v, %q", todo, err, now.tab())
		}
		now.set(t, "tab", ours+"@daily added\n")
		if theirs != "" { // it cannot be put back now, and that is said
			now.set(t, "tab.full", "")
			if err := give.Undo(t.Context(), to); err == nil || !strings.HasPrefix(now.tab(), ours) {
				t.Fatalf("put back without room: %v, %q", err, now.tab())
			}
			os.Remove(filepath.Join(now.dir, "tab.full"))
		}
		for range 2 {
			if err := give.Undo(t.Context(), to); err != nil || now.tab() != theirs {
				t.Fatalf("taken back: %v, %q", err, now.tab())
			}
			if err := take.Undo(t.Context(), at); err != nil || old.tab() != ours {
				t.Fatalf("put back: %v, %q", err, old.tab())
			}
		}
		kept, _ := filepath.Glob(cronAside + "*changed*")
		if len(kept) != 1 || !strings.Contains(log(), kept[0]) {
			t.Errorf("what was added since is lost: %v, log %s", kept, log())
		}
		if left, _ := filepath.Glob(cronAside + "*"); len(left) != 1 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// What was kept and is gone, or was written anew meanwhile, is not passed over.
func TestCronWayBackIsGone(t *testing.T) {
	old, _, take, _, at, _, _ := cronPair(t, "")
	mustApply(t, take, at)
	old.set(t, "tab", "another\n")
	if err := take.Undo(t.Context(), at); err == nil || !strings.Contains(err.Error(), "written anew") || old.tab() != "another\n" {
		t.Errorf("a crontab written since: %v, %q", err, old.tab())
	}
	os.Remove(filepath.Join(old.dir, "tab"))
	os.Remove(take.entry().aside())
	for range 2 {
		if err := take.Undo(t.Context(), at); err == nil || !strings.Contains(err.Error(), "somebody has removed") {
			t.Errorf("without what was kept: %v", err)
		}
	}
}

// What an earlier migration has left behind is not given, where this one has
// taken nothing.
func TestCronGiveIsOfThisRun(t *testing.T) {
	old, new, take, give, at, to, _ := cronPair(t, "")
	mustApply(t, take, at) // another run, which closed
	at.ID, to.ID = "run2.take.old", "run2.give.new"
	at.Memory, to.Memory = MapMemory{}, MapMemory{}
	if _, err := take.Pending(t.Context(), at); err == nil || !strings.Contains(err.Error(), "there is none on old") {
		t.Errorf("take: %v", err)
	}
	_, pending := give.Pending(t.Context(), to)
	for _, err := range []error{pending, give.Apply(t.Context(), to)} {
		if err == nil || !strings.Contains(err.Error(), "is of an earlier one (run)") || new.tab() != "" {
			t.Errorf("give: %v, %q", err, new.tab())
		}
	}
	old.set(t, "tab", "@daily two\n")
	mustApply(t, take, at)
	mustApply(t, give, to)
	if new.tab() != "@daily two\n" {
		t.Errorf("given: %q", new.tab())
	}
}

// TestCronCrash kills belay at each act of both steps and of their ways back:
// the crontab is on one host, or kept on the old one, and never on both.
func TestCronCrash(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at, crashed := 1, true; crashed; at++ {
			old, now, take, give, e, to, _ := cronPair(t, "theirs\n")
			ours := old.tab()
			crashed = crashing(t, e, at, after, take.Apply)
			if todo, err := take.Pending(t.Context(), e); err != nil && old.tab() == "" {
				t.Fatalf("act %d: %v", at, err)
			} else if known, _ := e.Memory.Get(cronJobsKey, &[]cronJob{}); !known && len(todo) == 0 {
				t.Fatalf("act %d: taken for done, and the jobs that run were not waited for", at)
			}
			mustApply(t, take, e)
			crashed = crashing(t, to, at, after, give.Apply) || crashed
			mustApply(t, give, to)
			if old.tab() != "" || now.tab() != ours {
				t.Fatalf("act %d: %q, %q", at, old.tab(), now.tab())
			}
			crashing(t, to, at, after, give.Undo)
			if err := give.Undo(t.Context(), to); err != nil || old.tab() != "" {
				t.Fatalf("act %d of the way back: %v, %q", at, err, old.tab())
			}
			crashing(t, e, at, after, take.Undo)
			if err := take.Undo(t.Context(), e); err != nil || old.tab() != ours || now.tab() != "theirs\n" {
				t.Fatalf("act %d of the way back: %v, %q, %q", at, err, old.tab(), now.tab())
			}
		}
	}
}

// A file of cron.d keeps its mode, and is never seen half written by cron.
func TestCronFileMoves(t *testing.T) {
	_, _, _, _, at, to, _ := cronPair(t, "")
	root := t.TempDir()
	x := cronEntry{file: root + "/cron.d/shop"}
	fileWrite(t, x.file, "* * * * * app job\n", 0o640)
	if err := at.Host.Run(t.Context(), x.cmdAt(x.aside(), "take", false, "run")); err != nil {
		t.Fatal(err)
	}
	if s, err := x.state(t.Context(), at.Host); err != nil || s.live != "" || s.kept == "" || s.mode != "640" {
		t.Fatalf("%+v, %v", s, err)
	}
	give := x.cmdAt(x.aside()+".to", "give", false, "640")
	give.Stdin = strings.NewReader("* * * * * app job\n")
	if err := to.Host.Run(t.Context(), give); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(x.file)
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", st, err)
	}
	if err := to.Host.Run(t.Context(), x.cmdAt(x.aside()+".to", "ungive", false)); err != nil {
		t.Fatal(err)
	}
	if err := at.Host.Run(t.Context(), x.cmd("untake", false)); err != nil {
		t.Fatal(err)
	}
	st, err = os.Stat(x.file)
	if left, _ := filepath.Glob(root + "/cron.d/*"); err != nil || st.Mode().Perm() != 0o640 || len(left) != 1 {
		t.Errorf("%v, %v, %v", st, err, left)
	}
}

// Jobs that run are told by what cron has started, and by no word that may be
// secret.
func TestRunningJobs(t *testing.T) {
	procs := map[int]cronProc{}
	for _, p := range []cronProc{
		{1, 0, "1-00:00", "root", []string{"/sbin/init"}},
		{10, 1, "1-00:00", "root", []string{"/usr/sbin/cron", "-f"}},
		{20, 10, "00:10", "root", []string{"/usr/sbin/CRON", "-f"}},
		{21, 20, "00:10", "app", []string{"/bin/sh", "-c", "cd", "/x", "&&", "./backup", "--password=s3cret"}},
		{22, 21, "00:10", "app", []string{"/bin/sh", "./backup", "--password=s3cret"}},
		{30, 10, "00:03", "root", []string{"/usr/sbin/CRON", "-f"}},
		{31, 30, "00:03", "ada", []string{"/opt/tidy", "all"}},
		{40, 1, "00:03", "app", []string{"/opt/tidy", "all"}}, // started by hand
	} {
		procs[p.pid] = p
	}
	tab := "# x\nMAILTO=root\n0 3 * * * app cd /x && ./backup --password=s3cret\n@daily ada nice PW=1 /opt/tidy all\n5 4 * * * ada PW=x /opt/other; /opt/more\n"
	file := cronEntry{file: "/etc/cron.d/x"}.jobs(tab)
	want := []cronJob{{"app", []string{"backup"}}, {"ada", []string{"tidy"}}, {"ada", []string{"other", "more"}}}
	if d := cmp.Diff(want, file); d != "" {
		t.Error(d)
	}
	for command, want := range map[string][]string{
		"nice -n 19 /opt/x -n y": {"x"}, "/usr/bin/ionice -c3 -n 7 nice -10 x": {"x"}, "sudo -n -u app PW=1 x s3cret": {"x"}, "env -i A=b x; -n y": {"x", "-n"},
	} {
		if d := cmp.Diff(want, calledBy(strings.Fields(command))); d != "" {
			t.Errorf("%s: %s", command, d)
		}
	}
	for _, c := range []struct {
		jobs []cronJob
		want []string
	}{
		{cronEntry{user: "app"}.jobs(""), []string{"cd (pid 21, for 00:10)"}},
		{cronEntry{user: "bob"}.jobs(""), nil},
		{file, []string{"cd (pid 21, for 00:10)", "tidy (pid 31, for 00:03)"}},
		{cronEntry{file: "/etc/cron.daily/tidy"}.jobs("#!/bin/sh\n"), nil},
	} {
		if d := cmp.Diff(c.want, runningJobs(procs, c.jobs)); d != "" {
			t.Error(d)
		}
	}
}

// The wait ends when two looks see nothing, and fails in words when it took too
// long; it goes on from there when it is tried again.
func TestJobWait(t *testing.T) {
	_, h := newCronBox(t, "old", "")
	e, log := runEnv(h)
	looks := 0
	w := jobWait{whose: "backup.timer", look: func(context.Context) ([]string, error) {
		if looks++; looks == 2 || looks > 4 {
			return nil, nil
		}
		return []string{"backup.service (start, pid 7)"}, nil
	}}
	if err := w.until(t.Context(), e, time.Minute); err != nil || looks != 6 {
		t.Errorf("%d looks: %v", looks, err)
	}
	if !strings.Contains(log.String(), "waiting, up to 1m0s") || !strings.Contains(log.String(), "have ended") {
		t.Errorf("log: %s", log)
	}
	w.look = func(context.Context) ([]string, error) { return []string{"backup.service (start, pid 7)"}, nil }
	if err := w.until(t.Context(), e, time.Millisecond); err == nil || !strings.Contains(err.Error(), "was not ended") {
		t.Errorf("a job that does not end: %v", err)
	}
	if err := w.until(t.Context(), e, 0); err != nil {
		t.Errorf("told not to wait: %v", err)
	}
}
