package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"belay/remote/secret"
)

// Role is a role of the source that its database needs.
type Role struct {
	Name     string
	Options  []string // words of CREATE ROLE that anybody who makes roles may give
	Strong   []string // those that take a superuser
	Login    bool
	Until    string       // of the password
	Verifier secret.Value // of the password, where it may be read
	Config   []string     // name=value
	MemberOf []Membership
}

// Membership of a role in another, with its options: since 16 each has its own
// to inherit and to SET ROLE; before, a role inherits from all or from none.
type Membership struct {
	Role                string
	Admin, Inherit, Set bool
}

// memberships are the rows rolname, admin, inherit, set, granted (by the server
// itself, to who made the role) of a role r.
func memberships(version int) string {
	options := "r.rolinherit as inherit, true as set, false as granted"
	if version >= 160000 {
		options = "bool_or(m.inherit_option) as inherit, bool_or(m.set_option) as set, bool_and(m.grantor = 10) as granted" // 10: the role of initdb
	}
	return `select g.rolname::text, bool_or(m.admin_option) as admin, ` + options + `
		from pg_catalog.pg_auth_members m join pg_catalog.pg_roles g on g.oid = m.roleid where m.member = r.oid group by g.rolname`
}

// grant is the statement that makes role a member, on a server of a version.
func (m Membership) grant(role string, version int) string {
	sql := "grant " + ident(m.Role) + " to " + ident(role)
	switch {
	case version >= 160000:
		return fmt.Sprintf("%s with admin %t, inherit %t, set %t", sql, m.Admin, m.Inherit, m.Set)
	case m.Admin:
		return sql + " with admin option"
	}
	return sql
}

// rolesQuery finds roles that own something in the database or were granted
// something, with all whose members they are, and all that are members of them.
const rolesQuery = `with recursive needed(oid) as (
	select refobjid from pg_catalog.pg_shdepend where refclassid = 'pg_catalog.pg_authid'::regclass
		and dbid = (select oid from pg_catalog.pg_database where datname = current_database())
	union select datdba from pg_catalog.pg_database where datname = current_database()
	union select a.grantee from pg_catalog.pg_database d, aclexplode(d.datacl) a where d.datname = current_database()
	union select s.setrole from pg_catalog.pg_db_role_setting s where s.setdatabase = (select oid from pg_catalog.pg_database where datname = current_database())
	union select x.oid from needed n, lateral (select m.roleid as oid from pg_catalog.pg_auth_members m where m.member = n.oid
		union select m.member from pg_catalog.pg_auth_members m where m.roleid = n.oid and n.oid >= 16384) x
)
select r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication, r.rolbypassrls, r.rolconnlimit,
	coalesce(r.rolvaliduntil::text, ''), coalesce(r.rolconfig, '{}'), coalesce(p.verifier, ''),
	coalesce((select json_agg(json_build_object('Role', m.rolname, 'Admin', m.admin, 'Inherit', m.inherit, 'Set', m.set) order by m.rolname) from (%s) m), '[]')::text
from pg_catalog.pg_roles r left join (%s) p on p.oid = r.oid
where r.oid in (select oid from needed) and r.rolname !~ '^pg_' order by 1`

// Roles lists what the database of from needs, and tells whether the
// verifiers of the passwords could be read.
func Roles(ctx context.Context, from Server) (all []Role, verifiers bool, err error) {
	conn, err := from.Connect(ctx)
	if err != nil {
		return nil, false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := conn.QueryRow(ctx, "select has_table_privilege('pg_catalog.pg_authid', 'select')").Scan(&verifiers); err != nil {
		return nil, false, err
	}
	read := "select 0::oid as oid, ''::text as verifier"
	if verifiers {
		read = "select oid, rolpassword as verifier from pg_catalog.pg_authid"
	}
	err = query(ctx, conn, func(rows pgx.Rows) error {
		var r Role
		var super, inherit, createrole, createdb, replication, bypass bool
		var limit int
		var verifier, members string
		err := rows.Scan(&r.Name, &super, &inherit, &createrole, &createdb, &r.Login, &replication, &bypass, &limit, &r.Until, &r.Config, &verifier, &members)
		if err == nil {
			err = json.Unmarshal([]byte(members), &r.MemberOf)
		}
		for word, on := range map[string]bool{"noinherit": !inherit, "createrole": createrole, "createdb": createdb, fmt.Sprintf("connection limit %d", limit): limit >= 0} {
			if on {
				r.Options = append(r.Options, word)
			}
		}
		for word, on := range map[string]bool{"superuser": super, "replication": replication, "bypassrls": bypass} {
			if on {
				r.Strong = append(r.Strong, word)
			}
		}
		r.Verifier = secret.New(verifier)
		all = append(all, r)
		return err
	}, fmt.Sprintf(rolesQuery, memberships(versionOf(conn)), read))
	if err != nil {
		return nil, false, fmt.Errorf("list the roles of %s: %w", from, err)
	}
	return all, verifiers, nil
}

// Missing tells which roles the server of to does not have.
func Missing(ctx context.Context, to Server, all []Role) (missing []Role, err error) {
	conn, err := to.admin(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, r := range all {
		var there bool
		if err := conn.QueryRow(ctx, "select exists (select from pg_catalog.pg_roles where rolname = $1)", r.Name).Scan(&there); err != nil {
			return nil, err
		}
		if !there {
			missing = append(missing, r)
		}
	}
	return missing, nil
}

// Outdated names those of all whose passwords the server of to takes as MD5 sums,
// which it gives up one day: https://www.postgresql.org/docs/18/release-18.html
// ("Deprecate MD5 password authentication").
func Outdated(ctx context.Context, to Server, all []Role) (names []string, err error) {
	for _, r := range all {
		if strings.HasPrefix(r.Verifier.Reveal(), "md5") {
			names = append(names, r.Name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	conn, err := to.admin(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if versionOf(conn) < 180000 {
		return nil, nil
	}
	return names, nil
}

// MakeRoles makes those of all that the server of to does not have, with their
// memberships and settings. passwords are new ones by role; they count more
// than verifiers, and reach the server as verifiers. A role that should log in
// and has neither may not log in. made is called after each; notes say what is
// not as on the source.
func MakeRoles(ctx context.Context, to Server, all []Role, passwords map[string]secret.Value, made func(name string) error) (notes []string, err error) {
	missing, err := Missing(ctx, to, all)
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	conn, err := to.admin(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, r := range missing {
		note, mine, err := r.make(ctx, conn, passwords[r.Name])
		if err != nil {
			return notes, fmt.Errorf("create role %s on %s: %w", r.Name, to.Host.Name, err)
		}
		if note != "" {
			notes = append(notes, note)
		}
		if mine {
			if err := made(r.Name); err != nil {
				return notes, err
			}
		}
	}
	for _, r := range missing {
		for _, m := range r.MemberOf {
			if _, err := conn.Exec(ctx, m.grant(r.Name, versionOf(conn))); err != nil {
				notes = append(notes, fmt.Sprintf("role %s is not made a member of %s: %v", r.Name, m.Role, err))
			}
		}
		for _, kv := range r.Config {
			if set := setting(kv); set != "" {
				if _, err := conn.Exec(ctx, "alter role "+ident(r.Name)+" set "+set); err != nil {
					notes = append(notes, fmt.Sprintf("setting %s of role %s is left out: %v", set, r.Name, err))
				}
			}
		}
	}
	return notes, nil
}

// make creates one role. mine is false when somebody else just did.
func (r Role) make(ctx context.Context, conn *pgx.Conn, password secret.Value) (note string, mine bool, err error) {
	words := append([]string{}, r.Options...)
	if r.Login {
		word, err := r.password(password)
		if err != nil {
			return "", false, err
		}
		if word == "" {
			note = fmt.Sprintf("role %s may not log in: its password could not be read and none is given; give one, or ALTER ROLE … LOGIN PASSWORD later", r.Name)
		} else {
			words = append(words, "login", "password "+word)
		}
	}
	if r.Until != "" {
		words = append(words, "valid until "+literal(r.Until))
	}
	create := func(more ...string) error {
		_, err := conn.Exec(ctx, "create role "+ident(r.Name)+" "+strings.Join(append(words, more...), " "), pgx.QueryExecModeSimpleProtocol)
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
			return &pgconn.PgError{Severity: pg.Severity, Code: pg.Code, Message: pg.Message} // without what may quote the statement
		}
		return err
	}
	err = create(r.Strong...)
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if ok && pg.Code == "42501" && len(r.Strong) > 0 {
		note = strings.TrimPrefix(note+fmt.Sprintf("; role %s is made without %s, which takes a superuser", r.Name, strings.Join(r.Strong, ", ")), "; ")
		err = create()
		pg, ok = errors.AsType[*pgconn.PgError](err)
	}
	if ok && pg.Code == "42710" {
		return "", false, nil
	}
	return note, err == nil, err
}

// password is the word after PASSWORD; empty when there is none to give.
func (r Role) password(given secret.Value) (string, error) {
	if p := given.Reveal(); p != "" {
		for i := range len(p) {
			if p[i] < 0x20 || p[i] > 0x7e { // the server prepares such text in its own way (RFC 4013)
				return literal(p), nil
			}
		}
		v, err := scramVerifier(p)
		return literal(v), err
	}
	if v := r.Verifier.Reveal(); v != "" {
		return literal(v), nil
	}
	return "", nil
}

// scramVerifier is what a server keeps of a password (RFC 5803), so that the
// password itself is in no statement that it might log.
func scramVerifier(password string) (string, error) {
	const rounds = 4096 // PostgreSQL's own
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return "", err
	}
	sign := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(sign("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", rounds, b64(salt), b64(stored[:]), b64(sign("Server Key"))), nil
}

// DropRoles drops roles that were made, save those that meanwhile own or may
// do something: kept says why.
func DropRoles(ctx context.Context, s Server, names []string) (kept []string, err error) {
	conn, err := s.admin(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, n := range names {
		_, err := conn.Exec(ctx, "drop role if exists "+ident(n))
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
			kept = append(kept, fmt.Sprintf("role %s stays: %s", n, pg.Message))
		} else if err != nil {
			return kept, err
		}
	}
	return kept, nil
}
