package secret

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func TestStoreReadsEverySource(t *testing.T) {
	t.Setenv("BELAY_TEST_SECRET", "from env")
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("from file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := NewStore(map[string]Source{
		"env":    {Env: "BELAY_TEST_SECRET"},
		"file":   {File: file},
		"list":   {Command: Command{"printf", "from %s\n", "list"}},
		"sh":     {Command: Command{"sh", "-c", "echo from sh | cat"}},
		"prompt": {Prompt: "the text"},
	}, &Redactor{}, func(_ context.Context, name, text string) (Value, error) { return New(name + ":" + text), nil })
	for name, want := range map[string]string{
		"env": "from env", "file": "from file", "list": "from list", "sh": "from sh", "prompt": "prompt:the text",
	} {
		v, err := s.Get(context.Background(), name)
		if err != nil || v.Reveal() != want {
			t.Errorf("%s: %q, %v; want %q", name, v.Reveal(), err, want)
		}
		if got := s.Redactor().String("x" + want + "x"); got != "x"+Mask+"x" {
			t.Errorf("%s is not redacted: %q", name, got)
		}
	}
}

func TestStoreErrorsSayWhatToDo(t *testing.T) {
	dir := t.TempDir()
	open, short := filepath.Join(dir, "open"), filepath.Join(dir, "short")
	for path, mode := range map[string]os.FileMode{open: 0o644, short: 0o600} {
		if err := os.WriteFile(path, []byte("abc"), mode); err != nil {
			t.Fatal(err)
		}
	}
	s := NewStore(map[string]Source{
		"unset":  {Env: "BELAY_TEST_NOT_SET"},
		"open":   {File: open},
		"short":  {File: short},
		"gone":   {File: filepath.Join(dir, "gone")},
		"fails":  {Command: Command{"sh", "-c", "echo hunter22; echo locked >&2; exit 7"}},
		"silent": {Command: Command{"true"}},
		"big":    {Command: Command{"sh", "-c", "cat /dev/zero"}},
		"ask":    {Prompt: "?"},
		"none":   {},
		"two":    {Env: "A", File: "b"},
	}, &Redactor{}, nil)
	for name, want := range map[string]string{
		"unset": "BELAY_TEST_NOT_SET is not set", "open": "chmod 600 " + open, "short": "shorter than 4 bytes",
		"gone": "no such file", "fails": "exit status 7: locked", "silent": "is empty", "big": "printed more than",
		"ask": "nobody is there", "none": "give one of", "two": "give one of", "other": "not declared",
	} {
		v, err := s.Get(context.Background(), name)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) || !v.IsZero() {
			t.Errorf("%s: %v; want it to say %q", name, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: the error tells what the command printed: %v", name, err)
		}
	}
}

func TestStoreAsksOnce(t *testing.T) {
	var asked atomic.Int32
	s := NewStore(map[string]Source{"p": {Prompt: "?"}}, &Redactor{}, func(context.Context, string, string) (Value, error) {
		if asked.Add(1) == 1 {
			return Value{}, errors.New("dialog closed")
		}
		return New("answer"), nil
	})
	if _, err := s.Get(context.Background(), "p"); err == nil {
		t.Error("a closed dialog gave a secret")
	}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if v, err := s.Get(context.Background(), "p"); err != nil || v.Reveal() != "answer" {
				t.Errorf("got %q, %v", v.Reveal(), err)
			}
		})
	}
	all.Wait()
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}

func TestStoreGetEndsWithItsContext(t *testing.T) {
	s := NewStore(map[string]Source{"slow": {Command: Command{"sleep", "1000"}}}, &Redactor{}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Get(ctx, "slow"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestCommandInYAML(t *testing.T) {
	for text, want := range map[string]Command{
		"command: pass show x | head -1": {"sh", "-c", "pass show x | head -1"},
		"command: [pass, show, x y]":     {"pass", "show", "x y"},
		`command: ""`:                    nil,
	} {
		var s Source
		if err := yaml.Unmarshal([]byte(text), &s); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, s.Command); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestValueShowsNothing(t *testing.T) {
	v := New("hunter22")
	type holder struct {
		V Value
		v Value
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, x := range []any{v, &v, holder{v, v}, []Value{v}, map[string]Value{"a": v}} {
			if s := fmt.Sprintf(verb, x); strings.Contains(s, "hunter22") || strings.Contains(s, "68756e746572") {
				t.Errorf("%s of %T shows %s", verb, x, s)
			}
		}
	}
	y, err := yaml.Marshal(holder{v, v})
	if err != nil || strings.Contains(string(y), "hunter22") {
		t.Errorf("yaml shows %s, %v", y, err)
	}
}
