package job

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"belay/remote"
)

// Links in these tests are back at once.
func init() { firstPause, longestPause = 2*time.Millisecond, 50*time.Millisecond }

func TestFollowFromAnyOffset(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		// Offsets around the borders of the blocks in which the far side reads.
		const size = 200_000
		s := Spec{ID: "any", Script: "cat", Stdin: randomInput(size)}
		want := s.Stdin.Reveal()
		if _, err := Run(t.Context(), m, s, Options{}); err != nil {
			t.Fatal(err)
		}
		for _, off := range []int64{0, 1, 1023, 65535, 65536, 65537, 131071, 131072, 131073, 196607, size - 1025, size - 1024, size - 1, size} {
			var log bytes.Buffer
			res, err := Follow(t.Context(), remote.ReadOnly(remote.Host{Runner: m}), "any", Options{Log: &log, Offset: off})
			if err != nil || log.String() != want[off:] || res.Offset != size {
				t.Errorf("from %d: %v, %d bytes, then at %d", off, err, log.Len(), res.Offset)
			}
		}
		res, err := Follow(t.Context(), m, "any", Options{Offset: size + 1})
		if err != nil || !res.Shrunk {
			t.Errorf("past the end: %v %+v", err, res)
		}
	})
}

func TestBigLog(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		h := sha256.New()
		s := Spec{ID: "big", Script: `i=0; while [ $i -lt 20 ]; do dd if=/dev/urandom bs=65536 count=16 2>/dev/null; i=$((i+1)); done | tee $HOME/copy`}
		if res, err := Run(t.Context(), m, s, Options{Log: h}); err != nil || res.Size != 20<<20 {
			t.Fatal(err, res)
		}
		if sha256.Sum256([]byte(read(t, m.home+"/copy"))) != [32]byte(h.Sum(nil)) {
			t.Error("20 MiB came differently")
		}
	})
}

// cutLink breaks every answer after some bytes, as a lost connection does.
type cutLink struct {
	remote.Runner
	mu   sync.Mutex
	cuts int
	next func() int
}

var errCutLink = errors.New("link cut by the test")

func (c *cutLink) Run(ctx context.Context, cmd remote.Cmd) error {
	c.mu.Lock()
	n := c.next()
	c.mu.Unlock()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cmd.Stdout = &cutWriter{w: cmd.Stdout, left: n, stop: stop}
	err := c.Runner.Run(ctx, cmd)
	if context.Cause(ctx) == errCutLink {
		c.mu.Lock()
		c.cuts++
		c.mu.Unlock()
		return &remote.LostError{Host: "here", Err: errCutLink}
	}
	return err
}

type cutWriter struct {
	w    io.Writer
	left int
	stop context.CancelCauseFunc
}

func (c *cutWriter) Write(p []byte) (int, error) {
	n := min(c.left, len(p))
	c.left -= n
	if _, err := c.w.Write(p[:n]); err != nil {
		return 0, err
	}
	if c.left == 0 {
		c.stop(errCutLink)
	}
	return len(p), nil
}

// Whatever is written during the cuts comes through: no byte lost or doubled.
func TestLinkCutMidFollow(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		rng := rand.New(rand.NewPCG(1, 2))
		link := &cutLink{Runner: m, next: func() int { return 1 + rng.IntN(6000) }}
		var log bytes.Buffer
		var lights []remote.Light
		last := int64(0)
		s := Spec{ID: "cuts", Script: `i=0; while [ $i -lt 3000 ]; do echo "line $i of the log, numbered"; i=$((i+1)); case $i in *00) sleep .02;; esac; done; exit 3`}
		_, err := Run(t.Context(), link, s, Options{
			Log:  &log,
			Link: func(l remote.Light, _ error) { lights = append(lights, l) },
			Seen: func(o int64) {
				if o <= last || o != int64(log.Len()) {
					t.Errorf("seen %d after %d with %d bytes in the log", o, last, log.Len())
				}
				last = o
			},
		})
		var exit *remote.ExitError
		if !errors.As(err, &exit) || exit.Status != 3 {
			t.Fatal(err)
		}
		var want bytes.Buffer
		for i := range 3000 {
			fmt.Fprintf(&want, "line %d of the log, numbered\n", i)
		}
		if !bytes.Equal(want.Bytes(), log.Bytes()) {
			t.Errorf("%d bytes came, %d were written", log.Len(), want.Len())
		}
		if link.cuts < 10 || len(lights) < link.cuts {
			t.Errorf("%d cuts, lights %v", link.cuts, lights)
		}
		t.Logf("%d cuts", link.cuts)
	})
}

// The answer is cut after each of its bytes in turn; the one after comes whole.
func TestLinkCutAtEveryByte(t *testing.T) {
	t.Parallel()
	points := 0
	m := newMachine(t, "dash")
	for n := 1; ; n++ {
		first := true
		link := &cutLink{Runner: m, next: func() int {
			if first {
				first = false
				return n
			}
			return 1 << 30
		}}
		var log bytes.Buffer
		id := fmt.Sprintf("b%d", n)
		_, err := Run(t.Context(), link, Spec{ID: id, Script: "echo x >>$HOME/" + id + "; echo some words"}, Options{Log: &log})
		if err != nil || log.String() != "some words\n" || lines(m.home+"/"+id) != 1 {
			t.Fatalf("cut after %d: %v %q, ran %d times", n, err, log.String(), lines(m.home+"/"+id))
		}
		if link.cuts == 0 {
			break
		}
		points++
	}
	t.Logf("%d points tried", points)
	if points < 30 {
		t.Error("that is less than an answer has")
	}
}

// dead says nothing for ever, as a link does whose far end has vanished.
type dead struct{}

func (dead) Run(ctx context.Context, _ remote.Cmd) error { <-ctx.Done(); return context.Cause(ctx) }

type unreachable struct{}

func (unreachable) Run(context.Context, remote.Cmd) error {
	return &remote.UnreachableError{Host: "h", Err: errCutLink}
}

// alternating uses its runners in turn, and the last one from then on.
type alternating struct{ runners []remote.Runner }

func (a *alternating) Run(ctx context.Context, c remote.Cmd) error {
	r := a.runners[0]
	if len(a.runners) > 1 {
		a.runners = a.runners[1:]
	}
	return r.Run(ctx, c)
}

func TestSilentAndUnreachableLinks(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "dash")
	var why []error
	var log bytes.Buffer
	r := &alternating{[]remote.Runner{unreachable{}, dead{}, unreachable{}, m}}
	_, err := Run(t.Context(), r, Spec{ID: "s", Script: "echo x"}, Options{Log: &log, Silence: 50 * time.Millisecond,
		Link: func(l remote.Light, err error) {
			if l == remote.Reconnecting {
				why = append(why, err)
			}
		}})
	if err != nil || log.String() != "x\n" || len(why) < 3 || !errors.Is(why[1], errSilent) {
		t.Errorf("%v %q %v", err, log.String(), why)
	}

	var last remote.Light
	_, err = Run(t.Context(), unreachable{}, Spec{ID: "s", Script: "echo x"}, Options{Patience: 20 * time.Millisecond,
		Link: func(l remote.Light, _ error) { last = l }})
	var un *remote.UnreachableError
	if !errors.As(err, &un) || last != remote.Down {
		t.Errorf("out of patience: %v, light %v", err, last)
	}
}

// tap copies what the far side says.
type tap struct {
	remote.Runner
	mu  sync.Mutex
	all bytes.Buffer
}

func (r *tap) Run(ctx context.Context, c remote.Cmd) error {
	c.Stdout = io.MultiWriter(c.Stdout, r)
	return r.Runner.Run(ctx, c)
}

func (r *tap) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.Write(p)
}

// A quiet job is told from a dead link by its heartbeats.
func TestQuietJobHasHeartbeats(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		r := &tap{Runner: m}
		if _, err := Run(t.Context(), r, Spec{ID: "q", Script: "sleep 3"}, Options{}); err != nil {
			t.Error(err)
		}
		if said := r.all.String(); !strings.HasPrefix(said, "belay-job 1\nH 0\n") || !strings.HasSuffix(said, "S done 0 0\n") {
			t.Errorf("it said %q", said)
		}
	})
}

func TestContextDetaches(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		s := Spec{ID: "d", Script: "echo begun; until [ -e $HOME/go ]; do sleep .02; done; echo end"}
		ctx, stop := context.WithCancelCause(t.Context())
		why := errors.New("the screen was closed")
		res, err := Run(ctx, m, s, Options{Seen: func(int64) { stop(why) }})
		if !errors.Is(err, why) || res.Offset != 6 {
			t.Fatal(err, res)
		}
		if rep, err := Look(t.Context(), m, "d"); err != nil || rep.State != Running {
			t.Fatal(err, rep)
		}
		if err := os.WriteFile(m.home+"/go", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		if res, err = Run(t.Context(), m, s, Options{Log: &log, Offset: res.Offset}); err != nil || log.String() != "end\n" || !res.Attached {
			t.Error(err, res, log.String())
		}
	})
}

func TestContextCancels(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "dash")
	ctx, stop := context.WithCancel(t.Context())
	_, err := Run(ctx, m, Spec{ID: "c", Script: "echo begun; sleep 100"}, Options{Seen: func(int64) { stop() }, CancelOnContext: true, Grace: time.Second})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if rep, err := Look(t.Context(), m, "c"); err != nil || rep.State != Done || !rep.Cancelled || rep.Status != 143 {
		t.Error(err, rep)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestOwnLogFails(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "dash")
	res, err := Run(t.Context(), m, Spec{ID: "f", Script: "echo x; exit 5"}, Options{Log: full{}})
	if !errors.Is(err, io.ErrShortWrite) || res.Offset != 0 {
		t.Error(err, res)
	}
	settled(t, m, "f")
	if rep, err := Look(t.Context(), m, "f"); err != nil || rep.Status != 5 {
		t.Error(err, rep)
	}
}

func TestLogShrinks(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		var log bytes.Buffer
		res, err := Run(t.Context(), m, Spec{ID: "sh", Script: "echo one two; until [ -e $HOME/go ]; do sleep .02; done; echo end"}, Options{Log: &log,
			Seen: func(o int64) {
				if o == 8 {
					os.Truncate(m.dir("sh/log"), 3)
					os.WriteFile(m.home+"/go", nil, 0o600)
				}
			}})
		if err != nil || !res.Shrunk {
			t.Error(err, res, log.String())
		}
	})
}
