package job

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/secret"
)

func TestRun(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		var log bytes.Buffer
		var seen []int64
		res, err := Run(t.Context(), m, Spec{
			ID:     "a.b_c-1",
			Script: "echo out; echo err >&2; echo \"$GREET in $PWD\"; umask; cat; sleep .3; echo end",
			Dir:    "/usr/share",
			Env:    map[string]string{"GREET": "it's\n $HOME `id`"},
			Stdin:  secret.New("line\n\x00\xff\\0101 'q'\n\n"),
			Nice:   true,
		}, Options{Log: &log, Seen: func(o int64) { seen = append(seen, o) }})
		if err != nil {
			t.Fatal(err, log.String())
		}
		want := "out\nerr\nit's\n $HOME `id` in /usr/share\n0022\nline\n\x00\xff\\0101 'q'\n\nend\n"
		if diff := cmp.Diff(want, log.String()); diff != "" {
			t.Error(diff)
		}
		if last := seen[len(seen)-1]; last != int64(len(want)) || res.Offset != last {
			t.Errorf("seen %d, offset %d, want %d", last, res.Offset, len(want))
		}
		if diff := cmp.Diff(Report{State: Done, Began: true, Size: int64(len(want))}, res.Report); diff != "" {
			t.Error(diff)
		}
		st, err := os.Stat(m.dir("a.b_c-1"))
		if err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("job directory: %v %v", st.Mode(), err)
		}
	})
}

func TestStatus(t *testing.T) {
	shells(t, func(t *testing.T, m *machine) {
		for script, want := range map[string]int{
			"echo why >&2; exit 7": 7, "exit 255": 255, "kill -TERM $$": 143, "kill -KILL $$": 137,
			"no-such-program-here": 127, "cd /nowhere || exit 3": 3,
		} {
			id := fmt.Sprintf("s%d-%d", want, len(script))
			_, err := Run(t.Context(), m, Spec{ID: id, Script: script}, Options{})
			var exit *remote.ExitError
			if !errors.As(err, &exit) || exit.Status != want {
				t.Errorf("%s: %v, want status %d", script, err, want)
			}
			if want == 7 && exit.Stderr != "why\n" {
				t.Errorf("%s: last words %q", script, exit.Stderr)
			}
		}
		// A resumed Run that has read it all still knows the last words.
		_, err := Run(t.Context(), m, Spec{ID: "s7-20", Script: "echo why >&2; exit 7"}, Options{Offset: 4})
		var exit *remote.ExitError
		if !errors.As(err, &exit) || exit.Stderr != "why\n" {
			t.Errorf("resumed: %v", err)
		}
	})
}

func TestSpecIsRefused(t *testing.T) {
	m := newMachine(t, "dash")
	for name, s := range map[string]Spec{
		"no id": {Script: "true"}, "dots": {ID: "..", Script: "true"}, "slash": {ID: "a/b", Script: "true"},
		"option": {ID: "-f", Script: "true"}, "long": {ID: strings.Repeat("x", 121), Script: "true"},
		"newline": {ID: "a\n", Script: "true"}, "empty": {ID: "a", Script: " \n"}, "zero": {ID: "a", Script: "a\x00b"},
		"env":   {ID: "a", Script: "true", Env: map[string]string{"A;b": "c"}},
		"big":   {ID: "a", Script: strings.Repeat("x", most+1)},
		"input": {ID: "a", Script: "true", Stdin: secret.New(strings.Repeat("x", most+1))},
	} {
		if _, err := Run(t.Context(), m, s, Options{}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if exists(filepath.Join(m.home, ".local")) {
		t.Error("something was sent to the host")
	}
}
