package run

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"belay/steps/journal"
)

// Keeper serves one run to its screens. It lives in the process that has the
// engine, and it never waits for a screen: one that does not read is dropped.
type Keeper struct {
	run  *Run
	l    *net.UnixListener
	door *net.UnixListener // for a group that signs; nil: the run is open to nobody

	mu      sync.Mutex
	screens map[*screen]bool
	pen     *screen
	since   time.Time
	done    chan struct{}
	wg      sync.WaitGroup
}

// screen is one that is attached.
type screen struct {
	conn net.Conn
	by   journal.Author
	came time.Time // when it said hello; zero before
	out  chan []byte
	sent []byte // the last news

	uid     int    // of the process at the other end
	session string // the login that its session began with; "": not known
	signs   bool   // came to sign: hears no news, and never has the pen
	door    bool   // came by the door of a group
}

// newsEvery is how often a screen may hear of news.
const newsEvery = 100 * time.Millisecond

// Serve opens the run's socket. signers is a group whose logins may sign the
// run, and do nothing else; "": nobody but this login. *DoorError when that
// cannot be.
func Serve(r *Run, signers string) (*Keeper, error) {
	l, err := listen(r.dir)
	if err != nil {
		return nil, err
	}
	k := &Keeper{run: r, l: l, screens: map[*screen]bool{}, done: make(chan struct{})}
	if signers != "" {
		if k.door, err = openDoor(r.ID(), signers); err != nil {
			l.Close()
			return nil, &DoorError{signers, err}
		}
		k.wg.Go(func() { k.accept(k.door) })
	}
	k.wg.Go(func() { k.accept(k.l) })
	k.wg.Go(k.spread)
	return k, nil
}

// DoorError says that a run cannot be opened to a group that would sign it.
type DoorError struct {
	Group string
	Err   error
}

func (e *DoorError) Error() string {
	return fmt.Sprintf("open the run to the group %s: %v", e.Group, e.Err)
}

func (e *DoorError) Unwrap() error { return e.Err }

// Close tells the screens what is left to tell and lets them go.
func (k *Keeper) Close() error {
	k.mu.Lock() // from now on nobody is admitted
	close(k.done)
	k.mu.Unlock()
	err := k.l.Close()
	if k.door != nil {
		err = errors.Join(err, k.door.Close())
	}
	k.mu.Lock()
	for s := range k.screens {
		k.tell(s)
		k.drop(s)
	}
	k.mu.Unlock()
	k.wg.Wait()
	os.Remove(k.l.Addr().String())
	if k.door != nil {
		os.RemoveAll(filepath.Dir(k.door.Addr().String()))
	}
	return err
}

func (k *Keeper) accept(l *net.UnixListener) {
	for {
		conn, err := l.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of file descriptors, say: the run must not be closed to everybody for that
			time.Sleep(newsEvery)
			continue
		}
		uid, pid, err := peer(conn)
		if err != nil || l == k.l && uid != os.Getuid() {
			conn.Close() // the socket's mode keeps others out; this is the second lock on the door
			continue
		}
		s := &screen{conn: conn, out: make(chan []byte, 64), uid: uid, session: cameBy(pid, uid), signs: l == k.door, door: l == k.door}
		if !k.admit(s) {
			conn.Close()
			continue
		}
		k.wg.Go(func() { s.write() })
		k.wg.Go(func() { k.read(s) })
	}
}

// doorMost is how many connections one login may have at the door: none of the
// group can use up what the keeper has for all.
const doorMost = 8

// admit takes a screen in, unless the keeper is closing or a login that signs
// is there too often already.
func (k *Keeper) admit(s *screen) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.done:
		return false
	default:
	}
	n := 0
	for other := range k.screens {
		if other.door && other.uid == s.uid {
			n++
		}
	}
	if s.door && n >= doorMost {
		return false
	}
	k.screens[s] = true
	return true
}

// write sends what is queued until the queue is closed.
func (s *screen) write() {
	defer s.conn.Close()
	for b := range s.out {
		_ = s.conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		if _, err := s.conn.Write(b); err != nil {
			for range s.out { // whoever queues must not wait
			}
			return
		}
	}
}

// send queues b; a screen whose queue is full is not reading, and is dropped.
func (k *Keeper) send(s *screen, b []byte) {
	if !k.screens[s] {
		return
	}
	select {
	case s.out <- b:
	default:
		k.drop(s)
	}
}

func (k *Keeper) drop(s *screen) {
	if !k.screens[s] {
		return
	}
	delete(k.screens, s)
	close(s.out)
	if k.pen == s {
		k.pen = nil
		if next := k.oldest(); next != nil {
			k.hand(next)
		}
	}
}

// oldest is the screen that has been there longest.
func (k *Keeper) oldest() *screen {
	var first *screen
	for s := range k.screens {
		if !s.came.IsZero() && (first == nil || s.came.Before(first.came)) {
			first = s
		}
	}
	return first
}

// read takes calls until the screen goes.
func (k *Keeper) read(s *screen) {
	in := bufio.NewScanner(s.conn)
	in.Buffer(nil, s.longest())
	for in.Scan() {
		var c call
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			break
		}
		p := push{ID: c.ID}
		if c.Look != nil {
			p.Slip = k.slip(s.vouch(*c.Look))
		}
		err := k.serve(s, c)
		k.mu.Lock()
		p.Err = toWire(err)
		k.send(s, encodeLine(p))
		k.tell(s)
		k.mu.Unlock()
		if s.door { // whoever calls without end gets no more of this processor
			time.Sleep(doorPause)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(s)
}

// doorPause is how long who signs waits between two calls, at least.
const doorPause = 20 * time.Millisecond

// longest is how long a call may be.
func (s *screen) longest() int {
	if s.door {
		return 64 << 10
	}
	return 1 << 20
}

// serve does what a screen asks for.
func (k *Keeper) serve(s *screen, c call) error {
	switch {
	case c.Look != nil:
		k.mu.Lock()
		defer k.mu.Unlock()
		s.signs = s.signs || s.came.IsZero()
		return nil
	case c.Sign != nil:
		return k.sign(s, *c.Sign)
	case s.signs:
		return journal.Refuse("here a run is signed; nothing else can be done. Nothing was done")
	case c.Hello != nil:
		k.mu.Lock()
		defer k.mu.Unlock()
		s.by, s.came = s.vouch(*c.Hello), time.Now()
		if k.pen == nil {
			k.hand(s)
		}
		return nil
	case c.Pen != nil:
		k.mu.Lock()
		defer k.mu.Unlock()
		s.by = s.vouch(*c.Pen)
		k.hand(s)
		return nil
	}
	if err := k.mayWrite(s); err != nil {
		return err
	}
	switch {
	case c.Answer != nil:
		c.Answer.By = s.vouch(c.Answer.By)
		return k.run.Answer(context.Background(), *c.Answer)
	case c.Request != nil:
		c.Request.By = s.vouch(c.Request.By)
		return k.run.Request(context.Background(), *c.Request)
	case c.Reply != nil:
		p := k.run.Prompt()
		if p == nil || p.ID != c.Reply.Prompt {
			return &StaleError{c.Reply.Prompt}
		}
		p.Reply(c.Reply.Text, c.Reply.OK)
		return nil
	}
	return errors.New("this keeper does not know that call: it is of another version of belay")
}

func (k *Keeper) hand(s *screen) { k.pen, k.since = s, time.Now() }

// mayWrite gives a free pen to who wants to write.
func (k *Keeper) mayWrite(s *screen) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pen == nil {
		k.hand(s)
	}
	if k.pen != s {
		return journal.Refuse("%s holds the pen since %s; take it over first. Nothing was done", k.pen.by.WhoFrom(), k.since.Format("15:04:05"))
	}
	return nil
}

// spread sends news to every screen as they come.
func (k *Keeper) spread() {
	tick := time.NewTicker(newsEvery)
	defer tick.Stop()
	for {
		select {
		case <-k.done:
			return
		case <-tick.C:
		}
		k.mu.Lock()
		for s := range k.screens {
			k.tell(s)
		}
		k.mu.Unlock()
	}
}

// tell sends a screen the news, if there are any for it.
func (k *Keeper) tell(s *screen) {
	if s.signs {
		return
	}
	screens := 0
	for other := range k.screens {
		if !other.signs {
			screens++
		}
	}
	live := k.run.Live()
	n := &news{
		Progress: live.Progress, Lights: live.Lights, Assessing: live.Assessing, Ended: live.Ended,
		Prompt: k.run.Prompt(), Pen: Pen{Mine: k.pen == s, Screens: screens, Since: k.since},
	}
	if live.Err != nil {
		n.Err = live.Err.Error()
	}
	if k.pen != nil {
		n.Pen.By = k.pen.by
	}
	if b := encodeLine(push{News: n}); !bytes.Equal(b, s.sent) {
		s.sent = b
		k.send(s, b)
	}
}
