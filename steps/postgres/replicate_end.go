package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// StopTarget drops the subscription and the canary on the target without
// asking the source, and returns the beginning of the names of the slots that
// its first copies may have left there. tables are emptied, if the
// subscription was still there to fill them; emptied tells so.
func (r Replica) StopTarget(ctx context.Context, c *pgx.Conn, tables []ReplicaTable) (slots string, emptied bool, err error) {
	name := QuoteName(r.Name)
	const q = `select 'pg_' || s.oid || '_sync_' from pg_catalog.pg_subscription s join pg_catalog.pg_database d on d.oid = s.subdbid
		where s.subname = $1 and d.datname = current_database()`
	err = c.QueryRow(ctx, q, r.Name).Scan(&slots)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		tables = nil
	case err != nil:
		return "", false, err
	default:
		drop := "alter subscription " + name + " disable; alter subscription " + name + " set (slot_name = none); drop subscription " + name
		if err := Run(ctx, c, "begin; "+drop+"; commit", nil); err != nil {
			return slots, false, fmt.Errorf("drop the subscription on the target: %w", err)
		}
	}
	if len(tables) > 0 {
		var list []string
		for _, t := range tables {
			list = append(list, t.quoted())
		}
		if err := Run(ctx, c, "truncate "+strings.Join(list, ", "), nil); err != nil {
			return slots, false, fmt.Errorf("empty the tables of the target again: %w", err)
		}
	}
	return slots, len(tables) > 0, Run(ctx, c, "drop schema if exists "+name+" cascade", nil)
}

// StopSource drops the slot, those that the target's first copies left
// (their names begin with slots), the publication and the canary. It needs
// nothing of the target: whoever uses a slot is ended.
func (r Replica) StopSource(ctx context.Context, c *pgx.Conn, slots string) error {
	for until := time.Now().Add(20 * time.Second); ; {
		rows, err := c.Query(ctx, `select slot_name, coalesce(active_pid, 0) from pg_catalog.pg_replication_slots
			where database = current_database() and (slot_name = $1 or $2 <> '' and starts_with(slot_name, $2))`, r.Name, slots)
		if err != nil {
			return err
		}
		type slot struct {
			Name string
			PID  int32
		}
		left, err := pgx.CollectRows(rows, pgx.RowToStructByPos[slot])
		if err != nil {
			return err
		}
		if len(left) == 0 {
			break
		}
		for _, s := range left {
			if s.PID != 0 {
				_, err = c.Exec(ctx, "select pg_catalog.pg_terminate_backend($1)", s.PID)
			} else {
				_, err = c.Exec(ctx, "select pg_catalog.pg_drop_replication_slot($1)", s.Name)
			}
			if err != nil && (Code(err) != "55006" && Code(err) != "42704" || time.Now().After(until)) { // in use again, or gone
				return fmt.Errorf("drop replication slot %s on the source: %w; until that is done the source keeps its log for it, and its disk fills", s.Name, Explain("", 1, err))
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
	name := QuoteName(r.Name)
	return Run(ctx, c, "drop publication if exists "+name+"; drop schema if exists "+name+" cascade", nil)
}

// Drain waits until the target has confirmed all that the source had written
// when Drain was called, and a row that is written after that has arrived. The
// source must be frozen, or there is no end to it.
func (r Replica) Drain(ctx context.Context, source, target *pgx.Conn, id string, said func(Lag)) error {
	var upTo string
	if err := source.QueryRow(ctx, "select pg_catalog.pg_current_wal_lsn()::text").Scan(&upTo); err != nil {
		return err
	}
	for {
		l, err := r.Lag(ctx, source, target)
		if err != nil {
			return err
		}
		said(l)
		var done bool
		if err := source.QueryRow(ctx, "select confirmed_flush_lsn >= $2::text::pg_lsn from pg_catalog.pg_replication_slots where slot_name = $1", r.Name, upTo).Scan(&done); err != nil {
			return err
		}
		if done && l.Ready == l.Tables {
			break
		}
		if err := rest(ctx); err != nil {
			return fmt.Errorf("%w: the target has not confirmed all up to %s (%d bytes are missing, %d of %d tables are ready)", err, upTo, l.Bytes, l.Ready, l.Tables)
		}
	}
	table := QuoteName(r.Name, canary)
	if _, err := source.Exec(ctx, "insert into "+table+" values ($1) on conflict do nothing", id); err != nil {
		return fmt.Errorf("canary row: %w", Explain("", 1, err))
	}
	for {
		var there bool
		if err := target.QueryRow(ctx, "select exists (select from "+table+" where id = $1)", id).Scan(&there); err != nil || there {
			return err
		}
		if err := rest(ctx); err != nil {
			return fmt.Errorf("%w: the canary row has not arrived on the target", err)
		}
	}
}

func rest(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(50 * time.Millisecond):
		return nil
	}
}

// replicaSequence is one sequence with where it stands.
type replicaSequence struct {
	Schema, Name       string
	Last               *int64 // nil: never used
	Step, Min, Max     int64
	OwnSchema, OwnName *string // table of the column that it serves
	Column             *string
}

func replicaSequences(ctx context.Context, c *pgx.Conn) ([]replicaSequence, error) {
	const q = `select s.schemaname, s.sequencename, s.last_value, s.increment_by, s.min_value, s.max_value, tn.nspname, t.relname, a.attname
		from pg_catalog.pg_sequences s
		join pg_catalog.pg_namespace n on n.nspname = s.schemaname
		join pg_catalog.pg_class k on k.relnamespace = n.oid and k.relname = s.sequencename
		left join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_class'::regclass and d.objid = k.oid and d.deptype in ('a', 'i')
			and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjsubid > 0
		left join pg_catalog.pg_class t on t.oid = d.refobjid left join pg_catalog.pg_namespace tn on tn.oid = t.relnamespace
		left join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum = d.refobjsubid
		where s.schemaname !~ '^pg_' order by 1, 2`
	rows, err := c.Query(ctx, q)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[replicaSequence])
}

// Sequences moves every sequence of the target beyond the source's, by margin
// steps, and beyond what its column holds: logical replication leaves them
// where they were. Calling it again while the source stands still changes
// nothing. It returns how many were moved. except holds names such as
// public.users_id_seq.
func Sequences(ctx context.Context, source, target *pgx.Conn, margin int64, except ...string) (moved int, err error) {
	all, err := replicaSequences(ctx, source)
	if err != nil {
		return 0, err
	}
	for _, s := range all {
		if slices.Contains(except, s.Schema+"."+s.Name) {
			continue
		}
		to, err := s.beyond(ctx, target, margin)
		if err != nil {
			return moved, fmt.Errorf("sequence %s.%s on the target: %w", s.Schema, s.Name, Explain("", 1, err))
		}
		if to == nil {
			continue // neither used nor outrun: as it was made
		}
		if _, err := target.Exec(ctx, "select pg_catalog.setval($1::text::regclass, $2)", QuoteName(s.Schema, s.Name), *to); err != nil {
			return moved, fmt.Errorf("sequence %s.%s on the target: %w", s.Schema, s.Name, Explain("", 1, err))
		}
		moved++
	}
	return moved, nil
}

// beyond is where a sequence shall stand.
func (s replicaSequence) beyond(ctx context.Context, target *pgx.Conn, margin int64) (*int64, error) {
	further := func(a, b int64) int64 {
		if s.Step > 0 {
			return max(a, b)
		}
		return min(a, b)
	}
	var to *int64
	if s.Last != nil {
		v := *s.Last
		if add := s.Step * margin; s.Step > 0 && v <= s.Max-add || s.Step < 0 && v >= s.Min-add {
			v += add // else there is no room for a margin
		}
		to = &v
	}
	if s.Column == nil {
		return to, nil
	}
	side := "max"
	if s.Step < 0 {
		side = "min"
	}
	var held *int64
	err := target.QueryRow(ctx, "select "+side+"("+QuoteName(*s.Column)+")::bigint from "+QuoteName(*s.OwnSchema, *s.OwnName)).Scan(&held)
	if err == nil && held != nil && *held >= s.Min && *held <= s.Max {
		if to != nil {
			*held = further(*held, *to)
		}
		to = held
	}
	return to, err
}

// SequencesMissing names the sequences of the source that the target has not
// got: better known before the first copy than while the source is frozen.
func SequencesMissing(ctx context.Context, source, target *pgx.Conn) (names []string, err error) {
	old, err := replicaSequences(ctx, source)
	if err != nil {
		return nil, err
	}
	now, err := replicaSequences(ctx, target)
	if err != nil {
		return nil, err
	}
	there := map[[2]string]bool{}
	for _, s := range now {
		there[[2]string{s.Schema, s.Name}] = true
	}
	for _, s := range old {
		if !there[[2]string{s.Schema, s.Name}] {
			names = append(names, s.Schema+"."+s.Name)
		}
	}
	return names, nil
}

// Behind names the sequences of the target that would give out a value which
// the source gave out already.
func Behind(ctx context.Context, source, target *pgx.Conn) (names []string, err error) {
	old, err := replicaSequences(ctx, source)
	if err != nil {
		return nil, err
	}
	now, err := replicaSequences(ctx, target)
	if err != nil {
		return nil, err
	}
	at := map[[2]string]*int64{}
	for _, s := range now {
		at[[2]string{s.Schema, s.Name}] = s.Last
	}
	for _, s := range old {
		last := at[[2]string{s.Schema, s.Name}]
		if s.Last != nil && (last == nil || s.Step > 0 && *last < *s.Last || s.Step < 0 && *last > *s.Last) {
			names = append(names, s.Schema+"."+s.Name)
		}
	}
	return names, nil
}
