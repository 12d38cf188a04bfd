package steps

import (
	"context"
	"fmt"
	"strings"
	"time"

	"belay/checks"
	"belay/remote"
	"belay/steps/postgres"
)

func init() {
	register(Kind{
		Name:    "postgres.switch",
		Summary: "Ends a replication without losing a change: waits until the target has all that the frozen source has, and moves the sequences on.",
		Example: `- step: Switch to the new database
  postgres.switch:
    from: {host: old, database: shop, password: {secret: pg_password}}
    to: {host: new, database: shop, password: {secret: pg_password}}
`,
		Optional: true,
		New:      func() Step { return &postgresSwitch{} },
	})
}

// postgresSwitch is the cutover's half of postgres.replicate, between
// postgres.freeze of the source and whatever opens the target.
type postgresSwitch struct {
	pgPair `yaml:",inline"`
	Wait   remote.Duration `yaml:"wait" default:"5m" doc:"how long the target may take for what is still to come"`
	Margin uint            `yaml:"margin" default:"1000" doc:"steps by which every sequence of the target is moved beyond the source's"`
}

func (s *postgresSwitch) Validate() error { return s.check() }

// Repeatable: each part of it, done twice, is done once.
func (s *postgresSwitch) Repeatable() bool { return true }

// Needs a login on both sides; the databases may not be there yet.
func (s *postgresSwitch) Needs(on string) []checks.Check {
	return []checks.Check{
		&pgNeed{Of: pgBeside(s.From), On: on, What: "switch from", Judge: pgJudgeLogin},
		&pgNeed{Of: pgBeside(s.To), On: on, What: "switch to", Judge: pgJudgeLogin},
	}
}

// pgSwitched is how far the switch has come.
type pgSwitched struct {
	Drained bool `json:"drained,omitempty"` // the target has all, and its sequences are moved
	Done    bool `json:"done,omitempty"`
}

const pgSwitchKey = "switch"

// Pending lists the parts of the switch that are still to do.
func (s *postgresSwitch) Pending(_ context.Context, e Env) ([]Change, error) {
	var at pgSwitched
	if _, err := e.Memory.Get(pgSwitchKey, &at); err != nil || at.Done {
		return nil, err
	}
	var todo []Change
	if !at.Drained {
		todo = []Change{
			{Text: fmt.Sprintf("wait until %s has every change that %s has", s.To.Database, s.From.Database)},
			{Text: fmt.Sprintf("move the sequences of the target %d steps beyond the source's", s.Margin)},
		}
	}
	return append(todo, Change{Text: "drop the subscription on the target, and slot and publication on the source"}), nil
}

// Apply switches. The source must be frozen, and stays so.
func (s *postgresSwitch) Apply(ctx context.Context, e Env) error {
	rep, err := s.replica(ctx, e)
	if err != nil {
		return err
	}
	b := &pgBoth{Replica: rep}
	defer b.close()
	if err := postgres.Quiet(ctx, b.Source, 0); err != nil {
		return fmt.Errorf("the source is not frozen, so there is no last change: %w; put postgres.freeze before this step; nothing was changed", err)
	}
	if err := b.open(ctx); err != nil {
		return err
	}
	var at pgSwitched
	if _, err := e.Memory.Get(pgSwitchKey, &at); err != nil {
		return err
	}
	if !at.Drained {
		if err := s.drain(ctx, e, b); err != nil {
			return err
		}
		at.Drained = true
		if err := e.Memory.Put(pgSwitchKey, at); err != nil {
			return err
		}
	}
	slots, _, err := b.StopTarget(ctx, b.target, nil)
	if err != nil {
		return err
	}
	if err := b.StopSource(ctx, b.source, slots); err != nil {
		return err
	}
	at.Done = true
	if err := e.Memory.Put(pgSwitchKey, at); err != nil {
		return err
	}
	return s.sayFrozen(ctx, e, b)
}

// drain brings the target level.
func (s *postgresSwitch) drain(ctx context.Context, e Env, b *pgBoth) error {
	there, err := b.Look(ctx, b.source, b.target)
	if err != nil {
		return err
	}
	if !there.Slot || !there.Subscription {
		return fmt.Errorf("there is no replication %s by belay between these databases (slot %t, subscription %t); nothing was changed", b.Name, there.Slot, there.Subscription)
	}
	limited, stop := context.WithTimeoutCause(ctx, time.Duration(s.Wait), fmt.Errorf("not level within %s; the replication goes on, and the source is still frozen", s.Wait))
	defer stop()
	began := time.Now()
	if err := b.Drain(limited, b.source, b.target, e.ID, func(l postgres.Lag) { pgSayLag(e, l) }); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- the target has confirmed all of the source's log, and the canary row arrived, after %s\n", time.Since(began).Round(time.Millisecond))
	n, err := postgres.Sequences(ctx, b.source, b.target, int64(s.Margin))
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- %d sequences are moved beyond the source's\n", n)
	return nil
}

func (s *postgresSwitch) sayFrozen(ctx context.Context, e Env, b *pgBoth) error {
	by, err := postgres.FrozenBy(ctx, b.Source)
	if err != nil || by == nil {
		return err
	}
	var now time.Time
	if err := b.source.QueryRow(ctx, "select clock_timestamp()").Scan(&now); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- switched: nothing could be written for %s so far\n", now.Sub(by.At).Round(time.Millisecond))
	return nil
}

// Verify holds the sequences of both sides against each other, and looks for
// what should be gone.
func (s *postgresSwitch) Verify(ctx context.Context, e Env) error {
	rep, err := s.replica(ctx, e)
	if err != nil {
		return err
	}
	b := &pgBoth{Replica: rep}
	defer b.close()
	if err := b.open(ctx); err != nil {
		return err
	}
	there, err := b.Look(ctx, b.source, b.target)
	if err != nil {
		return err
	}
	if there.Any() {
		return fmt.Errorf("of replication %s something is left: %+v", b.Name, there)
	}
	behind, err := postgres.Behind(ctx, b.source, b.target)
	if err == nil && len(behind) > 0 {
		err = fmt.Errorf("sequences of the target would give out values again: %s", strings.Join(behind, ", "))
	}
	return err
}

// Undo has nothing to put back: the source was only read, and opens by the
// undo of its freeze. What was written on the target since is not there.
func (s *postgresSwitch) Undo(_ context.Context, e Env) error {
	var at pgSwitched
	found, err := e.Memory.Get(pgSwitchKey, &at)
	if err == nil && found {
		fmt.Fprintln(e.Log, "-- the source is as it was when it was frozen; what was written on the target since the switch is not on the source")
	}
	return err
}

var _ interface {
	Undoer
	Repeater
	Validator
	Needer
} = &postgresSwitch{}
