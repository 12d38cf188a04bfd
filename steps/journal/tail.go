package journal

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
)

// Tail folds a journal that another process writes. Each State reads only what
// has come since the last. Its methods are safe for concurrent use.
type Tail struct {
	mu    sync.Mutex
	path  string
	off   int64
	sum   string
	state *State
	snap  *State
	err   error
}

// NewTail returns a Tail of the journal at path, which may not exist yet.
func NewTail(path string) *Tail { return &Tail{path: path, state: NewState()} }

// State is a snapshot of all that is on the disk. After damage it stays what
// it was before the damaged line; see Err.
func (t *Tail) State() *State {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = t.read()
	}
	if t.snap == nil || t.snap.Seq != t.state.Seq {
		t.snap = t.state.Clone()
	}
	return t.snap
}

// Err says why the tail does not go on: *DamageError, or the disk's error.
func (t *Tail) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

func (t *Tail) read() error {
	f, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Size() <= t.off {
		return err
	}
	data := make([]byte, st.Size()-t.off)
	n, err := f.ReadAt(data, t.off)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for data = data[:n]; ; {
		n := bytes.IndexByte(data, '\n')
		if n < 0 {
			return nil // half a line: the rest is on its way
		}
		e, sum, err := follow(t.path, t.state.Seq+1, t.sum, data[:n])
		if err != nil {
			return err
		}
		t.state.Apply(e)
		t.sum, t.off, data = sum, t.off+int64(n)+1, data[n+1:]
	}
}
