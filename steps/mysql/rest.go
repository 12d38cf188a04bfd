package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// objects is everything that the copy makes inside of databases.
func (s *Survey) objects() []Object {
	var all []Object
	for _, t := range s.Tables {
		all = append(all, Object{"table", t.Database, t.Name})
	}
	for _, o := range s.Stored {
		all = append(all, Object{o.Kind, o.Database, o.Name})
	}
	return all
}

// rest makes accounts, routines, views, triggers, events, and then the grants,
// some of which name them.
func (c *Copy) rest(ctx context.Context, from, to *DB, s *Survey) error {
	for _, a := range s.Accounts {
		if err := c.account(ctx, to, s, a); err != nil {
			return fmt.Errorf("account %s: %w", a, err)
		}
	}
	if err := c.stored(ctx, to, s, false); err != nil {
		return err
	}
	for _, a := range s.Accounts {
		if err := c.grants(ctx, to, s, a); err != nil {
			return fmt.Errorf("account %s: %w", a, err)
		}
	}
	return nil
}

const errCannotUser = 1396 // "Operation CREATE USER failed for …": it exists

func (c *Copy) account(ctx context.Context, to *DB, s *Survey, a Account) error {
	if s.Users[a.String()] {
		return nil
	}
	make, err := a.For(s.From, s.To)
	if err != nil {
		return err
	}
	if err := c.save(func(st *State) { st.Accounts = append(st.Accounts, a.kind()+a.sql()) }); err != nil {
		return err
	}
	if _, err = to.ExecContext(ctx, make); err == nil {
		return nil
	}
	// The statement holds a verifier, and servers quote statements.
	number := Number(err)
	if number != 0 {
		if serr := c.save(func(st *State) {
			st.Accounts = slices.DeleteFunc(st.Accounts, func(x string) bool { return x == a.kind()+a.sql() })
		}); serr != nil {
			return serr
		}
	}
	if number == errCannotUser {
		return fmt.Errorf("somebody made it on the target meanwhile; look at it, and try again")
	}
	return fmt.Errorf("make it: error %d of the target", number)
}

func (a Account) kind() string {
	if a.Role {
		return "ROLE "
	}
	return "USER "
}

// grants gives an account that was made here all its rights on the copied
// databases, on everything, and its roles; to one that was there before, its
// rights on the copied databases.
func (c *Copy) grants(ctx context.Context, to *DB, s *Survey, a Account) error {
	made := slices.Contains(c.State.Accounts, a.kind()+a.sql())
	var have []string
	if !made {
		var err error
		if have, err = strs(ctx, to, "SHOW GRANTS FOR "+a.sql()); err != nil {
			return err
		}
	}
	for _, g := range a.Grants {
		on := g.onAny(s.Databases)
		switch {
		case !on && !made, slices.Contains(have, g.Text):
			continue
		case !on && g.Database != "*" && g.Database != "" && !g.partial():
			fmt.Fprintf(c.Log, "account %s: left out, because its database is not copied: %s\n", a, g.Text)
			continue
		case !made && g.partial(): // what an account has there is not belay's to take
			fmt.Fprintf(c.Log, "account %s: left out, because the account was there before: %s\n", a, g.Text)
			continue
		case strings.HasPrefix(g.Text, "GRANT PROXY"):
			fmt.Fprintf(c.Log, "account %s: left out: %s\n", a, g.Text)
			continue
		}
		text, left := g.translated(s.From, s.To, s.Rights)
		if len(left) > 0 {
			fmt.Fprintf(c.Log, "account %s: left out, because the target does not know it: %s\n", a, strings.Join(left, ", "))
		}
		if text == "" {
			continue
		}
		if !made && !slices.Contains(c.State.Granted, text) {
			if err := c.save(func(st *State) { st.Granted = append(st.Granted, text) }); err != nil {
				return err
			}
		}
		if _, err := to.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

// revoke is the statement that takes a grant back; "" when there is none.
func revoke(grant string) string {
	to := unquotedIndex(grant, " TO ")
	if to < 0 || !strings.HasPrefix(grant, "GRANT ") {
		return ""
	}
	who := grant[to+len(" TO "):]
	for _, end := range []string{" WITH ", " REQUIRE "} {
		if i := unquotedIndex(who, end); i >= 0 {
			who = who[:i]
		}
	}
	return "REVOKE " + grant[len("GRANT "):to] + " FROM " + who
}

// stored makes what the databases have besides tables, as far as it is not
// there: the sequences, or all the others. Views are tried again as long as
// that makes one more: they build on each other.
func (c *Copy) stored(ctx context.Context, to *DB, s *Survey, sequences bool) error {
	conn, err := to.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() {
		_ = conn.Raw(func(any) error { return errDrop }) // its settings are not ours any more
		conn.Close()
	}()
	have, err := names(ctx, conn, s.Databases)
	if err != nil {
		return err
	}
	var todo []Stored
	for _, o := range s.Stored {
		if (o.Kind == Sequence) == sequences && !have[Object{o.Kind, o.Database, o.Name}] {
			todo = append(todo, o)
		}
	}
	for len(todo) > 0 {
		var again []Stored
		var first error
		for _, o := range todo {
			if err := c.create(ctx, conn, s, o); err != nil {
				if o.Kind != View || Number(err) == 0 {
					return fmt.Errorf("%s: make it: %w", o, err)
				}
				again = append(again, o)
				if first == nil {
					first = fmt.Errorf("%s: make it: %w", o, err)
				}
			}
		}
		if len(again) == len(todo) {
			return first
		}
		todo = again
	}
	return nil
}

// names is what a server has besides tables.
func names(ctx context.Context, q Queryer, databases []string) (map[Object]bool, error) {
	all := map[Object]bool{}
	for _, s := range storedQueries {
		rows, err := table(ctx, q, s.query+in(len(databases)), anys(databases)...)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			kind := s.kind
			if kind == "routine" {
				kind = strings.ToLower(r[3].String)
			}
			all[Object{kind, r[0].String, r[1].String}] = true
		}
	}
	return all, nil
}

func (c *Copy) create(ctx context.Context, conn *sql.Conn, s *Survey, o Stored) error {
	if to := c.Definers[o.Definer]; to != "" {
		at := strings.LastIndex(to, "@")
		o = o.WithDefiner(to[:at], to[at+1:])
	}
	text := mapped(o.Text, c.Collations)
	run := []string{"USE " + Ident(o.Database), o.settings(s.Known)}
	if o.Kind == Event {
		if i := unquotedIndex(text, " ENABLE"); i >= 0 && c.EventsOff {
			text = text[:i] + " DISABLE" + text[i+len(" ENABLE"):]
		}
		if o.Zone != "" {
			run = append(run, "SET SESSION time_zone = "+String(o.Zone))
		}
	}
	run = append(run, text)
	if o.Kind == Sequence {
		run = []string{run[0], text, "SELECT SETVAL(" + Dotted(o.Database, o.Name) + ", " + o.Next + ", 0)"}
	}
	for _, q := range run {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	_, err := conn.ExecContext(ctx, resetSettings)
	return err
}

// Verify compares what is on the target with what the source had in the
// snapshot, by reading it all again.
func (c *Copy) Verify(ctx context.Context) error {
	to, err := c.To.Open(ctx)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	defer to.Close()
	databases := c.databases()
	if len(databases) == 0 {
		return fmt.Errorf("nothing was copied yet")
	}
	tables, err := Tables(ctx, to, databases)
	if err != nil {
		return err
	}
	found := map[string]bool{}
	var wrong []string
	for _, t := range tables {
		want, ours := c.State.Prints[t.String()]
		if !ours {
			continue
		}
		found[t.String()] = true
		got, err := c.print(ctx, to, t)
		if err != nil {
			return fmt.Errorf("table %s: %w", t, err)
		}
		switch {
		case got.Rows != want.Rows:
			wrong = append(wrong, fmt.Sprintf("table %s has %d rows, and %d were copied", t, got.Rows, want.Rows))
		case got != want:
			wrong = append(wrong, fmt.Sprintf("table %s has as many rows as were copied, but not the same", t))
		}
	}
	have, err := names(ctx, to, databases)
	if err != nil {
		return err
	}
	for _, o := range c.State.Objects {
		if o.Kind == "table" && !found[o.Database+"."+o.Name] || o.Kind != "table" && !have[o] {
			wrong = append(wrong, fmt.Sprintf("%s %s.%s is not on the target", o.Kind, o.Database, o.Name))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s: %s", c.To, list(wrong))
	}
	return nil
}

// Undo drops what the copy made: databases that were not there, its objects in
// those that were there and empty, accounts, and takes grants back. A database
// that somebody wrote to since is set aside under another name.
func (c *Copy) Undo(ctx context.Context) error { return c.undo(ctx, c.written) }

// UndoWritten is Undo for a copy that went on to be written to by others that
// the caller knows of; written tells why somebody else wrote to a database, and
// "" when nobody did.
func (c *Copy) UndoWritten(ctx context.Context, written func(ctx context.Context, to *DB, database string) (string, error)) error {
	return c.undo(ctx, written)
}

func (c *Copy) undo(ctx context.Context, written func(context.Context, *DB, string) (string, error)) error {
	if st := c.State; st.Undone || st.Making == "" && len(st.Made)+len(st.Empty)+len(st.Accounts)+len(st.Granted) == 0 {
		return nil // nothing was made
	}
	to, err := c.To.Open(ctx)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	defer to.Close()
	conn, err := to.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	run := func(q string) error {
		fmt.Fprintln(c.Log, q)
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
		return nil
	}
	if d := c.State.Making; d != "" { // made, perhaps, and not yet ours: it goes if nobody uses it
		full, err := strs(ctx, conn, "SELECT table_name FROM information_schema.tables WHERE table_schema = ?", d)
		if err != nil {
			return err
		}
		if len(full) == 0 && !c.State.ours(d) {
			if err := run("DROP DATABASE IF EXISTS " + Ident(d)); err != nil {
				return err
			}
		}
	}
	if err := c.aside(ctx, to, written); err != nil {
		return err
	}
	for _, q := range c.undoSQL() {
		if err := run(q); err != nil {
			return err
		}
	}
	have, err := table(ctx, conn, "SELECT User, Host FROM mysql.user")
	if err != nil && len(c.State.Accounts) > 0 {
		return err
	}
	for _, u := range have {
		for _, a := range []string{"USER " + Account{User: u[0].String, Host: u[1].String}.sql(), "ROLE " + Ident(u[0].String)} {
			if slices.Contains(c.State.Accounts, a) {
				if err := run("DROP " + a); err != nil {
					return err
				}
			}
		}
	}
	return c.save(func(s *State) { *s = State{Undone: true} })
}

// undoSQL takes back all but the accounts.
func (c *Copy) undoSQL() []string {
	var all []string
	for _, g := range slices.Backward(c.State.Granted) {
		if q := revoke(g); q != "" {
			all = append(all, q)
		}
	}
	for _, o := range slices.Backward(c.State.Objects) {
		if slices.Contains(c.State.Empty, o.Database) && o.Kind != Body && o.Kind != Trigger { // which go with the package and the table
			all = append(all, "DROP "+strings.ToUpper(o.Kind)+" IF EXISTS "+Dotted(o.Database, o.Name))
		}
	}
	for _, d := range c.State.Made {
		all = append(all, "DROP DATABASE IF EXISTS "+Ident(d))
	}
	return all
}
