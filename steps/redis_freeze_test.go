package steps

import (
	"strings"
	"testing"
	"time"

	"belay/remote"
)

// TestRedisFreeze freezes and switches: what was frozen stays
// so until its own undo.
func TestRedisFreeze(t *testing.T) {
	l := newRedisLab(t, []string{"min-replicas-max-lag 0"}, nil)
	redisFill(t, l.old, 100)
	redisDone(t, l.e, l.copy())
	f, m := &redisFreeze{redisStore: l.ends.From}, MapMemory{}
	redisDone(t, l.with(m), f)
	refuses := func(when string) {
		t.Helper()
		for _, write := range [][]string{{"SET", "k", "1"}, {"EVAL", "return redis.call('SET', 'k', '1')", "0"}, {"FLUSHALL"}} {
			if _, err := l.old.Try(write...); err == nil || !strings.Contains(err.Error(), "NOREPLICAS") {
				t.Errorf("%s, %q: %v", when, write, err)
			}
		}
	}
	refuses("frozen")
	if got := l.old.Do("GET", "session"); got[0] != "x" {
		t.Errorf("%q", got)
	}
	s := l.change()
	s.Pause = remote.Duration(time.Second)
	mem := MapMemory{}
	redisDone(t, l.with(mem), s)
	refuses("switched")
	if err := s.Undo(t.Context(), l.with(mem)); err != nil {
		t.Fatal(err)
	}
	refuses("the switch undone")
	if err := f.Undo(t.Context(), l.with(m)); err != nil {
		t.Fatal(err)
	}
	l.old.Do("SET", "k", "1")
	if got := strings.Join(l.old.Do("CONFIG", "GET", "min-replicas-*"), " "); !strings.Contains(got, "min-replicas-to-write 0") || !strings.Contains(got, "min-replicas-max-lag 0") {
		t.Errorf("%s", got)
	}
}

// TestRedisSwitchTooSlow: a target that does not get everything in time leaves
// the writers where they are.
func TestRedisSwitchTooSlow(t *testing.T) {
	l := newRedisLab(t, nil, []string{"enable-debug-command local"})
	redisFill(t, l.old, 100)
	redisDone(t, l.e, l.copy())
	s := l.change()
	s.Pause = remote.Duration(time.Second)
	p, err := s.open(t.Context(), l.e)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	// The target hangs for longer than writers may wait.
	hung := make(chan struct{})
	go func() { defer close(hung); l.now.Try("DEBUG", "SLEEP", "3") }()
	until(t, "the target hangs", func() bool {
		return strings.Contains(l.old.Do("INFO", "replication")[0], "state=online")
	})
	time.Sleep(200 * time.Millisecond)
	var m redisSwitched
	if _, err = s.move(t.Context(), l.e, p, &m); err == nil || !strings.Contains(err.Error(), "the writers go on at the source") {
		t.Fatalf("%v", err)
	}
	l.old.Do("SET", "goes", "on")
	if got := l.old.Do("CONFIG", "GET", "min-replicas-to-write"); got[1] != "0" {
		t.Errorf("%q", got)
	}
	<-hung
	redisDone(t, l.with(MapMemory{}), s)
	if got := l.now.Do("GET", "goes"); got[0] != "on" {
		t.Errorf("%q", got)
	}
}
