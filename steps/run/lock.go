package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"belay/steps/journal"
)

// Holder is who holds a run's lock.
type Holder struct {
	By    journal.Author `json:"by"`
	Host  string         `json:"host"` // the bastion
	PID   int            `json:"pid"`
	Boot  string         `json:"boot"`
	Since time.Time      `json:"since"`
	Why   string         `json:"why"` // "run", "resume", "rollback"
}

// LockedError says that another belay works on the run. Nothing was changed.
type LockedError struct {
	Run string
	Holder
}

func (e *LockedError) Error() string {
	from := ""
	if e.By.From != "" {
		from = " from " + e.By.From
	}
	return fmt.Sprintf("run %s is held by %s%s (belay %s, pid %d on %s, since %s); nothing was changed: wait for it, or end that process",
		e.Run, e.By.Login, from, e.Why, e.PID, e.Host, e.Since.Local().Format("2006-01-02 15:04:05"))
}

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
	host, _ := os.Hostname()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	b, err := json.Marshal(Holder{by, host, os.Getpid(), strings.TrimSpace(string(boot)), time.Now().UTC(), why})
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
