package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"belay/checks"
	"belay/remote/job"
)

func init() {
	register(Kind{
		Name:    "run",
		Summary: "Runs a script once, detached from the connection, with its own proof and way back.",
		Example: `- step: Apply the database migrations
  on: chat
  run:
    dir: /root/fluxer/dev
    script: ../packages/cassandra-migrations/target/release/cassandra-migrations
    secrets: [pg_password]
    progress: {match: 'Applied migration: (\d+)', total: 60, unit: migrations}
    pending: ./list-missing-migrations
    verify: docker compose exec -T postgres pg_isready
    undo: ./drop-keyspace
`,
		New: func() Step { return &run{} },
	})
}

// run runs a script of the plan's author.
type run struct {
	Script     string            `yaml:"script" scalar:"" required:"" doc:"POSIX sh script; a status other than 0 is a failure"`
	Dir        string            `yaml:"dir" doc:"directory in which all the scripts run; else where the login begins"`
	Env        map[string]string `yaml:"env" doc:"environment variables of all the scripts; stored on the host, so nothing secret"`
	Secrets    []string          `yaml:"secrets" secretname:"" doc:"secrets that all the scripts find in shell variables of the same names; they come by stdin and are not exported"`
	PendingBy  string            `yaml:"pending" doc:"read-only script that prints a line for each thing still to do, and nothing when all is done; a status other than 0 is an error"`
	VerifyBy   string            `yaml:"verify" doc:"read-only script that proves the outcome by its status 0; without it, the script's own status is the proof"`
	UndoBy     string            `yaml:"undo" doc:"script that takes back what the script did, also when that stopped half way"`
	Again      bool              `yaml:"repeatable" doc:"running it twice equals running it once, so that retry may"`
	IsAttached bool              `yaml:"attached" doc:"run it on the open connection: it ends when the connection does (for hosts without setsid and perl)"`
	Progress   *LogProgress      `yaml:"progress" doc:"how to read from the output how far it is"`
}

func (r *run) Validate() error {
	errs := []error{validNames(r.Env, r.Secrets), r.Progress.Validate()}
	if strings.TrimSpace(r.Script) == "" {
		errs = append(errs, Field("script", "it is empty"))
	}
	for _, s := range []struct{ field, text string }{{"script", r.Script}, {"pending", r.PendingBy}, {"verify", r.VerifyBy}, {"undo", r.UndoBy}} {
		errs = append(errs, validScript(s.field, s.text))
	}
	return errors.Join(errs...)
}

func (r *run) with(script string) runScript {
	return runScript{Script: script, Dir: r.Dir, Env: r.Env, Secrets: r.Secrets}
}

// Needs what detaches a script: setsid, or perl in its place.
func (r *run) Needs(on string) []checks.Check {
	if r.IsAttached {
		return nil
	}
	return []checks.Check{&checks.ToolCheck{On: []string{on}, Name: "setsid", Any: []string{"perl"}}}
}

// Repeatable is what the plan says of its script.
func (r *run) Repeatable() bool { return r.Again }

// Pending asks the pending script. Without one, the script is still to be run,
// unless it has been: it ended with 0 and its proof, if there is one, holds.
func (r *run) Pending(ctx context.Context, e Env) ([]Change, error) {
	whole := Change{Text: "run " + r.with(r.Script).title(), Cmd: r.with(r.Script).shown()}
	if r.PendingBy != "" {
		var out strings.Builder
		if err := r.pendingScript().look(ctx, e, &out); err != nil {
			return nil, fmt.Errorf("pending script (it prints what is to be done, and ends with 0): %w", err)
		}
		return runChanges(out.String(), whole), nil
	}
	t, _, err := traceOf(e, runKey)
	if err != nil || !t.OK || t.Undone {
		return []Change{whole}, err
	}
	if r.VerifyBy != "" {
		if err := r.Verify(ctx, e); isExit(err) {
			return []Change{whole}, nil
		} else if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// pendingScript says by itself what is to be done while there is no directory
// to ask in: in a dry run, the steps that make it have not run yet.
func (r *run) pendingScript() runScript {
	s := r.with(r.PendingBy)
	if r.Dir != "" {
		s.Dir = ""
		s.Script = fmt.Sprintf(`cd -- %[1]s 2>/dev/null || { [ ! -e %[1]s ] || exit 125; echo %[2]s; exit 0; }; %[3]s`,
			quoted(r.Dir), quoted("everything: "+r.Dir+" is not there yet"), r.PendingBy)
	}
	return s
}

// runChanges are the lines of a pending script, of which 100 are shown.
func runChanges(out string, whole Change) []Change {
	var todo []Change
	more := 0
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
				return ' '
			}
			return r
		}, line))
		switch {
		case line == "":
		case len(todo) == 100:
			more++
		default:
			todo = append(todo, Change{Text: fmt.Sprintf("%.200s", line)})
		}
	}
	if more > 0 {
		todo = append(todo, Change{Text: fmt.Sprintf("and %d more", more)})
	}
	if len(todo) > 0 {
		todo = append(todo, whole)
	}
	return todo
}

// Apply runs the script, or takes up the execution that a crash cut off from us.
func (r *run) Apply(ctx context.Context, e Env) error {
	if err := execute(ctx, e, runKey, runTrace{Attached: r.IsAttached}, r.with(r.Script), r.Progress); err != nil {
		return fmt.Errorf("script: %w", err)
	}
	return nil
}

// Underway tells whether there is an execution to take up. Without a trace
// none was ever begun on this host, so that beginning one does nothing twice.
func (r *run) Underway(e Env) (bool, error) {
	t, found, err := traceOf(e, runKey)
	if !found {
		return !r.IsAttached, err
	}
	return !t.Told && !t.Attached, err
}

// Verify runs the verify script; without one the script's status was the proof.
func (r *run) Verify(ctx context.Context, e Env) error {
	if r.VerifyBy == "" {
		return nil
	}
	if err := r.with(r.VerifyBy).look(ctx, e, nil); err != nil {
		return fmt.Errorf("verify script: %w", err)
	}
	return nil
}

// WayBack tells whether there is an undo script.
func (r *run) WayBack() bool { return r.UndoBy != "" }

// Undo ends the script if it still runs, and runs the undo script, once.
func (r *run) Undo(ctx context.Context, e Env) error {
	if r.UndoBy == "" {
		return ErrNoWayBack
	}
	t, found, err := traceOf(e, runKey)
	if err != nil {
		return err
	}
	if !found || t.Undone {
		fmt.Fprintln(e.Log, "-- the script was not run here, so there is nothing to undo")
		return nil
	}
	if !t.Told && !t.Attached || t.Orphan {
		if _, err := job.Cancel(ctx, e.Host, t.id(e, runKey), runGrace); err != nil {
			return fmt.Errorf("end the script before undoing it: %w", err)
		}
		t.Told, t.Orphan, t.How = true, false, "ended by the rollback"
		if err := e.Memory.Put(runKey, t); err != nil {
			return err
		}
	}
	if err := undoOnce(ctx, e, runTrace{Of: t.N, Attached: r.IsAttached}, r.with(r.UndoBy)); err != nil {
		return fmt.Errorf("undo script: %w", err)
	}
	t.Undone = true
	return e.Memory.Put(runKey, t)
}

var _ interface {
	Undoer
	WayBacker
	Resumer
	Repeater
	Validator
} = &run{}
