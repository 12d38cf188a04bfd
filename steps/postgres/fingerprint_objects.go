package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"belay/steps/compare"
)

// objectsOf are the queries for a schema's objects. Each gives schema, name
// within it, the owning table or "", what must be equal, and a note. Objects
// of extensions and of the server itself are left out by ours. $older stands for
// the version of the older of both servers.
var objectsOf = []struct {
	kind   string
	owners bool // only when owners and grants are compared
	sql    string
}{
	{"table", false, `select n.nspname, c.relname, '', concat_ws('; ',
			case c.relkind when 'p' then 'partitioned by ' || pg_catalog.pg_get_partkeydef(c.oid) when 'f' then 'foreign' end,
			case c.relpersistence when 'u' then 'unlogged' end,
			case when c.relispartition then 'partition ' || pg_catalog.pg_get_expr(c.relpartbound, c.oid) end,
			case when c.relrowsecurity then 'row level security' || case when c.relforcerowsecurity then ' forced' else '' end end,
			(select string_agg(format('%I %s%s%s%s%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
				case when a.attnotnull then ' not null' else '' end,
				-- Partitions have the identity of their table since 17.
				case when c.relispartition and $older < 170000 then '' when a.attidentity = 'a' then ' identity always' when a.attidentity = 'd' then ' identity' else '' end,
				case a.attgenerated when '' then '' when 'v' then ' generated virtual' else ' generated' end,
				coalesce(' default ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid), '')), ', ' order by a.attnum)
			from pg_catalog.pg_attribute a left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
			where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)), '', c.oid, 'pg_class'
		from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p', 'f') and c.relpersistence <> 't'`},
	{"view", false, `select n.nspname, c.relname, '', pg_catalog.pg_get_viewdef(c.oid), '', c.oid, 'pg_class'
		from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind = 'v'`},
	{"materialized view", false, `select n.nspname, c.relname, '', case when c.relispopulated then '' else 'not populated: ' end || pg_catalog.pg_get_viewdef(c.oid), '', c.oid, 'pg_class'
		from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind = 'm'`},
	{"index", false, `select n.nspname, c.relname, t.relname, pg_catalog.pg_get_indexdef(c.oid) || case when x.indisvalid then '' else ' (not valid)' end, '', t.oid, 'pg_class'
		from pg_catalog.pg_class c join pg_catalog.pg_index x on x.indexrelid = c.oid join pg_catalog.pg_class t on t.oid = x.indrelid
		join pg_catalog.pg_namespace n on n.oid = c.relnamespace`},
	{"constraint", false, `select n.nspname, k.conname, coalesce(t.relname, y.typname), pg_catalog.pg_get_constraintdef(k.oid) || case when k.convalidated then '' else ' (not validated)' end, '',
		coalesce(t.oid, y.oid), case when t.oid is null then 'pg_type' else 'pg_class' end
		from pg_catalog.pg_constraint k join pg_catalog.pg_namespace n on n.oid = k.connamespace
		left join pg_catalog.pg_class t on t.oid = k.conrelid left join pg_catalog.pg_type y on y.oid = k.contypid where k.contype in ('p', 'u', 'c', 'f', 'x')`},
	{"trigger", false, `select n.nspname, g.tgname, t.relname, pg_catalog.pg_get_triggerdef(g.oid) || case g.tgenabled when 'O' then '' else ' (enabled: ' || g.tgenabled::text || ')' end, '', t.oid, 'pg_class'
		from pg_catalog.pg_trigger g join pg_catalog.pg_class t on t.oid = g.tgrelid join pg_catalog.pg_namespace n on n.oid = t.relnamespace where not g.tgisinternal`},
	{"rule", false, `select n.nspname, r.rulename, t.relname, pg_catalog.pg_get_ruledef(r.oid), '', t.oid, 'pg_class'
		from pg_catalog.pg_rewrite r join pg_catalog.pg_class t on t.oid = r.ev_class join pg_catalog.pg_namespace n on n.oid = t.relnamespace where r.rulename <> '_RETURN'`},
	{"policy", false, `select n.nspname, p.polname, t.relname, concat_ws(' ', case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
			case when p.polpermissive then '' else 'restrictive' end,
			'to ' || (select string_agg(case when r = 0 then 'public' else pg_catalog.pg_get_userbyid(r) end, ', ' order by pg_catalog.pg_get_userbyid(r) collate "C") from unnest(p.polroles) r),
			'using ' || pg_catalog.pg_get_expr(p.polqual, p.polrelid), 'with check ' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid)), '', t.oid, 'pg_class'
		from pg_catalog.pg_policy p join pg_catalog.pg_class t on t.oid = p.polrelid join pg_catalog.pg_namespace n on n.oid = t.relnamespace`},
	{"function", false, `select n.nspname, p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')', '',
			case when p.prokind = 'a' then 'aggregate ' || pg_catalog.pg_get_function_result(p.oid) else pg_catalog.pg_get_functiondef(p.oid) end, '', p.oid, 'pg_proc'
		from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
		where not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'i')`},
	{"type", false, `select n.nspname, t.typname, '', case t.typtype when 'e' then 'enum ' || (select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_catalog.pg_enum where enumtypid = t.oid)
			when 'd' then concat_ws(' ', 'domain', pg_catalog.format_type(t.typbasetype, t.typtypmod), case when t.typnotnull then 'not null' end, 'default ' || t.typdefault)
			when 'c' then 'composite ' || (select string_agg(format('%I %s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum) from pg_catalog.pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped)
			when 'r' then 'range' else 'base' end, '', t.oid, 'pg_type'
		from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
		where t.typtype in ('e', 'd', 'r', 'b') and t.typelem = 0 or t.typtype = 'c' and exists (select from pg_catalog.pg_class c where c.oid = t.typrelid and c.relkind = 'c')`},
	{"statistics", false, `select n.nspname, s.stxname, '', pg_catalog.pg_get_statisticsobjdef(s.oid), '', s.oid, 'pg_statistic_ext'
		from pg_catalog.pg_statistic_ext s join pg_catalog.pg_namespace n on n.oid = s.stxnamespace`},
	{"owner and grants", true, `select n.nspname, c.relname, '', pg_catalog.pg_get_userbyid(c.relowner) || ': ' || ` + aclText("c.relacl", `(case c.relkind when 'S' then 's' else 'r' end)::"char"`, "c.relowner") + ` ||
			coalesce((select string_agg(' ' || quote_ident(a.attname) || ' ' || ` + aclText("a.attacl", `'c'::"char"`, "c.relowner") + `, ',' order by a.attnum) from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attacl is not null), ''),
			'', c.oid, 'pg_class'
		from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f') and c.relpersistence <> 't'`},
	{"owner and grants of schema", true, `select n.nspname, '', '', pg_catalog.pg_get_userbyid(n.nspowner) || ': ' || ` + aclText("n.nspacl", `'n'::"char"`, "n.nspowner") + `, '', n.oid, 'pg_namespace' from pg_catalog.pg_namespace n`},
	{"owner and grants of function", true, `select n.nspname, p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')', '', pg_catalog.pg_get_userbyid(p.proowner) || ': ' || ` + aclText("p.proacl", `'f'::"char"`, "p.proowner") + `, '', p.oid, 'pg_proc'
		from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace`},
}

// aclText writes a list of grants in an order of its own, with the default
// spelled out where there is none. The right to MAINTAIN is new with 17, where
// owners have it, and who was granted all.
func aclText(acl, kind, owner string) string {
	return fmt.Sprintf(`coalesce((select string_agg(x.grantee || '=' || x.privileges, ' ' order by x.grantee collate "C") from (
		select case e.grantee when 0 then 'public' else pg_catalog.pg_get_userbyid(e.grantee) end as grantee,
			string_agg(e.privilege_type || case when e.is_grantable then '*' else '' end, ',' order by e.privilege_type collate "C") as privileges
		from pg_catalog.aclexplode(coalesce(%s, pg_catalog.acldefault(%s, %s))) e where $older >= 170000 or e.privilege_type <> 'MAINTAIN' group by 1) x), '')`, acl, kind, owner)
}

// ours leaves out what the server or an extension brought.
const ours = `select * from (%s) as o(schema, name, owner, print, note, id, class)
	where schema !~ '^pg_' and schema <> 'information_schema' and schema <> '` + claimSchema + `' and id >= 16384
		and not exists (select from pg_catalog.pg_depend d where d.classid = ('pg_catalog.' || class)::regclass and d.objid = id and d.deptype = 'e')`

// Objects lists the database; see compare.Side.
func (s *Side) Objects(ctx context.Context) ([]compare.Object, error) {
	var all []compare.Object
	for _, q := range objectsOf {
		if q.owners && !s.o.Owners {
			continue
		}
		sql := fmt.Sprintf(ours, q.sql)
		if q.kind == "owner and grants of schema" { // "public" has a low number
			sql = fmt.Sprintf(ours, q.sql+" where n.oid >= 16384 or n.nspname = 'public'")
		}
		some, err := s.objectsIn(ctx, q.kind, sql)
		if err != nil {
			return nil, fmt.Errorf("list each %s of %s: %w", q.kind, s.snap.s, err)
		}
		all = append(all, some...)
	}
	more, err := s.objectsBeside(ctx)
	if err != nil {
		return nil, err
	}
	all = append(all, more...)
	slices.SortStableFunc(all, func(a, b compare.Object) int {
		if a.Data != b.Data {
			if a.Data {
				return -1
			}
			return 1
		}
		if !a.Data {
			return 0
		}
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

func (s *Side) objectsIn(ctx context.Context, kind, sql string) ([]compare.Object, error) {
	var all []compare.Object
	err := s.snap.Query(ctx, func(rows pgx.Rows) error {
		var schema, name, owner, class string
		var id uint32
		o := compare.Object{Kind: kind}
		if err := rows.Scan(&schema, &name, &owner, &o.Print, &o.Note, &id, &class); err != nil {
			return err
		}
		of := name
		if owner != "" {
			of = owner
		}
		if !s.o.table(schema, of) {
			return nil
		}
		switch {
		case name == "":
			o.Name = schema
		case kind == "function" || kind == "owner and grants of function":
			o.Name = schema + "." + name
		case owner != "" && kind != "index":
			o.Name = Named(schema, owner) + " " + name
		default:
			o.Name = Named(schema, name)
		}
		if s.older() < 160000 && max(s.snap.Version, s.beside) >= 160000 && (kind == "view" || kind == "materialized view") {
			o.Print = unprefixed(o.Print)
		}
		if r, ok := s.rel[o.Name]; ok && (kind == "table" || kind == "materialized view") {
			o.Data, o.Bytes = true, r.size
		}
		all = append(all, o)
		return nil
	}, strings.ReplaceAll(sql, "$older", strconv.Itoa(s.older())))
	return all, err
}

// objectsBeside are those of no schema, and those that are read in their own way.
func (s *Side) objectsBeside(ctx context.Context) ([]compare.Object, error) {
	sequences, err := readSequences(ctx, s.snap, s.o.Scope)
	if err != nil {
		return nil, err
	}
	var all []compare.Object
	for _, q := range sequences {
		all = append(all, compare.Object{Kind: "sequence", Name: Named(q.schema, q.name), Print: fmt.Sprintf("at %d, %s", q.last, map[bool]string{true: "given out", false: "not given out yet"}[q.called]), Next: q.next()},
			compare.Object{Kind: "definition of sequence", Name: Named(q.schema, q.name), Print: q.kind}) // where it stands may differ
	}
	plain := []struct{ kind, sql string }{
		{"extension", `select extname, 'installed', 'version ' || extversion from pg_catalog.pg_extension`},
		{"event trigger", `select evtname, concat_ws(' ', evtevent, evtfoid::regproc::text, evtenabled::text), '' from pg_catalog.pg_event_trigger`},
		{"publication", `select pubname, concat_ws(' ', case when puballtables then 'all tables' else
				coalesce((select string_agg(format('%I.%I', schemaname, tablename), ', ' order by schemaname collate "C", tablename collate "C") from pg_catalog.pg_publication_tables t where t.pubname = p.pubname), 'no table') end,
				case when pubinsert then 'insert' end, case when pubupdate then 'update' end, case when pubdelete then 'delete' end), '' from pg_catalog.pg_publication p where pubname !~ '^belay_'`},
		{"setting", `select 'encoding', current_setting('server_encoding'), ''`},
		{"setting", `select 'collation', concat_ws(' ', datcollate, datctype, nullif(concat_ws(' ', ` + localeColumns(s.snap.Version, ", ") + `), 'c')), '' from pg_catalog.pg_database where datname = current_database()`},
	}
	if s.o.Owners {
		plain = append(plain, struct{ kind, sql string }{"role", rolesPrint(s.snap.Version)})
	}
	for _, q := range plain {
		err := s.snap.Query(ctx, func(rows pgx.Rows) error {
			o := compare.Object{Kind: q.kind}
			err := rows.Scan(&o.Name, &o.Print, &o.Note)
			if q.kind != "extension" || !slices.Contains(s.o.ExcludeExtensions, o.Name) {
				all = append(all, o)
			}
			return err
		}, q.sql+" order by 1")
		if err != nil {
			return nil, fmt.Errorf("list each %s of %s: %w", q.kind, s.snap.s, err)
		}
	}
	if _, ok := s.rel[largeObjects]; ok {
		all = append(all, compare.Object{Kind: "large objects", Name: largeObjects, Data: true})
	}
	return all, nil
}

// rolesPrint asks for the roles that own something in this database, or were
// granted something, and their attributes. Passwords are not compared; nor is
// what a server grants by itself to who makes a role.
func rolesPrint(version int) string {
	return `select r.rolname, concat_ws(', ', case when r.rolcanlogin then 'login' end, case when r.rolcreatedb then 'createdb' end,
		case when r.rolcreaterole then 'createrole' end, case when r.rolbypassrls then 'bypassrls' end, case when not r.rolinherit then 'noinherit' end,
		case when r.rolconnlimit >= 0 then 'connection limit ' || r.rolconnlimit end,
		'member of ' || (select string_agg(m.rolname || case when m.admin then ' (admin)' else '' end || case when m.inherit then '' else ' (noinherit)' end || case when m.set then '' else ' (noset)' end,
			' ' order by m.rolname collate "C") from (` + memberships(version) + `) m where m.inherit or m.set or not m.granted)), ''
	from pg_catalog.pg_roles r where r.oid >= 16384 and exists (select from pg_catalog.pg_shdepend d
		where d.refclassid = 'pg_catalog.pg_authid'::regclass and d.refobjid = r.oid and d.dbid = (select oid from pg_catalog.pg_database where datname = current_database()))`
}
