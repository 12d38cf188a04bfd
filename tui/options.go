package tui

import (
	"io"
	"os"
	"strings"
	"time"

	"belay/steps/estimate"
	"belay/steps/journal"
	"belay/tui/widget"
)

// Options say how a run is shown. The zero value is good for a terminal.
type Options struct {
	// Author is who sits here, as the operating system knows them: login and
	// origin. Name, when given, fills in the first signature.
	Author journal.Author
	Slow   bool   // refresh half as often, for very slow links
	Theme  string // dark, light or auto; "" is auto
	Guide  bool   // explain every screen in a sentence
	Resume string // the command that takes the run up again; "" names the run directory
	// Detach says in a sentence what leaving does, while the run goes on;
	// "" promises that the run goes on by itself.
	Detach string
	// Estimates are how long the plan's steps took in earlier runs.
	Estimates estimate.Estimates

	Input  io.Reader        // nil: the terminal on standard input
	Output io.Writer        // nil: standard output
	Env    []string         // nil: the process's own
	Now    func() time.Time // nil: time.Now
}

// filled returns the options with their defaults.
func (o Options) filled(dir string) Options {
	if o.Input == nil {
		o.Input = os.Stdin
	}
	if o.Output == nil {
		o.Output = os.Stdout
	}
	if o.Env == nil {
		o.Env = os.Environ()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Resume == "" {
		o.Resume = "belay resume " + dir
	}
	if o.Detach == "" {
		o.Detach = "The run goes on without a screen. At its next question it waits."
	}
	return o
}

func (o Options) env(name string) string {
	for i := len(o.Env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(o.Env[i], name+"="); ok {
			return v
		}
	}
	return ""
}

// noColor follows no-color.org: any value that is not empty.
func (o Options) noColor() bool { return o.env("NO_COLOR") != "" || o.env("TERM") == "dumb" }

// utf8 tells whether the terminal can be expected to show more than ASCII.
func (o Options) utf8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(o.env(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	// Nothing is said: ssh often drops LANG, while terminals have long spoken
	// UTF-8. The Linux console lacks most of our marks.
	return o.env("TERM") != "linux"
}

// theme picks the looks; dark is what the terminal said of its background,
// and what is taken when it never says.
func (o Options) theme(dark bool) widget.Theme {
	t := widget.Dark
	switch {
	case o.noColor():
		t = widget.None
	case o.Theme == "light", o.Theme != "dark" && !dark:
		t = widget.Light
	}
	t.ASCII = !o.utf8()
	return t
}
