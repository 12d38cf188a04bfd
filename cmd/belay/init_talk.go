package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"belay/checks/inspect"
	"belay/remote"
	"belay/steps/draft"
	"belay/tui"
	"belay/tui/widget"
)

// interview asks people, and says what comes next.
func (o initFlags) interview(ctx context.Context, out io.Writer) error {
	opts := tui.Options{Slow: o.show.slow, Theme: o.show.theme}
	d := drafter{}
	if term.IsTerminal(int(os.Stdin.Fd())) { // a script's lines are for a script's questions
		d.kept = keptDir()
	}
	var a tui.Answers
	var err error
	if o.show.plain || os.Getenv("TERM") == "dumb" {
		a, err = tui.PlainInterview(ctx, d, o.Answers, os.Stdin, out)
	} else {
		a, err = tui.Interview(ctx, d, o.Answers, opts)
	}
	if err != nil {
		fmt.Fprintln(out, "No plan was written, and nothing was changed on any server.")
		if a.From != "" { // whatever it was that ended it
			if d.has(a) {
				fmt.Fprintln(out, "Your answers are kept: belay init goes on where you stopped.")
			}
			fmt.Fprintf(out, "The same answers again, without questions: %s\n", widget.CleanLine(again(a)))
		}
		if errors.Is(err, tui.ErrUnwritten) {
			return exit(exitInterrupted)
		}
		return err
	}
	fmt.Fprintf(out, "Wrote %s. Next, in this order:\n", widget.CleanLine(a.File))
	for _, n := range tui.NextSteps(widget.CleanLine(remote.Quote(a.File))) {
		fmt.Fprintf(out, "  %s\n      %s\n", n[0], n[1])
	}
	return nil
}

// again is the command that drafts the same plan without asking.
func again(a tui.Answers) string {
	words := []string{"belay", "init", "--from", a.From}
	add := func(flag, value string, there bool) {
		if there {
			words = append(words, flag, value)
		}
	}
	add("--to", a.To, a.To != "")
	for _, key := range a.Move { // the flag reads a list with commas
		if strings.ContainsAny(key, ",\"") {
			key = `"` + strings.ReplaceAll(key, `"`, `""`) + `"`
		}
		words = append(words, "--move", key)
	}
	add("--move", "", a.Move != nil && len(a.Move) == 0) // nothing, which is not what belay advises
	add("--name", a.Name, a.Name != "")
	add("--freeze", draft.Length(a.Freeze), a.Freeze > 0)
	add("--clients", a.Clients, a.To != "" && a.Clients != "" && a.Clients != "dns")
	add("--window", a.Opens.Format("2006-01-02T15:04Z07:00")+"/"+draft.Length(cmp.Or(a.Length, time.Hour)), !a.Opens.IsZero())
	add("--approvers", tui.PeopleText(a.Approvers, a.Roles), a.Approvers > 1 || len(a.Roles) > 0)
	add("--soak", draft.Length(a.Soak), a.Soak > 0 && a.Soak != 15*time.Minute)
	add("--errors", a.Errors, a.Errors != "" && a.Errors != "5%")
	add("--bad-for", draft.Length(a.BadFor), a.BadFor > 0 && a.BadFor != 2*time.Minute)
	add("--out", a.File, a.File != "")
	if a.Second {
		words = append(words, "--second-person")
	}
	if a.Sudo {
		words = append(words, "--sudo")
	}
	return remote.Quote(words...)
}

// drafter is what the interview needs of the world.
type drafter struct {
	kept string // directory of interviews that did not end; "": nothing is kept
}

func (drafter) Look(ctx context.Context, hosts []string, sudo bool, by tui.Onlooker) ([]*inspect.Host, error) {
	f := inspectFlags{sudo: sudo}
	if by != nil {
		f.ask, f.light = by.Ask, by.Light
	}
	w, names, err := f.open(ctx, hosts)
	if err != nil {
		return nil, err
	}
	defer w.close()
	type one struct {
		host *inspect.Host
		err  error
	}
	done := make([]chan one, len(names))
	for i, name := range names {
		done[i] = make(chan one, 1)
		go func() {
			found, err := inspect.Look(ctx, w.hosts, []string{name})
			if err != nil {
				done[i] <- one{err: err}
				return
			}
			if by != nil {
				by.Seen(found.Hosts[0])
			}
			done[i] <- one{host: found.Hosts[0]}
		}()
	}
	var all []*inspect.Host
	for _, c := range done {
		got := <-c
		if err = errors.Join(err, got.err); got.host != nil {
			all = append(all, got.host)
		}
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (drafter) Write(file string, text []byte, replace bool) error {
	if !replace {
		return writeNew(file, text)
	}
	// Beside it first: what was there is not lost before the new one is whole.
	f, err := os.CreateTemp(filepath.Dir(file), ".belay-init-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
