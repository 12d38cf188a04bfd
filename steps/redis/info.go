package redis

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Info is what a server tells of itself (INFO; redis.io/commands/info).
type Info struct {
	Flavour   string // redis, valkey, keydb, dragonfly
	Version   string // of the flavour: "7.0.15"
	Speaks    string // the version of Redis whose commands it knows: "7.2.4" for every Valkey
	RunID     string // new with every start
	Config    string // its configuration file; empty: none, so that nothing can be kept there
	Cluster   bool
	Loading   bool
	Used      int64 // bytes of memory in use
	MaxMemory int64 // 0: no limit
	Policy    string
	Memory    int64 // of the machine
	AOF       bool
	Keyspace  map[int]Space // databases with keys

	Role         string // master, slave
	ReplID       string // history of the data: the same on a server and its replicas
	ReplID2      string // the history before it was promoted; empty: never
	SecondOffset int64  // where the former history ended
	Offset       int64  // of the history: as master, written; as replica, applied
	Replicas     []Replica
	Master       string // host:port that it follows
	LinkUp       bool
	Syncing      bool
	SyncTotal    int64 // bytes of the first copy, as far as known
	SyncRead     int64
	LinkDown     int64 // seconds
	Failover     string

	all map[string]string
}

// Space is one database.
type Space struct {
	Keys, Expires int64
	Fields        int64 // hashes with fields that expire (Valkey since 9.0, Redis since 7.4)
}

// Fields counts the hashes of all databases with fields that expire.
func (i Info) Fields() int64 {
	var n int64
	for _, s := range i.Keyspace {
		n += s.Fields
	}
	return n
}

// Replica is one that follows, as the master sees it.
type Replica struct {
	Addr   string // host:port
	State  string // online, wait_bgsave, send_bulk
	Offset int64
}

// Keys counts the keys of all databases.
func (i Info) Keys() int64 {
	var n int64
	for _, s := range i.Keyspace {
		n += s.Keys
	}
	return n
}

// DBs lists the databases with keys, in order.
func (i Info) DBs() []int { return slices.Sorted(maps.Keys(i.Keyspace)) }

// Since tells whether the server knows what Redis has since that version: "6.2".
func (i Info) Since(version string) bool { return versionCompare(i.Speaks, version) >= 0 }

func (i Info) String() string { return i.Flavour + " " + i.Version }

// Persistent tells whether what is written outlives a restart: an append-only
// file, or the saves that the second value of Config "save" asks for.
func (i Info) Persistent(save string) bool { return i.AOF || save != "" }

// versionCompare compares dotted numbers; what is no number counts as 0.
func versionCompare(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for k := range max(len(as), len(bs)) {
		var x, y int
		if k < len(as) {
			x, _ = strconv.Atoi(as[k])
		}
		if k < len(bs) {
			y, _ = strconv.Atoi(bs[k])
		}
		if c := cmp.Compare(x, y); c != 0 {
			return c
		}
	}
	return 0
}

// Info asks the server. It works while the server loads or syncs.
func (c *Client) Info(ctx context.Context) (Info, error) {
	v, err := c.Call(ctx, "INFO", "all")
	if err != nil {
		return Info{}, err
	}
	text, _ := v.(string)
	i := parseInfo(text)
	if i.Version == "" {
		return i, fmt.Errorf("%s: INFO: unexpected answer %.100q", c.Server, text)
	}
	return i, nil
}

func parseInfo(text string) Info {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && !strings.HasPrefix(k, "#") {
			m[k] = v
		}
	}
	num := func(k string) int64 { n, _ := strconv.ParseInt(m[k], 10, 64); return n }
	i := Info{
		Flavour: "redis", Version: m["redis_version"], Speaks: m["redis_version"], RunID: m["run_id"], Config: m["config_file"],
		Cluster: m["cluster_enabled"] == "1", Loading: m["loading"] == "1" || m["async_loading"] == "1",
		Used: num("used_memory"), MaxMemory: num("maxmemory"), Policy: m["maxmemory_policy"], Memory: num("total_system_memory"),
		AOF: m["aof_enabled"] == "1", Keyspace: map[int]Space{},
		Role: m["role"], ReplID: m["master_replid"], SecondOffset: num("second_repl_offset"), Offset: num("master_repl_offset"),
		LinkUp: m["master_link_status"] == "up", Syncing: m["master_sync_in_progress"] == "1",
		SyncTotal: num("master_sync_total_bytes"), SyncRead: num("master_sync_read_bytes"), LinkDown: num("master_link_down_since_seconds"),
		Failover: m["master_failover_state"], all: m,
	}
	switch {
	case m["valkey_version"] != "":
		i.Flavour, i.Version = "valkey", m["valkey_version"]
	case m["dragonfly_version"] != "":
		i.Flavour, i.Version = "dragonfly", m["dragonfly_version"]
	case strings.Contains(strings.ToLower(m["executable"]), "keydb") || m["mvcc_depth"] != "" || m["server_threads"] != "":
		i.Flavour = "keydb"
	}
	if id := m["master_replid2"]; strings.Trim(id, "0") != "" {
		i.ReplID2 = id
	}
	if i.Role == "slave" {
		i.Master, i.Offset = m["master_host"]+":"+m["master_port"], num("slave_repl_offset")
	}
	for k, v := range m {
		f := infoFields(v)
		if db, err := strconv.Atoi(strings.TrimPrefix(k, "db")); err == nil && strings.HasPrefix(k, "db") && f["keys"] != "" {
			keys, _ := strconv.ParseInt(f["keys"], 10, 64)
			expires, _ := strconv.ParseInt(f["expires"], 10, 64)
			fields, _ := strconv.ParseInt(cmp.Or(f["keys_with_volatile_items"], f["subexpiry"]), 10, 64)
			i.Keyspace[db] = Space{keys, expires, fields}
		}
		if _, err := strconv.Atoi(strings.TrimPrefix(k, "slave")); err == nil && strings.HasPrefix(k, "slave") && f["port"] != "" {
			off, _ := strconv.ParseInt(f["offset"], 10, 64)
			i.Replicas = append(i.Replicas, Replica{Addr: f["ip"] + ":" + f["port"], State: f["state"], Offset: off})
		}
	}
	slices.SortFunc(i.Replicas, func(a, b Replica) int { return cmp.Compare(a.Addr, b.Addr) })
	return i
}

// infoFields reads "keys=3,expires=0".
func infoFields(s string) map[string]string {
	m := map[string]string{}
	for f := range strings.SplitSeq(s, ",") {
		k, v, _ := strings.Cut(f, "=")
		m[k] = v
	}
	return m
}
