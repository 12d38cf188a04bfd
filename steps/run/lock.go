package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"belay/steps/journal"
)

// Holder is who holds a run's lock.
type Holder = journal.Holder

// LockedError says that another belay works on the run. Nothing was changed.
type LockedError = journal.LockedError

// lock takes the run's lock. The kernel drops it when the process ends however
// it ends, so a lock is never stale; the record in the file is for people.
func lock(dir string, by journal.Author, why string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for range 20 { // a list of runs that looks in (held) has it for a moment
		if err = take(f, syscall.LOCK_EX, dir); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	b, err := json.Marshal(journal.Hold(by, why))
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(b, 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return f, nil
}

// held tells by a *LockedError who works on the run in dir. It leaves no trace,
// and none that look at the same time see each other.
func held(dir string) error {
	f, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	defer f.Close()
	return take(f, syscall.LOCK_SH, dir)
}

func take(f *os.File, how int, dir string) error {
	err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if err == nil {
		return nil
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	locked := &LockedError{Run: filepath.Base(dir)}
	_ = json.NewDecoder(io.NewSectionReader(f, 0, 1<<16)).Decode(&locked.Holder)
	return locked
}
