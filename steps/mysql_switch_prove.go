package steps

import (
	"context"
	"time"

	"belay/steps/mysql"
)

// Prove tells how far the old server is behind the new one, which it follows so
// that a rollback loses nothing. One that cannot connect again by itself is let
// in again, as mysql.replicate does it: what waits too long is gone from the
// new server's log.
func (s *mysqlSwitch) Prove(ctx context.Context, e Env) (string, error) {
	var at mysqlSwitched
	if _, err := e.Memory.Get(mysqlSwitchKey, &at); err != nil {
		return "", err
	}
	now := mysqlReplicaProof{Text: "no way back: what is written on the new server is there alone", OK: true}
	if at.Reversed {
		b, err := s.both(ctx, e, at)
		if err != nil {
			return "", err
		}
		defer b.close()
		if err := b.open(ctx); err != nil {
			return "", err
		}
		l, err := s.follows(ctx, e, s.backwards(b, at), at.Lock)
		if err != nil {
			return "", err
		}
		now.Text, now.OK = "the old server is "+mysqlLagText(l), l.Running && l.Filtered
	}
	now.At = time.Now()
	if err := e.Memory.Put(mysqlReplicaProofKey, now); err != nil {
		return "", err
	}
	if !now.OK {
		return "", &Disproof{now.Text + "; a rollback would lose what it lacks"}
	}
	return now.Text, nil
}

// follows is how the way back stands, mended where it can be.
func (s *mysqlSwitch) follows(ctx context.Context, e Env, back *mysqlBoth, lock bool) (mysql.Lag, error) {
	l, err := back.Lag(ctx, back.source, back.target)
	if err != nil || !l.There || l.Stuck || l.Filtered && (l.Running || !lock) {
		return l, err
	}
	m := &mysqlMender{b: back, e: e, lock: lock}
	if err := m.connect(ctx, "the link was lost"); err != nil {
		return l, err
	}
	return back.Lag(ctx, back.source, back.target)
}

// Proof is what the latest look came to.
func (s *mysqlSwitch) Proof(e Env) (text string, ok bool, at time.Time, found bool, err error) {
	var p mysqlReplicaProof
	found, err = e.Memory.Get(mysqlReplicaProofKey, &p)
	return p.Text, p.OK, p.At, found, err
}

// ProofFor is short: lag is of the moment.
func (s *mysqlSwitch) ProofFor() time.Duration { return mysqlReplicaProofFor }

var _ Prover = &mysqlSwitch{}
