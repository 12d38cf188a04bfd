package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"belay/remote/remotetest"
	"belay/steps/journal"
)

// bastion is this machine with a real sshd (PAM, pam_loginuid, ExposeAuthInfo)
// and accounts of the test's own, each with keys.
type bastion struct {
	*signing
	sshd  *remotetest.SSHD
	group string
	keys  map[string]string // private key files by name
}

// account names are short: useradd takes 32 letters.
func account(name string) string { return name + strconv.Itoa(os.Getpid()) }

func newBastion(t *testing.T, second bool, accounts map[string][]string) *bastion {
	remotetest.NeedMachine(t)
	remotetest.Need(t, "useradd", "userdel", "groupadd", "groupdel", "sudo", "su", "ssh", "tmux")
	k := newSigning(t, second)
	open := filepath.Dir(k.program)
	b := &bastion{signing: k, group: account("signers"), keys: map[string]string{}}
	tried := func(what string, args ...string) {
		k.until(what, func() bool { return exec.Command(what, args...).Run() == nil }) // others may have the lock of /etc/passwd
	}
	tried("groupadd", b.group)
	t.Cleanup(func() { _ = exec.Command("groupdel", b.group).Run() })
	if err := os.Chmod(open, 0o777|os.ModeSticky); err != nil { // as /tmp, where keepers of any login have their doors
		t.Fatal(err)
	}
	keys := filepath.Join(open, "keys")
	if err := os.Mkdir(keys, 0o755); err != nil {
		t.Fatal(err)
	}
	for user, names := range accounts {
		name := account(user)
		t.Cleanup(func() { _ = exec.Command("userdel", "-f", name).Run() })
		tried("useradd", "-M", "-d", "/", "-s", "/bin/sh", "-G", b.group, "-p", "*", name)
		var lines []byte
		for _, key := range names {
			b.keys[key] = filepath.Join(k.dir, "key-"+key)
			lines = append(lines, ssh.MarshalAuthorizedKey(remotetest.WriteKey(t, b.keys[key]))...)
		}
		if err := os.WriteFile(filepath.Join(keys, name), lines, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.sshd = remotetest.StartSSHD(t, remotetest.SSHDOptions{Extra: []string{"UsePAM yes", "ExposeAuthInfo yes", "PrintMotd no", "AuthorizedKeysFile " + keys + "/%u"}})
	return b
}

// ssh is the command that logs in with a key and runs script there.
func (b *bastion) ssh(user, key, script string, opts ...string) []string {
	env := "export BELAY_STATE=" + filepath.Join(filepath.Dir(b.program), "none") + " BELAY_SIGN=" + filepath.Dir(b.program) + " BELAY_LOCK=" + filepath.Join(b.dir, "lock") + "; "
	args := append([]string{"ssh", "-F", "none", "-i", b.keys[key], "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "UserKnownHostsFile=" + b.sshd.KnownHosts,
		"-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-p", strconv.Itoa(b.sshd.Port)}, opts...)
	return append(args, account(user)+"@127.0.0.1", env+script)
}

// by runs script in a login of its own, to its end.
func (b *bastion) by(user, key, script string) (int, string) {
	b.t.Helper()
	words := b.ssh(user, key, script)
	c := exec.Command(words[0], words[1:]...)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		b.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// TestWhoSignsOverSSH: people who come by real logins are told apart by what the
// kernel kept of each login, through sudo and su, whatever names they claim; one
// of them signs in a second terminal, while the first holds the pen, and a
// second person cuts over.
func TestWhoSignsOverSSH(t *testing.T) {
	b := newBastion(t, true, map[string][]string{"ada": {"ada"}, "grace": {"grace"}, "edsger": {"edsger"}})
	sudoers := filepath.Join("/etc/sudoers.d", account("belay"))
	t.Cleanup(func() { os.Remove(sudoers) })
	if err := os.WriteFile(sudoers, []byte(account("ada")+" ALL=(ALL) NOPASSWD:SETENV: ALL\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	b.tmuxRun("one", "run", "plan.yaml", "--signers", b.group)
	b.toSignoff()
	b.untilScreen("one", "the checklist", "The team knows", "2 approvers")
	id := filepath.Base(b.runDir())
	sign, open := b.program+" sign "+id, filepath.Dir(b.program)
	ada, grace := account("ada"), account("grace")

	// Who they are: by the kernel, not by what they say.
	state := "BELAY_STATE=" + b.dir + " "
	for script, want := range map[string]string{
		sign: "by the login " + ada + ", from 127.0.0.1",
		"SUDO_USER=" + grace + " USER=" + grace + " LOGNAME=" + grace + " " + sign: "by the login " + ada + ", from",
		"sudo env " + state + sign: "by the login " + ada + " as root",
		"sudo env " + state + "SUDO_USER=" + grace + " USER=" + grace + " " + sign:                                              "by the login " + ada + " as root",
		"sudo su -s /bin/sh root -c '" + state + sign + "'":                                                                     "by the login " + ada + " as root",
		"sudo su -s /bin/sh " + grace + " -c 'BELAY_STATE=/none BELAY_SIGN=" + open + " SUDO_USER=root " + sign + "'":           "by the login " + ada + " as " + grace,
		"sudo su -s /bin/sh " + grace + " -c 'BELAY_STATE=/none BELAY_SIGN=" + open + " SUDO_USER=root setsid -w " + sign + "'": "by the login " + ada + " as " + grace,
	} {
		if code, out := b.by("ada", "ada", script+" </dev/null"); code == 0 || !strings.Contains(out, "You came "+want) {
			t.Errorf("%s: want %q: %d\n%s", script, want, code, out)
		}
	}

	// One person by three roads, and two names: one go.
	if code, out := b.by("ada", "ada", "sudo env "+state+sign+" --item '*' --go --name Ada"); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	for _, script := range []string{sign + " --go --name Zoe", "SUDO_USER=" + grace + " " + sign + " --go --name Grace", "sudo su -s /bin/sh " + grace + " -c 'BELAY_STATE=/none BELAY_SIGN=" + open + " " + sign + " --go --name Grace'"} {
		if code, out := b.by("ada", "ada", script); code != exitFailed || !strings.Contains(out, "two names there count as one person") {
			t.Errorf("%s: %d\n%s", script, code, out)
		}
	}
	if got := b.gos(); got != "Ada/"+ada+" as root" {
		t.Fatalf("go by %s", got)
	}

	// The second, in a terminal of her own, beside the screen with the pen.
	two := *b.kept
	words := b.ssh("grace", "grace", "exec "+sign, "-tt")
	two.program = words[0]
	two.tmuxRun("two", words[1:]...)
	b.untilScreen("two", "the list", "go by Ada", "missing: one more person", "You came by the login "+grace, "enter: leave:")
	b.keysTo("two", "g", "Grace Hopper", "looks good", "yes")
	b.until("both have said go", func() bool { return b.gos() == "Ada/"+ada+" as root Grace Hopper/"+grace })
	b.until("the cutover waits", b.waitsFor(journal.AskCutover))
	b.untilScreen("one", "the pen has not moved", "Cut over now?")

	// Who began it or said go is no second person, by whatever road.
	for user, script := range map[string]string{"grace": sign, "ada": "sudo env " + state + sign} {
		if code, out := b.by(user, user, script+" --cut-over here --name Nobody"); code != exitFailed || !strings.Contains(out, "another person to cut over") {
			t.Errorf("%s: %d\n%s", script, code, out)
		}
	}
	if b.ledger() != "one" {
		t.Fatalf("cut over already: %q", b.ledger())
	}
	three := *b.kept
	words = b.ssh("edsger", "edsger", "exec "+sign, "-tt")
	three.program = words[0]
	three.tmuxRun("three", words[1:]...)
	b.untilScreen("three", "the gate", "Cut over now?", "c: cut over")
	b.keysTo("three", "c", "Edsger", "", "here")
	b.until("it is cut over", func() bool { return b.ledger() == "one two" })
	for _, a := range b.state().Answers {
		if a.Choice == "go" && a.Text == "here" && (a.By.Login != account("edsger") || a.By.Name != "Edsger") {
			t.Errorf("cut over by %+v", a.By)
		}
	}
}

// keysTo types lines into a terminal, each when the one before was taken.
func (k *signing) keysTo(session string, lines ...string) {
	k.t.Helper()
	for _, l := range lines {
		if l != "" {
			k.keys(session, "-l", l)
			k.untilScreen(session, "what was typed", ": "+l)
		}
		before := k.screen(session)
		k.keys(session, "Enter")
		k.until(fmt.Sprintf("%q is taken", l), func() bool { return k.screen(session) != before })
	}
}

// TestKeysTellApart: two people share one account, and sshd tells by which key
// each came. Of another account no key is believed.
func TestKeysTellApart(t *testing.T) {
	b := newBastion(t, false, map[string][]string{"ops": {"ada", "grace"}, "eve": {"eve"}})
	open := filepath.Dir(b.program)
	home := filepath.Join(open, "ops")
	text := strings.NewReplacer("%[1]s", home, "%[2]v", "false, distinct: key").Replace(signPlan)
	write(t, filepath.Join(home, "plan.yaml"), text)
	write(t, filepath.Join(home, "answers.yaml"), "answers:\n  - {question: findings, choice: accept, item: \"*\", reason: a lab, times: 99}\n  - {question: findings, choice: go}\n")
	if out, err := exec.Command("chown", "-R", account("ops"), home).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	state := "BELAY_STATE=" + home + " BELAY_LOCK=" + home + "/lock "
	words := b.ssh("ops", "ada", "cd "+home+" && "+state+"exec "+b.program+" run plan.yaml --headless --answers answers.yaml --sign-within 1h --signers "+b.group, "-tt")
	var said spoken
	c := exec.Command(words[0], words[1:]...)
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	t.Cleanup(func() { _ = c.Process.Kill(); <-ended })
	b.until("it waits for people", func() bool {
		select {
		case <-ended:
			t.Fatalf("it has ended:\n%s", said.String())
		default:
		}
		return strings.Contains(said.String(), "belay sign ")
	})
	runs, _ := filepath.Glob(filepath.Join(home, "runs", "*"))
	if len(runs) != 1 {
		t.Fatalf("%q\n%s", runs, said.String())
	}
	sign := b.program + " sign " + filepath.Base(runs[0])

	if code, out := b.by("ops", "ada", state+sign+" --item '*' --go --name Ada"); code != 0 {
		t.Fatalf("%d %s\n%s", code, out, said.String())
	}
	if code, out := b.by("ops", "ada", state+sign+" --go --name Grace"); code != exitFailed || !strings.Contains(out, "count as one person") {
		t.Errorf("two names by one key: %d\n%s", code, out)
	}
	// Another account claims to have come by a key that it has the file of.
	claim := filepath.Join(open, "claim")
	pub, err := os.ReadFile(filepath.Join(open, "keys", account("ops")))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(claim, append([]byte("publickey "), pub...), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out := b.by("eve", "eve", "SSH_USER_AUTH="+claim+" "+sign+" </dev/null"); code == 0 || !strings.Contains(out, "by the login "+account("eve")) || strings.Contains(out, "SHA256:") {
		t.Errorf("a claimed key: %d\n%s", code, out)
	}
	if code, out := b.by("ops", "grace", state+sign+" </dev/null"); code == 0 || !strings.Contains(out, "SHA256:") || !strings.Contains(out, "missing: one more person") {
		t.Errorf("%d\n%s", code, out)
	}
	if code, out := b.by("ops", "grace", state+sign+" --go --name Grace"); code != 0 {
		t.Errorf("another key: %d\n%s", code, out)
	}
	select {
	case <-ended: // nobody answers the cutover's question: no-go, as ever
	case <-t.Context().Done():
	}
	ledger, _ := os.ReadFile(filepath.Join(home, "ledger"))
	if code := c.ProcessState.ExitCode(); code != exitNoGo || !strings.Contains(said.String(), "Cut over now?") || string(ledger) != "one\n" {
		t.Errorf("%d, ledger %q\n%s", code, ledger, said.String())
	}
}
