package steps

import (
	"context"
	"errors"
	"fmt"

	"belay/remote"
	"belay/steps/mysql"
	"belay/steps/postgres"
)

// errNotBack is all that can be said of a target that a replication has filled,
// when nothing replicates it back: there is no copy to count from.
var errNotBack = errors.New("nothing syncs it back (no reverse), and what was written since the switch is not counted")

// synced is the loss of a target that is replicated back to the source.
func synced(store, text string, n int64, unit string) Loss {
	l := Loss{Store: store, Count: max(0, n), Unit: unit, Since: "that the old side has not got yet"}
	if l.Count > 0 {
		l.Synced, l.Kept = "it is synced back: "+text, "a rollback waits until all has arrived"
	}
	return l
}

// Losses implements Loser: how far the way back is behind.
func (s *postgresSwitch) Losses(ctx context.Context, e Env) ([]Loss, error) {
	at, err := pgSwitchedOf(e)
	if err != nil || !at.Done {
		return nil, err
	}
	rep, err := s.replica(ctx, e)
	if err != nil {
		return nil, err
	}
	if s.Reverse == nil {
		return nil, fmt.Errorf("%s: %w", rep.Target, errNotBack)
	}
	b := &pgBoth{Replica: rep}
	defer b.close()
	if b.target, err = b.Target.Connect(ctx); err != nil {
		return nil, err
	}
	if b.source, err = b.Source.Connect(ctx); err != nil {
		return nil, fmt.Errorf("the old server does not answer, so there is no way back now: %w; %s", err, pgKept(ctx, b, pgBackName(b.Name)))
	}
	r, err := s.reversed(ctx, e, b)
	if err != nil {
		return nil, err
	}
	lag, err := s.backLag(ctx, r)
	if err != nil {
		return nil, err
	}
	return []Loss{pgSynced(rep.Target, lag)}, nil
}

func pgSynced(target postgres.Server, lag postgres.Lag) Loss {
	text := fmt.Sprintf("the old side is %s behind", remote.FormatBytes(max(0, lag.Bytes)))
	switch {
	case lag.Status == "lost":
		text = "the old side has lost the thread: the new one has thrown away log that it had not got"
	case !lag.Active:
		text += ", and not connected now"
	}
	l := synced("database "+target.String(), text, lag.Bytes, "B")
	l.Detail = "of log, which holds more than rows"
	if lag.Status == "lost" {
		l.Count, l.Since, l.Synced, l.Kept, l.Detail = -1, "", text, "a rollback would lose it", ""
	}
	return l
}

// Losses implements Loser: how far the way back is behind.
func (s *mysqlSwitch) Losses(ctx context.Context, e Env) ([]Loss, error) {
	var at mysqlSwitched
	if _, err := e.Memory.Get(mysqlSwitchKey, &at); err != nil || !at.Done {
		return nil, err
	}
	b, err := s.both(ctx, e, at)
	if err != nil {
		return nil, err
	}
	defer b.close()
	if !at.Reversed {
		return nil, fmt.Errorf("%s: %w", b.Target, errNotBack)
	}
	if b.target, err = b.Target.Open(ctx); err != nil {
		return nil, err
	}
	if b.source, err = b.Source.Open(ctx); err != nil {
		return nil, fmt.Errorf("the old server does not answer, so there is no way back now: %w", err)
	}
	back := s.backwards(b, at)
	lag, err := back.Lag(ctx, back.source, back.target)
	if err != nil {
		return nil, err
	}
	return []Loss{mysqlSynced(b.Target, lag)}, nil
}

func mysqlSynced(target mysql.Server, lag mysql.Lag) Loss {
	text := fmt.Sprintf("the old side is %d transactions behind", max(0, lag.Behind))
	l := synced("MySQL at "+target.String(), text, lag.Behind, "transactions")
	switch {
	case lag.Stuck:
		l.Synced, l.Kept = "the old side is stuck: "+fmt.Sprint(lag.Trouble), "a rollback would lose what comes after"
	case !lag.Running && l.Count > 0:
		l.Synced += ", and not connected now"
	}
	return l
}
