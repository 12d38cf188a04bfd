package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Journal is an open journal file. Its methods are safe for concurrent use.
//
// Beside the file stands a small "head" file with the number and checksum of
// the newest event, so that lines removed from the end are noticed too. It is
// written after each append and may lag behind, never run ahead.
type Journal struct {
	mu     sync.Mutex
	f      *os.File
	head   *os.File
	path   string
	sum    string
	state  *State
	snap   *State
	events []Event
	broken error
	now    func() time.Time
}

// Create makes a new journal. The directory must exist, the file must not.
func Create(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	j := &Journal{f: f, path: path, state: NewState(), now: time.Now}
	if err := j.openHead(); err != nil {
		f.Close()
		return nil, err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

// Open opens a journal and folds what is in it. A torn last line, which no
// Append has acknowledged, is cut off; any other damage is a *DamageError and
// changes nothing. Only one process may have a journal open: who calls Open
// holds the run's lock.
func Open(path string) (*Journal, error) {
	events, sum, whole, err := load(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	j := &Journal{f: f, path: path, sum: sum, state: NewState(), events: events, now: time.Now}
	for _, e := range events {
		j.state.Apply(e)
	}
	if st, err := f.Stat(); err != nil {
		f.Close()
		return nil, err
	} else if st.Size() > int64(whole) {
		if err := errors.Join(f.Truncate(int64(whole)), f.Sync()); err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: cut the torn last line: %w", path, err)
		}
	}
	if err := j.openHead(); err != nil {
		f.Close()
		return nil, err
	}
	return j, nil
}

// Read returns the events of a journal that another process may be writing,
// without changing it. A torn last line is passed over.
func Read(path string) ([]Event, error) {
	events, _, _, err := load(path)
	return events, err
}

func load(path string) ([]Event, string, int, error) {
	headSeq, headSum, err := readHead(path) // before the file: it may lag, never run ahead
	if err != nil {
		return nil, "", 0, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, "", 0, err
	}
	events, sum, whole, err := scan(path, data)
	if err != nil {
		return events, sum, whole, err
	}
	n := uint64(len(events))
	if headSeq > n {
		return events, sum, whole, &DamageError{path, len(events) + 1, fmt.Sprintf("%d events were written, %d are left", headSeq, n)}
	}
	if headSeq > 0 && sumAt(events, sum, headSeq) != headSum {
		return events, sum, whole, &DamageError{path, int(headSeq), "it is not the line that was written"}
	}
	return events, sum, whole, nil
}

// sumAt returns the checksum of event seq: the next event holds it.
func sumAt(events []Event, last string, seq uint64) string {
	if seq == uint64(len(events)) {
		return last
	}
	return events[seq].Prev
}

// Append gives e its number and time, writes it, and returns when it is on the
// disk. After an error nothing more can be appended: whether the event is on
// the disk is only known by opening the journal again.
func (j *Journal) Append(e Event) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	e.Seq, e.Prev = j.state.Seq+1, j.sum
	e.Time = j.now().UTC()
	line, sum, err := encode(e)
	if err != nil {
		return err
	}
	if _, err = j.f.Write(line); err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		j.broken = fmt.Errorf("journal %s: event %d (%s) not written: %w; nothing further was started: free the disk, then resume", j.path, e.Seq, e.Type, err)
		return j.broken
	}
	j.sum = sum
	j.writeHead(e.Seq, sum)
	j.state.Apply(e)
	j.events = append(j.events, e)
	return nil
}

// State returns a snapshot.
func (j *Journal) State() *State {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.snap == nil || j.snap.Seq != j.state.Seq {
		j.snap = j.state.Clone()
	}
	return j.snap
}

// Events returns the events after seq.
func (j *Journal) Events(seq uint64) []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	if seq >= uint64(len(j.events)) {
		return nil
	}
	return append([]Event(nil), j.events[seq:]...)
}

// Close closes the files.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken == nil {
		j.broken = fs.ErrClosed
	}
	return errors.Join(j.head.Close(), j.f.Close())
}

func headPath(path string) string { return path + ".head" }

func (j *Journal) openHead() (err error) {
	j.head, err = os.OpenFile(headPath(j.path), os.O_CREATE|os.O_RDWR, 0o600)
	return err
}

// writeHead writes one record of fixed length in place. An error is of no
// consequence: the head only lags.
func (j *Journal) writeHead(seq uint64, sum string) {
	_, _ = j.head.WriteAt(fmt.Appendf(nil, "%020d %s\n", seq, sum), 0)
}

func readHead(path string) (seq uint64, sum string, err error) {
	b, err := os.ReadFile(headPath(path))
	if errors.Is(err, fs.ErrNotExist) || err == nil && strings.Trim(string(b), "\x00") == "" {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", err
	}
	if _, err := fmt.Sscanf(string(b), "%d %s", &seq, &sum); err != nil {
		return 0, "", &DamageError{headPath(path), 1, "not a number and a checksum"}
	}
	return seq, sum, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
