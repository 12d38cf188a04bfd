package tui

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden screens anew")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	var lines []string
	for _, l := range strings.Split(got, "\n") {
		lines = append(lines, strings.TrimRight(l, " "))
	}
	got = strings.ReplaceAll(strings.Join(lines, "\n"), "\x1b", "␛") + "\n"
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run with -update once)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// keysOf opens the dialog that belongs to a moment.
var goldenKeys = map[string][]string{"failed": {"enter"}, "cutover": {"enter", "g"}, "manual": {"enter"}, "unknown": {"enter"}, "close": {"enter", "l"}, "askrollback": {"enter", "g"}, "verdict": {"enter"}}

func TestGoldenScreens(t *testing.T) {
	sizes := [][2]int{{80, 24}, {120, 40}, {60, 20}, {50, 10}}
	for name, moment := range moments {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s/%dx%d", name, size[0], size[1]), func(t *testing.T) {
				r := drive(t, moment(), size[0], size[1], Options{})
				r.press(goldenKeys[name]...)
				content := r.m.View().Content
				lines := strings.Split(content, "\n")
				if len(lines) != size[1] {
					t.Errorf("%d lines, want %d", len(lines), size[1])
				}
				for i, l := range lines {
					if w := ansi.StringWidth(l); w > size[0] {
						t.Errorf("line %d is %d cells wide, want at most %d: %q", i, w, size[0], ansi.Strip(l))
					}
				}
				golden(t, fmt.Sprintf("%s.%dx%d", name, size[0], size[1]), ansi.Strip(content))
			})
		}
	}
}

// Colour is looked at where it carries meaning, in each theme.
func TestGoldenColours(t *testing.T) {
	for _, theme := range []string{"dark", "light", "none"} {
		for _, name := range []string{"findings", "failed", "soak"} {
			o := Options{Theme: theme}
			if theme == "none" {
				o = Options{Env: []string{"NO_COLOR=yes", "LANG=C.UTF-8"}}
			}
			r := drive(t, moments[name](), 80, 24, o)
			r.press(goldenKeys[name]...)
			golden(t, name+"."+theme, r.m.View().Content)
		}
	}
}

func TestNoColourUsesNoColour(t *testing.T) {
	for _, value := range []string{"1", "yes", "0"} {
		r := drive(t, failedMoment(), 80, 24, Options{Env: []string{"NO_COLOR=" + value, "LANG=C.UTF-8"}})
		s := r.m.View().Content
		for _, sgr := range []string{"[31m", "[32m", "[33m", "[36m", ";31m", ";41m", "[41"} {
			if strings.Contains(s, sgr) {
				t.Errorf("NO_COLOR=%s: screen has %q", value, sgr)
			}
		}
	}
}

// Every theme says the same words: colour is never the only carrier.
func TestThemesSayTheSame(t *testing.T) {
	for name, moment := range moments {
		dark := drive(t, moment(), 80, 24, Options{Theme: "dark"}).screen()
		none := drive(t, moment(), 80, 24, Options{Env: []string{"NO_COLOR=1", "LANG=C.UTF-8"}}).screen()
		if diff := cmp.Diff(dark, none); diff != "" {
			t.Errorf("%s differs without colour (-dark +none):\n%s", name, diff)
		}
	}
}

func TestASCIITerminal(t *testing.T) {
	for name, moment := range moments {
		r := drive(t, moment(), 80, 24, Options{Env: []string{"LANG=C", "TERM=vt100"}})
		for _, c := range r.m.View().Content {
			if c > '~' {
				t.Fatalf("%s: %q is not ASCII:\n%s", name, c, r.screen())
			}
		}
		if strings.Contains(r.screen(), "??") {
			t.Errorf("%s has glyphs without an ASCII twin:\n%s", name, r.screen())
		}
	}
}
