package run

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"belay/steps/journal"
)

const signedPlan = `belay: 1
name: signed
hosts: {here: {local: true}}
signoff:
  - The team knows
approvers: 2
cutover:
  - step: Switch
    manual: switch it
`

// openToGroup gives a run at its sign-off that the group of this process may sign.
func openToGroup(t *testing.T) (*kept, Door) {
	t.Helper()
	place := t.TempDir()
	t.Setenv("BELAY_SIGN", place)
	g, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
	if err != nil {
		t.Skip("the group of this process has no name")
	}
	r := keepRun(t, signedPlan, g.Name)
	a := attach(t, r.Run, "Ada")
	q := question(t, a, journal.AskFindings, "")
	_, open := a.State().Standing()
	for _, f := range open {
		say(t, a, journal.Answer{Question: q.ID, Choice: "accept", Item: f.ID, Reason: "a lab", By: journal.Author{Name: "Ada"}})
		q = question(t, a, journal.AskFindings, "")
	}
	say(t, a, journal.Answer{Question: q.ID, Choice: "go", By: journal.Author{Name: "Ada"}})
	question(t, a, journal.AskSignoff, "")
	for _, d := range Signable(t.TempDir()) {
		if d.Run == "r1" && strings.HasPrefix(d.Socket, place) {
			return r, d
		}
	}
	t.Fatal("the run is not among those to sign")
	return nil, Door{}
}

func TestAtTheDoorARunIsSignedAndNothingElse(t *testing.T) {
	r, d := openToGroup(t)
	conn, err := net.Dial("unix", d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	in := bufio.NewReader(conn)
	q, _ := r.State().Open(journal.AskSignoff, "")
	by := journal.Author{Name: "Eve", Login: "eve"}
	for i, c := range []call{
		{Hello: &by}, {Pen: &by}, {Request: &Request{What: WantRollback, By: by}},
		{Answer: &journal.Answer{Question: q.ID, Choice: "stop", By: by}},
		{Reply: &promptReply{"p1", "secret", true}},
		{Sign: &signing{journal.Answer{Question: q.ID, Choice: "rollback", By: by}, r.State().Seen()}},
		{Sign: &signing{journal.Answer{Question: q.ID, Choice: "sign", Item: "the-team-knows", By: journal.Author{Name: "\x1b[2JAda"}}, ""}},
		{Sign: &signing{journal.Answer{Question: q.ID, Choice: "no-go", Reason: strings.Repeat("x", mostSaid+1), By: by}, ""}},
	} {
		c.ID = uint64(i + 1)
		if _, err := conn.Write(encodeLine(c)); err != nil {
			t.Fatal(err)
		}
		line, err := in.ReadBytes('\n')
		var p push
		if err != nil || json.Unmarshal(line, &p) != nil || p.ID != c.ID {
			t.Fatalf("call %d: %s, %v", c.ID, line, err)
		}
		if p.Err == nil || p.Err.Kind != "refused" || p.News != nil {
			t.Errorf("call %d was not refused: %s", c.ID, line)
		}
	}
	if q, ok := r.State().Open(journal.AskSignoff, ""); !ok || len(r.State().Items["the-team-knows"].Signed) > 0 {
		t.Errorf("something of that was done: %+v", q)
	}
}

func TestNobodyAtTheDoorKeepsOthersOut(t *testing.T) {
	r, d := openToGroup(t)
	for range 5 * doorMost { // and none reads or says anything
		conn, err := net.Dial("unix", d.Socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	long, err := net.Dial("unix", d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	go func() { _, _ = long.Write(append([]byte(`{"look":{"login":"`), make([]byte, 4<<20)...)) }()
	until(t, "the crowd was let in as far as it goes", func() bool {
		r.keeper.mu.Lock()
		defer r.keeper.mu.Unlock()
		n := 0
		for s := range r.keeper.screens {
			if s.door {
				n++
			}
		}
		if n > doorMost {
			t.Fatalf("%d connections of one login", n)
		}
		return n == doorMost
	})
	attach(t, r.Run, "Grace") // by the keeper's own socket
}

func TestNobodyIsTakenAtTheirWordForAnotherLogin(t *testing.T) {
	other := os.Getuid() + 4321
	s := &screen{uid: other}
	by := s.vouch(journal.Author{Name: "Ada", Login: "ada as root", Key: "SHA256:ada", From: "10.0.0.1\x1b[2J"})
	if want := (journal.Author{Name: "Ada", Login: loginName(other)}); by != want {
		t.Errorf("another login is believed: %+v, not %+v", by, want)
	}
	own := loginName(os.Getuid())
	by = (&screen{uid: os.Getuid()}).vouch(journal.Author{Name: "Ada", Login: "ada as " + own, Key: "SHA256:ada"})
	if by.Login != "ada as "+own || by.Key != "SHA256:ada" {
		t.Errorf("the keeper's own login is not believed: %+v", by)
	}
}

func TestDoorsInTheNameOfOthersAreNotShown(t *testing.T) {
	place := t.TempDir()
	t.Setenv("BELAY_SIGN", place)
	uid := os.Getuid()
	for _, name := range []string{fmt.Sprintf("belay-sign-%d-false", uid+1), fmt.Sprintf("belay-sign-%d-true", uid), "belay-sign-x-odd"} {
		if err := os.Mkdir(filepath.Join(place, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(place, name, "socket"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(fmt.Sprintf("belay-sign-%d-true", uid), filepath.Join(place, fmt.Sprintf("belay-sign-%d-link", uid))); err != nil {
		t.Fatal(err)
	}
	got := Signable(t.TempDir())
	if len(got) != 1 || got[0].Run != "true" || got[0].Keeper != loginName(uid) {
		t.Errorf("doors: %+v", got)
	}
}

// Anybody can make a door in /tmp: what answers there does not get at the
// terminal of whoever looks.
func TestAFalseKeeperDoesNotGetAtTheTerminal(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for i := uint64(1); ; i++ {
			if _, err := in.ReadBytes('\n'); err != nil {
				return
			}
			p := push{ID: i, Slip: &Slip{Run: "r\x1b]0;owned\x07", Status: "held\u202e", You: journal.Author{Login: "ada\x1b[2J"}, Gate: &journal.Question{ID: "q1", Text: "one\ntwo\x1b[2J"}}}
			if i > 1 {
				p = push{ID: i, Err: toWire(journal.Refuse("no\x1b[2J"))}
			}
			_, _ = conn.Write(encodeLine(p))
		}
	}()
	s, err := OpenSigning(l.Addr().String(), journal.Author{Login: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sl, err := s.Look()
	if err != nil {
		t.Fatal(err)
	}
	if sl.Run != "r]0;owned" || sl.Status != "held" || sl.You.Login != "ada[2J" || sl.Gate.Text != "one\ntwo[2J" {
		t.Errorf("%q %q %q %q", sl.Run, sl.Status, sl.You.Login, sl.Gate.Text)
	}
	if err := s.Sign(journal.Answer{Choice: "go"}, sl.Seen); err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("refused by %v", err)
	}
}
