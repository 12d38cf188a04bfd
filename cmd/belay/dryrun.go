package main

import (
	"fmt"
	"io"
	"os"
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
	plan                 *plan.Plan
	here                 map[string]journal.Size // by step, as the previews tell
	under                string                  // the heading of what is shown
	step                 string
	changes, done, later int
}

func (d *dryRun) show(p engine.Preview) {
	if part := d.part(p.Step); part != d.under {
		d.under = part
		fmt.Printf("\n== %s ==\n", part)
	}
	own := p.Step.Stage == journal.GoingBack
	if p.Step.ID != d.step {
		d.step = p.Step.ID
		back := ""
		if !own && !p.Step.HasWayBack() {
			back = "  (no way back)"
		}
		if t := d.took.Forward[d.step]; t.Runs > 0 {
			back += "  (took " + t.Median.Round(time.Second/10).String() + " before)"
		} else if p.Step.Takes > 0 {
			back += "  (~" + p.Step.Takes.String() + ", the plan's guess)"
		}
		fmt.Printf("%s [%s]%s\n", p.Step.Title, p.Step.Kind.Name, back)
	}
	on := ""
	if p.Host != "" {
		on = p.Host + ": "
	}
	switch {
	case p.Err != nil:
		if !own {
			d.later++
		}
		fmt.Printf("    %scannot be told yet: %v\n", on, p.Err)
	case len(p.Changes) == 0:
		if !own {
			d.done++
		}
		fmt.Printf("    %sdone already\n", on)
	}
	for _, c := range p.Changes {
		if !own {
			d.changes++
		}
		sum := d.here[d.step]
		d.here[d.step] = journal.Size{Bytes: sum.Bytes + max(0, c.Bytes), Rows: sum.Rows + max(0, c.Rows)}
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

// part is the heading that a step stands under: its stage, or the side of the
// undo on which its way back has it.
func (d *dryRun) part(s *plan.Step) string {
	w, before := d.plan.WayOf(s.ID)
	switch {
	case w == nil:
		return string(s.Stage)
	case before:
		return "rollback, " + w.Name + ": before the undo"
	}
	return "rollback, " + w.Name + ": after the undo"
}

// ways lists what may be chosen for a rollback.
func (d *dryRun) ways() {
	if len(d.plan.Ways) == 0 {
		return
	}
	fmt.Printf("\nWays back, each undoing every step that was done, last first:\n")
	for _, w := range d.plan.Ways {
		fmt.Printf("  %s  %s\n", w.Name, w.About)
		fmt.Printf("      loses: %s\n", w.Loses)
		fmt.Printf("      offered from the %s on; %s before the undo, %s after it\n", w.From, count(len(w.StepsBefore()), "step"), count(len(w.StepsAfter()), "step"))
	}
}

// clock tells how long cutover and way back take, as earlier runs of the plan
// on this machine say; nothing when there were none.
func (d *dryRun) clock(p *plan.Plan) {
	seen := journal.NewState()
	seen.Sizes = d.here
	if d.took.Runs == 0 && !d.took.Ahead(p, journal.Cutover, seen).Told() {
		return
	}
	say := func(what string, t estimate.Total) {
		if t.Steps == 0 {
			return
		}
		fmt.Printf("  %-28s %s\n", what, t.About(func(d time.Duration) string { return d.Round(time.Second).String() }))
	}
	fmt.Printf("\nBy %s of this plan on this machine:\n", count(d.took.Runs, "earlier run"))
	say("prepare", d.took.Ahead(p, journal.Prepare, seen))
	say("cutover", d.took.Ahead(p, journal.Cutover, seen))
	if len(p.Ways) == 0 {
		say("way back after the cutover", d.took.RollbackAfter(p, journal.Cutover))
	}
	for i := range p.Ways {
		say("way back, "+p.Ways[i].Name, d.took.WayAfter(p, journal.Cutover, &p.Ways[i]))
	}
}

// sizes tells which steps have far more, or less, to move here than when they
// were measured.
func (d *dryRun) sizes(p *plan.Plan) {
	told := false
	for _, s := range p.Steps() {
		note, far := d.took.Forward[s.ID].Compare(d.here[s.ID])
		if note == "" {
			continue
		}
		if !told {
			told = true
			fmt.Printf("\nData, compared with earlier runs:\n")
		}
		mark := " "
		if far {
			mark = "~"
		}
		fmt.Printf("%s %s: %s\n", mark, s.Title, note)
	}
}

func indent(with, text string) { indentTo(os.Stdout, with, text) }

func indentTo(w io.Writer, with, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(w, "%s%s\n", with, strings.TrimRight(line, "\n"))
	}
}
