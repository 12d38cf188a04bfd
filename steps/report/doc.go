// Package report tells what a run was: as Markdown for a change ticket, as one
// HTML page for a browser, and as JSON for other programs. It is pure: a plan
// and events in, bytes out.
//
//	events, err := journal.Read(path) // damage comes with the events before it
//	o := report.Options{Verified: err == nil}
//	os.Stdout.Write(report.Markdown(p, events, o))
//
// All render one Report, which Build makes from whatever events there are: of
// a run that closed, was rolled back, goes on still, broke off in the middle,
// or whose journal has a damaged end. The plan gives titles and order; without
// one (nil) the report says only what the events do.
//
// Text in a Report is as it was recorded, and may be hostile: whoever draws
// one must clean it, as all three here do. All times are UTC.
package report
