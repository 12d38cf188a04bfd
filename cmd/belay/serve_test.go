package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"belay/remote/secret"
	"belay/steps/journal"
	"belay/steps/plan"
	"belay/steps/run"
)

// A run that was opened to a group which is gone is taken up all the same, and
// its record says that nobody can sign it. A group that is named now must be one.
func TestAGroupThatIsGoneKeepsNobodyFromARun(t *testing.T) {
	p, err := plan.Load("plan.yaml", []byte("belay: 1\nname: lone\nhosts: {here: {local: true}}\nprepare:\n  - step: Look\n    manual: look\n"), plan.All())
	if err != nil {
		t.Fatal(err)
	}
	r, err := run.Create(t.TempDir(), "r1", p, &secret.Redactor{}, journal.Author{Login: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	remembered := filepath.Join(r.Dir(), "signers")
	var shut *run.DoorError
	if _, err := serve(r, "no-such-group"); !errors.As(err, &shut) || !strings.Contains(err.Error(), "nothing was contacted or changed") {
		t.Errorf("a group that is not there: %v", err)
	}
	if _, err := os.Stat(remembered); !os.IsNotExist(err) {
		t.Errorf("it is remembered: %v", err)
	}
	if err := os.WriteFile(remembered, []byte("no-such-group\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := serve(r, "")
	if err != nil {
		t.Fatalf("a remembered group that is gone: %v", err)
	}
	defer k.Close()
	if notes := r.State().Notes; len(notes) != 1 || !strings.Contains(notes[0].Text, "no-such-group") {
		t.Errorf("notes: %+v", notes)
	}
}
