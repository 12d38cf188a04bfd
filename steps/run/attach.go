package run

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"belay/steps"
	"belay/steps/journal"
	"belay/steps/plan"
)

// Attached is a Session of a run that a keeper in another process drives. It
// reads the run directory itself; only what a person says goes to the keeper.
type Attached struct {
	logs
	dir  string
	plan *plan.Plan
	tail tail
	by   journal.Author

	mu      sync.Mutex
	conn    net.Conn
	nextID  uint64
	waiting map[uint64]chan error
	news    news
	gone    bool
}

var (
	_ Session = (*Attached)(nil)
	_ Shared  = (*Attached)(nil)
)

// NoKeeperError says that nobody drives the run now.
type NoKeeperError struct{ Run string }

func (e *NoKeeperError) Error() string {
	return fmt.Sprintf("no belay drives run %s now; take it up with: belay resume %s", e.Run, e.Run)
}

// Attach connects to the keeper of the run in dir. *NoKeeperError when there
// is none.
func Attach(dir string, kinds plan.Kinds, by journal.Author) (*Attached, error) {
	conn, err := net.DialTimeout("unix", socketPath(dir), 5*time.Second)
	if err != nil {
		return nil, &NoKeeperError{filepath.Base(dir)}
	}
	if uid, _, err := peer(conn.(*net.UnixConn)); err != nil || uid != os.Getuid() {
		conn.Close() // the path may have become another login's: nobody there is told a secret
		return nil, &NoKeeperError{filepath.Base(dir)}
	}
	p, err := saved(dir, kinds)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("run %s: its copy of the plan cannot be read: %w", filepath.Base(dir), err)
	}
	follow, err := newTail(dir)
	if err != nil {
		conn.Close()
		return nil, err
	}
	a := &Attached{
		logs: newLogs(dir, p), dir: dir, plan: p, by: by, conn: conn,
		tail:    follow,
		waiting: map[uint64]chan error{},
	}
	go a.listen()
	if err := a.call(context.Background(), call{Hello: &by}); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// Close leaves; the run goes on.
func (a *Attached) Close() error { return errors.Join(a.conn.Close(), a.tail.Close()) }

// Plan is the run's copy of the plan.
func (a *Attached) Plan() *plan.Plan { return a.plan }

// Dir is the run directory.
func (a *Attached) Dir() string { return a.dir }

// State is what is on the disk.
func (a *Attached) State() *journal.State { return a.tail.State() }

// Live is what the keeper last told. When the keeper has gone without saying
// how the run ended, Err says so.
func (a *Attached) Live() Live {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := Live{Progress: a.news.Progress, Lights: a.news.Lights, Assessing: a.news.Assessing, Ended: a.news.Ended}
	switch {
	case a.tail.Err() != nil:
		l.Err = a.tail.Err()
	case a.news.Err != "":
		l.Err = errors.New(a.news.Err)
	case a.gone && !a.news.Ended:
		l.Ended = true
		l.Err = fmt.Errorf("the process that drove the run is gone; what ran on the hosts as a job goes on; take the run up with: belay resume %s", filepath.Base(a.dir))
	}
	if l.Progress == nil {
		l.Progress = map[string]map[string]steps.Progress{}
	}
	return l
}

// Answer sends an answer to the keeper.
func (a *Attached) Answer(ctx context.Context, ans journal.Answer) error {
	return a.call(ctx, call{Answer: &ans})
}

// Request sends a request to the keeper.
func (a *Attached) Request(ctx context.Context, r Request) error {
	return a.call(ctx, call{Request: &r})
}

// Prompt is what must be asked for in a dialog of the screen's own. Only the
// screen with the pen asks.
func (a *Attached) Prompt() *Prompt {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.news.Prompt == nil || !a.news.Pen.Mine {
		return nil
	}
	p := *a.news.Prompt
	p.Reply = func(text string, ok bool) {
		go func() { _ = a.call(context.Background(), call{Reply: &promptReply{p.ID, text, ok}}) }()
	}
	return &p
}

// Pen says who may answer.
func (a *Attached) Pen() Pen {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.news.Pen
}

// TakePen takes the pen.
func (a *Attached) TakePen() error { return a.call(context.Background(), call{Pen: &a.by}) }

// callLimit is how long a keeper may take to answer a screen.
const callLimit = 10 * time.Second

func (a *Attached) call(ctx context.Context, c call) error {
	got := make(chan error, 1)
	a.mu.Lock()
	if a.gone {
		a.mu.Unlock()
		return &NoKeeperError{filepath.Base(a.dir)}
	}
	a.nextID++
	c.ID = a.nextID
	a.waiting[c.ID] = got
	_ = a.conn.SetWriteDeadline(time.Now().Add(callLimit))
	_, err := a.conn.Write(encodeLine(c))
	a.mu.Unlock()
	if err != nil {
		return fmt.Errorf("keeper not reached: %w", err)
	}
	select {
	case err := <-got:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(callLimit):
		return errors.New("the keeper does not answer; whether it took this is not known: look at the run before you say it again")
	}
}

// listen takes what the keeper sends until it goes.
func (a *Attached) listen() {
	in := bufio.NewReaderSize(a.conn, 64<<10)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			break
		}
		var p push
		if json.Unmarshal(line, &p) != nil {
			break
		}
		a.mu.Lock()
		if p.News != nil {
			a.news = *p.News
		}
		if ch := a.waiting[p.ID]; ch != nil {
			ch <- p.Err.err()
			delete(a.waiting, p.ID)
		}
		a.mu.Unlock()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = true
	for _, ch := range a.waiting {
		ch <- &NoKeeperError{filepath.Base(a.dir)}
	}
	a.waiting = map[uint64]chan error{}
}
