package hold

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"belay/remote"
)

func TestTakeHoldRelease(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		h, ctx := m.host("a"), t.Context()
		if got, err := Look(ctx, remote.ReadOnly(h)); got != nil || err != nil {
			t.Fatalf("free: %v, %v", got, err)
		}
		for i, fresh := range []bool{true, false} {
			if got, err := Take(ctx, h, rec("one")); got != fresh || err != nil {
				t.Errorf("take %d: %v, %v", i, got, err)
			}
		}
		want := `{"run":"one","plan":"chat","login":"ada","from":"10.0.0.5","bastion":"gate","since":"2026-11-21T08:00:00Z","why":"run"}` + "\n"
		if got := get(t, m.lock); got != want {
			t.Errorf("the lock reads %s", got)
		}
		if st, err := os.Stat(m.lock); err != nil || st.Mode() != 0o644 {
			t.Errorf("the lock is %v, %v", st.Mode(), err)
		}
		got, err := Look(ctx, remote.ReadOnly(h))
		if err != nil {
			t.Fatal(err)
		}
		whole := rec("one")
		whole.Since = whole.Since.Truncate(time.Second)
		if diff := cmp.Diff(whole, got.Record); diff != "" {
			t.Error(diff)
		}
		var held *HeldError
		if _, err := Take(ctx, h, rec("two")); !errors.As(err, &held) || held.Host != "a" || held.Run != "one" {
			t.Errorf("two: %v", err)
		}
		if had, err := Release(ctx, h, "two"); had || err != nil {
			t.Errorf("two releases: %v, %v", had, err)
		}
		if get(t, m.lock) != want {
			t.Error("a run released the lock of another")
		}
		for i, want := range []bool{true, false} {
			if had, err := Release(ctx, h, "one"); had != want || err != nil {
				t.Errorf("release %d: %v, %v", i, had, err)
			}
		}
		if left, err := os.ReadDir(filepath.Dir(m.lock)); err != nil || len(left) != 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	})
}

// A run's id that begins like another's is another, and so is one that a shell
// would take for a pattern.
func TestIdsAreCompared(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		for _, id := range []string{"one-more", `o'n"e\`, "*", "[a-z]*", "a\nb", "ünï", " "} {
			if _, err := Take(t.Context(), m.host("a"), rec(id)); err != nil {
				t.Fatalf("%q: %v", id, err)
			}
			for _, other := range []string{"one", "?", "x"} {
				if had, err := Release(t.Context(), m.host("a"), other); had || err != nil {
					t.Errorf("%q released by %q: %v, %v", id, other, had, err)
				}
				if _, err := Take(t.Context(), m.host("a"), rec(other)); !errors.As(err, new(*HeldError)) {
					t.Errorf("%q taken by %q: %v", id, other, err)
				}
			}
			if fresh, err := Take(t.Context(), m.host("a"), rec(id)); fresh || err != nil {
				t.Errorf("%q again: %v, %v", id, fresh, err)
			}
			if had, err := Release(t.Context(), m.host("a"), id); !had || err != nil {
				t.Errorf("%q: %v, %v", id, had, err)
			}
		}
		if _, err := Take(t.Context(), m.host("a"), rec("")); err == nil {
			t.Error("a run without a name took the lock")
		}
	})
}

func TestSignOfLife(t *testing.T) {
	m := newMachine(t, "dash")
	for _, at := range []struct {
		age  time.Duration
		want string
	}{
		{0, "last sign of life"},
		{3*time.Minute + 5*time.Second, "last sign of life 3 minutes ago"},
		{2*time.Hour + time.Minute, "last sign of life 2 hours ago (it is stopped, or cut off from this host)"},
		{73 * time.Hour, "last sign of life 3 days ago (that run is probably dead)"},
		{-time.Hour, "last sign of life just now"}, // the machine's clock was set back
	} {
		if _, err := Take(t.Context(), m.host("a"), rec("one")); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-at.age)
		if err := os.Chtimes(m.lock, then, then); err != nil {
			t.Fatal(err)
		}
		_, err := Take(t.Context(), m.host("a"), rec("two"))
		for _, want := range []string{at.want, `host "a" is held by run one of plan "chat": ada from 10.0.0.5 on gate (belay run), since 2026-11-21`, "Nothing was changed", "--break-lock"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("age %v: %v does not say %q", at.age, err, want)
			}
		}
	}
	if _, err := Take(t.Context(), m.host("a"), rec("one")); err != nil {
		t.Fatal(err)
	}
	if h, err := Look(t.Context(), m.host("a")); err != nil || h.Age > time.Minute {
		t.Errorf("taking again gave no sign of life: %+v, %v", h, err)
	}
}

func TestTwentyAtOnce(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		var won atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range 20 {
			wg.Go(func() {
				<-start
				id := fmt.Sprintf("run-%d", i)
				fresh, err := Take(t.Context(), m.host("a"), rec(id))
				var held *HeldError
				switch {
				case fresh && err == nil:
					won.Add(1)
					winner.Store(id)
				case !errors.As(err, &held) || !held.Known():
					t.Errorf("%s: %v, %v", id, fresh, err)
				}
			})
		}
		close(start)
		wg.Wait()
		if n := won.Load(); n != 1 {
			t.Fatalf("%d runs hold the machine", n)
		}
		if h, err := Look(t.Context(), m.host("a")); err != nil || h.Run != winner.Load() {
			t.Errorf("%v won, the lock says %+v, %v", winner.Load(), h, err)
		}
		if left := m.beside(t); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// One run under two names of the machine, at once: both are its own.
func TestSameRunAtOnce(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		var fresh atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				f, err := Take(t.Context(), m.host("a"), rec("one"))
				if err != nil {
					t.Error(err)
				}
				if f {
					fresh.Add(1)
				}
			})
		}
		wg.Wait()
		if n := fresh.Load(); n != 1 {
			t.Errorf("taken %d times", n)
		}
	})
}

// What is no record of a run is nobody's: shown, kept, and broken as it is.
func TestWhatIsNoRecord(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		secretFile := filepath.Join(filepath.Dir(m.lock), "elsewhere")
		write(t, secretFile, "a secret of root\n")
		for name, put := range map[string]func(){
			"empty":      func() { write(t, m.lock, "") },
			"torn":       func() { write(t, m.lock, `{"run":"other","pl`) },
			"text":       func() { write(t, m.lock, "held by \x1b[31mBob\x07 for maintenance\nuntil noon\n") },
			"bytes":      func() { write(t, m.lock, "\xff\xfe\x00\x01") },
			"only zeros": func() { write(t, m.lock, strings.Repeat("\x00", 9000)) },
			"no id":      func() { write(t, m.lock, `{"run":"","plan":"x"}`+"\n") },
			"link":       func() { link(t, secretFile, m.lock) },
			"dead link":  func() { link(t, "/nowhere/at/all", m.lock) },
			"directory":  func() { os.Mkdir(m.lock, 0o700); write(t, filepath.Join(m.lock, "mine"), "x") },
			"dir link":   func() { link(t, filepath.Dir(m.lock), m.lock) },
			"pipe": func() {
				if out, err := exec.Command("mkfifo", m.lock).CombinedOutput(); err != nil {
					t.Fatalf("%s", out)
				}
			},
		} {
			put()
			var held *HeldError
			if _, err := Take(t.Context(), m.host("a"), rec("one")); !errors.As(err, &held) || held.Known() {
				t.Fatalf("%s: %v", name, err)
			}
			text := held.Error()
			if strings.ContainsAny(text, "\x1b\x07\x00") || strings.Contains(text, "secret") || !strings.Contains(text, "nobody knows whom") {
				t.Errorf("%s: %q", name, text)
			}
			if had, err := Release(t.Context(), m.host("a"), "one"); had || err != nil {
				t.Errorf("%s: released: %v, %v", name, had, err)
			}
			kept, err := Break(t.Context(), m.host("a"), "one", held.Holder, time.Now())
			if err != nil || !strings.HasPrefix(kept, m.lock+".broken-") {
				t.Fatalf("%s: break: %q, %v", name, kept, err)
			}
			if _, err := os.Lstat(kept); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if left := m.beside(t); len(left) != 1 {
				t.Errorf("%s: left: %q", name, left)
			}
			if fresh, err := Take(t.Context(), m.host("a"), rec("one")); !fresh || err != nil {
				t.Errorf("%s: %v, %v", name, fresh, err)
			}
			if name == "directory" && get(t, filepath.Join(kept, "mine")) != "x" {
				t.Error("what was in the directory is gone")
			}
			if err := errors.Join(os.RemoveAll(kept), os.Remove(m.lock)); err != nil {
				t.Fatal(err)
			}
		}
		if get(t, secretFile) != "a secret of root\n" {
			t.Error("the file behind the link was changed")
		}
	})
}

func TestBreak(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		h, ctx := m.host("a"), t.Context()
		if _, err := Take(ctx, h, rec("old")); err != nil {
			t.Fatal(err)
		}
		before := get(t, m.lock)
		seen, err := Look(ctx, h)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := Break(ctx, h, "new", *seen, time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC))
		if err != nil || !strings.HasPrefix(kept, m.lock+".broken-20261121T080000Z-") || get(t, kept) != before {
			t.Fatalf("%q, %v", kept, err)
		}
		if _, err := Take(ctx, h, rec("third")); err != nil {
			t.Fatal(err)
		}
		// Who still wants to break the old one must not hit the third.
		var held *HeldError
		if _, err := Break(ctx, h, "new", *seen, time.Now()); !errors.As(err, &held) || held.Run != "third" {
			t.Errorf("%v", err)
		}
		if kept, err := Break(ctx, h, "third", *seen, time.Now()); kept != "" || err != nil {
			t.Errorf("one's own: %q, %v", kept, err)
		}
		if _, err := Release(ctx, h, "third"); err != nil {
			t.Fatal(err)
		}
		if kept, err := Break(ctx, h, "new", *seen, time.Now()); kept != "" || err != nil {
			t.Errorf("free: %q, %v", kept, err)
		}
	})
}

// Many break the same lock at once and take it: one ends up with it.
func TestBreakAtOnce(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		if _, err := Take(t.Context(), m.host("a"), rec("old")); err != nil {
			t.Fatal(err)
		}
		seen, err := Look(t.Context(), m.host("a"))
		if err != nil {
			t.Fatal(err)
		}
		var won, broke atomic.Int32
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				id := fmt.Sprintf("run-%d", i)
				kept, err := Break(t.Context(), m.host("a"), id, *seen, time.Now())
				if err == nil && kept != "" {
					broke.Add(1)
				}
				if err != nil && !errors.As(err, new(*HeldError)) {
					t.Errorf("%s: %v", id, err)
				}
				if fresh, err := Take(t.Context(), m.host("a"), rec(id)); fresh && err == nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if broke.Load() != 1 || won.Load() != 1 {
			t.Errorf("broken %d times, taken by %d", broke.Load(), won.Load())
		}
	})
}

func TestFieldsAreCutAndClean(t *testing.T) {
	m := newMachine(t, "dash")
	r := rec("one")
	r.Plan, r.Login, r.Why = strings.Repeat("ü", 5000), "eve\x1b[2J\nroot", `"}`+strings.Repeat("\\", 3000)
	if _, err := Take(t.Context(), m.host("a"), r); err != nil {
		t.Fatal(err)
	}
	if n := len(get(t, m.lock)); n > 4096 {
		t.Errorf("the record has %d bytes; the far side reads 4096", n)
	}
	h, err := Look(t.Context(), m.host("a"))
	if err != nil {
		t.Fatal(err)
	}
	want := Record{Run: "one", Login: "eve?[2J?root"}
	if diff := cmp.Diff(want, h.Record, cmpopts.IgnoreFields(Record{}, "Plan", "From", "Bastion", "Since", "Why")); diff != "" {
		t.Error(diff)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"", "{", `{"run":"a"}`, `{"run":"a","since":"2026-11-21T08:00:00Z"}`, "\xff\x00\n", `{"run":"\u001b[31m","plan":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text := read(b).String()
		for _, c := range text {
			if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
				t.Errorf("%q holds a control character", text)
			}
		}
		if len([]rune(text)) > 5*maxField+500 {
			t.Errorf("%d characters", len(text))
		}
	})
}
