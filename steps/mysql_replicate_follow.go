package steps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"belay/steps/mysql"
)

const (
	mysqlFollowEvery    = 300 * time.Millisecond
	mysqlFollowPatience = 5 * time.Minute  // how long a side may be away
	mysqlFollowMends    = 15 * time.Second // how long the target is left to connect again by itself
)

// mysqlMender lets the target in again, when it does not come by itself.
type mysqlMender struct {
	b     *mysqlBoth
	e     Env
	lock  bool
	since time.Time // it is away
}

func (m *mysqlMender) mend(ctx context.Context, l mysql.Lag) error {
	switch {
	case !l.There:
		return m.connect(ctx, "there is no link yet")
	case l.Stuck && l.Filtered:
		return l.Trouble
	case !l.Filtered:
		return m.connect(ctx, "the target was started anew, and forgot which databases it follows")
	case m.since.IsZero():
		m.since = time.Now()
		if l.Trouble != nil {
			m.e.Link("lost (" + l.Trouble.Error() + ")")
		}
	}
	if m.lock || time.Since(m.since) > mysqlFollowMends {
		return m.connect(ctx, "the link was lost")
	}
	return nil
}

func (m *mysqlMender) connect(ctx context.Context, why string) error {
	m.since = time.Time{}
	fmt.Fprintf(m.e.Log, "-- %s: the target is given a new password for login %s\n", why, m.b.Name)
	return m.b.Connect(ctx, m.b.source, m.b.target, m.lock)
}

// follow connects the target if need be, and waits until it has all that the
// source had a short while before. It outlives restarts of either server.
func (r *mysqlReplicate) follow(ctx context.Context, e Env, b *mysqlBoth, made mysqlReplicaMade) error {
	m := &mysqlMender{b: b, e: e, lock: made.Lock}
	var then time.Time // the target has not got yet all that the source had then
	var want string
	canary, away := false, time.Time{}
	for {
		level, err := func() (bool, error) {
			l, err := b.Lag(ctx, b.source, b.target)
			if err != nil {
				return false, err
			}
			mysqlSayLag(e, l)
			if !l.Running || !l.Filtered {
				return false, m.mend(ctx, l)
			}
			m.since = time.Time{}
			if !canary {
				if err := b.MakeCanary(ctx, b.source, made.Lock); err != nil {
					return false, err
				}
				canary = true
				return false, nil
			}
			if want != "" {
				if there, err := b.Reached(ctx, b.target, want); err != nil || !there {
					return false, err
				}
				if time.Since(then) <= time.Duration(r.Lag) {
					fmt.Fprintf(e.Log, "-- caught up: %s\n", mysqlLagText(l))
					return true, nil
				}
			}
			then, want = time.Now(), l.Source
			return false, nil
		}()
		switch {
		case level:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%w; the replication goes on", context.Cause(ctx))
		case err == nil:
			away = time.Time{}
		case !mysqlAway(err):
			return err
		case away.IsZero():
			away = time.Now()
			e.Link("lost (" + err.Error() + ")")
		case time.Since(away) > mysqlFollowPatience:
			return fmt.Errorf("%w; the replication itself may go on: try again, or undo", err)
		}
		if err := pause(ctx, mysqlFollowEvery); err != nil {
			return fmt.Errorf("%w; the replication goes on", err)
		}
	}
}

// mysqlAway tells whether a server was not reached, which may pass.
func mysqlAway(err error) bool {
	return mysql.Lost(err) || mysql.Number(err) == 1053 // server shutdown in progress
}

func mysqlLagText(l mysql.Lag) string {
	text := fmt.Sprintf("%d transactions behind", l.Behind)
	if l.Seconds >= 0 {
		text += fmt.Sprintf(", %d s", l.Seconds)
	}
	switch {
	case !l.There:
		return "the target is not connected yet"
	case !l.Filtered:
		return text + "; the target has forgotten which databases it follows"
	case !l.Running && l.Trouble != nil:
		return text + "; not connected: " + l.Trouble.Error()
	case !l.Running:
		return text + "; not connected"
	}
	return text + "; the source is at " + l.Source
}

func mysqlSayLag(e Env, l mysql.Lag) {
	e.Say(Progress{Done: 0, Total: 0, Unit: "transactions", Text: mysqlLagText(l)})
}

// mysqlReplicaProof is what the latest look came to.
type mysqlReplicaProof struct {
	Text string    `json:"text"`
	OK   bool      `json:"ok"`
	At   time.Time `json:"at"`
}

const (
	mysqlReplicaProofKey = "proof"
	mysqlReplicaProofFor = time.Minute
)

// Prove tells how far the target is behind. It does not hold while it is not
// connected; that a changed row does not arrive is for compare to find. A target
// that cannot connect again by itself, because its login is locked or it forgot
// which databases it follows, is let in again: nothing of either server changes
// by that but that they talk.
func (r *mysqlReplicate) Prove(ctx context.Context, e Env) (string, error) {
	var made mysqlReplicaMade
	if _, err := e.Memory.Get(mysqlReplicaKey, &made); err != nil {
		return "", err
	}
	b, err := r.both(ctx, e, made)
	if err != nil {
		return "", err
	}
	defer b.close()
	if err := b.open(ctx); err != nil {
		return "", err
	}
	l, err := b.Lag(ctx, b.source, b.target)
	if err != nil {
		return "", err
	}
	if l.There && !l.Stuck && (!l.Filtered || !l.Running && made.Lock) {
		m := &mysqlMender{b: b, e: e, lock: made.Lock}
		if err := m.connect(ctx, "the link was lost"); err != nil {
			return "", err
		}
		if l, err = b.Lag(ctx, b.source, b.target); err != nil {
			return "", err
		}
	}
	now := mysqlReplicaProof{"the target is " + mysqlLagText(l), l.Running && l.Filtered, time.Now()}
	if err := e.Memory.Put(mysqlReplicaProofKey, now); err != nil {
		return "", err
	}
	if !now.OK {
		return "", &Disproof{now.Text}
	}
	return now.Text, nil
}

// Proof is what the latest look came to.
func (r *mysqlReplicate) Proof(e Env) (text string, ok bool, at time.Time, found bool, err error) {
	var p mysqlReplicaProof
	found, err = e.Memory.Get(mysqlReplicaProofKey, &p)
	return p.Text, p.OK, p.At, found, err
}

// ProofFor is short: lag is of the moment.
func (r *mysqlReplicate) ProofFor() time.Duration { return mysqlReplicaProofFor }

// Undo ends the replication on either side, each without the other, and drops
// what was copied. What somebody else wrote to the target is set aside.
func (r *mysqlReplicate) Undo(ctx context.Context, e Env) error {
	var made mysqlReplicaMade
	if found, err := e.Memory.Get(mysqlReplicaKey, &made); err != nil {
		return err
	} else if !found || made.Name == "" {
		fmt.Fprintln(e.Log, "-- nothing was made here, so there is nothing to undo")
		return nil
	}
	b, err := r.both(ctx, e, made)
	if err != nil {
		return err
	}
	defer b.close()
	b.Name = made.Name
	terr := r.undoTarget(ctx, e, b, &made)
	var serr error
	if b.source, serr = b.Source.Open(ctx); serr == nil {
		serr = b.StopSource(ctx, b.source)
	}
	if terr != nil {
		terr = fmt.Errorf("target: %w; replication %s may still be there", terr, b.Name)
	}
	if serr != nil {
		serr = fmt.Errorf("source: %w; login and database %s may still be there: drop them", serr, b.Name)
	} else {
		fmt.Fprintf(e.Log, "-- login and database %s are gone from the source\n", b.Name)
	}
	if err := errors.Join(terr, serr); err != nil {
		return err
	}
	return e.Memory.Put(mysqlReplicaKey, mysqlReplicaMade{})
}

func (r *mysqlReplicate) undoTarget(ctx context.Context, e Env, b *mysqlBoth, made *mysqlReplicaMade) (err error) {
	if b.target, err = b.Target.Open(ctx); err != nil {
		return err
	}
	// What is dropped here goes into this server's log: the old one, where it
	// still follows, would drop it too.
	back := b.back("", nil)
	switch followed, err := back.HasLogin(ctx, b.target); {
	case err != nil:
		return err
	case followed:
		return fmt.Errorf("the old server may still follow this one (%s): what is dropped here would be dropped there, too. Nothing was changed; undo mysql.switch first, or end the way back by mysql.part", back.Name)
	}
	there, err := b.Link(ctx, b.target)
	if err != nil {
		return err
	}
	if there && !made.Undoing {
		made.Undoing = true
		if err := e.Memory.Put(mysqlReplicaKey, made); err != nil {
			return err
		}
	}
	if _, err := b.StopTarget(ctx, b.target); err != nil {
		return err
	}
	c, err := r.firstCopy(ctx, e, b)
	if err != nil {
		return err
	}
	if made.Started {
		err = c.UndoWritten(ctx, func(ctx context.Context, db *mysql.DB, database string) (string, error) {
			return mysqlReplicaWritten(ctx, db, b, *made)
		})
	} else {
		err = c.Undo(ctx)
	}
	if err != nil {
		return err
	}
	if err := b.DropCanary(ctx, b.target); err != nil {
		return err
	}
	if made.Started {
		if err := b.PutBack(ctx, b.target, made.Position); err != nil {
			fmt.Fprintf(e.Log, "-- gtid_slave_pos of the target stays as it is: %v\n", err)
		}
	}
	if !made.Held {
		return nil
	}
	return b.target.SetReadOnly(ctx, made.Was, time.Minute)
}

// mysqlReplicaWritten tells why somebody besides the replication may have
// written to the target; "" when nobody has: its binary log has nothing of its
// own since, or nobody but those whom read_only does not stop could.
func mysqlReplicaWritten(ctx context.Context, db *mysql.DB, b *mysqlBoth, made mysqlReplicaMade) (string, error) {
	own, known, err := db.Own(ctx, b.Domain())
	if err != nil {
		return "", err
	}
	if known && made.OwnKnown {
		if own != made.Own {
			return fmt.Sprintf("the server has written %s itself since it follows the source", own), nil
		}
		return "", nil
	}
	now, err := db.ReadOnly(ctx)
	switch {
	case err != nil:
		return "", err
	case made.Undoing && now.On && (made.Held || made.Was.On):
		return "", nil
	}
	return "it was not read_only all the time and keeps no binary log, so nobody knows who wrote to it", nil
}
