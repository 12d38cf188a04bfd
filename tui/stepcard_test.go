package tui

import (
	"strings"
	"testing"
	"time"

	"belay/steps"
	"belay/tui/widget"
)

func TestProgressSaysHowFastAndHowLong(t *testing.T) {
	sc := &scene{th: widget.None}
	for _, c := range []struct {
		p    steps.Progress
		took time.Duration
		want string
	}{
		{steps.Progress{Done: 300 << 20, Total: 900 << 20, Unit: "B"}, 10 * time.Second, "300.0 MiB of 900.0 MiB · 30.0 MiB/s · about 0:20 left"},
		{steps.Progress{Done: 300 << 20, Total: 900 << 20, Unit: "B"}, 2 * time.Second, "300.0 MiB of 900.0 MiB"}, // too early to tell
		{steps.Progress{Done: 61, Total: 122, Unit: "files"}, 10 * time.Second, "61 of 122 files · about 0:10 left"},
		{steps.Progress{Done: 61, Unit: "files", Text: "looking"}, 10 * time.Second, "61 files · looking"},
	} {
		got := sc.progressLine("old", c.p, c.took, false, 100)
		if !strings.HasSuffix(strings.TrimRight(got, " "), " "+c.want) {
			t.Errorf("%q, want %q at its end", got, c.want)
		}
	}
}
