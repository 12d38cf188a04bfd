package main

import (
	"path/filepath"
	"testing"

	"belay/steps/journal"
	"belay/steps/plan"
)

// Who has answered that a thing was done has not answered that it was undone.
func TestAnswerToAStepIsNotOneToItsUndo(t *testing.T) {
	dir := t.TempDir()
	file, planFile := filepath.Join(dir, "answers.yaml"), filepath.Join(dir, "plan.yaml")
	write(t, planFile, "belay: 1\nname: x\nhosts: {here: {local: true}}\ncutover:\n  - {step: Stop it, manual: Stop it., undo: {manual: Start it.}}\n")
	p, err := plan.LoadFile(planFile)
	if err != nil {
		t.Fatal(err)
	}
	forward := journal.Question{ID: "q1", Kind: journal.AskManual, Step: "stop-it"}
	back := forward
	back.Undo = true
	for text, want := range map[string][2]bool{
		"{question: manual, step: stop-it, choice: done}":      {true, false},
		"{question: manual, step: stop-it-undo, choice: done}": {false, true},
		"{question: manual, choice: done}":                     {true, true},
	} {
		for i, q := range []journal.Question{forward, back} {
			write(t, file, "name: Ada\nanswers:\n  - "+text+"\n")
			as, err := readAnswers(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := as.fit(p); err != nil {
				t.Error(err)
			}
			if _, ok := as.next(q, &journal.State{}, journal.Author{}, "nothing"); ok != want[i] {
				t.Errorf("%s: answers undo %v: %v", text, q.Undo, ok)
			}
		}
	}
}
