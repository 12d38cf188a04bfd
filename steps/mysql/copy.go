package mysql

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"belay/steps/compare"
)

// Copy copies databases from one server to another.
type Copy struct {
	From, To    Server
	Databases   []string          // none: all but the server's own
	Lanes       int               // parts copied at a time; 0: 4
	Chunk       int64             // bytes of a part; 0: 64 MiB
	Frozen      bool              // nobody writes to the source: no lock is needed
	Wait        time.Duration     // how long the lock may be waited for; 0: 10 s
	Accounts    bool              // copy those that have rights on the databases
	EventsOff   bool              // make events disabled
	CountsOnly  bool              // do not fingerprint, count only
	Collations  map[string]string // to be written in place of those that the target lacks
	Definers    map[string]string // user@host in place of another
	State       State             // of an earlier attempt
	Save        func(State) error // called before and after what Undo must know of
	Log         io.Writer
	Say         func(done, total int64, text string) // bytes
	saving      sync.Mutex
	telling     sync.Mutex // Log and Say are for one at a time
	done, total int64
}

// State is what a copy has made on the target, for those that come after.
type State struct {
	Made     []string `json:"made,omitempty"`     // databases that were not there before
	Making   string   `json:"making,omitempty"`   // a database about to be made: ours if it is empty
	Empty    []string `json:"empty,omitempty"`    // databases that were there, empty
	Accounts []string `json:"accounts,omitempty"` // quoted; those that were not there before
	Granted  []string `json:"granted,omitempty"`  // grants to accounts that were there before
	Position string   `json:"position,omitempty"`
	Loaded   bool     `json:"loaded,omitempty"` // all rows and keys are there
	Done     bool     `json:"done,omitempty"`
	Undone   bool     `json:"undone,omitempty"`
	Objects  []Object `json:"objects,omitempty"` // that the copy makes in these databases
	Handed   *Handed  `json:"handed,omitempty"`  // of a copy that is whole
	// Aside is where Undo moves databases that were written to, by their name.
	Aside map[string]string `json:"aside,omitempty"`
	// Prints is what the source had in the snapshot, by database.table.
	Prints map[string]compare.Print `json:"prints,omitempty"`
	Hash   string                   `json:"hash,omitempty"` // that Prints were made by: SHA1, SHA2; empty: MD5
}

func (s *State) hash() hash {
	if s.Hash == "" {
		return byMD5
	}
	return hash(s.Hash)
}

// Object is one that a copy makes.
type Object struct{ Kind, Database, Name string }

func (s State) ours(database string) bool {
	return slices.Contains(s.Made, database) || slices.Contains(s.Empty, database)
}

func (c *Copy) save(change func(*State)) error {
	c.saving.Lock()
	defer c.saving.Unlock()
	change(&c.State)
	return c.Save(c.State)
}

// Run copies. Called again after a cut, it keeps what arrived whole, told by
// fingerprint against the source as it is then, and copies the rest anew.
func (c *Copy) Run(ctx context.Context) error {
	from, err := c.From.Open(ctx)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	defer from.Close()
	to, err := c.To.Open(ctx)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	defer to.Close()
	s, err := c.survey(ctx, from, to)
	if err != nil {
		return err
	}
	if err := s.Blocked(); err != nil {
		return err
	}
	unlock, err := c.alone(ctx, to, s.Databases)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.makeDatabases(ctx, from, to, s); err != nil {
		return err
	}
	if err := c.save(func(st *State) { st.Objects = s.objects() }); err != nil {
		return err
	}
	if !c.State.Loaded {
		if err := c.data(ctx, from, to, s); err != nil {
			return err
		}
	}
	if err := c.rest(ctx, from, to, s); err != nil {
		return err
	}
	handed, err := c.hand(ctx, to)
	if err != nil {
		return err
	}
	return c.save(func(s *State) { s.Done, s.Undone, s.Handed = true, false, handed })
}

// alone keeps two operators from copying into one database.
func (c *Copy) alone(ctx context.Context, to *DB, databases []string) (func(), error) {
	conn, err := to.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range databases {
		name := fmt.Sprintf("belay copy %.20x", sha256.Sum256([]byte(d))) // at most 64 characters
		got, err := strs(ctx, conn, "SELECT GET_LOCK(?, 5)", name)
		if err == nil && got[0] != "1" {
			err = fmt.Errorf("database %q of the target: another copy into it is going on; nothing was changed", d)
		}
		if err != nil {
			conn.Close()
			return nil, err
		}
	}
	return func() {
		_ = conn.Raw(func(any) error { return errDrop }) // with the session the locks end
		conn.Close()
	}, nil
}

func (c *Copy) makeDatabases(ctx context.Context, from, to *DB, s *Survey) error {
	rows, err := table(ctx, from, `SELECT schema_name, default_character_set_name, default_collation_name FROM information_schema.schemata
		WHERE schema_name IN `+in(len(s.Databases)), anys(s.Databases)...)
	if err != nil {
		return err
	}
	for _, r := range rows {
		d := r[0].String
		held, exists := s.Holds[d]
		switch {
		case c.State.ours(d) && exists:
			continue
		case exists && held == 0 && c.State.Making == d:
			err = c.save(func(s *State) { s.Made, s.Making = append(s.Made, d), "" })
		case exists:
			err = c.save(func(s *State) { s.Empty = append(s.Empty, d) })
		default:
			err = c.makeDatabase(ctx, to, d, mapped("CHARACTER SET "+r[1].String+" COLLATE "+r[2].String, c.Collations))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Copy) makeDatabase(ctx context.Context, to *DB, d, options string) error {
	if err := c.save(func(s *State) { s.Making = d }); err != nil {
		return err
	}
	if _, err := to.ExecContext(ctx, "CREATE DATABASE "+Ident(d)+" "+options); err != nil {
		return fmt.Errorf("make database %q: %w", d, err)
	}
	return c.save(func(s *State) {
		s.Making = ""
		if !s.ours(d) {
			s.Made = append(s.Made, d)
		}
	})
}

// work is one table's copying.
type work struct {
	table   *Table
	make    Create
	later   []string
	foreign []string
	fresh   bool    // made in this attempt: nothing can be in it
	parts   []chunk // that no lane has taken yet
	left    int     // parts still to be copied
	rows    int64
	alone   bool // no two of its parts can be loaded at the same time
	busy    bool // one is being loaded
}

type part struct {
	*work
	chunk
}

// data copies tables, rows and keys under one snapshot.
func (c *Copy) data(ctx context.Context, from, to *DB, s *Survey) error {
	lanes := cmp.Or(c.Lanes, 4)
	frozen, err := from.Freeze(ctx, lanes, cmp.Or(c.Wait, 10*time.Second), c.Frozen)
	if err != nil {
		return err
	}
	defer frozen.Close()
	fmt.Fprintf(c.Log, "the source is looked at as it was at %s%s\n", time.Now().UTC().Format(time.RFC3339), at(frozen.Position))
	c.total = s.Bytes
	h, err := hashOf(ctx, from, to)
	if err != nil {
		return err
	}
	if err := c.save(func(st *State) {
		st.Position, st.Prints, st.Hash = frozen.Position, map[string]compare.Print{}, string(h)
	}); err != nil {
		return err
	}
	if err := c.stored(ctx, to, s, true); err != nil { // a column's default may be a sequence's next value
		return err
	}
	works, err := c.prepare(ctx, frozen.Lanes[0], to, s)
	if err != nil {
		return err
	}
	if err := c.copyParts(ctx, frozen.Lanes, to, works); err != nil {
		return err
	}
	for _, w := range works {
		if err := c.foreignKeys(ctx, to, w); err != nil {
			return err
		}
	}
	return c.save(func(st *State) { st.Loaded = true })
}

func at(position string) string {
	if position == "" {
		return ""
	}
	return ", " + position
}

// prepare makes the tables and cuts them into parts.
func (c *Copy) prepare(ctx context.Context, from *sql.Conn, to *DB, s *Survey) ([]*work, error) {
	there, err := Tables(ctx, to, s.Databases)
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	for _, t := range there {
		have[t.String()] = true
	}
	// With 2 LOAD DATA takes no lock for the next number; else it holds it to its end.
	mode, err := strs(ctx, to, "SELECT @@innodb_autoinc_lock_mode")
	serial := err != nil || mode[0] != "2"
	var works []*work
	for _, t := range s.Tables {
		w := &work{table: t, fresh: !have[t.String()]}
		w.alone = serial && slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Auto })
		if w.make, err = t.createSQL(ctx, from, c.Collations); err != nil {
			return nil, fmt.Errorf("table %s: %w", t, err)
		}
		var first string
		first, w.later, w.foreign = w.make.Split()
		if w.fresh {
			if _, err := to.ExecContext(ctx, first); err != nil {
				return nil, fmt.Errorf("table %s: make it: %w", t, err)
			}
		}
		if w.parts, err = t.chunks(ctx, from, cmp.Or(c.Chunk, 64<<20)); err != nil {
			return nil, fmt.Errorf("table %s: %w", t, err)
		}
		w.left = len(w.parts)
		works = append(works, w)
	}
	return works, nil
}
