package ssh

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"belay/remote"
)

// The pauses between attempts to connect again, and how long the background
// goes on when nobody waits.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 15 * time.Second
	longestWait  = 15 * time.Minute
)

// link is the way to one machine: at most one live connection, made when it is
// needed and made again when it was lost.
type link struct {
	net *Network
	set settings
	via *link

	mu    sync.Mutex
	names []string // hosts of the plan that are this machine
	cur   *live
	try   *try
	wasUp bool
	fails int       // attempts in a row, since it was lost
	next  time.Time // no attempt before
	last  error
	light remote.Light
}

// try is an attempt under way that any number of callers wait for. When the
// last of them leaves, it is given up.
type try struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int
	live    *live
	err     error
}

func (l *link) addName(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.names, name) {
		l.names = append(l.names, name)
	}
}

func (l *link) name() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.names, ", ")
}

// get returns the live connection, connecting if need be. A connection that
// was up before is waited for up to patience. Errors are
// *remote.UnreachableError, or the cause of ctx.
func (l *link) get(ctx context.Context, patience time.Duration) (*live, error) {
	until := time.Now().Add(patience)
	for {
		l.mu.Lock()
		if l.net.ctx.Err() != nil {
			l.mu.Unlock()
			return nil, &remote.UnreachableError{Host: l.name(), Err: errClosed}
		}
		if l.cur != nil {
			defer l.mu.Unlock()
			return l.cur, nil
		}
		next, last := l.next, l.last
		pause := time.Until(next)
		if l.try == nil && pause > 0 {
			l.mu.Unlock()
			if next.After(until) {
				return nil, &remote.UnreachableError{Host: l.name(), Err: last}
			}
			if err := sleep(ctx, pause); err != nil {
				return nil, err
			}
			continue
		}
		t := l.join()
		l.mu.Unlock()
		err := l.await(ctx, t)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err == nil {
			return t.live, nil
		}
		l.mu.Lock()
		again := l.wasUp && !final(err) && time.Now().Before(until)
		l.mu.Unlock()
		if !again {
			return nil, &remote.UnreachableError{Host: l.name(), Err: err}
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// join takes part in the attempt under way, or begins one. l.mu is held.
func (l *link) join() *try {
	if l.try == nil {
		ctx, cancel := context.WithCancel(l.net.ctx)
		t := &try{done: make(chan struct{}), cancel: cancel}
		l.try = t
		if !l.wasUp {
			l.shine(remote.Connecting, "")
		}
		l.net.running.Go(func() {
			defer cancel()
			v, err := l.connect(ctx)
			l.finish(t, v, err)
		})
	}
	l.try.waiting++
	return l.try
}

func (l *link) await(ctx context.Context, t *try) error {
	select {
	case <-t.done:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t.waiting--
	if t.waiting == 0 && l.try == t {
		l.try = nil
		t.cancel()
		if !l.wasUp {
			l.shine(remote.Unlit, "")
		}
	}
	return t.err
}

func (l *link) finish(t *try, v *live, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer close(t.done)
	if l.try != t || l.net.ctx.Err() != nil { // given up meanwhile
		if l.try == t {
			l.try = nil
		}
		if v != nil {
			v.client.Close()
		}
		t.err = errClosed
		return
	}
	l.try = nil
	t.live, t.err = v, err
	if err == nil {
		l.cur, l.wasUp, l.fails, l.last, l.next = v, true, 0, nil, time.Time{}
		l.shine(remote.Up, "")
		l.net.running.Go(v.watch)
		return
	}
	l.last = err
	if l.wasUp && !final(err) {
		l.next = time.Now().Add(min(firstPause<<min(l.fails, 10), longestPause))
		l.fails++
		l.shine(remote.Reconnecting, err.Error())
		return
	}
	l.shine(remote.Down, err.Error())
}

// lost takes a broken connection out of use, and tries to make it again in the
// background.
func (l *link) lost(v *live, reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cur != v {
		return
	}
	l.cur, l.last, l.fails, l.next = nil, reason, 0, time.Time{}
	if l.net.ctx.Err() != nil {
		l.shine(remote.Unlit, "")
		return
	}
	l.shine(remote.Reconnecting, reason.Error())
	l.net.running.Go(func() {
		if _, err := l.get(l.net.ctx, longestWait); err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.cur == nil && l.light == remote.Reconnecting {
				l.shine(remote.Down, fmt.Sprintf("given up until the next command: %v", l.last))
			}
		}
	})
}

// shine tells each of the link's hosts. l.mu is held, so that news come in
// order.
func (l *link) shine(light remote.Light, reason string) {
	l.light = light
	for _, n := range l.names {
		l.net.o.Light(n, light, reason)
	}
}

func (l *link) close() {
	l.mu.Lock()
	v, t := l.cur, l.try
	l.mu.Unlock()
	if t != nil {
		t.cancel()
	}
	if v != nil {
		v.end(errClosed)
	}
}
