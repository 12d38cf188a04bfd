package steps

import (
	"context"
	"errors"
	"fmt"
	"time"

	"belay/remote"
	"belay/steps/postgres"
)

const (
	pgFollowEvery    = 300 * time.Millisecond
	pgFollowPatience = 5 * time.Minute // how long a side may be away
	pgFollowErrors   = 5               // failures of the target's workers that are taken for lasting
)

// follow waits for the first copy, and for the lag to be small. It outlives
// restarts of either server: the replication takes itself up.
func (r *postgresReplicate) follow(ctx context.Context, e Env, b *pgBoth) error {
	first, away, ready := int64(-1), time.Time{}, -1
	for {
		l, err := r.lag(ctx, b)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%w; the replication goes on", context.Cause(ctx))
		case err != nil && away.IsZero():
			away = time.Now()
			e.Link("lost (" + err.Error() + ")")
		case err != nil && time.Since(away) > pgFollowPatience:
			return fmt.Errorf("%w; the replication itself may go on: try again, or undo, which drops the slot", err)
		case err == nil:
			if !away.IsZero() {
				e.Link("connected again")
			}
			away = time.Time{}
			if first < 0 {
				first = l.Errors
			}
			if err := pgLagBad(l, first); err != nil {
				return err
			}
			if l.Ready != ready {
				ready = l.Ready
				fmt.Fprintf(e.Log, "-- %s\n", pgLagText(l))
			}
			pgSayLag(e, l)
			if l.Ready == l.Tables && l.Active && l.Bytes <= int64(r.Lag) {
				fmt.Fprintf(e.Log, "-- caught up: %s\n", pgLagText(l))
				return nil
			}
		}
		if err := pause(ctx, pgFollowEvery); err != nil {
			return fmt.Errorf("%w; the replication goes on", err)
		}
	}
}

func (r *postgresReplicate) lag(ctx context.Context, b *pgBoth) (postgres.Lag, error) {
	if err := b.open(ctx); err != nil {
		return postgres.Lag{}, err
	}
	return b.Lag(ctx, b.source, b.target)
}

func pgLagBad(l postgres.Lag, before int64) error {
	switch {
	case l.Status == "lost":
		return errors.New("the source has thrown away log that the target had not got yet (max_slot_wal_keep_size): undo, make room, and begin again")
	case l.Errors-before >= pgFollowErrors:
		return fmt.Errorf("the target's workers failed %d times: its server log says why (a row that is there already, a column that is missing); the slot keeps the source's log meanwhile, so mend it or undo", l.Errors-before)
	}
	return nil
}

func pgLagText(l postgres.Lag) string {
	return fmt.Sprintf("%d of %d tables copied, %s", l.Ready, l.Tables, pgBehind(l))
}

// pgBehind is how far a target is that has all of its tables.
func pgBehind(l postgres.Lag) string {
	return fmt.Sprintf("%s and %.1f s behind; the source keeps %s of log for it", remote.FormatBytes(max(0, l.Bytes)), l.Seconds, remote.FormatBytes(max(0, l.Retained)))
}

func pgSayLag(e Env, l postgres.Lag) {
	// The bar counts the tables. The lag means nothing before they are there.
	text := "first copy: " + remote.FormatBytes(l.Copied) + " of those under way; the source keeps " + remote.FormatBytes(max(0, l.Retained)) + " of log for it"
	if l.Ready == l.Tables {
		text = pgBehind(l)
	}
	e.Say(Progress{Done: int64(l.Ready), Total: int64(l.Tables), Unit: "tables", Text: text})
}
