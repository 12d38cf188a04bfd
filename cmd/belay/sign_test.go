package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"belay/remote/remotetest"
	"belay/steps/journal"
)

const signPlan = `belay: 1
name: signed
hosts: {here: {local: true}}
prepare:
  - step: One
    on: here
    run: {dir: %[1]s, script: "echo one >>ledger"}
signoff:
  - The team knows
  - check: prepare
approvers: {count: 2, second_person: %[2]v}
cutover:
  - step: Two
    on: here
    run: {dir: %[1]s, script: "echo two >>ledger"}
`

// signing is a kept run that another login may sign.
type signing struct {
	*kept
	other []string // what makes a command that of the other login
}

func newSigning(t *testing.T, second bool) *signing {
	remotetest.Need(t, "setpriv", "tmux")
	if os.Getuid() != 0 {
		t.Skip("only root can be two logins at once")
	}
	open, err := os.MkdirTemp("", "belay-sign-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(open) })
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	// The other login must get at the program, and at the door; at nothing else.
	program := filepath.Join(open, "belay")
	if out, err := exec.Command("cp", realBelay(t), program).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	k := &signing{newKept(t, program), []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env", "BELAY_STATE=" + open + "/none", "HOME=/", program}}
	k.env = append(k.env, "BELAY_SIGN="+open)
	write(t, filepath.Join(k.dir, "plan.yaml"), fmt.Sprintf(signPlan, k.dir, second))
	return k
}

// cmd runs belay to its end, as the other login or as this one.
func (k *signing) cmd(other bool, args ...string) (int, string) {
	k.t.Helper()
	words := append([]string{k.program}, args...)
	if other {
		words = append(append([]string{}, k.other...), args...)
	}
	c := exec.Command(words[0], words[1:]...)
	c.Dir, c.Env = "/", k.env
	out, err := c.CombinedOutput()
	if err != nil && c.ProcessState == nil {
		k.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// toSignoff passes the first gate.
func (k *signing) toSignoff() {
	k.t.Helper()
	a := k.attach()
	defer a.Close()
	k.until("the sign-off waits", func() bool {
		for _, q := range a.State().Questions {
			if q.Kind == journal.AskSignoff {
				return true
			}
			_ = a.TakePen()
			_, open := a.State().Standing()
			for _, f := range open {
				_ = a.Answer(k.t.Context(), journal.Answer{Question: q.ID, Choice: "accept", Item: f.ID, Reason: "a lab", By: journal.Author{Name: "Eve"}})
			}
			_ = a.Answer(k.t.Context(), journal.Answer{Question: q.ID, Choice: "go", By: journal.Author{Name: "Eve"}})
		}
		return false
	})
}

func (k *signing) keys(session string, keys ...string) {
	k.t.Helper()
	if err := k.inTmux(append([]string{"send-keys", "-t", session}, keys...)...).Run(); err != nil {
		k.t.Fatal(err)
	}
}

// gos are the go's that count, as "Ada/root".
func (k *signing) gos() string {
	var all []string
	if it := k.state().Items[journal.GoItem]; it != nil {
		for _, a := range it.Signed {
			all = append(all, a.By.Name+"/"+a.By.Login)
		}
	}
	return strings.Join(all, " ")
}

func (k *signing) waitsFor(kind string) func() bool {
	return func() bool { _, open := k.state().Open(kind, ""); return open }
}

// TestTwoLoginsSign: one person signs on the screen that has the pen, belay is
// killed between the two signatures, another login signs by belay sign beside
// the screen. One login is one person, whatever names it types.
func TestTwoLoginsSign(t *testing.T) {
	k := newSigning(t, false)
	k.tmuxRun("one", "run", "plan.yaml", "--signers", "nogroup")
	k.toSignoff()
	k.untilScreen("one", "the checklist", "The team knows", "2 approvers")
	id := filepath.Base(k.runDir())

	code, out := k.cmd(true, "sign")
	if code != 0 || !strings.Contains(out, id) || !strings.Contains(out, "kept by root") || !strings.Contains(out, "waits for one more person, one more person; 1 items to sign") {
		t.Errorf("the list, for the other login: %d\n%s", code, out)
	}
	if code, out := k.cmd(true, "sign", id, "--go", "--name", "Grace"); code != exitFailed || !strings.Contains(out, `"The team knows" is not signed`) {
		t.Errorf("go before the item: %d\n%s", code, out)
	}
	k.untilScreen("one", "the pen", "belay waits for YOU")
	k.keys("one", "1", "Enter")
	k.untilScreen("one", "the question", "sign an item")
	k.keys("one", "i")
	k.untilScreen("one", "the form", "Your name")
	k.keys("one", "-l", "Ada")
	k.keys("one", "C-y")
	k.until("the item is signed", func() bool { it := k.state().Items["the-team-knows"]; return it != nil && it.OK })
	k.untilScreen("one", "the signature", "signed by Ada (root)")
	k.keys("one", "Enter")
	k.untilScreen("one", "the question", "no-go")
	k.keys("one", "g")
	k.untilScreen("one", "the form", "Your name")
	k.keys("one", "C-y")
	k.until("Ada has said go", func() bool { return k.gos() == "Ada/root" })
	k.untilScreen("one", "who is missing", "go from Ada (root)", "waits for 1 person more")

	if code, out := k.cmd(false, "sign", id, "--go", "--name", "Grace"); code != exitFailed || !strings.Contains(out, "two names there count as one person") || !strings.Contains(out, "belay sign "+id) {
		t.Errorf("a second name under one login: %d\n%s", code, out)
	}

	if err := syscall.Kill(k.holder().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	k.until("the run is free", func() bool { return k.holder() == nil })
	if code, out := k.cmd(true, "sign", id, "--go", "--name", "Grace"); code != exitFailed || !strings.Contains(out, "no belay drives run") {
		t.Errorf("signing what nobody drives: %d\n%s", code, out)
	}
	_ = k.inTmux("kill-session", "-t", "one").Run()
	k.tmuxRun("again", "resume", id) // --signers is remembered
	k.untilScreen("again", "who is missing", "go from Ada (root)", "waits for 1 person more")
	if k.gos() != "Ada/root" || k.ledger() != "one" {
		t.Fatalf("after the kill: %q, ledger %q", k.gos(), k.ledger())
	}

	two := *k.kept
	two.program = k.other[0]
	two.tmuxRun("two", append(append([]string{}, k.other[1:]...), "sign", id)...)
	k.untilScreen("two", "the list", "The team knows", "1 of 1 steps passed", "go by Ada (root)", "missing: one more person", "You came by the login nobody", "enter: leave:")
	k.keys("two", "g", "Enter")
	k.untilScreen("two", "the name", "Your name:")
	k.keys("two", "-l", "Grace Hopper")
	k.keys("two", "Enter")
	k.untilScreen("two", "the remark", "Remark, if any:")
	k.keys("two", "-l", "looks good")
	k.keys("two", "Enter")
	k.untilScreen("two", "the last word", "Type yes to go as Grace Hopper (nobody):")
	k.keys("two", "-l", "yes")
	k.keys("two", "Enter")
	k.until("both have said go", func() bool { return k.gos() == "Ada/root Grace Hopper/nobody" })
	k.until("the cutover waits", k.waitsFor(journal.AskCutover))
	k.untilScreen("again", "the pen has not moved", "Cut over now?")

	if code, out := k.cmd(true, "sign", id, "--cut-over", "here", "--name", "Grace Hopper"); code != exitFailed || !strings.Contains(out, "whoever drives the run") {
		t.Errorf("cutting over without the pen: %d\n%s", code, out)
	}
	if code, out := k.cmd(false, "report", id); code != 0 || !strings.Contains(out, "Grace Hopper") || !strings.Contains(out, "2 of 2 said go") || !strings.Contains(out, "looks good") {
		t.Errorf("report: %d\n%s", code, out)
	}
	if k.ledger() != "one" {
		t.Errorf("ledger %q: cut over by nobody's word", k.ledger())
	}
}
