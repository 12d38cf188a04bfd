package tui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	gocmp "github.com/google/go-cmp/cmp"

	"belay/checks/inspect"
	"belay/remote"
	"belay/steps/draft"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/run"
)

// twoServers is a Drafter whose servers are made up; files are real.
type twoServers struct {
	looks int
	hosts []string    // of the last look
	ask   *run.Prompt // asked by every look
	said  string
	shut  bool // sudo asks for a password
	down  map[string]bool
	name  string // of the tmux session
	many  int    // units besides

	nowhere bool // plans are written nowhere

	kept []Kept
	full bool // the disk takes nothing
}

func (d *twoServers) Look(ctx context.Context, hosts []string, sudo bool, by Onlooker) (all []*inspect.Host, err error) {
	d.looks++
	d.hosts = hosts
	for i, name := range hosts {
		if by != nil {
			by.Light(name, remote.Connecting, "")
			if d.ask != nil && i == 0 {
				text, ok := by.Ask(ctx, *d.ask)
				if d.said = text; !ok {
					return nil, errors.New(`host "old" was not reached: its key was refused; nothing was written`)
				}
			}
			by.Light(name, remote.Up, "")
		}
		h := &inspect.Host{Name: name, Root: true}
		switch {
		case d.shut && sudo:
			h = &inspect.Host{Name: name, Unreached: "sudo asks for a password"}
		case name == "nowhere" || d.down[name]:
			h = &inspect.Host{Name: name, Unreached: "no such host"}
		case !strings.Contains(name, "new"):
			h = d.old(name, sudo)
		}
		all = append(all, h)
	}
	return all, nil
}

func (d *twoServers) old(name string, sudo bool) *inspect.Host {
	h := &inspect.Host{Name: name, User: "ada", Root: sudo, TakenAt: noon, Programs: []*inspect.Program{
		{Kind: inspect.KindContainer, Name: "shop-web-1", Listens: []inspect.Listen{{Proto: "tcp", Port: 80}}, Mounts: []inspect.Volume{{Type: "volume", Source: "shop_data"}},
			Container: &inspect.Container{Image: "shop:1", Project: "shop", Service: "web", Dir: "/opt/shop"}},
		{Kind: inspect.KindTmux, Name: cmp.Or(d.name, "chat"), Processes: []inspect.Process{{User: "root", Dir: "/root/chat", Args: "./chat"}}},
		{Kind: inspect.KindUnit, Name: "postgresql@15-main.service", Databases: []inspect.Database{{Kind: "postgresql", Port: 5432, Names: []inspect.Size{{Name: "shop", Bytes: 3 << 30}}}}},
		{Kind: inspect.KindProcess, Name: "sshd", Listens: []inspect.Listen{{Proto: "tcp", Port: 22}}},
	},
		Jobs: []inspect.Job{{Kind: "cron", User: "ada", Where: "/var/spool/cron/crontabs/ada", When: "@daily", Command: "/opt/shop/tidy"}},
		Gaps: []inspect.Gap{{What: "tcp port 9999 on 0.0.0.0: its process is hidden", Do: "look again as root"}}}
	for i := range d.many {
		h.Programs = append(h.Programs, &inspect.Program{Kind: inspect.KindUnit, Name: fmt.Sprintf("app-%03d.service", i), Unit: fmt.Sprintf("/etc/systemd/system/app-%03d.service", i),
			Listens: []inspect.Listen{{Proto: "tcp", Port: 9000 + i}}})
	}
	return h
}

var keptMu sync.Mutex // of what is kept in every twoServers

func (d *twoServers) Kept() []Kept {
	keptMu.Lock()
	defer keptMu.Unlock()
	return slices.Clone(d.kept)
}

func (d *twoServers) Keep(k Kept) error {
	_ = d.Drop(k)
	keptMu.Lock()
	defer keptMu.Unlock()
	if d.full {
		return errors.New("no space left on device")
	}
	d.kept = append([]Kept{k}, d.kept...)
	return nil
}

func (d *twoServers) Drop(k Kept) error {
	keptMu.Lock()
	defer keptMu.Unlock()
	d.kept = slices.DeleteFunc(d.kept, k.Same)
	return nil
}

func (d *twoServers) Write(file string, text []byte, replace bool) error {
	if d.nowhere {
		return nil
	}
	if _, err := os.Stat(file); err == nil && !replace {
		return fs.ErrExist
	}
	return os.WriteFile(file, text, 0o644)
}

// asked drives an interview by keys alone, without a terminal.
type asked struct {
	t  *testing.T
	iv *interview
	d  *twoServers
}

func interviewed(t *testing.T, d *twoServers, a Answers, w, h int, env ...string) *asked {
	t.Helper()
	return interviewedWith(t, d, a, w, h, Options{Env: append([]string{"LANG=C.UTF-8", "TERM=xterm-256color"}, env...)})
}

func interviewedWith(t *testing.T, d *twoServers, a Answers, w, h int, o Options) *asked {
	t.Helper()
	o.Now = func() time.Time { return noon }
	if o.Env == nil {
		o.Env = []string{"LANG=C.UTF-8", "TERM=xterm-256color"}
	}
	r := &asked{t, newInterview(t.Context(), d, a, o.filled("")), d}
	r.iv.Update(tea.WindowSizeMsg{Width: w, Height: h})
	return r
}

// do carries out what a key led to: commands, and the ticks that watch a look.
func (r *asked) do(cmd tea.Cmd) {
	r.t.Helper()
	if cmd == nil {
		return
	}
	msg := cmd()
	switch msg := msg.(type) {
	case nil:
	case tea.BatchMsg:
		for _, c := range msg {
			r.do(c)
		}
	default:
		_, next := r.iv.Update(msg)
		r.do(next)
	}
	r.do(r.iv.watch())
}

// parts carries a command out, beside the screen.
func parts(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	if all, ok := cmd().(tea.BatchMsg); ok {
		for _, c := range all {
			parts(c)
		}
	}
}

func (r *asked) press(keys ...string) *asked {
	r.t.Helper()
	for _, k := range keys {
		_, cmd := r.iv.Update(keyMsg(k))
		r.do(cmd)
	}
	return r
}

func (r *asked) write(text string) *asked {
	r.t.Helper()
	for _, c := range text {
		r.press(string(c))
	}
	return r
}

func (r *asked) screen() string { return ansi.Strip(r.iv.View().Content) }

func (r *asked) shows(words ...string) *asked {
	r.t.Helper()
	for _, w := range words {
		if !strings.Contains(r.screen(), w) {
			r.t.Fatalf("the screen does not show %q:\n%s", w, r.screen())
		}
	}
	return r
}

func (r *asked) hides(word string) *asked {
	r.t.Helper()
	if strings.Contains(r.screen(), word) {
		r.t.Fatalf("the screen shows %q:\n%s", word, r.screen())
	}
	return r
}

func TestInterview(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	r := interviewed(t, &twoServers{}, Answers{}, 100, 30)
	r.shows("Which servers?", "question 1 of").press("enter").press("enter").shows("An answer is needed here.")
	r.write("nowhere").press("enter", "enter").shows("not looked at: no such host", "r  look again").press("esc").shows("Which servers?")
	r.press("ctrl+u").write("ada@old").press("enter").write("new").press("enter")
	r.shows("What shall move?", "[x] Compose project shop", "[x] crontab of ada, 1 line", "[ ] tmux chat", "3 of 5 chosen", "belay is not root, but ada")
	r.press("G").shows("tcp port 9999", "process sshd, tcp 22").press("g")
	r.press("down", "down", "space").shows("2 of 5 chosen").press("space").shows("3 of 5 chosen").press("d").shows("shop, 3.0 GiB", "esc close").press("esc")
	r.press("s").shows("3 of 5 chosen").hides("belay is not root, but ada") // as root: a new look
	if !r.iv.a.Sudo || r.d.looks != 3 {
		t.Errorf("sudo %v after %d looks", r.iv.a.Sudo, r.d.looks)
	}
	r.press("enter").shows("How long can people be without it?", "3.0 GiB", "about 5m for")
	r.write("soon").press("enter").shows("no length of time").press("ctrl+u").write("2h").press("enter")
	r.shows("How will clients find", "(*) By a name").press("down", "enter").shows("When may it happen?")
	r.write("2026-12-01T22:00Z").press("enter").write("90m").press("enter").shows("Who must agree")
	r.press("ctrl+u").write("dba: ada, owner").press("enter", "ctrl+u").write("yes").press("enter").shows("How is it watched")
	r.press("ctrl+u").write("1h").press("enter", "enter", "enter").shows("Where does the plan go?", "old-to-new.yaml").press("ctrl+u").write(file).press("enter")
	r.shows("Is this right?", "ada@old → new, looked at as root", "by the old address", "dba: ada, owner; and another person cuts over", "for 1h; a rollback is proposed at 5% bad answers for 2m")

	// Any answer can be changed from here, and one comes back here.
	r.press("up", "up", "up", "enter").shows("Who must agree").press("ctrl+u").write("3").press("enter", "enter").shows("Is this right?", "3 people")
	r.press("enter").shows("not written yet", "no problems", "Drafted by belay")
	if _, err := os.Stat(file); err == nil {
		t.Fatal("it is written before anybody said so")
	}
	r.press("enter").shows("not written yet") // enter only scrolls
	r.press("ctrl+y").shows("The plan is in", "belay check", "belay rehearse")
	p, err := plan.LoadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "old-to-new" || p.Approvers.Count != 3 || p.Window == nil || p.Window.Length != 90*time.Minute || p.Soak.For != time.Hour || p.Hosts[0].User != "ada" || p.Hosts[0].Sudo == nil {
		t.Errorf("%+v window %+v soak %+v", p, p.Window, p.Soak)
	}
}

// Nothing is replaced, and nothing lost, before somebody says so.
func TestInterviewAsksBeforeItLoses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(file, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := interviewed(t, &twoServers{}, Answers{From: "old", File: file}, 80, 24)
	r.press("enter", "enter").shows("What shall be upgraded?").hides("crontab of")
	r.press("enter", "enter").shows("When may it happen?") // nobody asks for clients in place
	r.press("enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter").shows("Is this right?").press("enter").shows("not written yet")
	r.press("ctrl+y").shows("is there already").press("ctrl+y").shows("exactly; nothing was written").press("esc").shows("Where does the plan go?").press("esc").shows("Is this right?")
	r.press("enter", "ctrl+y").write("p.yaml").press("enter").shows("matches")
	if b, _ := os.ReadFile(file); string(b) != "mine" {
		t.Fatal("it is replaced already")
	}
	r.press("ctrl+y").shows("The plan is in")
}

// A look as root that fails does not keep people from a look without.
func TestInterviewGoesOnWithoutSudo(t *testing.T) {
	d := &twoServers{shut: true}
	r := interviewed(t, d, Answers{From: "old", To: "new"}, 80, 24)
	r.press("enter", "enter").shows("What shall move?").press("space").press("s").shows("sudo asks for a password")
	r.press("r").shows("sudo asks for a password", "u  without root") // as root still
	r.press("u").shows("What shall move?", "2 of 5 chosen")
	if r.iv.a.Sudo {
		t.Error("it looks as root on")
	}
	r = interviewed(t, d, Answers{From: "old", To: "new", Sudo: true}, 80, 24)
	r.press("enter", "enter").shows("sudo asks for a password").press("esc")
	if !r.iv.a.Sudo {
		t.Error("--sudo is forgotten")
	}
}

// Whoever presses the key twice has the plan written once, and nothing asked.
func TestInterviewWritesOnce(t *testing.T) {
	r := interviewed(t, &twoServers{}, Answers{From: "old", File: filepath.Join(t.TempDir(), "p.yaml")}, 80, 24)
	r.press("enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter", "enter")
	r.shows("not written yet")
	_, one := r.iv.Update(keyMsg("ctrl+y"))
	_, two := r.iv.Update(keyMsg("ctrl+y"))
	r.do(one)
	r.do(two)
	r.shows("The plan is in").hides("is there already")
}

func TestInterviewLeft(t *testing.T) {
	r := interviewed(t, &twoServers{}, Answers{}, 80, 24)
	if _, cmd := r.iv.Update(keyMsg("ctrl+c")); cmd == nil {
		t.Error("there is nothing to lose yet, and it asks")
	}
	r = interviewed(t, &twoServers{}, Answers{}, 80, 24)
	r.write("o").press("ctrl+c").shows("nothing is kept").press("esc").shows("Which servers?", "o___")
	r.press("ctrl+c")
	if _, cmd := r.iv.Update(keyMsg("l")); cmd == nil {
		t.Error("l does not leave")
	}
	if r.iv.written {
		t.Error("it says that it is written")
	}
}

// A look that asks for a host key shows the fingerprint, and takes a typed yes.
func TestInterviewAsksForAHostKey(t *testing.T) {
	for _, tc := range []struct {
		keys []string
		want string
	}{
		{[]string{"y", "e", "s", "ctrl+y"}, "What shall be upgraded?"},
		{[]string{"esc", "esc"}, "its key was refused"},
	} {
		d := &twoServers{ask: &run.Prompt{Kind: journal.AskHostKey, Host: "old", Title: "Unknown host key of old", Text: "ED25519  SHA256:abc", Type: "yes"}}
		r := interviewed(t, d, Answers{From: "old"}, 80, 24)
		r.press("enter")
		_, cmd := r.iv.Update(keyMsg("enter"))
		over := make(chan bool)
		go func() {
			parts(cmd)
			close(over)
		}()
		until(t, "the question", func() bool { r.iv.watch(); return r.iv.top != nil })
		r.shows("Unknown host key of old", "SHA256:abc")
		for _, k := range tc.keys {
			r.iv.Update(keyMsg(k))
		}
		<-over
		r.do(r.iv.watch())
		r.shows(tc.want)
	}
}

func TestPlainInterview(t *testing.T) {
	plain := func(a Answers, lines ...string) (string, Answers, error) {
		var out strings.Builder
		a, err := PlainInterview(t.Context(), &twoServers{}, a, strings.NewReader(strings.Join(lines, "\n")+"\n"), &out)
		return out.String(), a, err
	}
	file := filepath.Join(t.TempDir(), "plan.yaml")
	out, _, err := plain(Answers{File: file}, "", "nowhere", "", "<", "ada@old.example.org", "new", "9", "1 2", "soon", "5m", "9", "2", "<", "2",
		"never", "2026-12-01T22:00Z", "1h", "2", "perhaps", "no", "1h", "6%", "", "", "show", "write")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"changed on them, and no plan", "was not looked at", "belay is not root, but ada", " 1 * Compose project shop: 1 container, tcp 80", "not understood on ada@old",
		"tmux chat", `"9" is no number from 1 to 5`, "“soon” is no length of time", `"9" is no number from 1 to 3`, "“never” is no beginning", "Drafted by belay",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	p, err := plan.LoadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "old.example.org-to-new" || len(p.Hosts) != 2 || p.Hosts[0].User != "ada" || p.Approvers.Count != 2 || p.Window == nil {
		t.Errorf("%+v", p)
	}
	var kinds []string
	for _, s := range p.Steps() {
		kinds = append(kinds, s.Kind.Name)
	}
	for _, want := range []string{"compose.down", "compose.up", "files.sync", "docker.image", "compare", "proxy", "manual", "inspect.compare"} {
		if !strings.Contains(strings.Join(kinds, " "), want) {
			t.Errorf("no %s among %v", want, kinds)
		}
	}

	// A file that is there stays until its name is typed, and so does everything
	// when nobody answers.
	before, _ := os.ReadFile(file)
	enough := []string{"old", "", "", "", "", "", "", "", "", "", "", "", "write", ""}
	if out, _, err := plain(Answers{File: file}, enough...); !errors.Is(err, ErrUnwritten) || !strings.Contains(out, "is there already and was left as it is") {
		t.Errorf("%v\n%s", err, out)
	}
	if after, _ := os.ReadFile(file); gocmp.Diff(string(before), string(after)) != "" {
		t.Error("it was replaced")
	}
	if out, _, err := plain(Answers{File: file}, append(enough, "write", file)...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	other := filepath.Join(t.TempDir(), "other.yaml")
	if _, a, err := plain(Answers{File: other}, "old", "new"); !errors.Is(err, ErrUnwritten) || a.From != "old" {
		t.Error(err)
	}
	if _, err := os.Stat(other); err == nil {
		t.Error("half an interview wrote a plan")
	}
	named, a, err := plain(Answers{File: other, Wish: draft.Wish{Move: []string{"by hand tmux chat"}}}, "old", "new", "")
	if !errors.Is(err, ErrUnwritten) || gocmp.Diff(a.Move, []string{"by hand tmux chat"}) != "" {
		t.Errorf("what --move named is forgotten: %q, %v\n%s", a.Move, err, named)
	}
}
