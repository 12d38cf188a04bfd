package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"belay/steps/postgres"
)

// Undo of a switch without reverse has nothing to put back: the source was
// only read, and opens by the undo of its freeze. With reverse the target is
// frozen, the source gets all that was written there, and the way back ends.
func (s *postgresSwitch) Undo(ctx context.Context, e Env) error {
	at, err := pgSwitchedOf(e)
	if err != nil {
		return err
	}
	if at.Back != nil {
		if err := s.undoBack(ctx, e, at); err != nil {
			return err
		}
	} else if at.Drained {
		fmt.Fprintln(e.Log, "-- the source is as it was when it was frozen; what was written on the target since the switch is not on the source")
	}
	return e.Memory.Put(pgSwitchKey, pgSwitched{})
}

// undoBack brings the source level and ends the replication back to it. While
// something could get lost, no error is one that a rollback passes over by
// itself, such as a host that is not reached: the next undo would open the
// source.
func (s *postgresSwitch) undoBack(ctx context.Context, e Env, at pgSwitched) error {
	rep, err := s.replica(ctx, e)
	if err != nil {
		return err
	}
	b := &pgBoth{Replica: rep}
	var serr, terr error
	b.source, serr = b.Source.Connect(ctx)
	b.target, terr = b.Target.Connect(ctx)
	r, err := s.reversed(ctx, e, b)
	if err != nil {
		b.close()
		return err
	}
	defer r.close()
	if at.Back.Open && !at.Back.Level && !at.Back.Given {
		switch {
		case serr != nil:
			return fmt.Errorf("source: %v; nothing was changed, and the target goes on to keep its log for it: while the source is away, so is the way back", serr)
		case terr != nil:
			err = s.loss(e, &at, "no target", fmt.Sprintf("target: %v; what it had not sent yet is there alone, and belay cannot keep writers from it", terr))
			if err == nil {
				err = s.alone(ctx, e, r, &at)
			}
		default:
			err = s.bring(ctx, e, r, &at)
		}
		if err != nil {
			return fmt.Errorf("%v; the source is still frozen", err)
		}
	}
	return s.dismantle(ctx, e, r, at, serr, terr)
}

// dismantle takes the way back away, each side without the other.
func (s *postgresSwitch) dismantle(ctx context.Context, e Env, r *pgBoth, at pgSwitched, serr, terr error) error {
	if serr == nil {
		_, _, serr = r.StopTarget(ctx, r.target, nil)
	}
	if serr != nil {
		serr = fmt.Errorf("source: %w; subscription %s may still be there, and try in vain to connect: drop it (ALTER SUBSCRIPTION … DISABLE, SET (slot_name = NONE), DROP)", serr, r.Name)
	}
	if terr == nil {
		terr = r.StopSource(ctx, r.source, "")
	}
	if terr == nil && !at.Back.Open {
		terr = s.reopen(ctx, e, r.Source)
	}
	if terr != nil {
		terr = fmt.Errorf("target: %w; while slot %s is there it keeps its log for it, and its disk fills: SELECT pg_drop_replication_slot('%[2]s')", terr, r.Name)
	}
	if err := errors.Join(serr, terr); err != nil {
		return err
	}
	switch {
	case !at.Back.Open:
		fmt.Fprintln(e.Log, "-- the replication back is gone again; nobody had written to the target")
	case at.Back.Given:
		fmt.Fprintln(e.Log, "-- the replication back is gone; what the source had not got of it is on the target alone, which is left as it is")
	default:
		fmt.Fprintf(e.Log, "-- the replication back is gone, and the source has all; %s stays frozen, so that nobody writes there any more (postgres.thaw opens it)\n", r.Source)
	}
	return nil
}

// bring freezes the target and waits until the source has all of it.
func (s *postgresSwitch) bring(ctx context.Context, e Env, r *pgBoth, at *pgSwitched) error {
	if err := s.shut(ctx, e, r.Source); err != nil {
		return fmt.Errorf("freeze the target: %w", err)
	}
	l, err := s.backLag(ctx, r)
	if _, no := errors.AsType[*Disproof](err); no || err == nil && l.Status == "lost" {
		if err == nil {
			err = errors.New("the target has thrown away log that the source had not got yet (max_slot_wal_keep_size)")
		}
		if err := s.loss(e, at, "no way back", fmt.Sprintf("%v: what was written on the target since then is there alone, frozen", err)); err != nil {
			return err
		}
		return s.alone(ctx, e, r, at)
	} else if err != nil {
		return err
	}
	began := time.Now()
	if err := s.drained(ctx, e, r, "the target is frozen and keeps what is missing. The source's server log says why it does not follow: "+
		"where a table was changed on the target since the switch, change it likewise on the source"); err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- the source has confirmed all of the target's log, and the canary row arrived, after %s\n", time.Since(began).Round(time.Millisecond))
	if err := s.beside(ctx, e, r, at); err != nil {
		return err
	}
	only, err := postgres.SequencesMissing(ctx, r.source, r.target)
	if err != nil {
		return err
	}
	n, err := postgres.Sequences(ctx, r.source, r.target, int64(s.Margin), only...)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- %d sequences of the source are moved beyond the target's\n", n)
	if len(only) > 0 {
		fmt.Fprintf(e.Log, "-- made on the target since, and not on the source: %s\n", strings.Join(only, ", "))
	}
	at.Back.Level = true
	return e.Memory.Put(pgSwitchKey, at)
}

// beside tells of rows that no replication brings back.
func (s *postgresSwitch) beside(ctx context.Context, e Env, r *pgBoth, at *pgSwitched) error {
	now, err := postgres.WrittenBeside(ctx, r.source, at.Back.Tables)
	if err != nil {
		return err
	}
	var written []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if now[name] != at.Back.Beside[name] { // less, when the server broke down and counts anew
			written = append(written, name)
		}
	}
	if len(written) == 0 {
		return nil
	}
	return s.loss(e, at, "beside", "rows were written on the target since the switch to tables that are not replicated back: "+strings.Join(written, ", ")+
		"; they are there alone, frozen: copy over by hand what is needed of them")
}

// loss tells a person, once, what is going to be missing: the undo fails by
// it. Who undoes again goes on.
func (s *postgresSwitch) loss(e Env, at *pgSwitched, what, text string) error {
	if at.Back.Told == what {
		fmt.Fprintf(e.Log, "-- going on all the same, as it was told: %s\n", at.Back.Because)
		return nil
	}
	at.Back.Told, at.Back.Because = what, text
	if err := e.Memory.Put(pgSwitchKey, at); err != nil {
		return err
	}
	return fmt.Errorf("%s. To go on without, try again", text)
}

// alone readies the source without the target: its sequences move beyond what
// its own tables hold.
func (s *postgresSwitch) alone(ctx context.Context, e Env, r *pgBoth, at *pgSwitched) error {
	n, err := postgres.Sequences(ctx, r.target, r.target, int64(s.Margin))
	if err != nil {
		return err
	}
	fmt.Fprintf(e.Log, "-- %d sequences of the source are moved beyond what it has\n", n)
	at.Back.Given = true
	return e.Memory.Put(pgSwitchKey, at)
}
