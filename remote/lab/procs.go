package lab

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// endProcesses ends, by id, every process that carries marker in its
// environment or, where environments cannot be read, that works in dir: first
// with TERM, after two seconds with KILL. It looks again until none is left,
// because a process that is being ended may just have started another.
func endProcesses(marker, dir string) error {
	var left []int
	for start := time.Now(); time.Since(start) < 10*time.Second; time.Sleep(20 * time.Millisecond) {
		left = findProcesses(marker, dir)
		sig := syscall.SIGTERM
		if time.Since(start) > 2*time.Second {
			sig = syscall.SIGKILL
		}
		ended := true
		for _, pid := range left {
			if pid != os.Getpid() {
				ended = false
				syscall.Kill(pid, sig)
			}
		}
		if ended {
			return nil
		}
	}
	return fmt.Errorf("lab: processes %v are still running; end them by hand", left)
}
