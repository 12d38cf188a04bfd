package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"belay/steps/estimate"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/report"
	"belay/steps/run"
)

func newReport() *cobra.Command {
	var format string
	var verify bool
	var where journalFlag
	c := &cobra.Command{
		Use:   "report [RUN]",
		Short: "Tell what a run did, from its journal",
		Long: `Tell what a run did, from its journal: Markdown for a change ticket, one HTML page
for a browser, or JSON for programs. It works at any time, also after a crash; without
RUN it tells of the newest. It contacts no server.

  belay report --format html > report.html`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			rec, err := findRecord(cmd.Context(), where, first(args))
			if err != nil {
				return err
			}
			events, err := rec.events()
			if damage := (*journal.DamageError)(nil); err != nil && !errors.As(err, &damage) {
				return err
			}
			if verify {
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %d events; every line is as it was written and none is missing.\n", rec.id, len(events))
				return nil
			}
			if err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "belay: %v\nWhat follows is told by the %d events before the damage.\n", err, len(events))
			}
			seen := report.Options{Verified: err == nil}
			if err != nil {
				seen.Damage = err.Error()
			}
			p, err := rec.plan()
			if err != nil {
				return err
			}
			seen.Expected = expected(p, rec, events)
			return tell(cmd.OutOrStdout(), format, p, rec, events, seen)
		},
	}
	c.Flags().StringVar(&format, "format", "md", "`md`, html (one page that needs nothing else) or json")
	where.add(c)
	c.Flags().BoolVar(&verify, "verify", false, "prove instead that nobody has altered the journal, by its hash chain")
	return c
}

// tell writes the report in one of its formats.
func tell(w io.Writer, format string, p *plan.Plan, rec record, events []journal.Event, seen report.Options) (err error) {
	var b []byte
	switch format {
	case "md":
		b = report.Markdown(p, events, seen)
	case "json":
		b, err = report.JSON(p, events, seen)
		b = append(b, '\n')
	case "html":
		seen.Log = rec.log
		b, err = report.HTML(p, events, seen)
	default:
		return usageError{fmt.Errorf("--format %q: there are md, html and json", format)}
	}
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

// expected is what the run itself counted on, or else what the runs that were
// begun before it tell of how long its steps take; what was never measured is a guess, where the plan has one.
func expected(p *plan.Plan, rec record, events []journal.Event) *report.Expected {
	st := journal.NewState()
	for _, e := range events {
		st.Apply(e)
	}
	e, recorded := estimate.Recorded(st)
	if !recorded {
		past := slices.DeleteFunc(pastRuns(p, rec.dir), func(s *journal.State) bool { return !s.Begun.Before(st.Begun) })
		e = estimate.From(p, past[:min(len(past), 20)])
	}
	x := &report.Expected{Steps: map[string]report.Estimate{}, Back: map[string]report.Estimate{}, Stage: map[journal.Stage]report.Estimate{}}
	for _, s := range p.Steps() {
		x.Steps[s.ID], x.Back[s.ID] = forward(e, s, st), took(e.Back[s.ID])
	}
	for _, stage := range journal.Stages {
		x.Stage[stage] = total(e.Ahead(p, stage, journal.NewState()), e.Runs)
	}
	x.Undo = total(e.Rollback(p, st), e.Runs)
	return x
}

// forward is how long a step was expected to take, with as much to move as the
// run had.
func forward(e estimate.Estimates, s *plan.Step, st *journal.State) report.Estimate {
	size := st.Step(s.ID).Size
	if size == (journal.Size{}) {
		size = st.Sizes[s.ID]
	}
	t, far := e.Forward[s.ID].With(size)
	x := took(t)
	x.Rough = far
	if t.Runs == 0 {
		x.Median, x.Worst = s.Takes.Seconds(), s.Takes.Seconds()
	}
	return x
}

func took(t estimate.Took) report.Estimate {
	return report.Estimate{Runs: t.Runs, Median: t.Median.Seconds(), Worst: t.Worst.Seconds()}
}

func total(t estimate.Total, runs int) report.Estimate {
	if !t.Told() {
		return report.Estimate{}
	}
	return report.Estimate{Runs: runs, Rough: t.Guessed > 0, Median: t.Median.Seconds(), Worst: t.Worst.Seconds(), Unknown: t.Unknown}
}

// findAny is run.Find, but without a name the newest run will do, over or not.
func findAny(root, name string) (string, error) {
	if name != "" {
		return run.Find(root, name)
	}
	all, err := run.List(root)
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "", fmt.Errorf("no runs under %s", root)
	}
	return all[0].Dir, nil
}
