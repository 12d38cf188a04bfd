package steps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"belay/remote"
	"belay/steps/postgres"
)

// pgSwitchProof is how the way back stood when it was last looked at.
type pgSwitchProof struct {
	OK     bool      `json:"ok"`
	Text   string    `json:"text"`
	At     time.Time `json:"at"`
	Errors int64     `json:"errors"` // of the source's workers by then
}

const pgSwitchProofKey = "proof"

// Prove tells how far the source is behind, for a soak that watches the step:
// what a rollback would wait for, and what the target keeps for it.
func (s *postgresSwitch) Prove(ctx context.Context, e Env) (string, error) {
	if s.Reverse == nil {
		return "switched; without reverse, what is written since is on the target alone", nil
	}
	rep, err := s.replica(ctx, e)
	if err != nil {
		return "", err
	}
	b := &pgBoth{Replica: rep}
	defer b.close()
	if b.target, err = b.Target.Connect(ctx); err != nil {
		return "", err
	}
	if b.source, err = b.Source.Connect(ctx); err != nil {
		return "", fmt.Errorf("the source does not answer, so there is no way back now: %w; %s", err, pgKept(ctx, b, pgBackName(b.Name)))
	}
	r, err := s.reversed(ctx, e, b)
	if err != nil {
		return "", err
	}
	var was, now pgSwitchProof
	if _, err := e.Memory.Get(pgSwitchProofKey, &was); err != nil {
		return "", err
	}
	if now, err = s.look(ctx, r, was); err != nil {
		return "", err
	}
	if err := e.Memory.Put(pgSwitchProofKey, now); err != nil {
		return "", err
	}
	if !now.OK {
		return "", &Disproof{now.Text}
	}
	return now.Text, nil
}

// look judges the way back; an error is that nobody knows.
func (s *postgresSwitch) look(ctx context.Context, r *pgBoth, was pgSwitchProof) (now pgSwitchProof, err error) {
	now.At, now.Errors = time.Now().UTC(), was.Errors
	var l postgres.Lag
	for tries := 0; tries <= 20; tries++ { // a worker that was just started again is away for a moment
		l, err = s.backLag(ctx, r)
		if no, is := errors.AsType[*Disproof](err); is {
			now.Text = no.Text
			return now, nil
		} else if err != nil {
			return now, err
		}
		if l.Active {
			break
		}
		if err := pause(ctx, pgFollowEvery); err != nil {
			return now, err
		}
	}
	now.Errors = l.Errors
	far := fmt.Sprintf("the source is %s and %.1f s behind; the target keeps %s of log for it", remote.FormatBytes(max(0, l.Bytes)), l.Seconds, remote.FormatBytes(max(0, l.Retained)))
	switch {
	case l.Status == "lost":
		now.Text = "the target has thrown away log that the source had not got yet (max_slot_wal_keep_size): a rollback would lose it"
	case l.Errors > was.Errors && !was.At.IsZero():
		now.Text = fmt.Sprintf("the source's worker failed %d times since %s: its server log says why, such as a table that was changed on the target alone; %s", l.Errors-was.Errors, was.At.Format(time.TimeOnly), far)
	case !l.Active:
		now.Text = "the source is not connected to the target; " + far
	default:
		now.OK, now.Text = true, far
		if l.Status == "unreserved" {
			now.Text += ", and is about to throw it away (max_slot_wal_keep_size)"
		}
	}
	return now, nil
}

// pgKept tells what the target keeps for a source that is away.
func pgKept(ctx context.Context, b *pgBoth, slot string) string {
	var n int64
	err := b.target.QueryRow(ctx, `select coalesce(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn), 0)::bigint
		from pg_catalog.pg_replication_slots where slot_name = $1`, slot).Scan(&n)
	if err != nil {
		return fmt.Sprintf("how much log the target keeps for it is not known: %v", err)
	}
	return fmt.Sprintf("the target keeps %s of log for it", remote.FormatBytes(max(0, n)))
}

// Proof is how the way back stood last.
func (s *postgresSwitch) Proof(e Env) (text string, ok bool, at time.Time, found bool, err error) {
	var p pgSwitchProof
	found, err = e.Memory.Get(pgSwitchProofKey, &p)
	return p.Text, p.OK, p.At, found, err
}

// ProofFor is how long that counts.
func (s *postgresSwitch) ProofFor() time.Duration { return time.Minute }
