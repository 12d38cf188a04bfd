package remotetest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RedisOptions change the server of StartRedis.
type RedisOptions struct {
	Password string   // requirepass
	Settings []string // lines of redis.conf: "maxmemory 8mb", "user app on >pw ~* +@all"
	Dir      string   // parent of Dir, such as a small file system; default the system's own
	Programs string   // what Newer gave: the valkey-server (or redis-server) in there; default the system's redis-server
}

// Redis is a Redis or Valkey server of one test's own on 127.0.0.1. It writes nothing to
// the disk unless the settings say so ("appendonly yes"): after Kill it comes
// back with what they kept.
type Redis struct {
	Addr     string // 127.0.0.1:port
	Port     int
	Socket   string // path of the socket
	Password string
	Dir      string // the working directory; Dir/log is what the server says, Dir/redis.conf its settings

	process
	t       testing.TB
	program string
}

// StartRedis starts one and ends it with the test. As root it runs as nobody.
func StartRedis(t testing.TB, o RedisOptions) *Redis {
	t.Helper()
	program := needIn(t, o.Programs, "valkey-server", "redis-server")
	dir, err := os.MkdirTemp(o.Dir, "belayredis") // t.TempDir is not open to nobody
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port := FreePort(t)
	r := &Redis{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Port: port, Dir: dir, t: t, process: process{log: filepath.Join(dir, "log")},
		Socket: filepath.Join(dir, "sock"), Password: o.Password, program: program,
	}
	// The last of two like settings counts, but lines of "save" and "user" add up.
	conf := []string{"bind 127.0.0.1", "port " + strconv.Itoa(port), "unixsocket " + r.Socket, "dir " + dir,
		`save ""`, "repl-diskless-sync-delay 0"}
	if o.Password != "" {
		conf = append(conf, "requirepass "+o.Password)
	}
	conf = append(conf, o.Settings...)
	if err := os.WriteFile(filepath.Join(dir, "redis.conf"), []byte(strings.Join(conf, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	giveToNobody(t, dir)
	t.Cleanup(r.Kill)
	r.Start()
	return r
}

// Start starts the server, anew after Stop or Kill, and waits until it answers.
func (r *Redis) Start() {
	r.t.Helper()
	r.start(r.t, exec.Command(r.program, filepath.Join(r.Dir, "redis.conf")), r.alive)
}

// alive tells whether it answers, if only that it wants another login; while
// it loads its data, which it tells to those alone who have logged in, it does
// not count.
func (r *Redis) alive() bool {
	c, err := net.Dial("tcp", r.Addr)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	in := bufio.NewReader(c)
	if r.Password != "" {
		if _, err := respCall(c, in, "AUTH", r.Password); err != nil {
			return strings.HasPrefix(err.Error(), "WRONGPASS")
		}
	}
	_, err = respCall(c, in, "PING")
	return err == nil || strings.HasPrefix(err.Error(), "NO")
}

// Do runs one command as the default user, beside belay, and returns the
// answer flattened: a status, number or string is one item, an array is its
// items in order, nil is "∅". An error of the server fails the test.
func (r *Redis) Do(args ...string) []string {
	r.t.Helper()
	all, err := r.Try(args...)
	if err != nil {
		r.t.Fatalf("%.200q: %v", args, err)
	}
	return all
}

// Try is Do for commands that may be refused.
func (r *Redis) Try(args ...string) ([]string, error) {
	c, err := net.Dial("tcp", r.Addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	in := bufio.NewReader(c)
	if r.Password != "" {
		if _, err := respCall(c, in, "AUTH", r.Password); err != nil {
			return nil, err
		}
	}
	return respCall(c, in, args...)
}

// respCall speaks the protocol by hand, so that a test's own look does not
// come by the client that it tests (redis.io, "RESP protocol spec").
func respCall(w io.Writer, in *bufio.Reader, args ...string) ([]string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return nil, err
	}
	return respAnswer(in)
}

func respAnswer(in *bufio.Reader) ([]string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimRight(line, "\r\n")
	kind, rest := line[0], line[1:]
	if kind == '-' {
		return nil, fmt.Errorf("%s", rest)
	}
	if kind == '+' || kind == ':' {
		return []string{rest}, nil
	}
	n, err := strconv.Atoi(rest)
	if err != nil {
		return nil, err
	}
	if n < 0 {
		return []string{"∅"}, nil
	}
	if kind == '$' {
		text := make([]byte, n+2)
		_, err := io.ReadFull(in, text)
		return []string{string(text[:max(0, len(text)-2)])}, err
	}
	var all []string
	for range n {
		items, err := respAnswer(in)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
	}
	return all, nil
}
