package steps

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/secret"
)

// TestRunSecrets plants a secret of every byte and looks for it everywhere.
func TestRunSecrets(t *testing.T) {
	inShells(t, func(t *testing.T, b *runBox) {
		planted := "planted-" + hex.EncodeToString([]byte(t.Name()))
		every := make([]byte, 0, 300)
		for c := 1; c < 256; c++ {
			every = append(every, byte(c))
		}
		value := " \\n '\"$x`id`\n" + planted + "\n" + string(every) + "\n\n"
		b.env = append(b.env, "pg_password=from-the-login")
		for _, attached := range []bool{false, true} {
			dir := t.TempDir()
			sum := `printf %s "$pg_password" | sha256sum; printf %s "$second"; env >env; cat; while [ ! -e go ]; do sleep .05; done`
			r := &run{Script: sum, VerifyBy: sum, PendingBy: sum, UndoBy: sum, Dir: dir, IsAttached: attached, Secrets: []string{"pg_password", "second"}}
			e, log := runEnv(b.host())
			e.ID = fmt.Sprint("secret-", attached)
			e.Secret = func(_ context.Context, name string) (secret.Value, error) {
				return secret.New(map[string]string{"pg_password": value, "second": ""}[name]), nil
			}
			done := make(chan error, 1)
			go func() { done <- r.Apply(t.Context(), e) }()
			for log.String() == "" {
				findPlanted(t, planted, b.home)
			}
			findPlanted(t, planted, b.home)
			if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if err := r.Verify(t.Context(), looking(e)); err != nil {
				t.Fatal(err)
			}
			if err := r.Undo(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			h := sha256.Sum256([]byte(value))
			if want := strings.Repeat(hex.EncodeToString(h[:])+"  -\n", 3); log.String() != want {
				t.Errorf("attached %v: log %q, want %q", attached, log, want)
			}
			if todo, err := r.Pending(t.Context(), looking(e)); err != nil || !strings.HasPrefix(todo[0].Text, hex.EncodeToString(h[:])) {
				t.Errorf("pending: %v, %v", todo, err)
			}
			if got := content(t, dir+"/env"); strings.Contains(got, "pg_password") || strings.Contains(got, planted) {
				t.Errorf("the secret is exported: %s", got)
			}
		}
	})
}

// findPlanted looks on every command line, in every environment, and on disk.
func findPlanted(t *testing.T, planted, home string) {
	t.Helper()
	for _, what := range []string{"cmdline", "environ"} {
		files, _ := filepath.Glob("/proc/[0-9]*/" + what)
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), planted) {
				t.Errorf("the secret stands in %s", f)
			}
		}
	}
	_ = filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(content(t, path), planted) {
			t.Errorf("the secret stands in %s", path)
		}
		return nil
	})
}

func TestRunProgress(t *testing.T) {
	b := &runBox{home: t.TempDir(), over: remote.Local("chat")}
	r := &run{
		Script:   `for i in 1 2 3; do echo "Applied migration: $i"; done; printf 'noise\r 7/9 Applied migration: 4\n'; echo Applied migration: many`,
		Progress: &LogProgress{Match: `Applied migration: (\d+)`, Total: 60, Unit: "migrations"},
	}
	e, _ := runEnv(b.host())
	var said []Progress
	e.Say = func(p Progress) { said = append(said, p) }
	if err := r.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	var want []Progress
	for i := range int64(4) {
		want = append(want, Progress{Done: i + 1, Total: 60, Unit: "migrations", Text: fmt.Sprint("Applied migration: ", i+1)})
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
}

func TestProgressWriter(t *testing.T) {
	for name, c := range map[string]struct {
		p    LogProgress
		in   []string
		want []Progress
	}{
		"total from the line": {LogProgress{Match: `(\d+)/(\d+)`}, []string{"3/", "17\nx\n"}, []Progress{{Done: 3, Total: 17, Text: "3/17"}}},
		"counted":             {LogProgress{Match: `^ok`, Total: 2}, []string{"ok a\nno\nok b\nok"}, []Progress{{Done: 1, Total: 2, Text: "ok"}, {Done: 2, Total: 2, Text: "ok"}}},
		"long line":           {LogProgress{Match: `^a+(\d)`}, []string{strings.Repeat("a", 5000) + "1\na2\n"}, []Progress{{Done: 2, Text: "a2"}}},
		"named": {LogProgress{Match: `Running (?P<total>\d+) migrations|Applied (?P<done>\d+)`}, []string{"Running 3 migrations\n\x1b[32mApplied\x1b[0m 1\nApplied 2\n"},
			[]Progress{{Total: 3, Text: "Running 3 migrations"}, {Done: 1, Total: 3, Text: "Applied 1"}, {Done: 2, Total: 3, Text: "Applied 2"}}},
		"counted, of what is told": {LogProgress{Match: `^of (?P<total>\d+)|^ok`, Total: 9}, []string{"of 2\nok\n"}, []Progress{{Total: 2, Text: "of 2"}, {Done: 1, Total: 2, Text: "ok"}}},
		"too big a number":         {LogProgress{Match: `(\d+)`}, []string{strings.Repeat("9", 40) + "\n"}, nil},
	} {
		var said []Progress
		w := newProgressWriter(&c.p, 0, func(p Progress) { said = append(said, p) })
		for _, part := range c.in {
			if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
				t.Errorf("%s: write %d, %v", name, n, err)
			}
		}
		if diff := cmp.Diff(c.want, said); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestRunValidate(t *testing.T) {
	for want, r := range map[string]run{
		"script: it is empty":                     {Script: " \n"},
		`secrets.0: "PATH" cannot name`:           {Script: "x", Secrets: []string{"PATH"}},
		`secrets.0: "pg-pass" cannot name`:        {Script: "x", Secrets: []string{"pg-pass"}},
		`secrets.0: "a" stands under env too`:     {Script: "x", Secrets: []string{"a"}, Env: map[string]string{"a": "1"}},
		`secrets.1: "a" stands here twice`:        {Script: "x", Secrets: []string{"a", "a"}},
		"env.A-B: this cannot be an environment":  {Script: "x", Env: map[string]string{"A-B": ""}},
		"progress.match: error parsing regexp":    {Script: "x", Progress: &LogProgress{Match: "("}},
		"progress.total: -1 is less than nothing": {Script: "x", Progress: &LogProgress{Match: "x", Total: -1}},
		"undo: a zero byte cannot stand":          {Script: "x", UndoBy: "\x00"},
		"verify: the script is 70000 bytes long":  {Script: "x", VerifyBy: strings.Repeat("x", 70000)},
	} {
		if err := r.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	good := run{Script: "x", Secrets: []string{"a", "B_2"}, Env: map[string]string{"C": "x"}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}
