package ssh

import (
	"context"
	"sync"
	"time"
)

// slots bounds the commands at a time on one connection. The bound sinks when
// the server turns out to allow fewer (MaxSessions).
type slots struct {
	mu    sync.Mutex
	limit int
	used  int
	wake  chan struct{} // closed at every release
	tries int           // refusals in a row with no other command running
}

func newSlots(limit int) *slots { return &slots{limit: limit, wake: make(chan struct{})} }

// take waits for a slot. It returns early when ctx or the connection ends.
func (s *slots) take(ctx context.Context, ended <-chan struct{}) error {
	for {
		s.mu.Lock()
		if s.used < s.limit {
			s.used++
			s.mu.Unlock()
			return nil
		}
		wake := s.wake
		s.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ended:
			return nil // opening will fail and say why
		}
	}
}

func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free()
	s.tries = 0
}

func (s *slots) free() {
	s.used--
	close(s.wake)
	s.wake = make(chan struct{})
}

// refused gives back a slot for which the server would open no session. It
// tells whether to try again: at once, when other commands must end first; or
// after a pause, because the server may not have noticed yet that one ended.
func (s *slots) refused() (pause time.Duration, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free()
	if s.used > 0 {
		s.limit = s.used
		return 0, true
	}
	s.limit = 1
	s.tries++
	return 50 * time.Millisecond << s.tries, s.tries <= 5
}
