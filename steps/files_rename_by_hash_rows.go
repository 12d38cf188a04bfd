package steps

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"belay/checks"
)

// hashedRows is a column that names files.
type hashedRows struct {
	MySQL    *hashedMySQL   `yaml:"mysql" doc:"the server, and the database with the table"`
	Postgres *postgresStore `yaml:"postgres" doc:"the same for PostgreSQL"`
	Table    string         `yaml:"table" required:"" doc:"the table; in PostgreSQL with its schema, or of public"`
	Column   string         `yaml:"column" required:"" doc:"the column that names a file"`
	Key      string         `yaml:"key" default:"id" doc:"a column that tells rows apart; it must be unique"`
	Where    string         `yaml:"where" doc:"SQL condition on the rows that count; left out, all whose column is neither NULL nor empty"`
	Old      string         `yaml:"old" doc:"what stands in the column before a path below the old directory, such as /storage/"`
	New      string         `yaml:"new" doc:"what shall stand there before a new name, such as uploads/"`
}

type hashedMySQL struct {
	mysqlStore `yaml:",inline"`
	Database   string `yaml:"database" required:"" doc:"name of the database"`
}

func (r *hashedRows) String() string { return r.Table + "." + r.Column }

func (r *hashedRows) validate(field string) error {
	if r == nil {
		return nil
	}
	var errs []error
	switch {
	case (r.MySQL == nil) == (r.Postgres == nil):
		errs = append(errs, Field(field, "say where the table is: one of mysql and postgres"))
	case r.MySQL != nil:
		errs = append(errs, r.MySQL.check(field+".mysql"), mysqlNames(field+".mysql.database", []string{r.MySQL.Database}))
	default:
		errs = append(errs, r.Postgres.check(field+".postgres"))
	}
	for name, s := range map[string]string{"table": r.Table, "column": r.Column, "key": r.Key} {
		if s == "" || strings.ContainsRune(s, 0) || len(s) > 200 {
			errs = append(errs, Field(field+"."+name, "%.80q cannot be its name", s))
		}
	}
	if r.Column == r.Key {
		errs = append(errs, Field(field+".key", "a column that is changed cannot tell rows apart"))
	}
	return errors.Join(errs...)
}

func (r *hashedRows) hosts() []string {
	switch {
	case r == nil:
		return nil
	case r.MySQL != nil:
		return fileOn(r.MySQL.Host)
	case r.Postgres != nil:
		return fileOn(r.Postgres.Host)
	}
	return nil
}

func (r *hashedRows) needs(on string) []checks.Check {
	if r == nil || r.MySQL == nil {
		return nil
	}
	return []checks.Check{&mysqlLogin{r.MySQL.mysqlStore, on, "rename files"}}
}

// hashedTable is an open table.
type hashedTable interface {
	// each gives every row that counts, its column as Old.
	each(ctx context.Context, each func(hashedRow) error) error
	// change sets the column of rows from Old to New in one transaction, and
	// locks them before it looks. Rows that have neither value, or are gone,
	// are told to odd; an error of odd takes everything back.
	change(ctx context.Context, rows []hashedRow, odd func(r hashedRow, now string, there bool) error, say func(done int)) error
	close()
}

func (r *hashedRows) open(ctx context.Context, e Env) (hashedTable, error) {
	if r.MySQL != nil {
		return r.openMySQL(ctx, e)
	}
	return r.openPostgres(ctx, e)
}

func (r *hashedRows) each(ctx context.Context, e Env, each func(hashedRow) error) error {
	t, err := r.open(ctx, e)
	if err != nil {
		return err
	}
	defer t.close()
	return t.each(ctx, each)
}

const hashedBatch = 200 // rows of one statement

// hashedChange is change for any store: look locks rows and tells what their
// column holds, set changes them.
func hashedChange(rows []hashedRow, odd func(hashedRow, string, bool) error, say func(int),
	look func([]hashedRow) (map[string]string, error), set func([]hashedRow) error) error {
	done := 0
	for part := range slices.Chunk(rows, hashedBatch) {
		now, err := look(part)
		if err != nil {
			return err
		}
		var todo []hashedRow
		for _, r := range part {
			switch v, there := now[r.Key]; {
			case there && v == r.New:
			case there && v == r.Old:
				todo = append(todo, r)
			default:
				if err := odd(r, v, there); err != nil {
					return err
				}
			}
		}
		if len(todo) > 0 {
			if err := set(todo); err != nil {
				return err
			}
		}
		done += len(part)
		say(done)
	}
	return nil
}

// hashedMatch sorts rows by what they name.
type hashedMatch struct {
	rows  []hashedRow      // to be changed
	found map[int]bool     // files of the manifest that a row names
	lost  []string         // what rows name, and is no file
	byOld map[string]int   // value → index in the manifest's files
	byNew map[string][]int // several files may have one content
}

func (m *hashedManifest) match(rows *hashedRows) *hashedMatch {
	w := &hashedMatch{found: map[int]bool{}, byOld: map[string]int{}, byNew: map[string][]int{}}
	for i, f := range m.Files {
		w.byOld[rows.Old+f.Old] = i
		w.byNew[rows.New+f.New] = append(w.byNew[rows.New+f.New], i)
	}
	return w
}

func (w *hashedMatch) row(r hashedRow, m *hashedManifest, rows *hashedRows) {
	if i, ok := w.byOld[r.Old]; ok {
		w.found[i] = true
		if r.New = rows.New + m.Files[i].New; r.New != r.Old {
			w.rows = append(w.rows, r)
		}
		return
	}
	if all := w.byNew[r.Old]; len(all) > 0 { // changed by an earlier attempt
		for _, i := range all {
			w.found[i] = true
		}
		return
	}
	w.lost = append(w.lost, fmt.Sprintf("row %q names %q", r.Key, r.Old))
}
