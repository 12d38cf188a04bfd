package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Made is a database that belay made: dropped again only if it is that very
// one.
type Made struct {
	OID    uint32 `json:"oid"`
	System string `json:"system"` // identifier of the server's files
}

// admin logs in to a database of the server that is always there.
func (s Server) admin(ctx context.Context) (*pgx.Conn, error) {
	conn, err := s.With("postgres").Connect(ctx)
	if err == nil {
		return conn, nil
	}
	if conn, err2 := s.With("template1").Connect(ctx); err2 == nil {
		return conn, nil
	}
	return nil, err
}

const identifyQuery = `select d.oid, (select system_identifier::text from pg_catalog.pg_control_system()) from pg_catalog.pg_database d where d.datname = $1`

// Identify tells which database of which server s.Database is; false when
// there is none of that name.
func Identify(ctx context.Context, s Server) (m Made, found bool, err error) {
	conn, err := s.admin(ctx)
	if err != nil {
		return m, false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = conn.QueryRow(ctx, identifyQuery, s.Database).Scan(&m.OID, &m.System)
	if errors.Is(err, pgx.ErrNoRows) {
		return m, false, nil
	}
	return m, err == nil, err
}

// CreateDatabase makes to.Database with the encoding and the locale of
// from.Database. It is an error if there is one already.
func CreateDatabase(ctx context.Context, from, to Server) (Made, error) {
	src, err := from.Connect(ctx)
	if err != nil {
		return Made{}, err
	}
	defer src.Close(context.WithoutCancel(ctx))
	how, err := localeOf(ctx, src)
	if err != nil {
		return Made{}, fmt.Errorf("locale of %s: %w", from, err)
	}
	conn, err := to.admin(ctx)
	if err != nil {
		return Made{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "create database "+ident(to.Database)+" template template0 "+how); err != nil {
		return Made{}, fmt.Errorf("create database %s: %w", to, err)
	}
	var m Made
	return m, conn.QueryRow(ctx, identifyQuery, to.Database).Scan(&m.OID, &m.System)
}

// localeColumns are those of pg_database, by version, that tell the provider of
// a database's locale (c: the system), and its locale and rules there.
func localeColumns(version int, between string) string {
	columns := []string{"'c'", "null::text", "null::text"}
	switch {
	case version >= 170000:
		columns = []string{"datlocprovider::text", "datlocale::text", "daticurules::text"}
	case version >= 160000:
		columns = []string{"datlocprovider::text", "daticulocale::text", "daticurules::text"}
	case version >= 150000:
		columns = []string{"datlocprovider::text", "daticulocale::text", "null::text"}
	}
	return strings.Join(columns, between)
}

// localeOf are the options of CREATE DATABASE for one like conn's.
func localeOf(ctx context.Context, conn *pgx.Conn) (string, error) {
	var encoding, collate, ctype, provider string
	var locale *string
	var rules *string
	err := conn.QueryRow(ctx, "select pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype, "+localeColumns(versionOf(conn), ", ")+
		" from pg_catalog.pg_database where datname = current_database()").Scan(&encoding, &collate, &ctype, &provider, &locale, &rules)
	if err != nil {
		return "", err
	}
	how := "encoding " + literal(encoding) + " lc_collate " + literal(collate) + " lc_ctype " + literal(ctype)
	if locale != nil && provider == "i" {
		how += " locale_provider icu icu_locale " + literal(*locale)
	}
	if rules != nil && provider == "i" {
		how += " icu_rules " + literal(*rules)
	}
	if locale != nil && provider == "b" {
		how += " locale_provider builtin builtin_locale " + literal(*locale)
	}
	return how, nil
}

// DropDatabase drops s.Database, with whoever is logged in to it, if it is the
// one that was made; none of that name is as well.
func DropDatabase(ctx context.Context, s Server, made Made) error {
	now, found, err := Identify(ctx, s)
	if err != nil || !found {
		return err
	}
	if now != made {
		return fmt.Errorf("%s is not the database that this step made: somebody dropped that one and made another; it is left alone", s)
	}
	conn, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, "drop database if exists "+ident(s.Database)+" with (force)")
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "42601" { // before version 13
		_, _ = conn.Exec(ctx, "select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity where datname = $1", s.Database)
		_, err = conn.Exec(ctx, "drop database if exists "+ident(s.Database))
	}
	if err != nil {
		return fmt.Errorf("drop database %s: %w", s, err)
	}
	return nil
}

// CopyProperties gives the target's database what belongs to the source's as a
// whole: its owner and grants, its settings, its comment. What may not be done
// is returned in words.
func CopyProperties(ctx context.Context, from, to Server, owners bool) (notes []string, err error) {
	src, err := from.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer src.Close(context.WithoutCancel(ctx))
	all, err := properties(ctx, src, to.Database, owners)
	if err != nil {
		return nil, fmt.Errorf("settings of %s: %w", from, err)
	}
	conn, err := to.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range all {
		_, err := conn.Exec(ctx, sql)
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
			notes = append(notes, sql+": left out: "+pg.Message)
		} else if err != nil {
			return notes, fmt.Errorf("%s: %s: %w", to, sql, err)
		}
	}
	return notes, nil
}

func properties(ctx context.Context, src *pgx.Conn, name string, owners bool) ([]string, error) {
	var all []string
	var owner string
	var comment *string
	err := src.QueryRow(ctx, `select pg_catalog.pg_get_userbyid(datdba), pg_catalog.shobj_description(oid, 'pg_database')
		from pg_catalog.pg_database where datname = current_database()`).Scan(&owner, &comment)
	if err != nil {
		return nil, err
	}
	db := ident(name)
	if owners {
		all = append(all, "alter database "+db+" owner to "+ident(owner))
		err = query(ctx, src, func(rows pgx.Rows) error {
			var privilege, grantee string
			var grantable bool
			err := rows.Scan(&privilege, &grantee, &grantable)
			if len(all) == 1 {
				all = append(all, "revoke all on database "+db+" from public")
			}
			to := "public"
			if grantee != "" {
				to = ident(grantee)
			}
			all = append(all, "grant "+privilege+" on database "+db+" to "+to+map[bool]string{true: " with grant option"}[grantable])
			return err
		}, `select a.privilege_type, case a.grantee when 0 then '' else pg_catalog.pg_get_userbyid(a.grantee) end, a.is_grantable
			from pg_catalog.pg_database d, aclexplode(d.datacl) a where d.datname = current_database() and a.grantee <> d.datdba`)
		if err != nil {
			return nil, err
		}
	}
	if comment != nil {
		all = append(all, "comment on database "+db+" is "+literal(*comment))
	}
	err = query(ctx, src, func(rows pgx.Rows) error {
		var role string
		var config []string
		err := rows.Scan(&role, &config)
		of := "alter database " + db
		if role != "" {
			if !owners {
				return err
			}
			of = "alter role " + ident(role) + " in database " + db
		}
		for _, c := range config {
			if set := setting(c); set != "" {
				all = append(all, of+" set "+set)
			}
		}
		return err
	}, `select coalesce(r.rolname, ''), s.setconfig from pg_catalog.pg_db_role_setting s left join pg_catalog.pg_roles r on r.oid = s.setrole
		where s.setdatabase = (select oid from pg_catalog.pg_database where datname = current_database()) and (s.setrole = 0 or r.oid is not null)`)
	return all, err
}

// lists are settings whose value is a list of names, kept quoted
// (GUC_LIST_QUOTE in PostgreSQL's source; pg_dump knows the same).
var lists = []string{"search_path", "session_preload_libraries", "shared_preload_libraries", "local_preload_libraries", "temp_tablespaces", "unix_socket_directories"}

// setting turns "name=value" as the catalogue has it to what SET takes. That a
// database only reads is how a source is frozen, not how it is to be.
func setting(kv string) string {
	name, value, ok := strings.Cut(kv, "=")
	if !ok || name == "default_transaction_read_only" {
		return ""
	}
	if !slices.Contains(lists, strings.ToLower(name)) {
		return identPath(name) + " to " + literal(value)
	}
	var items []string
	for rest := strings.TrimSpace(value); rest != ""; rest = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(rest), ",")) {
		item := ""
		if strings.HasPrefix(rest, `"`) {
			rest = rest[1:]
			for {
				i := strings.IndexByte(rest, '"')
				if i < 0 {
					return ""
				}
				item += rest[:i]
				if rest = rest[i+1:]; !strings.HasPrefix(rest, `"`) {
					break
				}
				item, rest = item+`"`, rest[1:]
			}
		} else {
			i := strings.IndexByte(rest+",", ',')
			item, rest = strings.TrimSpace(rest[:i]), rest[i:]
		}
		items = append(items, literal(item))
	}
	if len(items) == 0 {
		items = []string{"''"}
	}
	return identPath(name) + " to " + strings.Join(items, ", ")
}

// identPath quotes a setting's name, which may be of an extension: a.b
func identPath(name string) string { return ident(strings.Split(name, ".")...) }
