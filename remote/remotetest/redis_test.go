package remotetest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRedis(t *testing.T) {
	r := StartRedis(t, RedisOptions{Password: "pw", Settings: []string{"appendonly yes", "appendfsync always", "user app on >app ~a* +@all"}})
	r.Do("SET", "k\x00\r\n", "v\xff")
	r.Do("RPUSH", "l", "1", "", "3")
	if got := r.Do("LRANGE", "l", "0", "-1"); !cmp.Equal(got, []string{"1", "", "3"}) {
		t.Errorf("%q", got)
	}
	r.Kill()
	if _, err := r.Try("PING"); err == nil {
		t.Error("it answers though it was killed")
	}
	r.Start()
	if got := r.Do("GET", "k\x00\r\n"); !cmp.Equal(got, []string{"v\xff"}) {
		t.Errorf("after a crash: %q", got)
	}
	if _, err := r.Try("NOSUCH"); err == nil || !strings.Contains(err.Error(), "unknown command") {
		t.Errorf("%v", err)
	}
	if got := r.Do("GET", "none"); !cmp.Equal(got, []string{"∅"}) {
		t.Errorf("%q", got)
	}
	r.Stop()
	if !strings.Contains(r.Log(), "ready to accept connections") {
		t.Errorf("log %q", r.Log())
	}
}
