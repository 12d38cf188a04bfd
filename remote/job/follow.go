package job

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"belay/remote"
)

// The pause before asking again over a broken link, at first and at most.
var firstPause, longestPause = 200 * time.Millisecond, 10 * time.Second

// follower is one Run: what it has read so far, over any number of links.
type follower struct {
	r      remote.Runner
	id     string
	o      Options
	end    tail // of the log
	read   int64
	heard  time.Time // when the host last said something
	up     bool
	result Result
}

func newFollower(r remote.Runner, id string, o Options) *follower {
	return &follower{r: r, id: id, o: o, heard: time.Now(), result: Result{Offset: o.Offset}}
}

// Write takes the job's output to the caller's log.
func (f *follower) Write(p []byte) (int, error) {
	f.end.Write(p)
	f.read += int64(len(p))
	if f.o.Log == nil {
		return len(p), nil
	}
	return f.o.Log.Write(p)
}

func (f *follower) alive() {
	f.heard = time.Now()
	if !f.up {
		f.up = true
		f.o.Link(remote.Up, nil)
	}
}

// run follows over broken links until the job is in a state that stays. With s
// it also starts the job, again and again until it is known to be started:
// that is safe, the claim lets one through.
func (f *follower) run(ctx context.Context, s *Spec) error {
	pause := firstPause
	for try := 0; ; try++ {
		heard := f.heard
		fr := f.frames()
		err := call(ctx, f.r, f.ask(s), fr)
		f.result.Attached = f.result.Attached || try == 0 && fr.attached
		if fr.started {
			s = nil
		}
		if err == nil {
			if again := f.settle(fr, s); again == nil {
				return nil
			} else if !errors.Is(again, errBroken) {
				continue
			}
			err = errBroken
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !broken(err) {
			return err
		}
		if f.heard != heard {
			pause = firstPause
		}
		if err := f.wait(ctx, err, pause); err != nil {
			return err
		}
		pause = min(2*pause, longestPause)
	}
}

func (f *follower) ask(s *Spec) ask {
	a := ask{id: f.id, silence: f.o.Silence, alive: f.alive}
	off := strconv.FormatInt(f.result.Offset, 10)
	if s == nil {
		a.pure, a.args = true, []string{"follow", f.id, off}
		return a
	}
	cmd, in := s.command(), encode(s.Stdin.Reveal())
	a.args = []string{"start", f.id, strconv.Itoa(len(cmd)), strconv.Itoa(len(in)), s.sum(), off}
	a.stdin = cmd + in
	return a
}

func (f *follower) frames() *frames {
	return &frames{data: f, off: f.result.Offset, seen: func(off int64) {
		f.result.Offset = off
		if f.o.Seen != nil {
			f.o.Seen(off)
		}
	}}
}

var errShrunk = errors.New("the log is shorter than what was read of it")

// settle takes in a whole answer. nil: the state stays.
func (f *follower) settle(fr *frames, s *Spec) error {
	if fr.shrunk >= 0 {
		f.result.Shrunk = true
		f.result.Offset = fr.shrunk
		return errShrunk
	}
	f.result.Report = *fr.report
	unstarted := fr.report.State == None || fr.report.State == Ready
	if fr.report.State == Running || unstarted && s != nil {
		return errBroken
	}
	return nil
}

// wait tells about the broken link and pauses; an error ends the Run.
func (f *follower) wait(ctx context.Context, why error, pause time.Duration) error {
	quiet := time.Since(f.heard)
	if quiet > f.o.Patience {
		f.o.Link(remote.Down, why)
		return fmt.Errorf("job %q: no answer for %v; if it was started, it goes on: %w", f.id, quiet.Round(time.Second), why)
	}
	f.up = false
	f.o.Link(remote.Reconnecting, why)
	pause += time.Duration(rand.Int64N(int64(pause)/4 + 1)) // many jobs shall not knock at once
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(min(pause, f.o.Patience-quiet+time.Millisecond)):
		return nil
	}
}

// outcome makes the error of a state that stays.
func (f *follower) outcome(ctx context.Context) error {
	r := f.result.Report
	switch {
	case r.State == None, r.State == Ready:
		return &RefusedError{f.id, "it was never started there"}
	case r.State != Done:
		return &UnknownError{f.id, r.State}
	case !r.Began && r.Cancelled:
		return &CancelledError{ID: f.id}
	case !r.Began:
		return &RefusedError{f.id, "its command could not begin; to try again, give it another id"}
	case r.Status == 0:
		return nil
	case r.Cancelled:
		return &CancelledError{ID: f.id, Began: true, Status: r.Status}
	}
	return &remote.ExitError{Argv: []string{"job", f.id}, Status: r.Status, Stderr: f.lastWords(ctx)}
}

// lastWords is the end of the log: what passed by, or, when this Run began
// near its end, what the host still has.
func (f *follower) lastWords(ctx context.Context) string {
	from := max(0, f.result.Size-4096)
	if f.read < 4096 && f.result.Size > f.read {
		t := tail{cut: from > 0}
		a := ask{id: f.id, pure: true, silence: f.o.Silence, args: []string{"follow", f.id, strconv.FormatInt(from, 10)}}
		if call(ctx, f.r, a, &frames{data: &t, off: from}) == nil {
			return t.String()
		}
	}
	return f.end.String()
}
