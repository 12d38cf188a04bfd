package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"belay/remote/secret"
	"belay/steps/journal"
)

// TestSecretsAreLookedForBeforeAnythingBegins: a secret that cannot be had
// blocks the assessment; one that a person types is not asked for yet.
func TestSecretsAreLookedForBeforeAnythingBegins(t *testing.T) {
	newWorld()
	p := loadPlan(t, "belay: 1\nname: x\nhosts: {a: {}}\nsecrets:\n  gone: {env: GONE}\n  there: {file: /there}\n  typed: {prompt: Say it}\nprepare:\n  - step: one\n    on: a\n    put: one\n")
	b := newBench(t, p, filepath.Join(t.TempDir(), "j"), "findings=stop")
	b.Secret = func(_ context.Context, name string) (secret.Value, error) {
		switch name {
		case "there":
			return secret.New("hunter2"), nil
		case "typed":
			t.Error("asked for what a person types")
		}
		return secret.Value{}, fmt.Errorf("secret %q: not set", name)
	}
	if _, err := b.Walk(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := map[string]journal.Finding{}
	for _, f := range b.log.State().Findings {
		if f.Check == secretCheck {
			got[f.ID] = f
		}
	}
	if gone := got["secret//gone"]; len(got) != 2 || gone.Level != "block" || gone.Text != `secret "gone": not set` || got["secret//there"].Level != "pass" {
		t.Errorf("%+v", got)
	}
}
