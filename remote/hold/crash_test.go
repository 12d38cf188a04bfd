package hold

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"belay/remote/remotetest"
)

// TestCrashPoints kills the far side before and after every program that it
// calls, and looks whether a lock is whole or not there, and whether the same
// run, or the next one, gets through afterwards.
func TestCrashPoints(t *testing.T) {
	m := newMachine(t, "dash")
	m.path = killers(t)
	counter := filepath.Join(t.TempDir(), "count")
	die := func(at int, do func()) (reached bool) {
		os.Remove(counter)
		m.pre = []string{"env", "COUNTER=" + counter, fmt.Sprintf("DIE_AT=%d", at)}
		do()
		m.pre = nil
		b, _ := os.ReadFile(counter)
		return len(b) >= at
	}
	points := 0
	for at := 1; ; at++ {
		reached := die(at, func() { _, _ = Take(t.Context(), m.host("a"), rec("one")) })
		h, err := Look(t.Context(), m.host("a"))
		if err != nil || h != nil && h.Run != "one" {
			t.Fatalf("take, killed at %d: %+v, %v", at, h, err)
		}
		if _, err := Take(t.Context(), m.host("a"), rec("one")); err != nil {
			t.Errorf("take, killed at %d: again: %v", at, err)
		}
		if reached {
			points++
		}
		_ = die(at, func() { _, _ = Release(t.Context(), m.host("a"), "one") })
		if h, err := Look(t.Context(), m.host("a")); err != nil || h != nil && h.Run != "one" {
			t.Fatalf("release, killed at %d: %+v, %v", at, h, err)
		}
		if _, err := Release(t.Context(), m.host("a"), "one"); err != nil {
			t.Errorf("release, killed at %d: again: %v", at, err)
		}
		if _, err := Take(t.Context(), m.host("a"), rec("old")); err != nil {
			t.Errorf("release, killed at %d: the next run: %v", at, err)
		}
		seen, err := Look(t.Context(), m.host("a"))
		if err != nil {
			t.Fatal(err)
		}
		more := die(at, func() { _, _ = Break(t.Context(), m.host("a"), "new", *seen, time.Now()) })
		h, err = Look(t.Context(), m.host("a"))
		if err != nil || h != nil && h.Run != "old" {
			t.Fatalf("break, killed at %d: %+v, %v", at, h, err)
		}
		// Wherever it died, the old record is on the machine.
		if h == nil && !strings.Contains(all(m.beside(t)), `"run":"old"`) {
			t.Errorf("break, killed at %d: the old record is lost", at)
		}
		if _, err := Break(t.Context(), m.host("a"), "new", *seen, time.Now()); err != nil {
			t.Errorf("break, killed at %d: again: %v", at, err)
		}
		for _, left := range m.beside(t) {
			os.RemoveAll(left)
		}
		os.Remove(m.lock)
		if !reached && !more {
			break
		}
	}
	if points < 5 {
		t.Errorf("only %d points", points)
	}
	t.Logf("killed at %d points of a take", points)
}

// all is what the files under the paths hold.
func all(paths []string) string {
	var b strings.Builder
	for _, p := range paths {
		_ = filepath.WalkDir(p, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				text, _ := os.ReadFile(path)
				b.Write(text)
			}
			return nil
		})
	}
	return b.String()
}

// killers is a PATH of programs that count how often they were called, and kill
// the shell that called them: at odd counts before, at even ones after their work.
func killers(t *testing.T) string {
	remotetest.Need(t, "dash")
	bin := t.TempDir()
	link(t, remotetest.Find("dash"), filepath.Join(bin, "sh"))
	link(t, remotetest.Find("env"), filepath.Join(bin, "env"))
	for _, program := range strings.Fields("mkdir ln mv rm rmdir chmod sync dd head stat date touch") {
		write(t, filepath.Join(bin, program), `#!/bin/sh
[ -n "$DIE_AT" ] || exec /usr/bin/`+program+` "$@"
hit() { printf x >>"$COUNTER"; [ "$(/usr/bin/wc -c <"$COUNTER")" != "$DIE_AT" ] || kill -9 "$PPID" $$; }
hit
/usr/bin/`+program+` "$@"
r=$?
hit
exit $r
`)
		if err := os.Chmod(filepath.Join(bin, program), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// Two accounts of one machine: each sees the other's lock, neither takes it,
// and only who may (root, or its owner) breaks it, in a sticky directory.
func TestTwoAccounts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to be two accounts")
	}
	remotetest.Need(t, "setpriv")
	shells(t, func(t *testing.T, root *machine) {
		dir := openDir(t)
		if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
			t.Fatal(err)
		}
		root.lock = filepath.Join(dir, "belay.lock")
		nobody := *root
		nobody.pre = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"}
		ctx, a := t.Context(), root.host("a")
		b := nobody.host("b")

		if _, err := Take(ctx, a, rec("roots")); err != nil {
			t.Fatal(err)
		}
		_, err := Take(ctx, b, rec("other"))
		if held := asHeld(err); held == nil || held.Run != "roots" || held.Owner != "root" {
			t.Fatalf("nobody: %v", err)
		}
		// The same run under another account: it is its run's.
		if fresh, err := Take(ctx, b, rec("roots")); fresh || err != nil {
			t.Errorf("%v, %v", fresh, err)
		}
		if had, err := Release(ctx, b, "roots"); had || err == nil {
			t.Errorf("nobody took root's file away: %v, %v", had, err)
		}
		seen, err := Look(ctx, b)
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := Break(ctx, b, "other", *seen, time.Now()); err == nil {
			t.Errorf("nobody broke root's lock: %q", kept)
		} else if !strings.Contains(err.Error(), "ermi") {
			t.Errorf("%v does not say that it is not permitted", err)
		}
		if h, err := Look(ctx, a); err != nil || h == nil || h.Run != "roots" {
			t.Errorf("root's lock: %+v, %v", h, err)
		}
		if _, err := Release(ctx, a, "roots"); err != nil {
			t.Fatal(err)
		}

		if _, err := Take(ctx, b, rec("nobodys")); err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(root.lock); err != nil || st.Sys().(*syscall.Stat_t).Uid != 65534 {
			t.Errorf("%v, %v", st, err)
		}
		_, err = Take(ctx, a, rec("other"))
		held := asHeld(err)
		if held == nil || held.Run != "nobodys" || held.Owner != "nobody" {
			t.Fatalf("root: %v", err)
		}
		if kept, err := Break(ctx, a, "other", held.Holder, time.Now()); kept == "" || err != nil {
			t.Errorf("root breaks it: %q, %v", kept, err)
		}
		if _, err := Take(ctx, a, rec("other")); err != nil {
			t.Error(err)
		}
	})
}

func asHeld(err error) *HeldError {
	held, _ := err.(*HeldError)
	return held
}

// A machine that cannot take a lock says why.
func TestNoPlaceForALock(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		for lock, want := range map[string]string{
			"/nowhere/at/all/belay.lock": "No such file",
			"relative":                   "no absolute path",
			"/proc/belay.lock":           "belay.lock",
		} {
			m.lock = lock
			_, err := Take(t.Context(), m.host("a"), rec("one"))
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `host "a"`) {
				t.Errorf("%s: %v", lock, err)
			}
		}
	})
}

// A full disk makes no lock, and leaves none behind.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	shells(t, func(t *testing.T, m *machine) {
		dir := t.TempDir()
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", dir).CombinedOutput(); err != nil {
			t.Skipf("mount: %v: %s", err, out)
		}
		t.Cleanup(func() {
			if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
				t.Errorf("umount: %v: %s", err, out)
			}
		})
		filler := filepath.Join(dir, "filler")
		_ = os.WriteFile(filler, make([]byte, 64<<10), 0o600)
		m.lock = filepath.Join(dir, "belay.lock")
		if fresh, err := Take(t.Context(), m.host("a"), rec("one")); fresh || err == nil {
			t.Errorf("%v, %v", fresh, err)
		}
		if h, err := Look(t.Context(), m.host("a")); h != nil || err != nil {
			t.Errorf("%+v, %v", h, err)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if fresh, err := Take(t.Context(), m.host("a"), rec("one")); !fresh || err != nil {
			t.Errorf("%v, %v", fresh, err)
		}
	})
}
