package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"belay/steps/plan"
)

func newCheck() *cobra.Command {
	var with []string
	c := &cobra.Command{
		Use:   "check PLAN",
		Short: "Read a plan strictly and tell every problem in it; contacts nothing",
		Long: `Read a plan strictly and tell every problem in it at once, each with its line and, where
something is misspelt, what was meant. No server is contacted. Exit code 0 when the plan
is good, else 2.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := readPlan(args[0], with)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: no problems. %s, %s, %s. Nothing was contacted.\n",
				args[0], count(len(p.Hosts), "host"), count(len(p.Steps()), "step"), count(len(p.Signoff), "sign-off item"))
			for _, n := range p.Notes(time.Now()) {
				at := args[0]
				if n.Line > 0 {
					at = fmt.Sprintf("%s:%d", at, n.Line)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: note: %s\n", at, n.Text)
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&with, "with", nil, "overlay `file` that replaces hosts, vars, secrets, window or environment")
	return c
}

// count says "1 step", "2 steps".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// readPlan reads a plan and its overlays; a file that cannot be read is a wrong
// argument.
func readPlan(path string, with []string) (*plan.Plan, error) {
	p, err := plan.LoadFile(path, with...)
	if unread := (*fs.PathError)(nil); errors.As(err, &unread) {
		return nil, usageError{fmt.Errorf("%w; nothing was done", err)}
	}
	return p, err
}

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of a plan, for editors",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := os.Stdout.Write(plan.Schema(plan.All()))
			return err
		},
	}
}

func newKinds() *cobra.Command {
	var markdown bool
	c := &cobra.Command{
		Use:   "kinds [NAME]",
		Short: "List the kinds of step and of check, or print the manual of one",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if markdown {
				fmt.Print(plan.MarkdownTable(plan.All()))
				return nil
			}
			if len(args) == 0 {
				fmt.Print(plan.Index(plan.All()))
				return nil
			}
			text, err := plan.Manual(plan.All(), args[0])
			if err != nil {
				return usageError{err}
			}
			fmt.Print(text)
			return nil
		},
	}
	c.Flags().BoolVar(&markdown, "markdown", false, "as the table of the README")
	return c
}
