//go:build !linux

package lab

import (
	"os/exec"
	"strconv"
	"strings"
)

// findProcesses asks lsof, which macOS and the BSDs have, for the processes
// that work in dir or hold a file there open: every command of the lab starts
// there. (macOS hides the environment of the system's own shells.)
func findProcesses(_, dir string) []int {
	out, _ := exec.Command("lsof", "-t", "+D", dir).Output() // its status is 1 as soon as one file is not open
	var found []int
	for _, field := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(field); err == nil {
			found = append(found, pid)
		}
	}
	return found
}
