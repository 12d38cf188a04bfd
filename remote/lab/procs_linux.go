package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// findProcesses reads the environments of this user's processes. A zombie has
// none, and so is not found.
func findProcesses(marker, _ string) []int {
	var found []int
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		env, err := os.ReadFile(file)
		if err != nil {
			continue // ended meanwhile, or not ours
		}
		for entry := range bytes.SplitSeq(env, []byte{0}) {
			if string(entry) == marker {
				if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
					found = append(found, pid)
				}
				break
			}
		}
	}
	return found
}
