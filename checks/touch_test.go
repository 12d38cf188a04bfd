package checks

import (
	"os"
	"testing"

	"belay/remote"
)

// Gathering leaves nothing behind in a home directory that was empty, whatever
// tools the machine has: some make their settings at the first start.
func TestGatherLeavesNothingAtHome(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	if _, err := Gather(t.Context(), remote.Local("here")); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(home)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("the assessment made ~/%s", e.Name())
	}
}
