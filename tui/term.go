package tui

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/term"
)

// patience is how long one write to the terminal is waited for.
const patience = 100 * time.Millisecond

// guard is the terminal's output, written by a goroutine of its own: while the
// terminal does not take what was written (a laptop asleep, a stuck tmux),
// frames are dropped instead of waited for, and once it does again, drained is
// called so that the screen is drawn anew. Bubble Tea writes under a lock that
// its loop needs; without the guard a stalled terminal stalls every key and
// every message behind it.
type guard struct {
	out     io.Writer
	work    chan []byte
	done    chan struct{} // closed by finish
	drained func()

	mu   sync.Mutex
	idle chan struct{} // closed when the terminal has taken the last write; nil before the first
	busy bool
	lost bool // something was dropped since
	err  error
}

func newGuard(out io.Writer, drained func()) *guard {
	g := &guard{out: out, work: make(chan []byte), done: make(chan struct{}), drained: drained}
	go g.loop()
	return g
}

func (g *guard) loop() {
	for {
		select {
		case <-g.done:
			return
		case b := <-g.work:
			_, err := g.out.Write(b)
			g.mu.Lock()
			lost := g.lost
			g.busy, g.lost, g.err = false, false, err
			close(g.idle)
			g.mu.Unlock()
			if lost {
				go g.drained()
			}
		}
	}
}

// Write hands b to the terminal and waits a moment for it. It never fails on a
// slow terminal, and says that all was written even when it was dropped: the
// renderer must go on as if, and draws everything again when told.
func (g *guard) Write(b []byte) (int, error) {
	g.mu.Lock()
	if g.err != nil {
		defer g.mu.Unlock()
		return 0, g.err
	}
	if g.busy {
		g.lost = true
		g.mu.Unlock()
		return len(b), nil
	}
	g.busy, g.idle = true, make(chan struct{})
	g.mu.Unlock()
	select {
	case g.work <- append([]byte(nil), b...):
	case <-g.done:
		return len(b), nil
	}
	g.settle(patience)
	return len(b), nil
}

// settle waits until the terminal has taken everything, or for so long.
func (g *guard) settle(most time.Duration) bool {
	g.mu.Lock()
	idle := g.idle
	g.mu.Unlock()
	if idle == nil {
		return true
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-idle:
		return true
	case <-timer.C:
		return false
	}
}

// restore undoes what a screen does to a terminal; sent once more at the end,
// because the renderer's own farewell may have been dropped.
const restore = ansi.ResetModeSynchronizedOutput + ansi.ResetModeAltScreenSaveCursor + ansi.SetModeTextCursorEnable +
	ansi.ResetModeBracketedPaste + ansi.ResetModeMouseButtonEvent + ansi.ResetModeMouseAnyEvent + ansi.ResetModeMouseExtSgr + ansi.ResetStyle

// finish gives the terminal a last chance to take what was dropped, and ends
// the goroutine (one that is stuck in a write ends with that write).
func (g *guard) finish() {
	g.mu.Lock()
	lost := g.lost
	g.mu.Unlock()
	if g.settle(2*time.Second) && lost {
		_, _ = g.Write([]byte(restore))
		g.settle(time.Second)
	}
	close(g.done)
}

// guardFile is a guard over a terminal, which Bubble Tea asks for its size.
type guardFile struct {
	*guard
	f *os.File
}

func (g guardFile) Read(b []byte) (int, error) { return g.f.Read(b) }
func (g guardFile) Close() error               { return nil } // not ours to close
func (g guardFile) Fd() uintptr                { return g.f.Fd() }

var _ term.File = guardFile{}
