package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"belay/remote"
	"belay/remote/secret"
	"belay/steps/postgres"
)

func init() {
	register(Kind{
		Name: "postgres.switch",
		Summary: "Ends a replication without losing a change: waits until the target has all that the frozen source has, and moves the sequences on; " +
			"from then on it can keep the source equal to the target (reverse), so that a rollback loses nothing either.",
		Example: `- step: Switch to the new database
  postgres.switch:
    from: {host: old, database: shop, password: {secret: pg_password}}
    to: {host: new, database: shop, password: {secret: pg_password}}
    reverse: {addr: 10.0.0.85:5432}
`,
		Optional: true,
		New:      func() Step { return &postgresSwitch{} },
	})
}

// postgresSwitch is the cutover's half of postgres.replicate, between
// postgres.freeze of the source and whatever opens the target.
type postgresSwitch struct {
	pgPair  `yaml:",inline"`
	Wait    remote.Duration `yaml:"wait" default:"5m" doc:"how long a side may take for what is still to come: the target now, the source when a rollback brings all back"`
	Margin  uint            `yaml:"margin" default:"1000" doc:"steps by which every sequence of the target is moved beyond the source's, and the other way round at a rollback"`
	Reverse *pgReverse      `yaml:"reverse" doc:"from the switch on, what is written to the target is written to the source, too, which stays frozen; a rollback freezes the target, waits until the source has all, and loses nothing. It goes on until postgres.detach or the rollback. Tables and columns that are made or changed meanwhile are not brought over"`
}

// pgReverse is how the server of from is kept equal after the switch.
type pgReverse struct {
	Addr     string          `yaml:"addr" required:"" doc:"host:port at which the server of from reaches the server of to, or a socket's path"`
	User     string          `yaml:"user" doc:"role by which it does, with the right to replicate; left out, the user of to"`
	Password secret.Ref      `yaml:"password" doc:"secret of that role. PostgreSQL keeps it in the subscription on the old server, where superusers can read it, until postgres.detach or undo drops that"`
	Also     []string        `yaml:"also" doc:"tables besides the replicated ones that are equal at the switch, such as those copied while frozen, as schema.table"`
	Roles    []string        `yaml:"roles" doc:"roles that a rollback keeps from logging in to the target's server: for applications that are superusers; see postgres.freeze"`
	Grace    remote.Duration `yaml:"grace" default:"5s" doc:"how long a rollback lets transactions on the target take to end by themselves"`
}

func (s *postgresSwitch) Validate() error {
	err := s.check()
	if r := s.Reverse; r != nil {
		err = errors.Join(err, storeCheck("reverse", store{Addr: r.Addr}))
		if r.Password.Name != "" && r.User == "" {
			err = errors.Join(err, Field("reverse.password", "whose is it? give user, too"))
		}
	}
	return err
}

// Repeatable: each part of it, done twice, is done once.
func (s *postgresSwitch) Repeatable() bool { return true }

// pgSwitched is how far the switch has come.
type pgSwitched struct {
	Drained bool    `json:"drained,omitempty"` // the target has all, and its sequences are moved
	Done    bool    `json:"done,omitempty"`
	Back    *pgBack `json:"back,omitempty"`
}

const pgSwitchKey = "switch"

func pgSwitchedOf(e Env) (at pgSwitched, err error) {
	_, err = e.Memory.Get(pgSwitchKey, &at)
	return at, err
}

// side names a database as people tell it from the other, which may have the
// same name.
func (s *postgresSwitch) side(of postgresStore) string {
	if of.Host == "" || s.From.Host == s.To.Host {
		return of.Database + " at " + of.Addr
	}
	return of.Database + " on " + of.Host
}

// Pending lists the parts of the switch that are still to do.
func (s *postgresSwitch) Pending(_ context.Context, e Env) ([]Change, error) {
	at, err := pgSwitchedOf(e)
	if err != nil || at.Done {
		return nil, err
	}
	var todo []Change
	if !at.Drained {
		todo = []Change{
			{Text: fmt.Sprintf("wait until the target (%s) has every change that the source (%s) has", s.side(s.To), s.side(s.From))},
			{Text: fmt.Sprintf("move the sequences of the target %d steps beyond the source's", s.Margin)},
		}
	}
	todo = append(todo, Change{Text: "drop the subscription on the target, and slot and publication on the source"})
	if s.Reverse != nil {
		todo = append(todo, Change{Text: "freeze the target for a moment, and replicate it back to the source from then on: a publication and a slot on the target, a subscription on the source"})
	}
	return todo, nil
}

// Apply switches. The source must be frozen, and stays so.
func (s *postgresSwitch) Apply(ctx context.Context, e Env) error {
	at, err := pgSwitchedOf(e)
	if err != nil || at.Done {
		return err
	}
	rep, err := s.replica(ctx, e)
	if err != nil {
		return err
	}
	b := &pgBoth{Replica: rep}
	defer b.close()
	if at.Back == nil || !at.Back.Begun { // after that, the source is written to by the target alone
		if err := postgres.Quiet(ctx, b.Source, 0); err != nil {
			return fmt.Errorf("the source is not frozen, so there is no last change: %w; put postgres.freeze before this step; nothing was changed", err)
		}
	}
	if err := b.open(ctx); err != nil {
		return err
	}
	if err := s.forward(ctx, e, b, &at); err != nil {
		return err
	}
	if s.Reverse != nil {
		if err := s.turn(ctx, e, b, &at); err != nil {
			return err
		}
	}
	at.Done = true
	if err := e.Memory.Put(pgSwitchKey, at); err != nil {
		return err
	}
	return s.sayFrozen(ctx, e, b)
}

// forward brings the target level and ends the replication to it.
func (s *postgresSwitch) forward(ctx context.Context, e Env, b *pgBoth, at *pgSwitched) error {
	if !at.Drained {
		there, err := b.Look(ctx, b.source, b.target)
		if err != nil {
			return err
		}
		if !there.Slot || !there.Subscription {
			return fmt.Errorf("there is no replication %s by belay between these databases (slot %t, subscription %t); nothing was changed", b.Name, there.Slot, there.Subscription)
		}
		if s.Reverse != nil {
			if err := s.prepare(ctx, e, b, at); err != nil {
				return fmt.Errorf("%w; the replication goes on, and the source is still frozen", err)
			}
		}
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
	return b.StopSource(ctx, b.source, slots)
}

// drain brings the target level.
func (s *postgresSwitch) drain(ctx context.Context, e Env, b *pgBoth) error {
	began := time.Now()
	if err := s.drained(ctx, e, b, "the replication goes on, and the source is still frozen"); err != nil {
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

// drained waits until the target of b has all. It outlives sessions that break.
func (s *postgresSwitch) drained(ctx context.Context, e Env, b *pgBoth, otherwise string) error {
	ctx, stop := context.WithTimeoutCause(ctx, time.Duration(s.Wait), fmt.Errorf("not level within %s; %s", s.Wait, otherwise))
	defer stop()
	// A row of its own each time: an older one that is there proves nothing.
	canary := fmt.Sprintf("%s %d", e.ID, time.Now().UnixNano())
	for away := false; ; {
		err := b.open(ctx)
		if err == nil {
			if away {
				e.Link("connected again")
			}
			err = b.Drain(ctx, b.source, b.target, canary, func(l postgres.Lag) { pgSayLag(e, l) })
			if err == nil || !b.source.IsClosed() && !b.target.IsClosed() {
				return err
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w (%v)", context.Cause(ctx), err)
		}
		away = true
		e.Link("lost (" + err.Error() + ")")
		if pause(ctx, time.Second) != nil {
			return fmt.Errorf("%w (%v)", context.Cause(ctx), err)
		}
	}
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
// what should be gone, and for what should be at work.
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
	if err != nil || s.Reverse == nil {
		return err
	}
	return s.verifyBack(ctx, e, b)
}

var _ interface {
	Undoer
	Repeater
	Validator
	Needer
	Prover
} = &postgresSwitch{}
