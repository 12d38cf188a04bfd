package ssh

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"belay/remote"
)

// group is the process group of a command that runs, known as soon as the
// first line of its stderr has come.
type group struct {
	mark string

	mu    sync.Mutex
	held  []byte
	known chan struct{} // closed when id is known, or never will be
	id    int           // 0: not known
	over  bool
}

func newGroup(mark string) *group {
	return &group{mark: mark, known: make(chan struct{})}
}

// strip returns a writer that takes the starter's line out of stderr. What a
// login shell said before it goes on to w.
func (g *group) strip(w io.Writer) io.Writer { return &stripper{g: g, w: w} }

type stripper struct {
	g *group
	w io.Writer
}

func (s *stripper) Write(p []byte) (int, error) {
	g := s.g
	g.mu.Lock()
	if g.over {
		g.mu.Unlock()
		_, err := s.w.Write(p)
		return len(p), err
	}
	g.held = append(g.held, p...)
	before, after, found := bytes.Cut(g.held, []byte(g.mark+" "))
	number, after, complete := bytes.Cut(after, []byte("\n"))
	var out []byte
	switch {
	case found && complete:
		out = append(bytes.Clone(before), after...)
		g.found(string(number))
	case len(g.held) > 1<<20: // whatever this is, it is not ours
		out = g.held
		g.found("")
	}
	g.mu.Unlock()
	if len(out) == 0 {
		return len(p), nil
	}
	_, err := s.w.Write(out)
	return len(p), err
}

// found ends the search. The number comes from the other side: only what can
// be a group of its own is taken. g.mu is held.
func (g *group) found(number string) {
	if n, err := strconv.Atoi(number); err == nil && n > 1 {
		g.id = n
	}
	g.over, g.held = true, nil
	close(g.known)
}

// none ends the search at the end of stderr.
func (g *group) none(w io.Writer) {
	g.mu.Lock()
	if g.over {
		g.mu.Unlock()
		return
	}
	held := g.held
	g.found("")
	g.mu.Unlock()
	_, _ = w.Write(held) // Sinks take everything
}

// killer is run as the same account. A group of another user can only be one
// that sudo began; where sudo needs no password, it may also end it.
const killer = `kill -s "$1" -- "-$2" 2>/dev/null || sudo -n sh -c 'kill -s "$1" -- "-$2"' sh "$1" "$2"`

// signal sends sig ("TERM") to the group by a command of its own, beside the
// slots: they may all be in use by what is to be ended.
func (g *group) signal(ctx context.Context, v *live, sig string) {
	select {
	case <-g.known:
	case <-ctx.Done():
		return
	}
	g.mu.Lock()
	id := g.id
	g.mu.Unlock()
	if id == 0 {
		return
	}
	line := "exec " + remote.Quote("sh", "-c", killer, "sh", sig, strconv.Itoa(id))
	for {
		s, err := v.client.NewSession()
		if err == nil {
			_ = s.Run(line) // gone already is as good
			s.Close()
			return
		}
		if _, refused := err.(*ssh.OpenChannelError); !refused || sleep(ctx, 100*time.Millisecond) != nil {
			return
		}
	}
}
