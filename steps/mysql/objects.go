package mysql

import (
	"context"
	"fmt"
	"strings"
)

// Object kinds that are made of SQL text.
const (
	View      = "view"
	Procedure = "procedure"
	Function  = "function"
	Trigger   = "trigger"
	Event     = "event"
	Sequence  = "sequence"
	Package   = "package" // MariaDB, sql_mode=ORACLE
	Body      = "package body"
)

// Stored is a view, routine, trigger, event or sequence.
type Stored struct {
	Kind, Database, Name string
	Definer              string // user@host; "" of a sequence
	Text                 string // its CREATE statement
	Mode                 string // sql_mode it was written under
	Client, Connection   string // character_set_client and collation_connection then
	Next                 string // of a sequence: its next value
	Zone                 string // of an event: the time zone of its schedule
}

func (o Stored) String() string { return o.Kind + " " + o.Database + "." + o.Name }

// storedQueries find them by database. The name and the definer are columns 2 and 3.
var storedQueries = []struct{ kind, query string }{
	{Sequence, `SELECT table_schema, table_name, '' FROM information_schema.tables WHERE table_type = 'SEQUENCE' AND table_schema IN `},
	{"routine", `SELECT routine_schema, routine_name, definer, routine_type FROM information_schema.routines WHERE routine_schema IN `},
	{View, `SELECT table_schema, table_name, definer FROM information_schema.views WHERE table_schema IN `},
	{Trigger, `SELECT trigger_schema, trigger_name, definer FROM information_schema.triggers WHERE trigger_schema IN `},
	{Event, `SELECT event_schema, event_name, definer FROM information_schema.events WHERE event_schema IN `},
}

// StoredObjects lists what the databases have besides tables, in an order in
// which it can be made. Views may still build on each other. Triggers of one
// table come in the order in which they fire.
func StoredObjects(ctx context.Context, q Queryer, databases []string) ([]Stored, error) {
	var all []Stored
	for _, s := range storedQueries {
		order := " ORDER BY 1, 2"
		switch s.kind {
		case Trigger:
			order = " ORDER BY trigger_schema, event_object_table, action_timing, event_manipulation, action_order"
		case "routine":
			order = " ORDER BY 1, 4 DESC, 2" // packages before their bodies and others
		}
		rows, err := table(ctx, q, s.query+in(len(databases))+order, anys(databases)...)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			o := Stored{Kind: s.kind, Database: r[0].String, Name: r[1].String, Definer: r[2].String}
			if s.kind == "routine" {
				o.Kind = strings.ToLower(r[3].String)
			}
			if err := o.read(ctx, q); err != nil {
				return nil, fmt.Errorf("%s: %w", o, err)
			}
			all = append(all, o)
		}
	}
	return all, nil
}

func (o *Stored) read(ctx context.Context, q Queryer) error {
	if o.Kind == Sequence {
		next, err := strs(ctx, q, "SELECT next_not_cached_value FROM "+Dotted(o.Database, o.Name))
		if err != nil {
			return err
		}
		o.Next = next[0]
	}
	show, err := showCreate(ctx, q, strings.ToUpper(o.Kind), Dotted(o.Database, o.Name))
	if err != nil {
		return err
	}
	for _, column := range []string{"create view", "create procedure", "create function", "sql original statement", "create event",
		"create table", "create package", "create package body"} {
		if text := show[column]; text != "" {
			o.Text = text
			break
		}
	}
	if o.Text == "" {
		return fmt.Errorf("%s: the account may not read its definition (SHOW_ROUTINE, or SELECT on mysql.*, is missing)", o)
	}
	o.Mode, o.Client, o.Connection = show["sql_mode"], show["character_set_client"], show["collation_connection"]
	o.Zone = show["time_zone"]
	return nil
}

// showCreate is one SHOW CREATE by its columns, in lower case.
func showCreate(ctx context.Context, q Queryer, kind, name string) (map[string]string, error) {
	names, rows, err := named(ctx, q, "SHOW CREATE "+kind+" "+name)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("SHOW CREATE %s %s says nothing", kind, name)
	}
	show := map[string]string{}
	for i, n := range names {
		show[strings.ToLower(n)] = rows[0][i].String
	}
	return show, nil
}

// definerClause is where DEFINER=… stands in a CREATE statement.
func definerClause(text string) (from, to int) {
	head := text[:min(len(text), 600)]
	i := next(head, 0, "=")
	for i >= 0 && !strings.HasSuffix(head[:i], "DEFINER") {
		i = next(head, i+1, "=")
	}
	if i < 0 {
		return 0, 0
	}
	if i+1 >= len(text) {
		return 0, 0
	}
	j := skip(text, i+1) // `user`, or CURRENT_USER and the like of no account
	if j < len(text) && text[j] == '@' {
		j = skip(text, j+1)
	}
	return i + 1, j
}

// WithDefiner is the object with another definer.
func (o Stored) WithDefiner(user, host string) Stored {
	if from, to := definerClause(o.Text); to > 0 {
		o.Text = o.Text[:from] + Ident(user) + "@" + Ident(host) + o.Text[to:]
		o.Definer = user + "@" + host
	}
	return o
}
