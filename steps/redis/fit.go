package redis

import (
	"context"
	"fmt"
	"maps"
	"strings"
)

// rdbVersions are the versions of the dump format by what a server speaks
// (rdb.h of the releases), newest first.
var rdbVersions = []struct {
	since string
	rdb   int
}{{"7.4", 12}, {"7.2", 11}, {"7.0", 10}, {"5.0", 9}, {"4.0", 8}, {"3.2", 7}, {"0", 6}}

// RDB is the version of the format in which the server writes its data out.
func (i Info) RDB() int {
	if i.Flavour == "valkey" && versionCompare(i.Version, "9.0") >= 0 {
		return 80
	}
	for _, v := range rdbVersions {
		if i.Since(v.since) {
			return v.rdb
		}
	}
	return 0
}

// Reads tells whether a server can load what another writes out: its own
// version of the format and those before. Redis 7.4 and Valkey went apart:
// Valkey refuses format 12 ("Can't handle RDB format version 12").
func (i Info) Reads(from Info) bool {
	return from.RDB() <= i.RDB() && !(i.Flavour == "valkey" && from.Flavour == "redis" && from.RDB() >= 12)
}

// Has tells whether the server has a command and lets the user call it, as far
// as it says so (COMMAND INFO; ACL DRYRUN since Redis 7). A server that says
// nothing is believed to.
func (c *Client) Has(ctx context.Context, command ...string) (bool, error) {
	v, err := c.Call(ctx, "COMMAND", "INFO", command[0])
	if err != nil && !Refused(err) {
		return false, err
	}
	if list, ok := v.([]any); err == nil && ok && (len(list) == 0 || list[0] == nil) {
		return false, nil
	}
	args := []any{"ACL", "DRYRUN", account(c.Server.User)}
	for _, w := range command {
		args = append(args, w)
	}
	v, err = c.Call(ctx, args...)
	if err != nil && !Refused(err) {
		return false, err
	}
	s, ok := v.(string)
	return err != nil || !ok || s == "OK" || !strings.Contains(s, "permission"), nil
}

// Spaces tells the databases with keys: "db0: 3 keys, db9: 1 key".
func (i Info) Spaces() string {
	var all []string
	for _, db := range i.DBs() {
		n := i.Keyspace[db].Keys
		word := "keys"
		if n == 1 {
			word = "key"
		}
		all = append(all, fmt.Sprintf("db%d: %d %s", db, n, word))
	}
	if len(all) == 0 {
		return "no keys"
	}
	return strings.Join(all, ", ")
}

// SameSpaces tells whether both have as many keys in every database. Both must
// stand still: writers held on the master, nothing under way to the replica.
func SameSpaces(a, b Info) bool {
	if len(a.Keyspace) != len(b.Keyspace) {
		return false
	}
	for db, s := range a.Keyspace {
		if b.Keyspace[db].Keys != s.Keys {
			return false
		}
	}
	return true
}

// SameLasting tells whether both have as many keys that do not expire in every
// database; those that do may be gone from one side first.
func SameLasting(a, b Info) bool {
	lasting := func(i Info) map[int]int64 {
		m := map[int]int64{}
		for db, s := range i.Keyspace {
			if n := s.Keys - s.Expires; n > 0 {
				m[db] = n
			}
		}
		return m
	}
	return maps.Equal(lasting(a), lasting(b))
}
