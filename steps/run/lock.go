package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

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
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		locked := &LockedError{Run: filepath.Base(dir)}
		_ = json.NewDecoder(f).Decode(&locked.Holder)
		return nil, locked
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
