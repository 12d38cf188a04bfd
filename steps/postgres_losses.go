package steps

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"belay/remote"
	"belay/steps/journal"
	"belay/steps/postgres"
)

// Losses implements Loser: rows of the target that the copy did not bring.
func (c *postgresCopy) Losses(ctx context.Context, e Env) ([]Loss, error) {
	rec, found, err := postgresCopied(e)
	if err != nil || !found || rec.Copied == nil || c.SchemaOnly {
		return nil, err
	}
	to, err := c.To.server(ctx, e)
	if err != nil {
		return nil, err
	}
	writes, forgot, err := postgres.Since(ctx, to, *rec.Copied)
	if err != nil {
		return nil, fmt.Errorf("what was written to %s: %w", to, err)
	}
	l := Loss{Store: "database " + to.String(), Unit: "rows", Since: sinceCopied, AtLeast: forgot}
	total, detail := postgresWritten(&l, writes), ""
	var mark postgresMark
	marked, err := e.Memory.Get(lossMarkKey, &mark)
	if err != nil {
		return nil, err
	}
	if marked {
		later, known, err := postgres.SinceMark(ctx, to, mark.Counts)
		switch {
		case err != nil:
			return nil, fmt.Errorf("what was written to %s: %w", to, err)
		case known:
			l.Count, l.About, l.AtLeast, l.Since = 0, false, false, mark.Since
			if postgresWritten(&l, later) != total && total > 0 {
				detail = fmt.Sprintf("%s since it was copied", journal.Amount(total, "rows"))
				if forgot {
					detail = "at least " + detail
				}
			}
		default:
			l.AtLeast = true
		}
	}
	if l.AtLeast {
		detail = "counted since it was copied; what was changed and deleted is not known, for the server was started again after a crash, or its counts were reset"
	}
	if detail != "" {
		l.Detail = strings.TrimPrefix(l.Detail+"; "+detail, "; ")
	}
	if l.Count > 0 || l.About || l.AtLeast {
		l.Kept = map[bool]string{true: "the database is set aside, not dropped", false: "nothing in it is dropped: the undo stops and asks"}[rec.Made != nil]
		l.Synced = postgresFollowed(ctx, to)
	}
	return []Loss{l}, nil
}

const sinceCopied = "since it was copied"

// postgresMark is the moment that Losses counts from, instead of the copy's.
type postgresMark struct {
	Since string `json:"since"`
	postgres.Counts
}

// Mark implements Marker: it reads the server's own counts.
func (c *postgresCopy) Mark(ctx context.Context, e Env, since string) error {
	to, err := c.To.server(ctx, e)
	if err != nil {
		return err
	}
	counts, err := postgres.Marked(ctx, to)
	if err != nil {
		return err
	}
	return e.Memory.Put(lossMarkKey, postgresMark{since, counts})
}

// postgresWritten puts the writes into l, and returns their sum.
func postgresWritten(l *Loss, writes []postgres.Writes) (sum int64) {
	var most []string
	for _, w := range writes {
		sum += w.Sum()
		l.About = l.About || w.About
		if w.Sum() > 0 {
			most = append(most, w.String())
		}
	}
	l.Count, l.Detail = sum, someOf(most, 3, "table")
	return sum
}

// postgresFollowed says who reads the database's changes live.
func postgresFollowed(ctx context.Context, to postgres.Server) string {
	slots, err := postgres.Followers(ctx, to)
	if err != nil {
		return "whether anything syncs it back is not known"
	}
	var said []string
	for _, name := range slices.Sorted(maps.Keys(slots)) {
		said = append(said, fmt.Sprintf("logical slot %q is read, %s behind", name, remote.FormatBytes(slots[name])))
	}
	return strings.Join(said, ", ")
}

// someOf joins the first n of a list, and counts the others.
func someOf(list []string, n int, noun string) string {
	if more := len(list) - n; more > 1 {
		return strings.Join(list[:n], "; ") + fmt.Sprintf("; and %d more %ss", more, noun)
	}
	return strings.Join(list, "; ")
}
