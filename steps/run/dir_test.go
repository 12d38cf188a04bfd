package run

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"belay/remote/secret"
	"belay/steps/journal"
	"belay/steps/plan"
)

// holdLock, in the environment, makes this test binary a process that holds
// the lock of that run directory until its stdin ends.
const holdLock = "BELAY_TEST_HOLD_LOCK"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdLock); dir != "" {
		if _, err := lock(dir, journal.Author{Login: "grace", From: "192.0.2.7"}, "rollback"); err != nil {
			os.Exit(1)
		}
		os.Stdout.WriteString("held\n")
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestOneBelayAtATime(t *testing.T) {
	dir := t.TempDir()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), holdLock+"="+dir)
	in, err1 := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err := errors.Join(err1, err2, c.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = c.Wait() })
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	_, err := lock(dir, journal.Author{Login: "ada"}, "resume")
	var locked *LockedError
	if !errors.As(err, &locked) || locked.By.Login != "grace" || locked.PID != c.Process.Pid || locked.Why != "rollback" || locked.Boot == "" {
		t.Fatalf("a second one: %v, %+v", err, locked)
	}
	for _, want := range []string{"held by grace from 192.0.2.7", "belay rollback", "nothing was changed"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said: %v", want, err)
		}
	}
	// However it ends, the lock goes with it.
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	f, err := lock(dir, journal.Author{Login: "ada"}, "resume")
	if err != nil {
		t.Fatalf("after its end: %v", err)
	}
	f.Close()
}

func TestRunsAreListedAndFound(t *testing.T) {
	root := t.TempDir()
	if all, err := List(filepath.Join(root, "none")); err != nil || len(all) != 0 {
		t.Errorf("no root: %v, %v", all, err)
	}
	p, err := plan.Load("plan.yaml", []byte(askingPlan), plan.All())
	if err != nil {
		t.Fatal(err)
	}
	make := func(id string, ended journal.Status) {
		r, err := Create(root, id, p, &secret.Redactor{}, journal.Author{Login: "ada"})
		if err != nil {
			t.Fatal(err)
		}
		data, _ := json.Marshal(journal.Opened{Run: id, PlanHash: p.Hash})
		if err := r.journal.Append(journal.Event{Type: journal.RunOpened, Data: data}); err != nil {
			t.Fatal(err)
		}
		if ended != "" {
			if err := r.journal.Append(journal.Event{Type: journal.RunEnded, Key: string(ended)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	make("20261201-2200-shop-aaaa", journal.Closed)
	make("20261201-2300-shop-bbbb", journal.Stopped)
	make("20261202-0100-chat-cccc", journal.RolledBack)
	all, err := List(root)
	if err != nil || len(all) != 3 || all[0].ID != "20261202-0100-chat-cccc" || all[2].State.Status != journal.Closed || all[0].Live != nil {
		t.Fatalf("%+v, %v", all, err)
	}
	for name, want := range map[string]string{
		"":                        "20261201-2300-shop-bbbb",
		"aaaa":                    "20261201-2200-shop-aaaa",
		"20261202-0100-chat-cccc": "20261202-0100-chat-cccc",
		"chat":                    "20261202-0100-chat-cccc",
		all[1].Dir:                "20261201-2300-shop-bbbb",
		all[1].Dir + "/":          "20261201-2300-shop-bbbb",
	} {
		if dir, err := Find(root, name); err != nil || filepath.Base(dir) != want {
			t.Errorf("%q: %s, %v; want %s", name, dir, err, want)
		}
	}
	for name, want := range map[string]string{"shop": `"shop" could be 20261201-2`, "nosuch": `no run "nosuch" under`, "./nosuch": "is not a run directory"} {
		if dir, err := Find(root, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %s, %v", name, dir, err)
		}
	}
	if _, err := Create(root, "20261201-2200-shop-aaaa", p, &secret.Redactor{}, journal.Author{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a run is begun over another: %v", err)
	}
}

func TestNewIDsSortAndNeverMeet(t *testing.T) {
	at := time.Date(2026, 12, 1, 22, 0, 0, 0, time.UTC)
	seen := map[string]bool{}
	for range 200 {
		id := NewID("Größe: a/b ../"+strings.Repeat("x", 60), at)
		if !regexp.MustCompile(`^20261201-2200-[a-z0-9-]{1,40}-[a-z0-9]{6}$`).MatchString(id) {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
	if len(seen) < 198 {
		t.Errorf("of 200 ids %d are different", len(seen))
	}
}

// FuzzRedactJSON wants of every document: no secret, the same shape, valid.
func FuzzRedactJSON(f *testing.F) {
	const planted = `pa"ss\wörd`
	for _, s := range []string{`{"a":"x"}`, `[1,2.50,1e400,null,true,"pa\"ss\\wörd"]`, `{"pa\"ss\\wörd":{"k":"pa\u0022ss\u005cw\u00f6rd"}}`, `"`, `{"a":1,"a":2}`, ``} {
		f.Add([]byte(s))
	}
	red := &secret.Redactor{}
	red.Add(secret.New(planted))
	f.Fuzz(func(t *testing.T, data []byte) {
		out := redactJSON(data, red.String, red.Structure)
		if !json.Valid(out) {
			t.Fatalf("%q became %q, which is not JSON", data, out)
		}
		var v any
		if err := json.Unmarshal(out, &v); err == nil && strings.Contains(strings.Join(stringsIn(v), "\x00"), planted) {
			t.Fatalf("%q became %q, which holds the secret", data, out)
		}
		if json.Valid(data) && len(data) > 0 {
			if first := strings.TrimSpace(string(data))[0]; out[0] != first && !(first >= '0' && first <= '9' || first == '-') {
				t.Fatalf("%q became %q, another shape", data, out)
			}
		}
	})
}

func stringsIn(v any) (all []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, x := range v {
			all = append(all, stringsIn(x)...)
		}
	case map[string]any:
		for k, x := range v {
			all = append(append(all, k), stringsIn(x)...)
		}
	}
	return all
}
