package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"belay/remote/hold"
	"belay/remote/secret"
	"belay/steps/engine"
	"belay/steps/journal"
	"belay/steps/plan"
)

// looker is an engine for looking only: no run directory, no journal.
func looker(path string, with []string) (*plan.Plan, *engine.Engine, func(), error) {
	p, err := readPlan(path, with)
	if err != nil {
		return nil, nil, nil, err
	}
	red := &secret.Redactor{}
	w, err := wire(p, red, onTerminal(), nil)
	if err != nil {
		return nil, nil, nil, err
	}
	return p, &engine.Engine{
		Run: "dry-run", Version: version(), Plan: p, Hosts: w.hosts, Secret: w.secrets.Get, Author: author(),
		Hold:      &hold.Record{Run: "dry-run"}, // to see the locks of runs; none is taken
		Rehearsed: rehearsed(p, ""), Copies: estimates(p, "").Copies(),
		Output: func(string, string) io.Writer { return io.Discard },
	}, w.close, nil
}

func newAssess() *cobra.Command {
	var with []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "assess PLAN",
		Short: "Read facts from every host and judge them; changes nothing",
		Long:  "Read facts from every host and judge them; changes nothing.\nExit code 0 when nothing blocks and nothing is unknown, else 3.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, e, done, err := looker(args[0], with)
			if err != nil {
				return err
			}
			defer done()
			found, err := e.Assess(cmd.Context())
			if err != nil {
				return err
			}
			code := exit(exitClosed)
			for _, f := range found {
				if f.Level == "block" || f.Level == "unknown" {
					code = exitNoGo
				}
			}
			if !asJSON {
				printFindings(os.Stdout, found)
			} else {
				enc := json.NewEncoder(os.Stdout)
				enc.SetIndent("", "  ")
				if err := enc.Encode(found); err != nil {
					return err
				}
			}
			return code.orNil()
		},
	}
	c.Flags().StringArrayVar(&with, "with", nil, "overlay `file` that replaces hosts, vars, secrets, window or environment")
	c.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	return c
}

// printFindings writes a line for each finding and one for what to do about
// it. What could not be judged for one reason, as on a host that was not
// reached, is one line with the names of the checks.
func printFindings(w io.Writer, found []journal.Finding) {
	type why struct{ host, level, text, fix string }
	named := map[why][]string{}
	key := func(f journal.Finding) why { return why{f.Host, f.Level, f.Text, f.Fix} }
	for _, f := range found {
		named[key(f)] = append(named[key(f)], f.Check)
	}
	for _, f := range found {
		names := named[key(f)]
		delete(named, key(f))
		if len(names) == 0 {
			continue // told with the first of its like
		}
		fmt.Fprintf(w, "%-8s %-12s %s [%s]\n", f.Level, f.Host, f.Text, strings.Join(names, ", "))
		if f.Fix != "" && f.Level != "pass" {
			fmt.Fprintf(w, "%-21s fix: %s\n", "", f.Fix)
		}
		if f.Level != "pass" && f.Detail != "" {
			for _, line := range firstLines(f.Detail, 10) {
				fmt.Fprintf(w, "%-21s      %s\n", "", line)
			}
		}
	}
}

// firstLines are at most n lines; the last one says how many more there are.
func firstLines(text string, n int) []string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) <= n {
		return lines
	}
	return append(lines[:n-1:n-1], fmt.Sprintf("… and %d more lines", len(lines)-n+1))
}

func newPlan() *cobra.Command {
	var with []string
	c := &cobra.Command{
		Use:   "plan PLAN",
		Short: "Dry run: ask every step on the real hosts what it would change",
		Long: `Dry run: ask every step on the real hosts what it would change, and print it: commands,
differences of files, how much there is to copy. Nothing is changed: whatever would write
is refused while steps are asked.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, e, done, err := looker(args[0], with)
			if err != nil {
				return err
			}
			defer done()
			d := dryRun{plan: p, took: estimates(p, ""), here: map[string]journal.Size{}}
			if err := e.DryRun(cmd.Context(), d.show); err != nil {
				return err
			}
			d.ways()
			d.sizes(p)
			d.clock(p)
			fmt.Printf("\n%d steps, %d changes would be made, %d steps are done already, %d can only be told later. Nothing was changed.\n",
				len(p.Steps()), d.changes, d.done, d.later)
			return nil
		},
	}
	c.Flags().StringArrayVar(&with, "with", nil, "overlay `file` that replaces hosts, vars, secrets, window or environment")
	return c
}
