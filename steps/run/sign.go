package run

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"belay/steps/journal"
	"belay/steps/plan"
)

// Slip is what somebody who signs gets to see of a run: the checklist, who has
// said go, and what that rests on. It comes from the run's keeper, so that who
// signs needs no access to the run directory.
type Slip struct {
	Run         string              `json:"run"`
	Plan        string              `json:"plan"`
	Hash        string              `json:"hash"`
	Environment string              `json:"environment,omitempty"`
	Rehearsal   bool                `json:"rehearsal,omitempty"`
	Status      journal.Status      `json:"status"`
	Gate        *journal.Question   `json:"gate,omitempty"` // the sign-off or the cutover that waits; nil: neither
	Need        string              `json:"need"`           // whose go is wanted, in words
	Items       []journal.ItemState `json:"items"`
	Findings    []journal.Finding   `json:"findings"` // that did not pass
	Seats       []plan.Seat         `json:"seats"`
	Voided      []journal.Dropped   `json:"voided,omitempty"` // go's that count no more
	Alone       string              `json:"alone,omitempty"`  // why you may not start the cutover
	Second      bool                `json:"second,omitempty"` // the plan wants a second person to cut over
	Seen        string              `json:"seen"`             // goes back with a go: see journal.State.Seen
	You         journal.Author      `json:"you"`              // as the keeper knows you
	Now         time.Time           `json:"now"`
}

// signing is an answer by somebody without the pen.
type signing struct {
	Answer journal.Answer `json:"answer"`
	Seen   string         `json:"seen"`
}

// slip shows the run to somebody who signs.
func (k *Keeper) slip(by journal.Author) *Slip {
	p, s := k.run.Plan(), k.run.State()
	out := &Slip{
		Run: k.run.ID(), Plan: p.Name, Hash: p.Hash, Environment: p.Environment, Rehearsal: len(s.Rehearsal) > 0, Status: s.Status,
		Need: p.Approvers.Need(), Seats: p.Seats(s), Alone: p.Alone(s, by), Second: p.Approvers.SecondPerson, Seen: s.Seen(), You: by, Now: time.Now(),
		Findings: []journal.Finding{}, Items: []journal.ItemState{},
	}
	for i, q := range s.Questions {
		if q.Kind == journal.AskSignoff || q.Kind == journal.AskCutover {
			out.Gate = &s.Questions[i]
		}
	}
	for _, it := range p.Signoff {
		now := journal.ItemState{ID: it.ID, Machine: it.Machine()}
		if st := s.Items[it.ID]; st != nil {
			now = *st
		}
		now.Text = it.Text
		out.Items = append(out.Items, now)
	}
	for _, f := range s.Findings {
		if f.Level != "pass" {
			out.Findings = append(out.Findings, f)
		}
	}
	if it := s.Items[journal.GoItem]; it != nil {
		out.Voided = it.Voided
	}
	return out
}

// sign takes what somebody may say without the pen: about the checklist, and at
// the cutover what a second person is for.
func (k *Keeper) sign(s *screen, g signing) error {
	a := g.Answer
	a.By, a.Time = s.vouch(a.By), time.Time{}
	for what, text := range map[string]string{"name": a.By.Name, "reason": a.Reason, "role": a.Role, "text": a.Text} {
		if len(text) > mostSaid || strings.ContainsFunc(text, unseen) {
			return journal.Refuse("the %s is too long, or has characters in it that nobody sees; nothing was done", what)
		}
	}
	now := k.run.State()
	for _, q := range now.Questions {
		if q.ID != a.Question {
			continue
		}
		may := q.Kind == journal.AskSignoff && (a.Choice == "sign" || a.Choice == "go" || a.Choice == "no-go") ||
			q.Kind == journal.AskCutover && (a.Choice == "no-go" || a.Choice == "go" && k.run.Plan().Approvers.SecondPerson)
		switch {
		case !may:
			return journal.Refuse("%q is for whoever drives the run, by belay attach; nothing was done", a.Choice)
		case a.Choice == "go" && g.Seen != now.Seen():
			return journal.Refuse("findings or what belay proves have changed since you were shown them; nothing was done: look again")
		}
		return k.run.Answer(context.Background(), a)
	}
	return &StaleError{a.Question}
}

// vouch makes a login what the keeper knows of it. The kernel tells the user of
// the process at the other end, and on Linux often who logged in before sudo;
// where it does not, a process of the keeper's own user is taken at its word
// about sudo, and about its key. One of another login could name any key, and
// be several people where the plan tells people apart by key. Name and origin
// are always the word of the other side.
func (s *screen) vouch(by journal.Author) journal.Author {
	as, came := loginName(s.uid), s.session
	if was, on, ok := strings.Cut(by.Login, " as "); came == "" && ok && on == as && s.uid == os.Getuid() {
		came = was
	}
	if s.uid != os.Getuid() {
		by.Key = ""
	}
	if len(by.From) > mostSaid || strings.ContainsFunc(by.From, unseen) {
		by.From = ""
	}
	if by.Login = as; came != "" && came != as {
		by.Login = came + " as " + as
	}
	return by
}

// mostSaid is how many bytes a text of somebody who signs may have: it stands in
// the journal, and on every screen.
const mostSaid = 4000

// unseen are characters that nobody sees, or that change what stands beside
// them; but not the joiners, which words of some languages have.
func unseen(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) && r != '\u200c' && r != '\u200d'
}

func loginName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "uid " + strconv.Itoa(uid)
}

// Signing is a connection to a keeper for somebody who signs.
type Signing struct {
	By journal.Author
	// Keeper is the login that drives the run, as the kernel tells.
	Keeper string

	conn *net.UnixConn
	in   *bufio.Reader
	most *io.LimitedReader // of one answer
	n    uint64
}

// answerMost is how long the answers to a call may be: who looks may come to a
// door that anybody has made.
const answerMost = 32 << 20

// OpenSigning connects to a keeper by its socket; see Signable.
func OpenSigning(socket string, by journal.Author) (*Signing, error) {
	conn, err := net.DialTimeout("unix", socket, 5*time.Second)
	if err != nil {
		return nil, err
	}
	uc := conn.(*net.UnixConn)
	uid, _, err := peer(uc)
	if err != nil {
		conn.Close()
		return nil, err
	}
	most := &io.LimitedReader{R: conn, N: answerMost}
	return &Signing{By: by, Keeper: loginName(uid), conn: uc, in: bufio.NewReaderSize(most, 64<<10), most: most}, nil
}

// Close leaves.
func (s *Signing) Close() error { return s.conn.Close() }

// Look asks for the checklist as it stands.
func (s *Signing) Look() (*Slip, error) {
	p, err := s.call(call{Look: &s.By})
	if err != nil {
		return nil, err
	}
	if p.Slip == nil {
		return nil, errors.New("this keeper is of another version of belay and knows nothing of signing; use belay attach")
	}
	return p.Slip, nil
}

// Sign gives an answer upon a slip. *journal.RefusedError and *StaleError as
// Session.Answer.
func (s *Signing) Sign(a journal.Answer, seen string) error {
	for range 25 { // the engine may be writing down the answer before this one
		_, err := s.call(call{Sign: &signing{a, seen}})
		if !errors.Is(err, ErrNotWaiting) {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
	return ErrNotWaiting
}

func (s *Signing) call(c call) (push, error) {
	s.n++
	c.ID, s.most.N = s.n, answerMost
	_ = s.conn.SetDeadline(time.Now().Add(callLimit))
	if _, err := s.conn.Write(encodeLine(c)); err != nil {
		return push{}, fmt.Errorf("keeper not reached: %w", err)
	}
	for {
		line, err := s.in.ReadBytes('\n')
		if err != nil {
			return push{}, errors.New("the keeper does not answer; whether it took this is not known: look at the run before you say it again")
		}
		var p push
		if err := json.Unmarshal(visible(line), &p); err != nil {
			return p, errors.New("what answers there is no keeper of this version of belay; nothing was done")
		}
		if p.ID == c.ID {
			return p, p.Err.err()
		}
	}
}

// visible takes out of the texts of a document what a terminal would obey: at a
// door that anybody has made, anybody may answer.
func visible(line []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	clean := func(s string) string {
		return strings.Map(func(r rune) rune {
			if r != '\n' && unseen(r) {
				return -1
			}
			return r
		}, s)
	}
	out, err := json.Marshal(mapStrings(v, clean, clean))
	if err != nil {
		return nil
	}
	return out
}

// Door is a run that somebody may sign, by the socket of its keeper.
type Door struct {
	Run, Socket string
	// Keeper is the login that opened it. Anybody may open a door for a run of
	// any name: it is not said to be of the login that has that run.
	Keeper string
}

// signPlaces are where keepers of all logins have the sockets for those who
// sign: $BELAY_SIGN alone where that is set.
func signPlaces() []string {
	if dir := os.Getenv("BELAY_SIGN"); dir != "" {
		return []string{dir}
	}
	return []string{"/run/belay", "/tmp"}
}

// Signable returns the runs that a keeper may let this login sign: its own
// under root, and those that other logins have opened to a group. Some may be
// of keepers that are gone.
func Signable(root string) []Door {
	var all []Door
	own, _ := filepath.Glob(filepath.Join(root, "*", "journal*"))
	seen := map[string]bool{}
	for _, j := range own {
		dir := filepath.Dir(j)
		if id := filepath.Base(dir); !seen[id] {
			seen[id] = true
			all = append(all, Door{id, socketPath(dir), loginName(os.Getuid())})
		}
	}
	for _, place := range signPlaces() {
		sockets, _ := filepath.Glob(filepath.Join(place, "belay-sign-*-*", "socket"))
		for _, path := range sockets {
			of, id, _ := strings.Cut(strings.TrimPrefix(filepath.Base(filepath.Dir(path)), "belay-sign-"), "-")
			uid, err := strconv.Atoi(of)
			if err != nil || !isOf(filepath.Dir(path), uid) || seen[id] {
				continue // somebody else made it in that login's name; or for a run of one's own
			}
			all = append(all, Door{id, path, loginName(uid)})
		}
	}
	return all
}

// openDoor opens the socket by which the logins of a group may sign the run. They can do
// nothing else there. Only the group gets through the directory.
func openDoor(id, group string) (*net.UnixListener, error) {
	g, err := user.LookupGroup(group)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return nil, err
	}
	places := signPlaces()
	place := places[len(places)-1]
	if os.Getuid() == 0 {
		if place = places[0]; os.MkdirAll(place, 0o755) != nil {
			place = places[len(places)-1]
		} else if info, err := os.Stat(place); err == nil && info.Mode()&0o055 != 0o055 && len(places) > 1 {
			_ = os.Chmod(place, 0o755) // a umask of 077 would keep every group out
		}
	}
	dir := filepath.Join(place, fmt.Sprintf("belay-sign-%d-%s", os.Getuid(), id))
	if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
		return nil, err
	}
	// It may be left by a keeper that died; it may not be somebody else's.
	if !ours(dir) {
		return nil, fmt.Errorf("%s is there and not ours", dir)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "socket")
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	err = firstErr(os.Chown(path, -1, gid), os.Chmod(path, 0o660), os.Chown(dir, -1, gid), os.Chmod(dir, 0o750))
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("%w: %s can open a run only to groups that it is in itself", err, loginName(os.Getuid()))
	}
	return l, nil
}

// ours tells whether path is a directory of this login's, and no link to one.
func ours(path string) bool { return isOf(path, os.Getuid()) }

// isOf tells whether path is a directory of that login's, and no link to one.
func isOf(path string, uid int) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == uid
}
