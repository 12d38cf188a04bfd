package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"belay/steps/journal"
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
		Args:  cobra.MaximumNArgs(1),
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
			switch format {
			case "md":
				_, err = cmd.OutOrStdout().Write(report.Markdown(p, events, seen))
			case "json":
				var b []byte
				if b, err = report.JSON(p, events, seen); err == nil {
					_, err = cmd.OutOrStdout().Write(append(b, '\n'))
				}
			case "html":
				seen.Log = rec.log
				var b []byte
				if b, err = report.HTML(p, events, seen); err == nil {
					_, err = cmd.OutOrStdout().Write(b)
				}
			default:
				return usageError{fmt.Errorf("--format %q: there are md, html and json", format)}
			}
			return err
		},
	}
	c.Flags().StringVar(&format, "format", "md", "md, html (one page that needs nothing else) or json")
	where.add(c)
	c.Flags().BoolVar(&verify, "verify", false, "prove the journal's hash chain instead")
	return c
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
