package mysql

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Globals are the settings on which replication rests, by name; one that the
// server does not know is missing.
func (d *DB) Globals(ctx context.Context) (map[string]string, error) {
	rows, err := table(ctx, d, `SHOW GLOBAL VARIABLES WHERE Variable_name IN ('log_bin', 'binlog_format', 'binlog_row_image', 'server_id', 'gtid_mode', 'gtid_strict_mode',
		'gtid_binlog_pos', 'slave_parallel_threads', 'expire_logs_days', 'binlog_expire_logs_seconds', 'read_only', 'log_slave_updates', 'log_replica_updates', 'server_uuid')`)
	all := map[string]string{}
	for _, r := range rows {
		all[r[0].String] = r[1].String
	}
	return all, err
}

// LogKept is for how many seconds a server with such settings keeps its binary
// log; 0 for good.
func LogKept(globals map[string]string) int64 {
	if n, err := strconv.ParseFloat(globals["binlog_expire_logs_seconds"], 64); err == nil && n > 0 {
		return int64(n)
	}
	days, _ := strconv.ParseFloat(globals["expire_logs_days"], 64) // MariaDB takes parts of a day
	return int64(days * 86400)
}

// SharedDomains are the GTID domains that both positions of MariaDB's have.
func SharedDomains(a, b string) []string {
	one, _ := parseGTIDs(a)
	other, _ := parseGTIDs(b)
	var both []string
	for _, g := range one {
		if slices.ContainsFunc(other, func(o gtid) bool { return o.domain == g.domain }) {
			both = append(both, fmt.Sprint(g.domain))
		}
	}
	return both
}

// Lacks names the rights on everything that belay's login has not got. SUPER
// stands for those that servers took out of it later.
func (d *DB) Lacks(ctx context.Context, want ...string) ([]string, error) {
	super, err := privileged(ctx, d, "SUPER")
	if err != nil {
		return nil, err
	}
	var lacks []string
	for _, w := range want {
		has, err := privileged(ctx, d, w)
		if err != nil {
			return nil, err
		}
		if !has && !(super && (strings.HasSuffix(w, "ADMIN") || w == "BINLOG REPLAY")) {
			lacks = append(lacks, w)
		}
	}
	return lacks, nil
}

// Unstopped names the accounts, user@host, that may write while the server is
// read-only (MariaDB: "READ ONLY ADMIN"; before 10.11 SUPER holds it, too). The
// server's own and the login that asks are left out. MySQL has super_read_only,
// which stops everybody.
func (d *DB) Unstopped(ctx context.Context) ([]string, error) {
	if !d.Version.MariaDB {
		return nil, nil
	}
	rights := "'READ_ONLY ADMIN', 'READ ONLY ADMIN'"
	if !d.Version.atLeast(10, 11) {
		rights += ", 'SUPER'"
	}
	rows, err := table(ctx, d, "SELECT DISTINCT grantee, REPLACE(CURRENT_USER(), '@', '''@''') FROM information_schema.user_privileges WHERE privilege_type IN ("+rights+") ORDER BY 1")
	if err != nil {
		return nil, err
	}
	var all []string
	for _, r := range rows {
		name := strings.ReplaceAll(strings.Trim(r[0].String, "'"), "'@'", "@")
		user, _, _ := strings.Cut(name, "@")
		if r[0].String != "'"+r[1].String+"'" && !slices.Contains(ownAccounts, user) {
			all = append(all, name)
		}
	}
	return all, nil
}
