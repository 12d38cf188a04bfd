package steps

import (
	"context"
	"fmt"
	"strings"
)

// Losses implements Loser: tables with another number of rows than were copied.
func (c *mysqlCopy) Losses(ctx context.Context, e Env) ([]Loss, error) {
	m, err := c.copying(ctx, e)
	if err != nil || !m.State.Done {
		return nil, err
	}
	grown, large, err := m.Since(ctx)
	if err != nil {
		return nil, fmt.Errorf("what was written to %s: %w", m.To, err)
	}
	l := Loss{
		Store: fmt.Sprintf("databases %s at %s", strings.Join(append(append([]string(nil), m.State.Made...), m.State.Empty...), ", "), m.To),
		Unit:  "rows", About: true, Since: "since they were copied",
	}
	var most []string
	for _, g := range grown {
		switch n := g.Has - g.Had; {
		case n > 0:
			l.Count += n
			most = append(most, fmt.Sprintf("%s %d more", g.Table, n))
		default:
			l.Count -= n
			most = append(most, fmt.Sprintf("%s %d fewer", g.Table, -n))
		}
	}
	l.Detail = strings.TrimPrefix(someOf(most, 3, "table")+"; rows that were changed are not seen", "; ")
	if large > 0 {
		l.Detail += fmt.Sprintf("; large tables that were not counted: %d", large)
	}
	l.Kept = "what was written to is set aside, not dropped"
	return []Loss{l}, nil
}
