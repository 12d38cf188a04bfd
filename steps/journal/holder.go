package journal

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// Holder is who holds a run: the one writer of its journal.
type Holder struct {
	By    Author    `json:"by"`
	Host  string    `json:"host"` // the bastion
	PID   int       `json:"pid"`
	Boot  string    `json:"boot"`
	Since time.Time `json:"since"`
	Why   string    `json:"why"` // "run", "resume", "rollback"
}

// Hold makes the record of this process.
func Hold(by Author, why string) Holder {
	host, _ := os.Hostname()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return Holder{by, host, os.Getpid(), strings.TrimSpace(string(boot)), time.Now().UTC(), why}
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
