package job

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"belay/remote"
)

// ask is one call of the protocol.
type ask struct {
	id      string
	pure    bool     // changes nothing on the host
	args    []string // verb, id, …
	stdin   string   // what follows the protocol there; may hold secrets
	silence time.Duration
	alive   func() // called whenever something came
}

// call sends a and lets f take in the answer. Its errors are about the link
// (see broken), or final.
func call(ctx context.Context, r remote.Runner, a ask, f *frames) error {
	f.shrunk = -1
	if f.data == nil {
		f.data = io.Discard
	}
	if f.seen == nil {
		f.seen = func(int64) {}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	w := &watched{f: f, a: a, stop: stop}
	w.timer = time.AfterFunc(a.silence, func() { stop(errSilent) })
	defer w.close()
	cmd := remote.Sh(bootstrap, append([]string{strconv.Itoa(len(protocol))}, a.args...)...)
	cmd.Pure = a.pure
	cmd.Stdin = io.MultiReader(strings.NewReader(protocol), strings.NewReader(a.stdin))
	cmd.Stdout = w
	err := r.Run(ctx, cmd)
	w.close()
	return verdict(a, f, err, context.Cause(ctx))
}

// verdict makes one error of what the Runner, the context and the far side say.
// The far side's word goes first: a report is a report, even if the link broke
// right after it.
func verdict(a ask, f *frames, err, cause error) error {
	var said sayError
	var sink sinkError
	switch {
	case errors.As(f.err, &said):
		return spoken(a.id, string(said))
	case errors.As(f.err, &sink):
		return fmt.Errorf("job %q: write its log here: %w; the job itself goes on", a.id, sink.error)
	case f.err != nil:
		return fmt.Errorf("job %q: answer of the host: %w", a.id, f.err)
	case f.report != nil && f.left == 0, f.shrunk >= 0:
		return nil
	case errors.Is(cause, errSilent):
		return errSilent
	case cause != nil:
		return cause
	case err == nil:
		return errBroken
	}
	var exit *remote.ExitError
	if !errors.As(err, &exit) || broken(err) {
		return err
	}
	if f.hello || exit.Signal != "" || exit.Status > 128 || exit.Status == 75 {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return fmt.Errorf("job %q: ask the host: %w", a.id, err)
}

func spoken(id, why string) error {
	word, rest, _ := strings.Cut(why, " ")
	switch word {
	case "conflict":
		return &ConflictError{id}
	case "cut":
		return errCut
	}
	return &RefusedError{id, rest}
}

// watched stops the call when nothing comes for too long. Time that the
// caller's log takes to write is not the link's silence.
type watched struct {
	f     *frames
	a     ask
	stop  context.CancelCauseFunc
	timer *time.Timer

	mu     sync.Mutex
	closed bool // the call is over: a Runner that was stopped may write late
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return len(p), nil
	}
	w.timer.Stop()
	n, err := w.f.Write(p)
	if err != nil {
		w.stop(err)
		return n, err
	}
	if w.f.hello && w.a.alive != nil {
		w.a.alive()
	}
	w.timer.Reset(w.a.silence)
	return n, nil
}

func (w *watched) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.timer.Stop()
}

// tail keeps the last 4 KiB written.
type tail struct {
	b   []byte
	cut bool // its beginning was lost
}

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p[max(0, len(p)-4096):]...)
	t.cut = t.cut || len(t.b) > 4096 || len(p) > 4096
	t.b = bytes.Clone(t.b[max(0, len(t.b)-4096):])
	return len(p), nil
}

// String begins with a whole line where there is one: half a secret at the
// beginning could not be recognised any more.
func (t *tail) String() string {
	s := string(t.b)
	if _, after, found := strings.Cut(s, "\n"); t.cut && found && after != "" {
		s = after
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
