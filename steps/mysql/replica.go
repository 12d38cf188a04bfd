package mysql

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Replica is a replication of belay's own of some databases, from one server
// to another of its flavour. The connection on the target, the login on the
// source and a database for a canary row bear its name.
type Replica struct {
	Source, Target Server
	Name           string   // [a-z0-9_]+, at most 32
	From           string   // host:port at which the target's server reaches the source's
	Databases      []string // of the source, under the same names on the target
}

// canary is the table, in the database of the replica's name, that shows that
// the last change came through.
const canary = "canary"

func (r Replica) link(v Version) link {
	return link{v: v, name: r.Name, user: r.Name, tls: r.Source.TLS, ca: r.Source.CAFile, databases: append(slices.Clone(r.Databases), r.Name)}
}

// Unfit refuses a pair of servers between which belay does not replicate; nil
// when it does. Replication goes to the same or a newer release only (MySQL
// manual, 19.5.2).
func Unfit(source, target Version) error {
	switch {
	case source.MariaDB != target.MariaDB:
		return fmt.Errorf("%s and %s do not understand each other's GTIDs: use mysql.copy while frozen", source, target)
	case source.MariaDB && !source.atLeast(10, 5), !source.MariaDB && (!source.atLeast(8, 0) || source.Minor == 0 && source.Major == 8 && source.Patch < 23):
		return fmt.Errorf("%s is too old: MariaDB 10.5 and MySQL 8.0.23 are the first; use mysql.copy while frozen", source)
	case target.before(source):
		return fmt.Errorf("the target (%s) is older than the source (%s), and cannot follow it", target, source)
	}
	return nil
}

// GTID is where the server is now, all that it has written included; "" for
// MariaDB before its first transaction.
func (d *DB) GTID(ctx context.Context) (string, error) {
	ask := "SELECT @@global.gtid_executed"
	if d.Version.MariaDB {
		ask = "SELECT @@global.gtid_binlog_pos"
	}
	at, err := strs(ctx, d, ask)
	if err != nil {
		return "", err
	}
	return strings.ReplaceAll(at[0], "\n", ""), nil
}

// Own is what the server wrote itself so far, by GTID, but not in belay's
// domain (MariaDB). known is false where it keeps no binary log.
func (d *DB) Own(ctx context.Context, domain uint32) (own string, known bool, err error) {
	if !d.Version.MariaDB {
		r, err := table(ctx, d, "SELECT @@global.gtid_executed, @@server_uuid, @@log_bin AND @@global.gtid_mode = 'ON'")
		if err != nil {
			return "", false, err
		}
		return gtidSetOf(r[0][0].String, r[0][1].String), r[0][2].String == "1", nil
	}
	r, err := table(ctx, d, "SELECT @@global.gtid_binlog_state, @@global.server_id, @@log_bin")
	if err != nil || r[0][2].String != "1" {
		return "", false, err
	}
	server, err := strconv.ParseUint(r[0][1].String, 10, 64)
	if err != nil {
		return "", false, err
	}
	own, err = gtidOwn(r[0][0].String, server, domain)
	return own, err == nil, err
}

// Domain is the GTID domain of belay's own writes on the target, so that they
// neither outrun nor look like anybody else's.
func (r Replica) Domain() uint32 {
	h := sha256.Sum256([]byte(r.Name))
	return binary.BigEndian.Uint32(h[:])>>1 | 1<<30 // none that people would choose
}

// There is what of a replica exists.
type There struct{ Account, SourceCanary, TargetCanary, Link bool }

// Any tells whether anything does.
func (t There) Any() bool { return t != There{} }

// Look tells what of the replica exists on both sides.
func (r Replica) Look(ctx context.Context, source, target *DB) (t There, err error) {
	for _, ask := range []struct {
		db   *DB
		what *bool
		sql  string
	}{
		{source, &t.Account, "SELECT 1 FROM mysql.user WHERE User = ?"},
		{source, &t.SourceCanary, "SELECT 1 FROM information_schema.schemata WHERE schema_name = ?"},
		{target, &t.TargetCanary, "SELECT 1 FROM information_schema.schemata WHERE schema_name = ?"},
	} {
		some, err := strs(ctx, ask.db, ask.sql, r.Name)
		if err != nil {
			return t, err
		}
		*ask.what = len(some) > 0
	}
	st, err := r.link(target.Version).status(ctx, target)
	t.Link = st.there
	return t, err
}

// HasLogin tells whether the login of the replica is on the source: it is the
// last thing that is taken away.
func (r Replica) HasLogin(ctx context.Context, source *DB) (bool, error) {
	some, err := strs(ctx, source, "SELECT 1 FROM mysql.user WHERE User = ?", r.Name)
	return len(some) > 0, err
}

// Link tells whether the target knows of the replication.
func (r Replica) Link(ctx context.Context, target *DB) (bool, error) {
	st, err := r.link(target.Version).status(ctx, target)
	return st.there, err
}

// Others names the target's other replications, which a new one would disturb:
// the position is one for all.
func (r Replica) Others(ctx context.Context, target *DB) ([]string, error) {
	return r.link(target.Version).others(ctx, target)
}

// SlavePosition is what MariaDB's gtid_slave_pos is on the target; "" for MySQL.
func SlavePosition(ctx context.Context, target *DB) (string, error) {
	if !target.Version.MariaDB {
		return "", nil
	}
	at, err := strs(ctx, target, "SELECT @@global.gtid_slave_pos")
	if err != nil {
		return "", err
	}
	return at[0], nil
}

// Begin sets the position at which the target begins: that of a copy. A link
// that is there is forgotten; it must never have run.
func (r Replica) Begin(ctx context.Context, target *DB, position string) error {
	if _, err := r.StopTarget(ctx, target); err != nil {
		return err
	}
	at, known := strings.CutPrefix(position, "GTID ")
	l := r.link(target.Version)
	if !known {
		at = "" // MariaDB had not written a transaction yet: from the beginning
	}
	if !target.Version.MariaDB {
		left, err := strs(ctx, target, "SELECT GTID_SUBTRACT(?, @@global.gtid_executed)", at)
		if err != nil {
			return err
		}
		if at = left[0]; at == "" {
			return nil
		}
	} else {
		own, err := target.GTID(ctx)
		if err != nil {
			return err
		}
		if at, err = gtidMerge(at, own); err != nil {
			return err
		}
	}
	return r.SetPosition(ctx, target, l.position(at))
}

// SetPosition runs a statement that sets a position.
func (r Replica) SetPosition(ctx context.Context, target *DB, q string) error {
	if _, err := target.ExecContext(ctx, q); err != nil {
		return fmt.Errorf("%s: %w", q, err)
	}
	return nil
}

// PutBack sets MariaDB's gtid_slave_pos on the target as SlavePosition found it.
func (r Replica) PutBack(ctx context.Context, target *DB, position string) error {
	if !target.Version.MariaDB {
		return nil
	}
	return r.SetPosition(ctx, target, r.link(target.Version).position(position))
}

// Told is what a replica's source keeps of it, for those who come after.
type Told struct {
	Databases []string `json:"databases"`
	Addr      string   `json:"addr"` // From
	Lock      bool     `json:"lock"` // as of Connect
}

// MakeCanary makes the canary's table on the source, from where it comes to
// the target by itself, and beside it what Tell reads.
func (r Replica) MakeCanary(ctx context.Context, source *DB, lock bool) error {
	told, err := json.Marshal(Told{r.Databases, r.From, lock})
	if err != nil {
		return err
	}
	return source.whileSuper(ctx, func() error {
		for _, q := range []string{"CREATE DATABASE IF NOT EXISTS " + Ident(r.Name),
			"CREATE TABLE IF NOT EXISTS " + Dotted(r.Name, canary) + " (id varchar(300) CHARACTER SET ascii NOT NULL PRIMARY KEY) ENGINE=InnoDB",
			"CREATE TABLE IF NOT EXISTS " + Dotted(r.Name, "told") + " (id int NOT NULL PRIMARY KEY, told longtext CHARACTER SET utf8mb4 NOT NULL) ENGINE=InnoDB",
			"REPLACE INTO " + Dotted(r.Name, "told") + " VALUES (1, " + String(string(told)) + ")"} {
			if _, err := source.ExecContext(ctx, q); err != nil {
				return fmt.Errorf("canary on the source: %w", err)
			}
		}
		return nil
	})
}

// Tell is what MakeCanary kept.
func (r Replica) Tell(ctx context.Context, source *DB) (t Told, err error) {
	told, err := strs(ctx, source, "SELECT told FROM "+Dotted(r.Name, "told"))
	if err != nil || len(told) == 0 {
		return t, errors.Join(err, fmt.Errorf("there is no replication %s by belay that is whole; nothing was changed", r.Name))
	}
	return t, json.Unmarshal([]byte(told[0]), &t)
}

// Lag is how far a replica is.
type Lag struct {
	There    bool  // the target knows of the replication
	Running  bool  // it is connected, and applies
	Filtered bool  // it follows our databases only
	Behind   int64 // transactions that the source has and the target has not applied
	Seconds  int64 // since the change was made that is being applied; -1 when not known
	Source   string
	Trouble  error // why it does not run; nil while it merely reconnects
	Stuck    bool  // a change cannot be applied: it does not mend itself
}

// Lag asks both sides.
func (r Replica) Lag(ctx context.Context, source, target *DB) (l Lag, err error) {
	if l.Source, err = source.GTID(ctx); err != nil {
		return l, fmt.Errorf("source: %w", err)
	}
	st, err := r.link(target.Version).status(ctx, target)
	if err != nil {
		return l, fmt.Errorf("target: %w", err)
	}
	l.There, l.Running, l.Filtered, l.Seconds, l.Stuck = st.there, st.io && st.sql, st.filtered, st.seconds, st.sqlError != ""
	if !l.Running && (st.ioError != "" || st.sqlError != "") {
		l.Trouble = r.explain(st)
	}
	l.Behind, err = r.behind(ctx, target, l.Source)
	return l, err
}

func (r Replica) behind(ctx context.Context, target *DB, position string) (int64, error) {
	if target.Version.MariaDB {
		at, err := SlavePosition(ctx, target)
		if err != nil {
			return 0, err
		}
		return gtidBehind(position, at)
	}
	left, err := strs(ctx, target, "SELECT GTID_SUBTRACT(?, @@global.gtid_executed)", position)
	if err != nil {
		return 0, err
	}
	return gtidSetSize(left[0]), nil
}

// Reached tells whether the target has applied all up to a position.
func (r Replica) Reached(ctx context.Context, target *DB, position string) (bool, error) {
	n, err := r.behind(ctx, target, position)
	return n == 0, err
}

// whileSuper does what super_read_only (MySQL) would refuse even belay: it is
// off meanwhile, and read_only stays as it is.
func (d *DB) whileSuper(ctx context.Context, do func() error) error {
	if d.Version.MariaDB {
		return do()
	}
	was, err := d.ReadOnly(ctx)
	if err != nil {
		return err
	}
	if !was.Super {
		return do()
	}
	if _, err := d.ExecContext(ctx, "SET GLOBAL super_read_only = OFF"); err != nil {
		return err
	}
	err = do()
	_, back := d.ExecContext(context.WithoutCancel(ctx), "SET GLOBAL super_read_only = ON")
	return errors.Join(err, back)
}
