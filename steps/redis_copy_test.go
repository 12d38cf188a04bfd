package steps

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

// redisLab is two servers with different passwords, and what a plan says of them.
type redisLab struct {
	old, now *remotetest.Redis
	ends     redisEnds
	e        Env
	log      *safeBuffer
}

func newRedisLab(t *testing.T, old, now []string) *redisLab {
	t.Helper()
	return newRedisLabOf(t, remotetest.RedisOptions{Settings: old}, remotetest.RedisOptions{Settings: now})
}

// newRedisLabOf is for servers of other versions than the system's.
func newRedisLabOf(t *testing.T, old, now remotetest.RedisOptions) *redisLab {
	t.Helper()
	old.Password, now.Password = "oldpw", "newpw"
	l := &redisLab{old: remotetest.StartRedis(t, old), now: remotetest.StartRedis(t, now)}
	l.e, l.log = runEnv(remote.Local("chat"))
	l.e.Secret = func(_ context.Context, name string) (secret.Value, error) { return secret.New(name), nil }
	l.ends = redisEnds{
		From: redisStore{store: store{Addr: l.old.Addr, Password: secret.Ref{Name: "oldpw"}}},
		To:   redisStore{store: store{Addr: l.now.Addr, Password: secret.Ref{Name: "newpw"}}},
	}
	return l
}

func (l *redisLab) copy() *redisCopy {
	return &redisCopy{redisEnds: l.ends, By: "auto", Users: "report", Config: "report", Patience: remote.Duration(time.Minute)}
}

func (l *redisLab) change() *redisSwitch {
	return &redisSwitch{redisEnds: l.ends, By: "auto", Pause: remote.Duration(time.Minute), Old: "readonly", Keep: true}
}

// with is the Env of another step.
func (l *redisLab) with(m Memory) Env { e := l.e; e.Memory = m; return e }

// done runs a step as the engine does, and wants nothing to be left.
func redisDone(t *testing.T, e Env, s Step) {
	t.Helper()
	if todo, err := s.Pending(t.Context(), looking(e)); err != nil || len(todo) == 0 {
		t.Fatalf("pending: %v %v", todo, err)
	}
	if err := s.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), looking(e)); err != nil {
		t.Fatal(err)
	}
	if todo, err := s.Pending(t.Context(), looking(e)); err != nil || len(todo) != 0 {
		t.Fatalf("pending afterwards: %v %v", todo, err)
	}
}

// redisFill makes n keys in db0, and some in db3.
func redisFill(t *testing.T, r *remotetest.Redis, n int) {
	t.Helper()
	r.Do("EVAL", `for i = 1, tonumber(ARGV[1]) do redis.call('SET', 'key:' .. i, string.rep(tostring(i), 20)) end
redis.call('HSET', 'hash', 'a', '1', 'b', '2') redis.call('SET', 'session', 'x', 'PX', '3600000')
redis.call('SELECT', '3') redis.call('RPUSH', 'list', 'a', 'b') return 1`, "0", fmt.Sprint(n))
}

func TestRedisReplication(t *testing.T) {
	for name, now := range redisTargets {
		t.Run(name, func(t *testing.T) {
			testRedisReplication(t, newRedisLabOf(t, remotetest.RedisOptions{Settings: []string{
				"user app on >pw ~* &* +@all", "maxmemory 200mb", "maxmemory-policy allkeys-lru"}}, now(t)))
		})
	}
}

// redisTargets are servers to which a Redis 7.0 moves by replication.
var redisTargets = map[string]func(t *testing.T) remotetest.RedisOptions{
	"Redis":  func(*testing.T) remotetest.RedisOptions { return remotetest.RedisOptions{} },
	"Valkey": valkey,
}

// valkey are the options of one that is newer than the system's Redis.
func valkey(t *testing.T) remotetest.RedisOptions {
	return remotetest.RedisOptions{Programs: remotetest.Newer(t, "BELAY_VALKEY"), Settings: []string{"enable-debug-command local"}}
}

func testRedisReplication(t *testing.T, l *redisLab) {
	redisFill(t, l.old, 5000)
	users := l.now.Do("ACL", "LIST")
	c, s := l.copy(), l.change()
	c.Users, c.Config = "copy", "copy"
	redisDone(t, l.e, c)
	redisDone(t, l.e, c.again())
	if got := l.now.Do("CONFIG", "GET", "maxmemory-policy"); got[1] != "allkeys-lru" {
		t.Errorf("%q", got)
	}
	if n := len(l.now.Do("ACL", "LIST")); n != 2 {
		t.Errorf("%d users", n)
	}
	m := MapMemory{}
	redisDone(t, l.with(m), s)
	if _, err := l.old.Try("SET", "lost", "1"); err == nil || !strings.HasPrefix(err.Error(), "NOREPLICAS") {
		t.Errorf("the source takes writes after the switch: %v", err)
	}
	if got := l.now.Do("CONFIG", "GET", "masterauth"); got[1] != "" {
		t.Error("the source's password is still in the target's settings")
	}
	if log := l.log.String(); !strings.Contains(log, "frozen time: writers could write nowhere for ") || strings.Contains(log, "pw\n") {
		t.Errorf("log:\n%s", log)
	}
	// Back: nothing was written to the target, so that it follows again.
	if err := s.Undo(t.Context(), l.with(m)); err != nil {
		t.Fatal(err)
	}
	l.old.Do("SET", "after", "1")
	if err := c.Verify(t.Context(), looking(l.e)); err != nil {
		t.Error(err)
	}
	if err := c.Undo(t.Context(), l.e); err != nil {
		t.Fatal(err)
	}
	if got := l.now.Do("DBSIZE"); got[0] != "0" {
		t.Errorf("%s keys after undo", got)
	}
	if got := l.now.Do("ACL", "LIST"); !cmp.Equal(got, users) {
		t.Errorf("users after undo: %s", cmp.Diff(users, got))
	}
	if got := l.now.Do("CONFIG", "GET", "maxmemory"); got[1] != "0" {
		t.Errorf("maxmemory after undo: %q", got)
	}
	if got := l.old.Do("DBSIZE"); got[0] != "5003" {
		t.Errorf("the source has %s keys", got)
	}
}

// again is a copy that has done its work: Pending is asked before anything.
func (r *redisCopy) again() Step { return redisAgain{r} }

// redisAgain lets redisDone call Apply a second time.
type redisAgain struct{ *redisCopy }

func (r redisAgain) Pending(ctx context.Context, e Env) ([]Change, error) {
	todo, err := r.redisCopy.Pending(ctx, e)
	if e.Log.(*safeBuffer).String() != "" && !strings.Contains(e.Log.(*safeBuffer).String(), "-- second\n") {
		fmt.Fprintln(e.Log, "-- second")
		return []Change{{Text: "once more"}}, err
	}
	return todo, err
}

// TestRedisUndoKeepsWrites: what only the target has is never thrown away.
func TestRedisUndoKeepsWrites(t *testing.T) {
	l := newRedisLab(t, nil, nil)
	redisFill(t, l.old, 100)
	c, s, m := l.copy(), l.change(), MapMemory{}
	redisDone(t, l.e, c)
	redisDone(t, l.with(m), s)
	l.now.Do("SET", "only here", "1")
	if err := s.Undo(t.Context(), l.with(m)); err != nil {
		t.Fatal(err)
	}
	l.old.Do("SET", "goes on", "1")
	if err := c.Undo(t.Context(), l.e); err != nil {
		t.Fatal(err)
	}
	if got := l.now.Do("GET", "only here"); got[0] != "1" {
		t.Errorf("%q", got)
	}
	if !strings.Contains(l.log.String(), "of writes that the source does not have") {
		t.Errorf("log:\n%s", l.log)
	}
}

// TestRedisComesBackWithAll: with a source that follows, or after FAILOVER, a
// rollback brings what was written to the target.
func TestRedisComesBackWithAll(t *testing.T) {
	for name, set := range map[string]func(*redisSwitch){
		"follow":   func(s *redisSwitch) { s.Old = "follow" },
		"failover": func(s *redisSwitch) { s.By = "failover" },
	} {
		for to, now := range redisTargets {
			t.Run(name+" "+to, func(t *testing.T) { testRedisComesBack(t, newRedisLabOf(t, remotetest.RedisOptions{}, now(t)), set) })
		}
	}
}

func testRedisComesBack(t *testing.T, l *redisLab, set func(*redisSwitch)) {
	redisFill(t, l.old, 100)
	c, s, m := l.copy(), l.change(), MapMemory{}
	set(s)
	redisDone(t, l.e, c)
	redisDone(t, l.with(m), s)
	l.now.Do("SET", "written since", "1")
	if _, err := l.old.Try("SET", "lost", "1"); err == nil || !strings.HasPrefix(err.Error(), "READONLY") {
		t.Errorf("%v", err)
	}
	until(t, "the source follows", func() bool {
		got, err := l.old.Try("GET", "written since")
		return err == nil && got[0] == "1"
	})
	if err := s.Undo(t.Context(), l.with(m)); err != nil {
		t.Fatal(err)
	}
	l.old.Do("SET", "back", l.old.Do("GET", "written since")[0])
	until(t, "the target follows again", func() bool {
		got, err := l.now.Try("GET", "back")
		return err == nil && got[0] == "1"
	})
	for _, r := range []*remotetest.Redis{l.old, l.now} {
		if got := r.Do("CONFIG", "GET", "min-replicas-to-write"); got[1] != "0" {
			t.Errorf("%q", got)
		}
		if got := r.Do("CONFIG", "GET", "repl-diskless-load"); got[1] != "disabled" {
			t.Errorf("%q", got)
		}
	}
	if err := c.Undo(t.Context(), l.e); err != nil {
		t.Fatal(err)
	}
	if got := l.now.Do("DBSIZE"); got[0] != "0" {
		t.Errorf("%s keys after undo", got)
	}
}

// TestRedisBackByOlder: a source that cannot read what the target writes out
// is told of beforehand, and keeps its data where it must take a full copy.
func TestRedisBackByOlder(t *testing.T) {
	l := newRedisLabOf(t, remotetest.RedisOptions{}, valkey(t))
	redisFill(t, l.old, 100)
	c, s, m := l.copy(), l.change(), MapMemory{}
	s.Old = "follow"
	found := checks.Judge(t.Context(), checks.World{Hosts: l.e.Hosts, Secret: l.e.Secret}, s.Needs("chat"))
	if len(found) != 1 || found[0].Level != checks.Warn || !strings.Contains(found[0].Text, "the source (redis 7.") || !strings.Contains(found[0].Text, "does not read what the target (valkey 8.") {
		t.Errorf("%+v", found)
	}
	redisDone(t, l.e, c)
	redisDone(t, l.with(m), s)
	l.now.Do("DEBUG", "CHANGE-REPL-ID") // as if it had been away for too long
	l.now.Do("CLIENT", "KILL", "TYPE", "replica")
	until(t, "the source has tried a full copy", func() bool { return strings.Contains(l.old.Log(), "handle RDB format version") })
	if got := l.old.Do("DBSIZE"); got[0] != "102" {
		t.Errorf("the source has %s keys left", got)
	}
	if err := s.Undo(t.Context(), l.with(m)); err == nil || !strings.Contains(err.Error(), "it missed too much, and a full copy of valkey 8.") {
		t.Errorf("%v", err)
	}
	l.old.Do("REPLICAOF", "NO", "ONE")
	if err := s.Undo(t.Context(), l.with(m)); err != nil {
		t.Fatal(err)
	}
	l.old.Do("SET", "back", "1")
}

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for range 2400 {
		if so() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("not within 60 s: %s", what)
}

func TestRedisRefuses(t *testing.T) {
	l := newRedisLab(t, nil, nil)
	redisFill(t, l.old, 10)
	l.now.Do("SET", "somebody's", "1")
	c := l.copy()
	if err := c.Apply(t.Context(), l.e); err == nil || !strings.Contains(err.Error(), "is not empty (db0: 1 key)") {
		t.Errorf("%v", err)
	}
	if err := c.Undo(t.Context(), l.e); err != nil {
		t.Error(err)
	}
	if got := l.now.Do("GET", "somebody's"); got[0] != "1" {
		t.Errorf("%q", got)
	}
	blocks := func(want string) {
		t.Helper()
		var texts []string
		for _, f := range checks.Judge(t.Context(), checks.World{Hosts: l.e.Hosts, Secret: l.e.Secret}, c.Needs("chat")) {
			if f.Level == checks.Block {
				texts = append(texts, f.Text)
			}
		}
		if !strings.Contains(strings.Join(texts, "\n"), want) {
			t.Errorf("blocks %q, want %q", texts, want)
		}
	}
	blocks("is not empty")
	l.now.Do("FLUSHALL")
	l.now.Do("CONFIG", "SET", "maxmemory", "100kb")
	blocks("maxmemory is 100.0 KiB")
	l.now.Do("CONFIG", "SET", "maxmemory", "0")
	l.now.Do("CONFIG", "SET", "masterauth", "of-somebody")
	c.By = "replication"
	blocks("masterauth or masteruser of its own")
	l.now.Do("CONFIG", "SET", "masterauth", "")
	if err := l.change().Apply(t.Context(), l.e); err == nil || !strings.Contains(err.Error(), "is empty: redis.copy comes first") {
		t.Errorf("%v", err)
	}
	l.now.Stop()
	for _, f := range checks.Judge(t.Context(), checks.World{Hosts: l.e.Hosts, Secret: l.e.Secret}, c.Needs("chat")) {
		if f.Level != checks.Unknown || !strings.Contains(f.Text, "target: log in as default") {
			t.Errorf("a target that is not there yet: %+v", f)
		}
	}
	l.now.Start()
	same := l.copy()
	same.To = same.From
	same.To.Addr = l.old.Socket
	if err := same.Apply(t.Context(), l.e); err == nil || !strings.Contains(err.Error(), "one and the same server") {
		t.Errorf("%v", err)
	}
	wrong := l.copy()
	wrong.From.Password.Name = "hunter2"
	if err := wrong.Apply(t.Context(), l.e); err == nil || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

func TestRedisScan(t *testing.T) {
	t.Run("of a provider", func(t *testing.T) { // nobody may follow, and no settings are told
		testRedisScan(t, newRedisLab(t, []string{"rename-command PSYNC \"\"", "rename-command SYNC \"\""}, nil), "the source does not let belay's user call PSYNC")
	})
	t.Run("of a newer server", func(t *testing.T) {
		l := newRedisLabOf(t, valkey(t), remotetest.RedisOptions{})
		testRedisScan(t, l, "redis 7.0.15 does not read what valkey 8.")
	})
}

func testRedisScan(t *testing.T, l *redisLab, why string) {
	l.old.Do("FUNCTION", "LOAD", "#!lua name=m\nredis.register_function('one', function() return 1 end)")
	redisFill(t, l.old, 3000)
	c, s, m := l.copy(), l.change(), MapMemory{}
	redisDone(t, l.e, c)
	if !strings.Contains(l.log.String(), "key by key, because "+why) {
		t.Errorf("log:\n%s", l.log)
	}
	// Only the copy is there: undo takes it away.
	if err := c.Undo(t.Context(), l.e); err != nil {
		t.Fatal(err)
	}
	if got := l.now.Do("INFO", "keyspace"); strings.Contains(got[0], "db") {
		t.Errorf("after undo: %q", got)
	}
	l.e.Memory = MapMemory{}
	redisDone(t, l.e, c)
	l.old.Do("SET", "later", "1")
	l.old.Do("DEL", "key:1", "hash")
	l.old.Do("SET", "key:2", "changed")
	redisDone(t, l.with(m), s)
	for key, want := range map[string]string{"later": "1", "key:1": "∅", "key:2": "changed"} {
		if got := l.now.Do("GET", key); got[0] != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if got := l.now.Do("FCALL", "one", "0"); got[0] != "1" {
		t.Errorf("the function says %q", got)
	}
	if got, want := l.now.Do("DBSIZE"), l.old.Do("DBSIZE"); !cmp.Equal(got, want) {
		t.Errorf("%s keys, want %s", got, want)
	}
	if _, err := l.old.Try("SET", "lost", "1"); err == nil {
		t.Error("the source takes writes after the switch")
	}
	if err := s.Undo(t.Context(), l.with(m)); err != nil {
		t.Fatal(err)
	}
	l.old.Do("SET", "again", "1")
	l.undoAfterPass(t, c, m)
}

// undoAfterPass takes a copy back that a last pass has gone over: the target is
// emptied where nothing but that pass was written to it, and the source has it.
func (l *redisLab) undoAfterPass(t *testing.T, c *redisCopy, last MapMemory) {
	t.Helper()
	undo := func(e Env, c *redisCopy, keys, says string) {
		t.Helper()
		if err := c.Undo(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if got := l.now.Do("DBSIZE"); (got[0] == "0") != (keys == "none") || !strings.Contains(l.log.String(), says) {
			t.Errorf("after undo: %q keys, log:\n%s", got, l.log)
		}
	}
	e := l.e
	undo(e, c, "all", "it was written to since it was filled (by its clients, or it was started again), so the data of ") // nobody recalls the pass
	e.Recall = func(key string) []json.RawMessage { return []json.RawMessage{last[key]} }
	if got := lost(t, c, e); !strings.HasSuffix(got, "nothing was written since it was filled") {
		t.Error(got)
	}
	far := *c
	far.From.Addr = "127.0.0.1:1"
	undo(e, &far, "all", "the source does not answer (")
	undo(e, c, "none", "-- emptied ")

	e.Memory = MapMemory{}
	redisDone(t, e, c)
	s := l.change()
	redisDone(t, l.with(last), s)
	if err := s.Undo(t.Context(), l.with(last)); err != nil {
		t.Fatal(err)
	}
	l.old.Do("FLUSHALL")
	undo(e, c, "all", "holds no keys, and held ")
	l.old.Do("SET", "some", "1")
	l.now.Do("SET", "users", "own")
	e.Log = io.Discard
	undo(e, c, "all", "")
	if got := lost(t, c, e); !strings.Contains(got, "1 write command written since it was filled") {
		t.Error(got)
	}
}

// cutting is a way to the servers that can be cut in the middle of an answer;
// a new connection mends it.
type cutting struct {
	remote.Dialer
	armed atomic.Bool
	cuts  atomic.Int32
}

func (c *cutting) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := c.Dialer.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &cuttingConn{conn, c}, nil
}

type cuttingConn struct {
	net.Conn
	way *cutting
}

func (c *cuttingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.way.armed.CompareAndSwap(true, false) {
		c.way.cuts.Add(1)
		c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// TestRedisLinkCut cuts the link in the middle of a copy, either way.
func TestRedisLinkCut(t *testing.T) {
	for _, by := range []string{"replication", "scan"} {
		t.Run(by, func(t *testing.T) {
			l := newRedisLab(t, nil, nil)
			redisFill(t, l.old, 20000)
			way := &cutting{Dialer: l.e.Host.Dialer}
			l.e.Host.Dialer = way
			l.e.Hosts = remote.Hosts{"chat": l.e.Host}
			var links []string
			l.e.Link = func(s string) { links = append(links, s) }
			once := sync.OnceFunc(func() { way.armed.Store(true) })
			l.e.Say = func(Progress) { once() }
			c := l.copy()
			c.By = by
			if by == "replication" {
				// The first look at the copy under way is what is cut.
				once()
				if _, err := c.Pending(t.Context(), l.e); err == nil {
					t.Error("nothing was cut")
				}
				way.armed.Store(false)
				if err := c.Apply(t.Context(), l.e); err != nil {
					t.Fatal(err)
				}
				way.armed.Store(true)
				if err := c.Apply(t.Context(), l.e); err != nil && !strings.Contains(err.Error(), "log in as") {
					t.Fatal(err)
				}
			} else if err := c.Apply(t.Context(), l.e); err == nil || !strings.Contains(err.Error(), "try again, and every key is copied anew") {
				t.Fatalf("%v", err)
			}
			if way.cuts.Load() == 0 {
				t.Error("nothing was cut")
			}
			way.armed.Store(false)
			if err := c.Apply(t.Context(), l.e); err != nil {
				t.Fatal(err)
			}
			if err := c.Verify(t.Context(), looking(l.e)); err != nil {
				t.Fatal(err)
			}
			if got, want := l.now.Do("DBSIZE"), l.old.Do("DBSIZE"); !cmp.Equal(got, want) {
				t.Errorf("%s keys, want %s", got, want)
			}
		})
	}
}

// TestRedisFollowLinkCut: while the target takes the copy in, every look at it
// is cut off for a while; the copy goes on, and is seen to its end.
func TestRedisFollowLinkCut(t *testing.T) {
	l := newRedisLab(t, []string{"repl-diskless-sync-delay 2"}, nil)
	redisFill(t, l.old, 1000)
	way := &cutting{Dialer: l.e.Host.Dialer}
	l.e.Host.Dialer = way
	l.e.Hosts = remote.Hosts{"chat": l.e.Host}
	var links []string
	l.e.Link = func(s string) { links = append(links, s) }
	said := 0
	l.e.Say = func(Progress) { // every second look
		if said++; said%2 == 1 {
			way.armed.Store(true)
		}
	}
	c := l.copy()
	if err := c.Apply(t.Context(), l.e); err != nil {
		t.Fatal(err)
	}
	way.armed.Store(false)
	if err := c.Verify(t.Context(), looking(l.e)); err != nil {
		t.Fatal(err)
	}
	if len(links) < 2 || !strings.HasPrefix(links[0], "lost (") || links[1] != "connected again" {
		t.Errorf("links %q", links)
	}
}

// TestRedisEmptyMaster: a source that comes back without its data is not
// switched to, and the copy says what has happened.
func TestRedisEmptyMaster(t *testing.T) {
	l := newRedisLab(t, nil, nil)
	redisFill(t, l.old, 100)
	c := l.copy()
	var warned bool
	for _, f := range checks.Judge(t.Context(), checks.World{Hosts: l.e.Hosts, Secret: l.e.Secret}, c.Needs("chat")) {
		warned = warned || f.Level == checks.Warn && strings.Contains(f.Text, "keeps nothing on a disk")
		if f.Level == checks.Block || f.Level == checks.Unknown {
			t.Errorf("%+v", f)
		}
	}
	if !warned {
		t.Error("nobody warned of a source without persistence")
	}
	redisDone(t, l.e, c)
	l.old.Kill()
	l.old.Start()
	until(t, "the target is wiped", func() bool {
		got := l.now.Do("DBSIZE")
		return got[0] == "0" && strings.Contains(l.now.Do("INFO", "replication")[0], "master_link_status:up")
	})
	if err := l.change().Apply(t.Context(), l.with(MapMemory{})); err == nil || !strings.Contains(err.Error(), "come back without its data") {
		t.Errorf("%v", err)
	}
}

// TestRedisSourceRestarts: one that keeps its data is followed on.
func TestRedisSourceRestarts(t *testing.T) {
	l := newRedisLab(t, []string{"appendonly yes", "appendfsync always"}, nil)
	redisFill(t, l.old, 1000)
	c := l.copy()
	redisDone(t, l.e, c)
	l.old.Kill()
	l.old.Start()
	l.old.Do("SET", "after", "1")
	if err := c.Apply(t.Context(), l.e); err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(t.Context(), l.e); err != nil {
		t.Fatal(err)
	}
	redisDone(t, l.with(MapMemory{}), l.change())
	if got := l.now.Do("GET", "after"); got[0] != "1" {
		t.Errorf("%q", got)
	}
}
