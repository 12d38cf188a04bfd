package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"belay/steps/plan"
	"belay/steps/run"
)

// wrapFlags has a command with a screen refuse flags that would silently do
// nothing, and a screen where there is no terminal, before anything begins: a
// run that was opened for nobody would wait for ever.
func wrapFlags(c *cobra.Command) {
	if c.Flags().Lookup("guide") == nil {
		return
	}
	before := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		terminal := term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))
		if err := checkFlags(c, terminal); err != nil {
			return usageError{fmt.Errorf("%w; nothing was done", err)}
		}
		if before != nil {
			return before(c, args)
		}
		return nil
	}
}

func checkFlags(c *cobra.Command, terminal bool) error {
	on := func(name string) bool {
		f := c.Flags().Lookup(name)
		return f != nil && f.Value.String() == "true"
	}
	if theme := c.Flags().Lookup("theme").Value.String(); !slices.Contains([]string{"auto", "dark", "light"}, theme) {
		return fmt.Errorf("--theme %q: there are dark, light and auto", theme)
	}
	if on("headless") {
		return nil
	}
	if on("json") {
		return errors.New("--json works with --headless only")
	}
	if c.Flags().Changed("answers") && !on("auto") {
		return errors.New("--answers works with --headless only: a screen asks its person")
	}
	if !terminal && !on("plain") {
		other := ""
		if c.Flags().Lookup("headless") != nil {
			other = ", or --headless with --answers for no person at all"
		}
		return fmt.Errorf("here is no terminal for the screen: use --plain for line by line%s", other)
	}
	return nil
}

// driven is what to do about a run that cannot be opened because a belay
// drives it already: a person who wanted to take it up gets its screen, others
// are told how to get there.
func driven(ctx context.Context, dir, why string, f driveFlags, err error) error {
	var locked *run.LockedError
	if !errors.As(err, &locked) {
		return err
	}
	a, none := run.Attach(dir, plan.All(), author())
	if none != nil { // driven without a screen
		return err
	}
	a.Close()
	if why == "resume" && !f.headless {
		return watch(ctx, dir, f)
	}
	more := ""
	if why == "rollback" {
		more = "; the rollback begins there, at its next question"
	}
	return fmt.Errorf("%w. Look at it and answer it with: belay attach %s%s", err, filepath.Base(dir), more)
}

// meant refuses to guess which of several unfinished runs shall be rolled back.
func meant(root, name, why string) error {
	if name != "" || why != "rollback" {
		return nil
	}
	all, err := run.List(root)
	if err != nil {
		return err
	}
	var open []string
	for _, e := range all {
		if e.Err == nil && e.State.Run != "" && !e.State.Over() {
			open = append(open, e.ID)
		}
	}
	if len(open) > 1 {
		return fmt.Errorf("%d runs are not over, say which one to roll back: %s", len(open), strings.Join(open, ", "))
	}
	return nil
}
