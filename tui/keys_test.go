package tui

import (
	"strings"
	"testing"
)

func TestNoKeyMeansTwoThings(t *testing.T) {
	for _, p := range places {
		seen := map[string]action{}
		for _, b := range bindings {
			if b.in != p && (b.in != anywhere || p.shadows()) {
				continue
			}
			for _, k := range b.keys.Keys() {
				if other, twice := seen[k]; twice {
					t.Errorf("%s: %s means %s and %s", p, k, other, b.do)
				}
				seen[k] = b.do
			}
		}
	}
}

// tmux, screen and flow control eat these before we see them.
func TestNoKeyIsEatenOnTheWay(t *testing.T) {
	for _, b := range bindings {
		for _, k := range b.keys.Keys() {
			switch k {
			case "ctrl+a", "ctrl+b", "ctrl+s", "ctrl+q":
				t.Errorf("%s: %s never arrives", b.in, k)
			}
		}
		if b.help == "" {
			t.Errorf("%s %s has no help", b.in, b.name())
		}
	}
}

func TestKeysMarkdownNamesEveryKey(t *testing.T) {
	md := KeysMarkdown()
	for _, b := range bindings {
		if !strings.Contains(md, "| `"+b.name()+"` | "+b.help+" |") {
			t.Errorf("%s %s is missing", b.in, b.name())
		}
	}
}

func TestHelpFilters(t *testing.T) {
	r := drive(t, prepareMoment(), 80, 24, Options{})
	r.press("?", "?").shows("Filter").write("wrap").shows("wrap long lines").press("backspace", "backspace", "backspace", "backspace").write("clipb").shows("OSC 52").hides("wrap long lines").press("esc", "esc").shows("Build the frontend")
}
