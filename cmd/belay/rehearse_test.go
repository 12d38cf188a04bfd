package main

import (
	"os"
	"path/filepath"
	"testing"

	"belay/remote/secret"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/run"
)

// A rehearsal whose keeper dies before it has written a word is taken up as a
// rehearsal, and an ordinary run as one.
func TestRehearsalThatDiedBeforeItBegan(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("BELAY_STATE", dir)
	file := filepath.Join(dir, "plan.yaml")
	write(t, file, "belay: 1\nname: tried\nrehearsal: required\nhosts: {here: {local: true}}\nprepare:\n  - step: Write\n    run: {script: \"touch "+dir+"/a\", repeatable: true}\n")
	p, err := readPlan(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	for why, want := range map[string]bool{rehearse: true, "run": false} {
		begun, red, _, err := create(p, driveFlags{why: why})
		if err != nil {
			t.Fatal(err)
		}
		if err := begun.Close(); err != nil { // and nobody drives it
			t.Fatal(err)
		}
		r, err := run.Open(begun.Dir(), plan.All(), red, author(), "resume")
		if err != nil {
			t.Fatal(err)
		}
		s := meaning(run.Spec{Author: author()}, r, driveFlags{why: "resume"})
		if f := s.Rehearsed(nil); s.Practice != want || (f.Level == "pass") != want {
			t.Errorf("begun by %s it resumes with Practice %v, and %+v", why, s.Practice, f)
		}
		r.Close()
	}

	// To the end: what was marked ends as a rehearsal does.
	begun, _, _, err := create(p, driveFlags{why: rehearse})
	if err != nil {
		t.Fatal(err)
	}
	begun.Close()
	r, err := run.Open(begun.Dir(), plan.All(), &secret.Redactor{}, author(), "resume")
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	write(t, filepath.Join(dir, "answers.yaml"), labAnswers("here", "  - {question: close, choice: rollback, text: here, reason: tried}", "  - {question: rollback, choice: go, text: here, reason: tried}"))
	_, out := belay(t, dir, []string{"BELAY_STATE=" + dir}, "resume", begun.ID(), "--headless", "--answers", "answers.yaml")
	if _, err := os.Stat(filepath.Join(dir, "a")); err != nil {
		t.Errorf("the step did not run: %v\n%s", err, out)
	}
	events, err := journal.Read(filepath.Join(begun.Dir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	st := journal.NewState()
	for _, e := range events {
		st.Apply(e)
	}
	if len(st.Rehearsal) == 0 {
		t.Errorf("its journal does not say that it is a rehearsal:\n%s", out)
	}
}
