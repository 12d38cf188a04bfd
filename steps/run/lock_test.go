package run

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"belay/steps/journal"
)

// TestLookingInHoldsNobodyUp: a list of runs does not take the run away from
// who begins to work on it, and does not pass for one who works.
func TestLookingInHoldsNobodyUp(t *testing.T) {
	dir := t.TempDir()
	first, err := lock(dir, journal.Author{Login: "ada"}, "run")
	if err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if err := held(dir); !errors.As(err, &locked) || locked.By.Login != "ada" {
		t.Errorf("held: %v", err)
	}
	if _, err := lock(dir, journal.Author{Login: "bob"}, "resume"); !errors.As(err, &locked) || locked.By.Login != "ada" {
		t.Errorf("lock: %v", err)
	}
	first.Close()

	looking, err := os.Open(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := take(looking, syscall.LOCK_SH, dir); err != nil {
		t.Fatal(err)
	}
	if err := held(dir); err != nil {
		t.Errorf("two that look see each other: %v", err)
	}
	got := make(chan error)
	go func() {
		f, err := lock(dir, journal.Author{Login: "bob"}, "resume")
		if err == nil {
			f.Close()
		}
		got <- err
	}()
	looking.Close()
	if err := <-got; err != nil {
		t.Errorf("held up by one who looked: %v", err)
	}
}
