package steps

import (
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
	"belay/remote/ssh"
	"belay/steps/redis"
)

// redisWriters write on and on, first to the old server and, from the moment
// that it refuses them, to the new one, as an application does that is told a
// new address. They keep a list of what was acknowledged.
type redisWriters struct {
	acked atomic.Int64
	moved atomic.Int64 // acknowledged by the new server
	stop  chan struct{}
	done  sync.WaitGroup
	mu    sync.Mutex
	keys  []string
	worst time.Duration // that one write had to wait
	rest  time.Duration // after each write
}

func redisWrite(t *testing.T, n int, rest time.Duration, old, now redis.Server) *redisWriters {
	w := &redisWriters{stop: make(chan struct{}), rest: rest}
	for id := range n {
		a, err := old.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b, err := now.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.done.Go(func() {
			defer a.Close()
			defer b.Close()
			w.run(t, id, a, b)
		})
	}
	return w
}

func (w *redisWriters) run(t *testing.T, id int, a, b *redis.Client) {
	var keys []string
	var worst time.Duration
	at := a
	for n := 0; ; n++ {
		select {
		case <-w.stop:
			w.mu.Lock()
			w.keys, w.worst = append(w.keys, keys...), max(w.worst, worst)
			w.mu.Unlock()
			return
		default:
		}
		key := fmt.Sprintf("w%d:%d", id, n)
		begun := time.Now()
		_, err := at.Call(t.Context(), "SET", key, n)
		worst = max(worst, time.Since(begun))
		time.Sleep(w.rest)
		switch {
		case err == nil:
			keys = append(keys, key)
			w.acked.Add(1)
			if at == b {
				w.moved.Add(1)
			}
		case redis.Refused(err):
			if at == b { // a replica yet: the address is told a moment too early
				time.Sleep(time.Millisecond)
			}
			at = b
		default:
			t.Errorf("writer %d: %v", id, err)
			return
		}
	}
}

// TestRedisLiveWriters moves a Redis under load through a real sshd. Not one
// acknowledged write may be missing, whichever server acknowledged it.
func TestRedisLiveWriters(t *testing.T) {
	for _, way := range []struct{ by, old string }{{"replication", "readonly"}, {"replication", "follow"}, {"scan", "readonly"}} {
		t.Run(way.by+" "+way.old, func(t *testing.T) {
			l := newRedisLab(t, nil, nil)
			sshd := remotetest.StartSSHD(t, remotetest.SSHDOptions{})
			network := ssh.NewNetwork(ssh.Options{Config: sshd.Config, Home: sshd.Home, Agent: "none"})
			t.Cleanup(func() { network.Close() })
			h, err := network.Open(sshd.Name, ssh.Spec{})
			if err != nil {
				t.Fatal(err)
			}
			l.e.Host, l.e.Hosts = h, remote.Hosts{h.Name: h}
			redisFill(t, l.old, 20000)
			rest := time.Duration(0)
			if way.by == "scan" { // new keys must not come faster than keys are copied
				rest = 8 * time.Millisecond
			}
			here := remote.Local("application")
			w := redisWrite(t, 8, rest,
				redis.Server{Host: here, Addr: l.old.Addr, Password: secret.New("oldpw")},
				redis.Server{Host: here, Addr: l.now.Addr, Password: secret.New("newpw")})
			begun := time.Now()
			until(t, "they write", func() bool { return w.acked.Load() > 2000 })
			c := l.copy()
			c.By = way.by
			redisDone(t, l.e, c)
			more := w.acked.Load() + 3000
			until(t, "they write on", func() bool { return w.acked.Load() > more })
			rate := float64(w.acked.Load()) / time.Since(begun).Seconds()
			s := l.change()
			s.Old = way.old
			redisDone(t, l.with(MapMemory{}), s)
			until(t, "they write to the new server", func() bool { return w.moved.Load() > 2000 })
			close(w.stop)
			w.done.Wait()
			redisAllThere(t, l, w)
			frozen := regexp.MustCompile(`frozen time: .*`).FindString(l.log.String())
			t.Logf("%d acknowledged writes, %.0f a second while copying; %s; longest wait of one write %v", len(w.keys), rate, frozen, w.worst)
			if frozen == "" {
				t.Error("the frozen time is not told")
			}
		})
	}
}

func redisAllThere(t *testing.T, l *redisLab, w *redisWriters) {
	t.Helper()
	c, err := redis.Server{Host: remote.Local("application"), Addr: l.now.Addr, Password: secret.New("newpw")}.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var missing int64
	for rest := w.keys; len(rest) > 0; {
		n := min(1000, len(rest))
		args := []any{"EXISTS"}
		for _, k := range rest[:n] {
			args = append(args, k)
		}
		v, err := c.Call(t.Context(), args...)
		if err != nil {
			t.Fatal(err)
		}
		there, _ := v.(int64)
		missing, rest = missing+int64(n)-there, rest[n:]
	}
	if missing > 0 || len(w.keys) == 0 {
		t.Errorf("%d of %d acknowledged writes are missing", missing, len(w.keys))
	}
}
