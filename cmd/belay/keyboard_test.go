package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"belay/remote/lab/dockerlab"
	"belay/steps/journal"
	"belay/steps/run"
)

// typist sits at a shell in a real terminal, reads the screen and presses keys.
type typist struct {
	*kept
	back bool // at the gate of close: try the way back, as a rehearsal wants
	n    int  // commands so far: the end of one is not taken for that of another
}

// begins types a command at the shell, and tells what its end looks like.
func (k *typist) begins(line string) (ended *regexp.Regexp) {
	k.t.Helper()
	k.n++
	k.types(fmt.Sprintf("clear; %s; echo ended-%d=$?.", line, k.n))
	k.keys("Enter")
	return regexp.MustCompile(fmt.Sprintf(`ended-%d=(\d+)\.`, k.n))
}

func (k *typist) keys(names ...string) {
	k.t.Helper()
	for _, n := range names {
		if err := k.inTmux("send-keys", "-t", "one", n).Run(); err != nil {
			k.t.Fatal(err)
		}
	}
}

func (k *typist) types(text string) {
	k.t.Helper()
	if err := k.inTmux("send-keys", "-t", "one", "-l", text).Run(); err != nil {
		k.t.Fatal(err)
	}
}

// sees waits for words, a while longer than any look at a server takes.
func (k *typist) sees(words ...string) {
	k.t.Helper()
	k.within(3*time.Minute, strings.Join(words, ", "), func(text string) bool {
		for _, w := range words {
			if !strings.Contains(text, w) {
				return false
			}
		}
		return true
	})
}

func (k *typist) within(most time.Duration, what string, ok func(text string) bool) {
	k.t.Helper()
	for end := time.Now().Add(most); ; time.Sleep(100 * time.Millisecond) {
		text := k.screen("one")
		if ok(text) {
			return
		}
		if time.Now().After(end) {
			k.t.Fatalf("the screen does not show: %s\n%s", what, text)
		}
	}
}

// command types a command at the shell and waits for its end.
func (k *typist) command(line string, code int) string {
	k.t.Helper()
	ended := k.begins(line)
	k.within(3*time.Minute, "the end of "+line, ended.MatchString)
	text := k.screen("one")
	if m := ended.FindStringSubmatch(text); m == nil || m[1] != strconv.Itoa(code) {
		k.t.Fatalf("%s: want %d\n%s", line, code, text)
	}
	return text
}

var (
	choiceLine = regexp.MustCompile(`(?m)^  ([a-z1-9])  \S`)
	fieldLine  = regexp.MustCompile(`(?m)^[▌ ] (Type “([^”]+)”|Your name|Reason|Evidence|Text|Remark, if any) +\S`)
)

// drive carries a run through by its screen, as a person would who agrees with
// everything, until the shell says that belay has ended.
func (k *typist) drive(line string, code int) {
	k.t.Helper()
	ended := k.begins(line)
	for end := time.Now().Add(8 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		text := k.screen("one")
		switch m := ended.FindStringSubmatch(text); {
		case m != nil:
			if m[1] != strconv.Itoa(code) {
				k.t.Fatalf("%s: want %d\n%s", line, code, text)
			}
			return
		case time.Now().After(end):
			k.t.Fatalf("%s goes on and on\n%s", line, text)
		case strings.Contains(text, "a step failed"), strings.Contains(text, "a step is unknown"):
			k.t.Fatalf("%s\n%s", line, text)
		case strings.Contains(text, "Press q to leave"):
			k.keys("q")
		case k.form(text):
			k.fill(text)
		case strings.Contains(text, "Choose by letter. Nothing happens"):
			k.choose(text)
		case strings.Contains(text, "press enter to answer"):
			k.keys("Enter")
		default:
			continue
		}
		k.changes(text)
	}
}

// changes waits for a key to have shown, for a moment: what it led to is looked
// at anew.
func (k *typist) changes(from string) {
	for range 20 {
		if k.screen("one") != from {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (k *typist) form(text string) bool {
	return strings.Contains(text, "Fill in what is asked, then ctrl-y") || strings.Contains(text, "ctrl-y sends it.")
}

// fill types into every field of a form, and sends it.
func (k *typist) fill(text string) {
	k.t.Helper()
	fields := fieldLine.FindAllStringSubmatch(text, -1)
	for i, f := range fields {
		k.keys("C-u")
		switch {
		case f[2] != "":
			k.types(f[2])
		case f[1] == "Your name":
			k.types("Ada Lovelace")
		default:
			k.types("looked at")
		}
		if i+1 < len(fields) {
			k.keys("Tab")
		}
	}
	k.keys("C-y")
	// The dialog goes when the answer was taken.
	for range 30 {
		if !k.form(k.screen("one")) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// choose presses the letter that leads on; where none does, it goes back to the
// list and to its next row.
func (k *typist) choose(text string) {
	k.t.Helper()
	letters := "olgik" // done, close, go, sign, keep watching
	if k.back && strings.Contains(text, "Try the way back") {
		letters = "b"
	}
	shown := ""
	for _, m := range choiceLine.FindAllStringSubmatch(text, -1) {
		shown += m[1]
	}
	for _, l := range letters {
		if !strings.ContainsRune(shown, l) {
			continue
		}
		k.keys(string(l))
		for range 8 {
			if now := k.screen("one"); k.form(now) || !strings.Contains(now, "Choose by letter. Nothing happens") {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	k.keys("Escape")
	k.within(time.Minute, "the list behind the question", func(text string) bool { return !strings.Contains(text, "Choose by letter. Nothing happens") })
	if strings.Contains(k.screen("one"), "a accept") {
		k.keys("a")
	} else {
		k.keys("Down")
	}
}

// From servers never seen before to a closed migration, by the keyboard alone:
// the interview writes the plan, which is checked, dry-run, rehearsed on two
// other servers, and carried out.
func TestKeyboardFromInitToClosed(t *testing.T) {
	program := realBelay(t)
	servers := func(prefix string) []dockerlab.Server {
		return []dockerlab.Server{{Name: prefix + "old", Files: map[string]string{"/opt/chat/rooms": "precious\n"}}, {Name: prefix + "new"}}
	}
	l := dockerlab.Up(t, append(servers(""), servers("try")...)...)
	for _, name := range []string{"old", "tryold"} {
		l.Exec(name, "cd /opt/chat && tmux new-session -d -s chat 'exec sleep 100000'")
	}
	k := &typist{kept: newKept(t, program)}
	k.env = append(k.env, "BELAY_SSH_CONFIG="+l.SSHConfig(), "PS1=$ ", "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "ENV=")
	t.Cleanup(func() { // of the two runs that there are, whoever still works on one
		all, _ := run.List(filepath.Join(k.dir, "runs"))
		for _, e := range all {
			if e.Live != nil {
				_ = syscall.Kill(e.Live.PID, syscall.SIGKILL)
			}
		}
	})
	k.until("tmux starts", func() bool {
		return k.inTmux("new-session", "-d", "-s", "one", "-x", "100", "-y", "30", "sh").Run() == nil
	})

	// The interview.
	k.types("belay init")
	k.keys("Enter")
	k.sees("Which servers?")
	k.types("old")
	k.keys("Enter")
	k.types("new")
	k.keys("Enter")
	k.sees("What shall move?", "directory /opt/chat", "tmux chat")
	k.keys("a") // everything
	k.sees("[x] directory /opt/chat", "[x] tmux chat")
	k.keys("Enter")
	k.sees("How long can people be without it?")
	k.types("10m")
	k.keys("Enter")
	k.sees("How will clients find the new server?")
	k.keys("Down", "Down", "Enter")
	k.sees("When may it happen?")
	k.keys("Enter", "Enter")
	k.sees("Who must agree")
	k.keys("Enter", "Enter")
	k.sees("How is it watched")
	k.keys("C-u")
	k.types("20s")
	k.keys("Enter", "Enter", "C-u")
	k.types("8s")
	k.keys("Enter")
	k.sees("Where does the plan go?", "old-to-new.yaml")
	k.keys("Enter")
	k.sees("Is this right?", "old → new", "not of this plan")
	k.keys("Enter")
	k.sees("not written yet", "no problems")
	k.keys("C-y")
	k.sees("is written", "belay rehearse")
	k.keys("q")
	k.sees("Wrote old-to-new.yaml")

	k.command("belay check old-to-new.yaml", 0)
	if text := k.command("belay plan old-to-new.yaml", 0); !strings.Contains(text, "8 changes would be made") {
		t.Errorf("the dry run:\n%s", text)
	}

	// The rehearsal, there and back; then what counts.
	fast := "vars: {soak: 12s, look_every: 2s, compare_every: 2s, bad_for: 6s}\n"
	write(t, filepath.Join(k.dir, "staging.yaml"), "environment: staging\nhosts:\n"+place(t, l, "old", "tryold")+place(t, l, "new", "trynew")+fast)
	write(t, filepath.Join(k.dir, "lab.yaml"), "environment: lab\n"+fast)
	k.back = true
	k.drive("belay rehearse old-to-new.yaml --with staging.yaml", 0)
	k.sees("Licence for production")
	if got := l.Exec("tryold", "cat /opt/chat/rooms"); !strings.Contains(got, "precious") {
		t.Errorf("the rehearsal's old server: %s", got)
	}
	k.back = false
	k.drive("belay run old-to-new.yaml --with lab.yaml", 0)
	if got := l.Exec("new", "cat /opt/chat/rooms"); !strings.Contains(got, "precious") {
		t.Errorf("the new server: %s", got)
	}
	all, err := run.List(filepath.Join(k.dir, "runs"))
	if err != nil || len(all) != 2 {
		t.Fatalf("%d runs, %v", len(all), err)
	}
	if s := all[0].State; s.Status != journal.Closed {
		t.Errorf("the run is %s", s.Status)
	}
}

// place is where a host of a rehearsal is, for a plan's overlay: the servers
// of a lab differ by their port alone.
func place(t *testing.T, l *dockerlab.Lab, name, server string) string {
	t.Helper()
	b, err := os.ReadFile(l.SSHConfig())
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)Host ` + server + `\n.*?Port (\d+)\n`).FindStringSubmatch(string(b))
	if m == nil {
		t.Fatalf("no %s in\n%s", server, b)
	}
	return fmt.Sprintf("  %s: {address: 127.0.0.1, port: %s}\n", name, m[1])
}
