package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// compareServers learns how the two can talk: in which encoding, and whether
// in binary form.
func (c *copying) compareServers(ctx context.Context) error {
	var version int
	var encoding string
	var times [2]string // in version 9 and before, how a time was kept was decided where the server was built
	const ask = "select current_setting('server_version_num')::int, current_setting('server_encoding'), current_setting('integer_datetimes')"
	if err := c.claim.conn.QueryRow(ctx, ask).Scan(&version, &encoding, &times[1]); err != nil {
		return err
	}
	err := c.snap.Query(ctx, func(rows pgx.Rows) error { return rows.Scan(&times[0]) }, "select current_setting('integer_datetimes')")
	if err != nil {
		return err
	}
	if version/10000 < c.snap.Version/10000 {
		return fmt.Errorf("%s is version %d and %s is older, version %d: PostgreSQL cannot be copied to an older version; nothing was changed",
			c.From, c.snap.Version/10000, c.To, version/10000)
	}
	c.binary = !c.Text && version/10000 == c.snap.Version/10000 && times[0] == times[1]
	c.single = c.Crowded && version >= 110000 // no version before builds an index with more than one
	if (encoding == "SQL_ASCII") != (c.client == "SQL_ASCII") {
		return fmt.Errorf("%s has encoding %s and %s has %s: SQL_ASCII cannot be converted; nothing was changed", c.From, c.client, c.To, encoding)
	}
	return nil
}

// learnEncoding decides the encoding on the line: UTF8, save for a source that
// does not say in which encoding its text is.
func (c *copying) learnEncoding(ctx context.Context) error {
	c.client = "UTF8"
	return c.snap.Query(ctx, func(rows pgx.Rows) error {
		var e string
		err := rows.Scan(&e)
		if e == "SQL_ASCII" {
			c.client = e
		}
		return err
	}, "select current_setting('server_encoding')")
}

// encode is for sessions that copy rows.
func (c *copying) encode(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "select set_config('client_encoding', $1, false), set_config('extra_float_digits', $2, false)",
		c.client, map[bool]string{true: "1", false: "3"}[c.snap.Version >= 120000])
	return err
}

// prepare is for sessions of the target. The last note of a copy is synced to
// the disk, and with it all before.
func (c *copying) prepare(ctx context.Context, conn *pgx.Conn) error {
	if err := steady(ctx, conn); err != nil {
		return err
	}
	if err := c.encode(ctx, conn); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, `select set_config('synchronous_commit', 'off', false), set_config('check_function_bodies', 'off', false),
		set_config('default_transaction_read_only', 'off', false),
		(select set_config('maintenance_work_mem', $1, false) from pg_catalog.pg_settings
			where name = 'maintenance_work_mem' and setting::bigint < $2)`,
		fmt.Sprintf("%dkB", c.Sort>>10), c.Sort>>10)
	if err != nil {
		return err
	}
	return c.settings(ctx, conn)
}

// settings applies what the dump says at its head, all at once, save what this
// server does not know (an older one than pg_dump's) and what belay sets itself.
func (c *copying) settings(ctx context.Context, conn *pgx.Conn) error {
	lines, names := map[string]string{}, []string{}
	for _, line := range c.pre.head {
		words := strings.Fields(line)
		if len(words) < 4 || words[0] != "SET" || words[1] == "client_encoding" {
			continue
		}
		lines[words[1]] = line
		names = append(names, words[1])
	}
	var sql strings.Builder
	err := query(ctx, conn, func(rows pgx.Rows) error {
		var name string
		err := rows.Scan(&name)
		sql.WriteString(lines[name] + "\n")
		return err
	}, "select name from pg_catalog.pg_settings where name = any($1)", names)
	if err == nil {
		_, err = conn.PgConn().Exec(ctx, sql.String()).ReadAll()
	}
	return err
}

// startOrResume writes down whose the target is, or takes up what an earlier
// attempt left. Tables that were copied at another moment do not fit those
// that are still to come, so they are dropped and copied again.
func (c *copying) startOrResume(ctx context.Context) error {
	switch {
	case c.claim.at == "":
		return c.claim.begin(ctx, c.ID, c.snap.At)
	case c.claim.at == c.snap.At:
		c.log("taking up the copy that was cut off: nothing was written to the source since")
	case c.Frozen:
		c.log("taking up the copy that was cut off: the plan says that the source is frozen")
	default:
		c.log("the source was written to since the copy was cut off: what was copied is dropped, and copied again")
		if err := dropAll(ctx, c.claim.conn, c.Beside, c.Before); err != nil {
			return fmt.Errorf("drop what an earlier attempt left in %s: %w", c.To, err)
		}
		c.claim.done = map[string]int64{}
		return c.claim.begin(ctx, c.ID, c.snap.At)
	}
	return nil
}

// dropAll empties a database of what people put into it, and of the claim.
// One object takes others along, so each is dropped if it is still there.
// before stays.
func dropAll(ctx context.Context, conn *pgx.Conn, beside, before []string) error {
	all, err := objects(ctx, conn, beside)
	if err != nil {
		return err
	}
	for _, o := range all {
		if slices.Contains(before, o.String()) {
			continue
		}
		sql := "drop " + o.Type + " if exists " + o.Identity + " cascade"
		if o.Type == "large object" {
			sql = "select lo_unlink(" + o.Identity + ")"
		}
		if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", o, err)
		}
	}
	_, err = conn.Exec(ctx, "drop schema if exists "+claimSchema+" cascade")
	return err
}
