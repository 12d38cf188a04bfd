package remote

import (
	"io"
	"reflect"
	"strings"
	"sync"
)

// tailSize is how much of a command's stderr an ExitError keeps.
const tailSize = 4 << 10

// Sinks is for those who write a Runner: where a command's output goes. Both
// writers are never nil, are never used at the same time when the command was
// given the same writer twice, and always take everything, so that a broken
// reader on this side cannot leave the far side stuck: what follows a failed
// write is dropped, and the failure is told once through fail.
type Sinks struct {
	Stdout, Stderr io.Writer

	out, err *sink
	mu       sync.Mutex
	tail     []byte
	cut      bool // tail has lost its beginning
}

// Sinks prepares c's output. fail is called with the first error of a write;
// the Runner then ends the command and returns that error.
func (c Cmd) Sinks(fail func(error)) *Sinks {
	s := &Sinks{}
	stdoutLock := &sync.Mutex{}
	stderrLock := &sync.Mutex{}
	if same(c.Stdout, c.Stderr) {
		stderrLock = stdoutLock
	}
	once := &sync.Once{}
	tell := func(err error) { once.Do(func() { fail(err) }) }
	s.out = &sink{w: c.Stdout, mu: stdoutLock, fail: tell}
	s.err = &sink{w: c.Stderr, mu: stderrLock, fail: tell}
	s.Stdout, s.Stderr = s.out, io.MultiWriter(tailWriter{s}, s.err)
	return s
}

// Done says that Run is about to return: nothing reaches the caller's writers
// from then on, whatever is still on its way.
func (s *Sinks) Done() {
	for _, k := range []*sink{s.out, s.err} {
		k.mu.Lock()
		k.closed = true
		k.mu.Unlock()
	}
}

// Tail is the end of what went to Stderr so far, at most 4 KiB, valid UTF-8.
// It begins with a whole line where there is one: half a secret at the
// beginning could not be recognised any more.
func (s *Sinks) Tail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	tail := string(s.tail)
	if _, after, found := strings.Cut(tail, "\n"); s.cut && found && after != "" {
		tail = after
	}
	return strings.ToValidUTF8(tail, "�")
}

func same(a, b io.Writer) bool {
	if a == nil || b == nil || reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	return reflect.TypeOf(a).Comparable() && a == b
}

type tailWriter struct{ s *Sinks }

func (t tailWriter) Write(p []byte) (int, error) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.tail = append(t.s.tail, p...)
	if over := len(t.s.tail) - tailSize; over > 0 {
		t.s.tail = append(t.s.tail[:0], t.s.tail[over:]...)
		t.s.cut = true
	}
	return len(p), nil
}

type sink struct {
	w      io.Writer
	mu     *sync.Mutex
	closed bool // failed, or Done
	fail   func(error)
}

func (s *sink) Write(p []byte) (int, error) {
	if s.w == nil {
		return len(p), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return len(p), nil
	}
	n, err := s.w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		s.closed = true
		s.fail(err)
	}
	return len(p), nil
}
