package steps

import (
	"context"
	"fmt"
	"strings"

	"belay/steps/journal"
	"belay/steps/mysql"
)

// mysqlMark is the moment that Losses counts from, instead of the copy's.
type mysqlMark struct {
	Since string           `json:"since"`
	Rows  map[string]int64 `json:"rows"`
}

// Mark implements Marker: it counts the tables that are not large.
func (c *mysqlCopy) Mark(ctx context.Context, e Env, since string) error {
	m, err := c.copying(ctx, e)
	if err != nil || !m.State.Done {
		return err
	}
	rows, _, err := m.Rows(ctx)
	if err != nil {
		return err
	}
	return e.Memory.Put(lossMarkKey, mysqlMark{since, rows})
}

// Losses implements Loser: tables with another number of rows than at the mark,
// or than were copied.
func (c *mysqlCopy) Losses(ctx context.Context, e Env) ([]Loss, error) {
	m, err := c.copying(ctx, e)
	if err != nil || !m.State.Done {
		return nil, err
	}
	var mark mysqlMark
	marked, err := e.Memory.Get(lossMarkKey, &mark)
	if err != nil {
		return nil, err
	}
	where := "at "
	if m.To.Container != "" {
		where = "in "
	}
	l := Loss{
		Store: fmt.Sprintf("databases %s %s%s", strings.Join(append(append([]string(nil), m.State.Made...), m.State.Empty...), ", "), where, m.To),
		Unit:  "rows", About: true, Since: "since they were copied",
	}
	copied := m.Copied()
	if !marked {
		mark = mysqlMark{l.Since, copied}
	}
	grown, large, err := m.Since(ctx, mark.Rows)
	if err != nil {
		return nil, fmt.Errorf("what was written to %s: %w", m.To, err)
	}
	l.Since = mark.Since
	var most []string
	l.Count, most = mysqlGrown(grown)
	said := someOf(most, 3, "table")
	if marked {
		if total := mysqlBefore(grown, mark.Rows, copied); total != l.Count && total > 0 {
			said += fmt.Sprintf("; %s since they were copied", journal.Amount(total, "rows"))
		}
	}
	l.Detail = strings.TrimPrefix(said+"; rows that were changed are not seen", "; ")
	if large > 0 {
		l.Detail += fmt.Sprintf("; large tables that were not counted: %d", large)
	}
	l.Kept = "what was written to is set aside, not dropped"
	return []Loss{l}, nil
}

// mysqlBefore is by how many rows the tables differ from what was copied: those
// that grew since a mark, and those that had by then.
func mysqlBefore(grown []mysql.Grown, mark, copied map[string]int64) (sum int64) {
	has := map[string]int64{}
	for name, n := range mark {
		has[name] = n
	}
	for _, g := range grown {
		has[g.Table] = g.Has
	}
	for name, n := range has {
		sum += max(n-copied[name], copied[name]-n)
	}
	return sum
}

func mysqlGrown(grown []mysql.Grown) (sum int64, most []string) {
	for _, g := range grown {
		if n := g.Has - g.Had; n > 0 {
			sum += n
			most = append(most, fmt.Sprintf("%s %d more", g.Table, n))
		} else {
			sum -= n
			most = append(most, fmt.Sprintf("%s %d fewer", g.Table, -n))
		}
	}
	return sum, most
}
