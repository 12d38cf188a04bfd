package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Extension is one that the source uses.
type Extension struct {
	Name, Version, Schema string
}

// Extensions lists those of the database, but for what o leaves out.
func Extensions(ctx context.Context, conn *pgx.Conn, o Scope) ([]Extension, error) {
	var all []Extension
	err := query(ctx, conn, func(rows pgx.Rows) error {
		var e Extension
		err := rows.Scan(&e.Name, &e.Version, &e.Schema)
		if !slices.Contains(o.ExcludeExtensions, e.Name) && len(o.Schemas) == 0 {
			all = append(all, e)
		}
		return err
	}, "select e.extname, e.extversion, n.nspname from pg_catalog.pg_extension e join pg_catalog.pg_namespace n on n.oid = e.extnamespace order by 1")
	return all, err
}

// unavailable tells which extensions the server of conn could not create, and
// which it has in another version.
func unavailable(ctx context.Context, conn *pgx.Conn, all []Extension) (missing, other []string, err error) {
	has := map[string]string{}
	err = query(ctx, conn, func(rows pgx.Rows) error {
		var name, version string
		err := rows.Scan(&name, &version)
		has[name] = version
		return err
	}, "select name, coalesce(installed_version, default_version, '') from pg_catalog.pg_available_extensions")
	for _, e := range all {
		v, ok := has[e.Name]
		switch {
		case !ok:
			missing = append(missing, e.Name+" "+e.Version)
		case v != e.Version:
			other = append(other, fmt.Sprintf("%s %s (here %s)", e.Name, v, e.Version))
		}
	}
	return missing, other, err
}

func listed(names []string) string {
	if len(names) > 8 {
		return strings.Join(names[:8], ", ") + fmt.Sprintf(" and %d more", len(names)-8)
	}
	return strings.Join(names, ", ")
}
