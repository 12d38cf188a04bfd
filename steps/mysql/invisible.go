package mysql

import (
	"context"
	"fmt"
	"strings"
)

// judgeKeys looks for what a target of MySQL does to tables without a primary
// key (MySQL manual, 15.1.24.11): it gives them an invisible one, by which they
// would differ from the source's, or refuses them. Belay's sessions are told to
// do neither, where the login may have that.
func (s *Survey) judgeKeys(ctx context.Context, _, to *DB, _ *Copy) error {
	makes, err := to.session(ctx, "sql_generate_invisible_primary_key")
	if err != nil {
		return err
	}
	refuses, err := to.session(ctx, "sql_require_primary_key")
	if err != nil {
		return err
	}
	wants, err := to.global(ctx, "sql_require_primary_key")
	if err != nil || !makes && !wants && !refuses {
		return err
	}
	var keyless []string
	for _, t := range s.Tables {
		if len(t.Key) == 0 { // a unique one without NULL serves as well
			keyless = append(keyless, t.String())
		}
	}
	grant := "GRANT SESSION_VARIABLES_ADMIN ON *.* to belay's login there for the time of the copy"
	switch {
	case len(keyless) == 0:
	case refuses:
		s.block("primary keys", grant+", or give the tables primary keys on the source first", "the target refuses tables without a primary key (sql_require_primary_key), and these have none: %s", list(keyless))
	case makes:
		s.block("primary keys", grant+", or SET GLOBAL sql_generate_invisible_primary_key = OFF there meanwhile", "the target would give these tables an invisible primary key (sql_generate_invisible_primary_key), which the source's have not: %s", list(keyless))
	default:
		s.warn("primary keys", "give them primary keys on the source first, or after the move", "the target asks for primary keys (sql_require_primary_key); these tables come as they are, without: %s", list(keyless))
	}
	return nil
}

// KeysAsTheyAre is a statement by which a session takes tables without a primary
// key as they are, where the server would do something to them and the login
// may keep it from that; else "".
func (d *DB) KeysAsTheyAre(ctx context.Context) (string, error) {
	var set []string
	for _, name := range []string{"sql_generate_invisible_primary_key", "sql_require_primary_key"} {
		all, err := d.global(ctx, name)
		if err != nil {
			return "", err
		}
		ours, err := d.session(ctx, name)
		if err != nil {
			return "", err
		}
		if all && !ours {
			set = append(set, "SESSION "+name+" = 0")
		}
	}
	if len(set) == 0 {
		return "", nil
	}
	return "SET " + strings.Join(set, ", "), nil
}

// session tells whether a setting that not every server has is on for belay.
func (d *DB) session(ctx context.Context, name string) (bool, error) {
	return d.on(ctx, "SESSION", name)
}

// global is session for those who log in anew.
func (d *DB) global(ctx context.Context, name string) (bool, error) { return d.on(ctx, "GLOBAL", name) }

func (d *DB) on(ctx context.Context, scope, name string) (bool, error) {
	rows, err := table(ctx, d, fmt.Sprintf("SHOW %s VARIABLES LIKE %s", scope, String(name)))
	return len(rows) == 1 && rows[0][1].String == "ON", err
}
