package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
	"belay/steps/compare"
)

func serverOf(r *remotetest.Redis) Server {
	return Server{Host: remote.Local("db"), Addr: r.Addr, Password: secret.New(r.Password)}
}

func connect(t *testing.T, s Server) *Client {
	t.Helper()
	c, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// fill gives a server one of everything that breaks naive copies.
func fill(t *testing.T, r *remotetest.Redis) {
	t.Helper()
	c, ctx := connect(t, serverOf(r)), t.Context()
	do := func(args ...any) {
		t.Helper()
		if _, err := c.Call(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	every := make([]byte, 256)
	for k := range every {
		every[k] = byte(k)
	}
	do("SET", "", "the empty key")
	do("SET", "empty", "")
	do("SET", string(every), string(every))
	do("SET", "ключ \r\n$6\r\nFLUSHALL\r\n", "*1\r\n$8\r\nFLUSHALL\r\n")
	do("SET", `"quoted"`, "12345") // encoded as a number
	do("SET", "huge", strings.Repeat("0123456789abcdef", 1<<16))
	do("SET", strings.Repeat("k", 100_000), "a huge key")
	do("SET", "session", "x", "PX", 3_600_123)
	do("SET", "soon", "x", "PX", 60_000)
	do("RPUSH", "list", "b", "a", "", "b", string(every))
	do("SADD", "numbers", 3, 1, 2)
	for k := range 2000 { // past the border between compact and hashed
		do("SADD", "set", fmt.Sprintf("member %d", k))
	}
	do("HSET", "hash", "f", "1", "", "2", string(every), "")
	do("PEXPIRE", "hash", 7_200_000)
	do("ZADD", "zset", "1.5", "b", "-inf", "a", "+inf", "z", "0.1", "c", "3", "", "1.5", "a2")
	do("PFADD", "hll", "a", "b")
	do("SETBIT", "bits", 1000, 1)
	do("GEOADD", "geo", "13.361389", "38.115556", "Palermo")
	for k := range 10 {
		do("XADD", "stream", fmt.Sprintf("%d-1", k+1), "n", k, "", string(every))
	}
	do("XDEL", "stream", "10-1")
	do("XGROUP", "CREATE", "stream", "workers", "0")
	do("XGROUP", "CREATE", "stream", "idle", "$")
	do("XREADGROUP", "GROUP", "workers", "w1", "COUNT", 3, "STREAMS", "stream", ">")
	do("XACK", "stream", "workers", "2-1")
	do("XGROUP", "CREATE", "no entries", "g", "$", "MKSTREAM")
	do("SELECT", 0)
	other := connect(t, serverOf(r).With(9))
	if _, err := other.Call(ctx, "SET", "in nine", "9"); err != nil {
		t.Fatal(err)
	}
	do("FUNCTION", "LOAD", "#!lua name=mylib\nredis.register_function('one', function() return 1 end)")
}

// differing names what compare would: the keys whose rows are not alike.
func differing(t *testing.T, old, now Server, space string) []string {
	t.Helper()
	ctx := t.Context()
	a, b, err := Sides(ctx, old, now)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	const buckets = 16
	pa, err := a.Prints(ctx, space, buckets)
	if err != nil {
		t.Fatal(err)
	}
	pb, err := b.Prints(ctx, space, buckets)
	if err != nil {
		t.Fatal(err)
	}
	var of []int
	for k := range pa {
		if pa[k] != pb[k] {
			of = append(of, k)
		}
	}
	rows := map[string]string{}
	var names []string
	if len(of) == 0 {
		return nil
	}
	if err := a.Rows(ctx, space, buckets, of, func(r compare.Row) error { rows[r.Key] = r.Print; return nil }); err != nil {
		t.Fatal(err)
	}
	err = b.Rows(ctx, space, buckets, of, func(r compare.Row) error {
		if rows[r.Key] != r.Print {
			names = append(names, fmt.Sprintf("%s: %s | %s", r.Key, rows[r.Key], r.Print))
		}
		delete(rows, r.Key)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for k := range rows {
		names = append(names, "missing "+k)
	}
	return names
}

func TestCopyAndCompare(t *testing.T) {
	old := remotetest.StartRedis(t, remotetest.RedisOptions{Password: "old"})
	fill(t, old)
	testCopyAndCompare(t, old, "")
	t.Run("to Valkey", func(t *testing.T) { testCopyAndCompare(t, old, remotetest.Newer(t, "BELAY_VALKEY")) })
	t.Run("from Valkey", func(t *testing.T) {
		old := remotetest.StartRedis(t, remotetest.RedisOptions{Password: "old", Programs: remotetest.Newer(t, "BELAY_VALKEY")})
		fill(t, old)
		testCopyAndCompare(t, old, "")
	})
}

func testCopyAndCompare(t *testing.T, old *remotetest.Redis, programs string) {
	for _, how := range []struct {
		name        string
		dump, whole int64
		part, items int
		encodings   []string
	}{
		{name: "dumps", dump: dumpMax, whole: wholeBytes, part: partBytes, items: partItems},
		{name: "pieces", dump: 0, whole: 1000, part: 1000, items: 7,
			encodings: []string{"hash-max-listpack-entries 0", "set-max-intset-entries 0", "zset-max-listpack-entries 0", "list-max-listpack-size 1", "stream-node-max-entries 2"}},
	} {
		t.Run(how.name, func(t *testing.T) {
			saved := []any{dumpMax, wholeBytes, partBytes, partItems}
			t.Cleanup(func() {
				dumpMax, wholeBytes, partBytes, partItems = saved[0].(int64), saved[1].(int64), saved[2].(int), saved[3].(int)
			})
			dumpMax, wholeBytes, partBytes, partItems = how.dump, how.whole, how.part, how.items
			now := remotetest.StartRedis(t, remotetest.RedisOptions{Settings: how.encodings, Programs: programs})
			if how.name == "pieces" {
				now.Do("SET", "belay-temp", "left by a crash")
			}
			p := &Copier{From: serverOf(old), To: serverOf(now), Temp: "belay-temp", Say: func(int64, int64) {}}
			for range 2 { // again: nothing is doubled
				for _, db := range []int{0, 9} {
					if err := p.Database(t.Context(), db); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, space := range []string{"db0", "db9"} {
				if d := differing(t, serverOf(old), serverOf(now), space); len(d) > 0 {
					t.Errorf("%s: %q", space, d)
				}
			}
			if got, want := now.Do("PEXPIRETIME", "session"), old.Do("PEXPIRETIME", "session"); !cmp.Equal(got, want) {
				t.Errorf("expires at %s, want %s", got, want)
			}
			if got, want := now.Do("XPENDING", "stream", "workers"), old.Do("XPENDING", "stream", "workers"); !cmp.Equal(got, want) {
				t.Errorf("pending %q, want %q", got, want)
			}
			findsChanges(t, old, now, p)
		})
	}
}

// findsChanges changes the copy in every way, and wants each key named.
func findsChanges(t *testing.T, old, now *remotetest.Redis, p *Copier) {
	t.Helper()
	now.Do("SET", "empty", "x")
	now.Do("DEL", "list")
	now.Do("SET", "extra\n", "1")
	now.Do("SADD", "set", "member 2000")
	now.Do("SREM", "set", "member 7")
	now.Do("HSET", "hash", "f", "1.0")
	now.Do("ZADD", "zset", "1.6", "b")
	now.Do("PERSIST", "session")
	now.Do("XACK", "stream", "workers", "1-1")
	var names []string
	for _, d := range differing(t, serverOf(old), serverOf(now), "db0") {
		name, _, _ := strings.Cut(d, ":")
		names = append(names, name)
	}
	want := map[string]bool{"empty": true, "missing list": true, `"extra\n"`: true, "set": true, "hash": true, "zset": true, "session": true, "stream": true}
	got := map[string]bool{}
	for _, n := range names {
		got[n] = true
	}
	if !cmp.Equal(got, want) {
		t.Errorf("changed keys: %s", cmp.Diff(want, got))
	}
	if err := p.Database(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Extra(t.Context(), 0); err != nil || n != 1 {
		t.Errorf("%d removed, %v; want 1", n, err)
	}
	if d := differing(t, serverOf(old), serverOf(now), "db0"); len(d) > 0 {
		t.Errorf("after the last pass: %q", d)
	}
}

func TestCopyIntoFullServer(t *testing.T) {
	old := remotetest.StartRedis(t, remotetest.RedisOptions{})
	for k := range 40 {
		old.Do("SET", fmt.Sprint("key", k), strings.Repeat(fmt.Sprint(k), 100_000))
	}
	now := remotetest.StartRedis(t, remotetest.RedisOptions{Settings: []string{"maxmemory 3mb", "maxmemory-policy noeviction"}})
	p := &Copier{From: serverOf(old), To: serverOf(now), Temp: "tmp", Say: func(int64, int64) {}}
	err := p.Database(t.Context(), 0)
	if err == nil || !Full(err) || !strings.Contains(err.Error(), "no memory left for key") {
		t.Fatalf("%v", err)
	}
	now.Do("CONFIG", "SET", "maxmemory", "0")
	if err := p.Database(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if d := differing(t, serverOf(old), serverOf(now), "db0"); len(d) > 0 {
		t.Errorf("%q", d)
	}
}

func TestConnect(t *testing.T) {
	r := remotetest.StartRedis(t, remotetest.RedisOptions{Password: "hunter2", Settings: []string{"user app on >pw ~app:* &* +@all -@dangerous"}})
	c := connect(t, serverOf(r))
	i, err := c.Info(t.Context())
	if err != nil || i.Flavour != "redis" || !i.Since("7.0") || i.Since("7.10") || i.Role != "master" || i.RunID == "" {
		t.Errorf("%+v, %v", i, err)
	}
	if list := strings.Join(r.Do("CLIENT", "LIST"), ""); !strings.Contains(list, "name=belay ") {
		t.Errorf("clients %q", list)
	}
	sock := serverOf(r)
	sock.Addr = r.Socket
	connect(t, sock)
	for _, wrong := range []struct {
		s    Server
		says string
	}{
		{Server{Host: remote.Local("db"), Addr: r.Addr, Password: secret.New("hunter3")}, "WRONGPASS"},
		{Server{Host: remote.Local("db"), Addr: r.Addr}, "NOAUTH"},
		{Server{Host: remote.Local("db"), Addr: r.Addr, User: "nobody", Password: secret.New("hunter3")}, "WRONGPASS"},
		{Server{Host: remote.Local("db"), Addr: "127.0.0.1:1"}, "refused"},
		{Server{Host: remote.Local("db"), Addr: r.Addr, TLS: "require"}, "TLS"},
	} {
		_, err := wrong.s.Connect(t.Context())
		if err == nil || !strings.Contains(err.Error(), wrong.says) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%v, want %q", err, wrong.says)
		}
	}
	app := connect(t, Server{Host: remote.Local("db"), Addr: r.Addr, User: "app", Password: secret.New("pw")})
	if _, err := app.Call(t.Context(), "CONFIG", "SET", "masterauth", "hunter2"); !Refused(err) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

// TestSlowServer: a server that hangs does not hang belay.
func TestSlowServer(t *testing.T) {
	r := remotetest.StartRedis(t, remotetest.RedisOptions{Settings: []string{"enable-debug-command local"}})
	c := connect(t, serverOf(r))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := c.Call(ctx, "DEBUG", "SLEEP", "3")
	if err == nil || Refused(err) {
		t.Errorf("%v", err)
	}
}

func TestUsers(t *testing.T) {
	valkey := func(t *testing.T) remotetest.RedisOptions {
		return remotetest.RedisOptions{Programs: remotetest.Newer(t, "BELAY_VALKEY")}
	}
	t.Run("Redis to Redis", func(t *testing.T) { testUsers(t, remotetest.RedisOptions{}, remotetest.RedisOptions{}, nil) })
	t.Run("Redis to Valkey", func(t *testing.T) { testUsers(t, remotetest.RedisOptions{}, valkey(t), nil) })
	t.Run("Valkey to Redis", func(t *testing.T) {
		testUsers(t, valkey(t), remotetest.RedisOptions{}, []string{"+client|capa", "-commandlog"})
	})
}

// testUsers moves users. The target lacks some rules of one that only a newer
// source can have.
func testUsers(t *testing.T, from, to remotetest.RedisOptions, lacks []string) {
	from.Settings = []string{"user app on >pw >pw2 ~a* %R~b* &chan* +@all -flushall -config|set -select +select|0 (+get ~c*) (~d* +set)", "user off off nopass ~* +@all"}
	if lacks != nil {
		from.Settings = append(from.Settings, "user new on >pw ~* +@read (~e* +client|capa) +@all -commandlog")
	}
	old, now := remotetest.StartRedis(t, from), remotetest.StartRedis(t, to)
	a, b := connect(t, serverOf(old)), connect(t, serverOf(now))
	users, ok, err := a.Users(t.Context())
	if err != nil || !ok || len(users) < 3 {
		t.Fatalf("%v %v %v", users, ok, err)
	}
	i, err := b.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		if u.Name == "default" {
			continue
		}
		missing, err := b.Lacks(t.Context(), i, u)
		slices.Sort(missing)
		if u.Name == "new" {
			if err != nil || !cmp.Equal(missing, lacks) {
				t.Errorf("the target lacks %q, %v; want %q", missing, err, lacks)
			}
			continue
		}
		if err != nil || missing != nil {
			t.Errorf("%s: the target lacks %q, %v", u.Name, missing, err)
		}
		if err := b.MakeUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(u.Told(), "#") {
			t.Errorf("a hash is told: %s", u.Told())
		}
	}
	// Nothing that only a version says is a difference.
	prints := func(r *remotetest.Redis) map[string]string {
		s, err := OpenSide(t.Context(), serverOf(r), Rules{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		all, err := s.Objects(t.Context())
		m := map[string]string{}
		for _, o := range all {
			m[o.Kind+" "+o.Name] = o.Print
		}
		delete(m, "user new")
		if err != nil || m["user app"] == "" {
			t.Fatalf("%v, %v", m, err)
		}
		return m
	}
	if diff := cmp.Diff(prints(old), prints(now)); diff != "" {
		t.Error(diff)
	}
	connect(t, Server{Host: remote.Local("db"), Addr: now.Addr, User: "app", Password: secret.New("pw2")})
	if err := b.DropUser(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	after, _, err := b.Users(t.Context())
	if err != nil || len(after) != 2 {
		t.Errorf("%v %v", after, err)
	}
}

func TestSideObjects(t *testing.T) {
	r := remotetest.StartRedis(t, remotetest.RedisOptions{Settings: []string{"maxmemory 100mb", "user app on >pw ~* +@all"}})
	fill(t, r)
	a, b, err := Sides(t.Context(), serverOf(r), serverOf(r))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	all, err := a.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range all {
		names = append(names, o.Kind+" "+o.Name)
		if o.Data != (o.Kind == "key space") || o.Kind == "setting" && o.Name == "maxmemory" && o.Print != "104857600" {
			t.Errorf("%+v", o)
		}
	}
	want := []string{"key space db0", "key space db9", "function library mylib", "user app", "user default",
		"setting maxmemory", "setting maxmemory-policy", "setting notify-keyspace-events", "setting databases", "setting appendonly", "setting save"}
	if !cmp.Equal(names, want) {
		t.Errorf("%s", cmp.Diff(want, names))
	}
}
