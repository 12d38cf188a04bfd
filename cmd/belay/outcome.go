package main

import (
	"fmt"
	"os"
	"path/filepath"

	"belay/steps/journal"
	"belay/steps/plan"
)

// outcome says how the run ended and gives the exit code.
func outcome(p *plan.Plan, s *journal.State, dir string, unanswered *journal.Question, f driveFlags) error {
	id := filepath.Base(dir)
	if f.json {
		return exitFor(p, s, unanswered).orNil()
	}
	if unanswered != nil {
		printQuestion(os.Stdout, unanswered, id)
		printLosses(os.Stdout, unanswered, s)
	}
	for _, d := range s.Debts {
		at := ""
		if d.Host != "" {
			at = " on " + d.Host
		}
		fmt.Printf("Not undone yet: %s%s: %s\n", d.Step, at, d.Why)
	}
	if f.gone {
		fmt.Printf("Run %s: %s.\n", id, s.Status)
		return exitFor(p, s, unanswered).orNil()
	}
	fmt.Printf("Run %s: %s. Record: %s\n", id, s.Status, dir)
	if s.HasEnded() && len(s.Rehearsal) > 0 {
		text, _ := rehearsalEnded(p, s)
		fmt.Println(text)
	}
	if keepsHosts(s) {
		fmt.Println("Its hosts stay locked for other runs until it is closed or rolled back.")
	}
	if !s.Over() && unanswered == nil {
		fmt.Printf("Take it up again with: belay resume %s\n", id)
	}
	return exitFor(p, s, unanswered).orNil()
}

// keepsHosts tells whether a run that ended holds the locks of its hosts on.
func keepsHosts(s *journal.State) bool {
	for _, st := range s.Steps {
		if st.Attempt > 0 && !s.Over() {
			return true
		}
	}
	return false
}

// exitFor is the exit code of a run; a gate that nobody answered is a no-go,
// any other question an interruption.
func exitFor(p *plan.Plan, s *journal.State, unanswered *journal.Question) exit {
	if unanswered != nil {
		switch unanswered.Kind {
		case journal.AskFailed, journal.AskUnknown, journal.AskManual, journal.AskLock, journal.AskLastSafe:
			return exitInterrupted
		}
		return exitNoGo
	}
	if _, licensed := rehearsalEnded(p, s); licensed {
		return exitClosed
	}
	return exit(codeOfStatus(s))
}

// orNil is nil for success.
func (e exit) orNil() error {
	if e == exitClosed {
		return nil
	}
	return e
}
