package main

import (
	"fmt"
	"strings"

	"belay/remote"
	"belay/steps/engine"
	"belay/steps/journal"
)

// dryRun prints previews as they come, and counts.
type dryRun struct {
	stage                journal.Stage
	step                 string
	changes, done, later int
}

func (d *dryRun) show(p engine.Preview) {
	if p.Step.Stage != d.stage {
		d.stage = p.Step.Stage
		fmt.Printf("\n== %s ==\n", d.stage)
	}
	if p.Step.ID != d.step {
		d.step = p.Step.ID
		back := ""
		if !p.Step.HasWayBack() {
			back = "  (no way back)"
		}
		fmt.Printf("%s [%s]%s\n", p.Step.Title, p.Step.Kind.Name, back)
	}
	on := ""
	if p.Host != "" {
		on = p.Host + ": "
	}
	switch {
	case p.Err != nil:
		d.later++
		fmt.Printf("    %scannot be told yet: %v\n", on, p.Err)
	case len(p.Changes) == 0:
		d.done++
		fmt.Printf("    %sdone already\n", on)
	}
	for _, c := range p.Changes {
		d.changes++
		size := ""
		if c.Bytes > 0 {
			size += " [" + remote.FormatBytes(c.Bytes) + "]"
		}
		if c.Rows > 0 {
			size += fmt.Sprintf(" [%d rows]", c.Rows)
		}
		fmt.Printf("    %swould %s%s\n", on, c.Text, size)
		indent("      $ ", c.Cmd)
		indent("      ", c.Diff)
	}
}

func indent(with, text string) {
	for line := range strings.Lines(text) {
		fmt.Printf("%s%s\n", with, strings.TrimRight(line, "\n"))
	}
}
