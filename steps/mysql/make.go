package mysql

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	collate      = regexp.MustCompile(`(COLLATE[ =])(\w+)`)
	ownPlace     = regexp.MustCompile(` (DATA|INDEX) DIRECTORY ?= ?'(?:[^'\\]|\\.|'')*'`)
	plainCharset = regexp.MustCompile(`^[A-Za-z0-9_]+$`)
)

// outside changes what stands outside of quotes.
func outside(s string, change func(string) string) string {
	var b strings.Builder
	from := 0
	for i := 0; i < len(s); {
		j := skip(s, i)
		if j > i+1 {
			b.WriteString(change(s[from:i]))
			b.WriteString(s[i:j])
			from = j
		}
		i = j
	}
	b.WriteString(change(s[from:]))
	return b.String()
}

// mapped writes other collations into a definition.
func mapped(def string, collations map[string]string) string {
	if len(collations) == 0 {
		return def
	}
	return outside(def, func(s string) string {
		return collate.ReplaceAllStringFunc(s, func(c string) string {
			m := collate.FindStringSubmatch(c)
			if to := collations[m[2]]; to != "" {
				return m[1] + to
			}
			return c
		})
	})
}

// place takes out where files of the table lie: that is the other server's.
func place(options string) string { return ownPlace.ReplaceAllString(options, "") }

// CreateSQL is how the table is made on the target: at first, then its keys,
// then its foreign keys.
func (t *Table) createSQL(ctx context.Context, q Queryer, collations map[string]string) (c Create, err error) {
	show, err := showCreate(ctx, q, "TABLE", t.sql())
	if err != nil {
		return c, err
	}
	c, ok := ParseCreate(mapped(show["create table"], collations))
	if !ok {
		return c, fmt.Errorf("its definition cannot be read: %.200q", show["create table"])
	}
	c.Head, c.Options = "CREATE TABLE "+t.sql(), place(c.Options)
	return c, nil
}

// keysSQL adds keys that the table has not yet. InnoDB builds only one
// full-text key at a time.
func (t *Table) keysSQL(later, present []string) []string {
	var all, alone []string
	for _, k := range later {
		switch {
		case slices.Contains(present, bare(keyName(k))):
		case strings.HasPrefix(k, "FULLTEXT"), strings.HasPrefix(k, "SPATIAL"):
			alone = append(alone, "ALTER TABLE "+t.sql()+" ADD "+k)
		default:
			all = append(all, "ADD "+k)
		}
	}
	if len(all) > 0 {
		alone = append([]string{"ALTER TABLE " + t.sql() + " " + strings.Join(all, ", ")}, alone...)
	}
	return alone
}

// present are the names of the keys and foreign keys that the table has.
func (t *Table) present(ctx context.Context, q Queryer) ([]string, error) {
	return strs(ctx, q, `SELECT index_name FROM information_schema.statistics WHERE table_schema = ? AND table_name = ? UNION
		SELECT constraint_name FROM information_schema.referential_constraints WHERE constraint_schema = ? AND table_name = ?`,
		t.Database, t.Name, t.Database, t.Name)
}

// settings are what an object was written under. Its text comes to us in
// utf8mb4; where it was written in a charset that has fewer characters, and
// uses them, utf8mb4 takes its place.
func (o Stored) settings(known map[string]bool) string {
	client, connection := o.Client, o.Connection
	if !plainCharset.MatchString(client) || !strings.HasPrefix(client, "utf8") && !ascii(o.Text) {
		client = "utf8mb4"
	}
	if !plainCharset.MatchString(connection) || !known[connection] {
		connection = "utf8mb4_general_ci"
	}
	return fmt.Sprintf("SET SESSION sql_mode = %s, character_set_client = %s, collation_connection = %s", String(o.Mode), client, connection)
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e })
}

// resetSettings takes a session back to the pinned ones.
const resetSettings = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', character_set_client = utf8mb4, collation_connection = utf8mb4_general_ci"
