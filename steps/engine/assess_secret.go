package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"belay/remote/secret"
	"belay/steps/journal"
)

const secretCheck = "secret"

// secretFindings tells which secrets cannot be had: better now than with the
// old service frozen. One that a person types is asked for when it is needed.
func (e *Engine) secretFindings(ctx context.Context) (found []journal.Finding) {
	if e.Secret == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(e.Plan.Secrets)) {
		from := e.Plan.Secrets[name]
		if from.Prompt != "" {
			continue
		}
		f := journal.Finding{
			ID: journal.FindingID(secretCheck, "", name), Check: secretCheck, Level: "pass",
			Text: fmt.Sprintf("secret %q is there (%s)", name, origin(from)),
		}
		if _, err := e.Secret(ctx, name); err != nil {
			f.Level, f.Text = "block", err.Error()
			f.Fix = fmt.Sprintf("give belay the secret (%s), then re-check; a variable of the environment must be set before belay starts: stop here, set it, and resume", origin(from))
		}
		found = append(found, f)
	}
	return found
}

// origin says where a secret comes from, without a command's words.
func origin(s secret.Source) string {
	switch {
	case s.Env != "":
		return "environment variable " + s.Env
	case s.File != "":
		return "file " + s.File
	}
	return "command"
}
