package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"belay/steps/journal"
	"belay/steps/run"
)

// headless is a screen without a terminal: it prints events as they come and
// answers questions from a file. It returns the question that it could not
// answer, after having asked the run to stop; nil when the run has ended.
type headless struct {
	run     *run.Run
	answers *answers
	author  journal.Author
	out     io.Writer
	json    bool

	told   io.Writer     // whom it waits for
	within time.Duration // how long it waits for signatures at a gate; 0: not at all
	await  awaiting

	seq uint64
}

// follow returns when the engine has returned.
func (h *headless) follow(ctx context.Context) (unanswered *journal.Question) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ended := h.run.Live().Ended
		h.print()
		if ended {
			if unanswered != nil && !slices.ContainsFunc(h.run.State().Questions, func(q journal.Question) bool { return q.ID == unanswered.ID }) {
				return nil // somebody answered it in the very moment
			}
			return unanswered
		}
		if unanswered == nil {
			unanswered = h.answer(ctx)
			if unanswered != nil {
				_ = h.run.Request(ctx, run.Request{What: run.WantStop, By: h.author})
			}
		}
		if p := h.run.Prompt(); p != nil {
			p.Reply("", false) // nobody is here to be asked
		}
		<-tick.C
	}
}

// answerSlowly answers questions while a screen shows them, each after a pause
// in which a person could read it.
func (h *headless) answerSlowly(ctx context.Context, pause time.Duration) {
	for ctx.Err() == nil && !h.run.Live().Ended {
		time.Sleep(pause)
		h.answer(ctx)
	}
}

// answer answers one open question.
func (h *headless) answer(ctx context.Context) *journal.Question {
	for _, q := range h.run.State().Questions {
		if !h.run.Waiting(q.ID) {
			continue
		}
		s := h.run.State() // now that the engine waits, it holds all that was said before
		missing := q.ID + " waits for " + stillMissing(h.run.Plan(), q, s)
		a, ok := h.answers.next(q, s, h.author, missing)
		if c := s.Soak.Countdown; !ok && c != nil && c.Question == q.ID {
			return nil // nobody says anything: the countdown goes on, as the plan wants
		}
		if !ok {
			return h.patience(q, s)
		}
		err := h.run.Answer(ctx, a.Answer)
		var stale *run.StaleError
		switch {
		case err == nil:
			a.taken()
		case !errors.As(err, &stale) && !errors.Is(err, run.ErrNotWaiting): // else somebody else was faster
			fmt.Fprintf(h.told, "answer %q to %q refused: %v\n", a.Choice, q.Title, err)
			a.refused(missing)
			return h.patience(q, s)
		}
		return nil
	}
	return nil
}

func (h *headless) print() {
	for _, e := range h.run.Events(h.seq) {
		h.seq = e.Seq
		if h.json {
			b, err := json.Marshal(e)
			if err == nil {
				fmt.Fprintf(h.out, "%s\n", b)
			}
		} else if line := eventLine(h.run.Plan(), e); line != "" {
			fmt.Fprintf(h.out, "%s  %s\n", e.Time.Local().Format("15:04:05"), line)
		}
	}
}

// printQuestion shows an unanswered question in full, with what to do.
func printQuestion(w io.Writer, q *journal.Question, dir string) {
	fmt.Fprintf(w, "\nNot answered: %s (question: %s", q.Title, q.Kind)
	if q.Step != "" {
		fmt.Fprintf(w, ", step: %s", answersStep(*q))
	}
	fmt.Fprintf(w, ")\n")
	if q.Text != "" {
		fmt.Fprintf(w, "%s\n", q.Text)
	}
	for _, it := range q.Items {
		fmt.Fprintf(w, "  - %s\n", it)
	}
	fmt.Fprintln(w, "It takes one of:")
	for _, o := range q.Options {
		fmt.Fprintf(w, "  choice: %-9s %s", o.Choice, o.Label)
		if o.Type != "" {
			fmt.Fprintf(w, " (text: %s)", o.Type)
		}
		if o.Needs != "" {
			fmt.Fprintf(w, " (needs %s)", o.Needs)
		}
		fmt.Fprintln(w)
		indentTo(w, "                      ", o.Note)
	}
	fmt.Fprintf(w, "The run waits; nothing is lost. Resume it with: belay resume %s\n", dir)
	if _, second := q.Option("break-glass"); second || q.Kind == journal.AskSignoff {
		fmt.Fprintf(w, "Others sign while it is resumed with a screen, or waits for them (belay resume --headless --sign-within 2h): each from a login of their own,\nwith: belay sign %s (--signers GROUP of belay resume lets the logins of a group in).\n", dir)
	}
}

// printLosses tells what going back would lose, where that is in question.
func printLosses(w io.Writer, q *journal.Question, s *journal.State) {
	if q.Kind != journal.AskRollback && q.Kind != journal.AskSoak && q.Kind != journal.AskClose {
		return
	}
	for _, step := range slices.Sorted(maps.Keys(s.Losses)) {
		d := s.Losses[step]
		at := d.At.Local().Format("15:04:05")
		for _, l := range d.Of {
			fmt.Fprintf(w, "Written, as of %s: %s: %s\n", at, l.Store, l.Words())
		}
		if d.Err != "" {
			fmt.Fprintf(w, "Written, as of %s: %s: nobody knows: %s\n", at, step, d.Err)
		}
	}
}
