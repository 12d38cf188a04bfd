package main

import (
	"fmt"
	"strings"
	"time"

	"belay/remote"
	"belay/steps/engine"
	"belay/steps/estimate"
	"belay/steps/journal"
	"belay/steps/plan"
)

// dryRun prints previews as they come, and counts.
type dryRun struct {
	took                 estimate.Estimates
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
		if t := d.took.Forward[d.step]; t.Runs > 0 {
			back += "  (took " + t.Median.Round(time.Second/10).String() + " before)"
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

// clock tells how long cutover and way back take, as earlier runs of the plan
// on this machine say; nothing when there were none.
func (d *dryRun) clock(p *plan.Plan) {
	if d.took.Runs == 0 {
		return
	}
	say := func(what string, t estimate.Total) {
		if t.Steps == 0 {
			return
		}
		fmt.Printf("  %-28s about %s, at worst %s", what, t.Median.Round(time.Second), t.Worst.Round(time.Second))
		if t.Unknown > 0 {
			fmt.Printf("; %d of its %d steps were never measured", t.Unknown, t.Steps)
		}
		fmt.Println()
	}
	fmt.Printf("\nBy %s of this plan on this machine:\n", count(d.took.Runs, "earlier run"))
	say("prepare", d.took.Ahead(p, journal.Prepare, journal.NewState()))
	say("cutover", d.took.Ahead(p, journal.Cutover, journal.NewState()))
	say("way back after the cutover", d.took.RollbackAfter(p, journal.Cutover))
}

func indent(with, text string) {
	for line := range strings.Lines(text) {
		fmt.Printf("%s%s\n", with, strings.TrimRight(line, "\n"))
	}
}
