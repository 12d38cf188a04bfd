package steps

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"belay/steps/postgres"
)

// pgBack is the replication back to the old server, remembered before any part
// of it is made.
type pgBack struct {
	Tables []postgres.ReplicaTable `json:"tables"`
	Beside map[string]int64        `json:"beside,omitempty"` // rows ever written on the target to tables that are not replicated back

	Begun   bool   `json:"begun,omitempty"`   // the target is frozen, and slot and subscription may be at work
	Open    bool   `json:"open,omitempty"`    // the way back was seen to work: the target may be written to from here on
	Level   bool   `json:"level,omitempty"`   // at a rollback: the source has all that the target ever had
	Given   bool   `json:"given,omitempty"`   // at a rollback: what the target still has is given up
	Told    string `json:"told,omitempty"`    // which loss was told to a person, who may go on by undoing again
	Because string `json:"because,omitempty"` // text of it
}

// pgBackName is what the replication from to to from is called, also where it
// is ended by another step.
func pgBackName(forward string) string {
	h := sha256.Sum256([]byte("reverse\x00" + forward))
	return "belay_" + hex.EncodeToString(h[:])[:12]
}

// reversed is b in the other direction; its sessions are b's.
func (s *postgresSwitch) reversed(ctx context.Context, e Env, b *pgBoth) (*pgBoth, error) {
	r := &pgBoth{Replica: postgres.Replica{Source: b.Target, Target: b.Source, Name: pgBackName(b.Name)}, source: b.target, target: b.source}
	if s.Reverse == nil {
		return r, nil
	}
	r.From = s.Reverse.Addr
	if s.Reverse.User != "" {
		var err error
		r.User.User = s.Reverse.User
		if r.User.Password, err = storePassword(ctx, store{Password: s.Reverse.Password}, e.Secret); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// prepare makes all of the way back that can be made while the way there is
// still open, so that it fails before anything has ended.
func (s *postgresSwitch) prepare(ctx context.Context, e Env, b *pgBoth, at *pgSwitched) error {
	r, err := s.reversed(ctx, e, b)
	if err != nil {
		return err
	}
	if at.Back == nil {
		there, err := r.Look(ctx, r.source, r.target)
		if err != nil {
			return err
		}
		if there.Any() {
			return fmt.Errorf("a replication %s back to the source is there already, of another run or step: roll that one back, or postgres.detach it", r.Name)
		}
		back := &pgBack{}
		names, err := b.Published(ctx, b.source)
		if err != nil {
			return err
		}
		if back.Tables, err = s.backTables(ctx, r, append(names, s.Reverse.Also...)); err != nil {
			return err
		}
		if back.Beside, err = postgres.WrittenBeside(ctx, r.source, back.Tables); err != nil {
			return err
		}
		at.Back = back
		if err := e.Memory.Put(pgSwitchKey, at); err != nil {
			return err
		}
	}
	return r.Prepare(ctx, r.source, r.target, at.Back.Tables)
}

// backTables are the tables on the target that flow back.
func (s *postgresSwitch) backTables(ctx context.Context, r *pgBoth, names []string) ([]postgres.ReplicaTable, error) {
	all, err := postgres.ReplicaTables(ctx, r.source, names, nil)
	if err != nil {
		return nil, fmt.Errorf("reverse: on the target, %w", err)
	}
	var bad []string
	for _, t := range all {
		if t.Keyless || t.Unlogged {
			bad = append(bad, t.String())
		}
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("reverse: on the target these tables have no key or are unlogged, and updates of them would fail from the switch on: %s; give them a primary key or REPLICA IDENTITY FULL there", strings.Join(bad, ", "))
	}
	return all, nil
}

// turn sets the way back to work: the replication to the target has ended, and
// the target is frozen until a row that is written there was seen here.
func (s *postgresSwitch) turn(ctx context.Context, e Env, b *pgBoth, at *pgSwitched) error {
	r, err := s.reversed(ctx, e, b)
	if err != nil {
		return err
	}
	defer func() { b.source, b.target = r.target, r.source }() // they may have been made anew
	if !at.Back.Open {
		if err := s.shut(ctx, e, b.Target); err != nil {
			return err
		}
		at.Back.Begun = true
		if err := e.Memory.Put(pgSwitchKey, at); err != nil {
			return err
		}
		if err := r.Activate(ctx, r.source, r.target); err != nil {
			return err
		}
		if err := s.drained(ctx, e, r, "the source and the target are both frozen and equal; the source's server log says why it does not follow"); err != nil {
			return fmt.Errorf("replication back to the source: %w", err)
		}
		at.Back.Open = true
		if err := e.Memory.Put(pgSwitchKey, at); err != nil {
			return err
		}
	}
	if err := s.reopen(ctx, e, b.Target); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- %d tables flow back to the source from now on, under the name %s: a rollback loses nothing. Not brought back: changes of the schema, large objects, and tables that are not replicated\n", len(at.Back.Tables), r.Name)
	return nil
}

// shut freezes the target; for whoever froze it, if somebody did.
func (s *postgresSwitch) shut(ctx context.Context, e Env, to postgres.Server) error {
	by, err := postgres.FrozenBy(ctx, to)
	if err != nil {
		return err
	}
	f := postgres.Freezing{ID: e.ID, Said: pgSaid(e)}
	if by != nil {
		f.ID = by.ID
	}
	if s.Reverse != nil {
		f.Roles, f.Grace = s.Reverse.Roles, time.Duration(s.Reverse.Grace)
	}
	_, err = postgres.Freeze(ctx, to, f)
	return err
}

// reopen thaws the target if this step froze it.
func (s *postgresSwitch) reopen(ctx context.Context, e Env, to postgres.Server) error {
	_, _, err := postgres.Thaw(ctx, to, e.ID, func(line string) { fmt.Fprintln(e.Log, "--", line) })
	if _, other := errors.AsType[*postgres.FrozenByOtherError](err); other || errors.Is(err, postgres.ErrNotFrozen) {
		return nil
	}
	return err
}

// verifyBack looks for a way back that is at work.
func (s *postgresSwitch) verifyBack(ctx context.Context, e Env, b *pgBoth) error {
	r, err := s.reversed(ctx, e, b)
	if err != nil {
		return err
	}
	for tries := 0; ; tries++ {
		l, err := s.backLag(ctx, r)
		if err != nil {
			return err
		}
		if l.Active {
			return pgLagBad(l, l.Errors)
		}
		if tries == 20 {
			return fmt.Errorf("replication %s back to the source: the source is not connected to the target", r.Name)
		}
		if err := pause(ctx, pgFollowEvery); err != nil {
			return err
		}
	}
}

// backLag is how far the source is behind the target.
func (s *postgresSwitch) backLag(ctx context.Context, r *pgBoth) (postgres.Lag, error) {
	there, err := r.Look(ctx, r.source, r.target)
	if err != nil {
		return postgres.Lag{}, err
	}
	if !there.Publication || !there.Slot || !there.Subscription {
		return postgres.Lag{}, &Disproof{fmt.Sprintf("of replication %s back to the source only a part is there: publication %t, slot %t, subscription %t; a rollback would lose what is written since",
			r.Name, there.Publication, there.Slot, there.Subscription)}
	}
	return r.Lag(ctx, r.source, r.target)
}
