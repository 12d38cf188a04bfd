package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"belay/steps/estimate"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/run"
)

func newRehearse() *cobra.Command {
	var f driveFlags
	var with []string
	c := &cobra.Command{
		Use:   "rehearse PLAN --with STAGING",
		Short: "Carry out a plan on other hosts, forward and back, as a licence for the run that counts",
		Long: `Carry out a plan on other hosts, forward and back.

The overlays of --with give the hosts, vars, secrets, window and environment of the
rehearsal; the steps stay the same:

  environment: staging
  hosts: {old: {address: stage-old}, new: {address: stage-new}}  # as ssh would take them

It is a real run on those hosts, and ends with the way back. Its record tells later
runs how long each step takes; a plan that says ` + "`rehearsal: required`" + ` does not begin
elsewhere without one. The assessment warns of a step that speaks of the plan's own hosts.
Exit code 0 when it went forward and back; else as run and rollback have them.

` + answersForm,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := readRehearsal(args[0], with)
			if err != nil {
				return err
			}
			f.why = rehearse
			return runPlan(cmd.Context(), p, f)
		},
	}
	f.add(c)
	f.journal.add(c)
	c.Flags().StringArrayVar(&with, "with", nil, "overlay `file` that replaces hosts, vars, secrets, window or environment")
	return c
}

// rehearse is the word of the command line that makes a run a rehearsal.
const rehearse = "rehearse"

// readRehearsal reads a plan with its overlays, and refuses to rehearse where
// the plan by itself would act.
func readRehearsal(path string, with []string) (*plan.Plan, error) {
	if len(with) == 0 {
		return nil, usageError{errors.New("a rehearsal takes place on other hosts: give them in a file, --with staging.yaml; nothing was done")}
	}
	p, err := readPlan(path, with)
	if err != nil {
		return nil, err
	}
	real, err := plan.LoadFile(path)
	if err != nil {
		return p, nil // by itself it cannot run anywhere
	}
	if p.Environment == real.Environment && real.Environment != "" {
		return nil, usageError{fmt.Errorf("the rehearsal would call itself %s, as the plan does: the overlay must say `environment: staging` or the like; nothing was done", real.Environment)}
	}
	for _, h := range p.Hosts {
		if i := slices.IndexFunc(real.Hosts, func(o plan.Host) bool { return samePlace(h, o) }); i >= 0 {
			return nil, usageError{fmt.Errorf("host %q of the rehearsal is the plan's own %q: a rehearsal must not touch it; give all hosts anew in the overlay; nothing was done", h.Name, real.Hosts[i].Name)}
		}
	}
	return p, nil
}

// samePlace tells whether two hosts are one machine, as far as a plan can tell.
// The bastion may be part of both worlds.
func samePlace(a, b plan.Host) bool {
	place := func(h plan.Host) string {
		if h.Address != "" {
			return strings.ToLower(h.Address)
		}
		return strings.ToLower(h.Name)
	}
	return !a.Local && !b.Local && place(a) == place(b) && a.Port == b.Port && a.Jump == b.Jump
}

// rehearsed judges whether the plan of the run in dir was rehearsed; nil where
// that does not matter.
func rehearsed(p *plan.Plan, dir string) func(map[string]journal.Size) journal.Finding {
	if p.Rehearsal == nil {
		return nil
	}
	return func(here map[string]journal.Size) journal.Finding {
		l := estimate.Licensed(p, pastRuns(p, dir), version(), time.Now(), here)
		f := journal.Finding{Level: "pass", Text: l.Text, Detail: strings.Join(l.Detail, "\n")}
		switch {
		case !l.OK:
			f.Level = "block"
			f.Fix = fmt.Sprintf("rehearse it: belay rehearse %s --with staging.yaml; in an emergency begin anew with --without-rehearsal \"reason\"", p.Path)
		case l.Warn:
			f.Level, f.Fix = "warn", "rehearse it again, or accept this with a reason"
		}
		return f
	}
}

// practiceFile says in a run directory that the run is a rehearsal, until its
// journal does: a keeper may die before it has written a word.
const practiceFile = "is-a-rehearsal"

func markRehearsal(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, practiceFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func markedRehearsal(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, practiceFile))
	return err == nil
}

// pastRuns are the runs of the plan that this machine knows, and those in the
// database of the run in dir if that has one.
func pastRuns(p *plan.Plan, dir string) []*journal.State {
	root, err := run.Root()
	if err != nil {
		return nil
	}
	all := run.Past(root, p.Name, dir, 100)
	if dir == "" {
		return all
	}
	store, err := run.StoreOf(dir)
	if store == nil || err != nil {
		return all
	}
	list, err := store.List(context.Background())
	if err != nil {
		return all
	}
	for _, e := range list {
		if e.State.Plan == p.Name && e.ID != filepath.Base(dir) {
			all = append(all, e.State)
		}
	}
	return all
}

// rehearsalEnded says what a rehearsal was worth. ok: it went forward and back.
func rehearsalEnded(p *plan.Plan, s *journal.State) (text string, ok bool) {
	l := estimate.Licensed(p, []*journal.State{s}, version(), time.Now(), nil)
	if !l.OK {
		return "No licence for production: " + l.Text + ".", false
	}
	text = "Licence for production: " + l.Text + "."
	for _, d := range l.Detail {
		text += "\n  " + d
	}
	return text, true
}
