package checks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belay/remote"
	"belay/remote/remotetest"
	"belay/remote/secret"
)

func quick(d time.Duration) remote.Duration { return remote.Duration(d) }

// ask runs one check on this machine, read-only.
func ask(t *testing.T, c Check, h remote.Host) Finding {
	t.Helper()
	if v, ok := c.(Validator); ok {
		if err := v.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	w := World{Hosts: remote.Hosts{"here": remote.ReadOnly(h)}, Secret: func(_ context.Context, name string) (secret.Value, error) {
		if name != "token" {
			return secret.Value{}, fmt.Errorf("secret %q is not declared", name)
		}
		return secret.New("t0k3n-value"), nil
	}}
	found := Judge(t.Context(), w, []Check{c})
	if len(found) != 1 {
		t.Fatalf("%d findings: %+v", len(found), found)
	}
	return found[0]
}

func expect(t *testing.T, c Check, h remote.Host, level Level, part string) {
	t.Helper()
	f := ask(t, c, h)
	if f.Level != level || !strings.Contains(f.Text, part) {
		t.Errorf("%T %+v\n got %s %q\nwant %s …%q…", c, c, f.Level, f.Text, level, part)
	}
	if n, ok := c.(FactReader); ok && n.NeedsFacts() {
		t.Errorf("%T says that it needs facts", c)
	}
}

// closedPort is one that was free a moment ago.
func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// walled is this machine where nothing may be forwarded.
func walled() remote.Host {
	h := remote.Local("here")
	h.Dialer = wall{}
	return h
}

type wall struct{}

func (wall) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, fmt.Errorf("channel: %w", remote.ErrNoForwarding)
}

func server(t *testing.T) (plain, tls *httptest.Server) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"status": "ok", "nodes": [{"name": "a", "up": true, "n": 12345678901234567890}]}`)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "\x1b[31mno", 500) })
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) {
		for range 3 << 10 {
			if _, err := w.Write(make([]byte, 1024)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		user, _, _ := r.BasicAuth()
		fmt.Fprintf(w, "%s host=%s x=%s auth=%v user=%s body=%s", r.Method, r.Host, r.Header.Get("X-Y"), r.Header.Get("Authorization") == "Bearer t0k3n-value", user, b)
	})
	plain, tls = httptest.NewServer(mux), httptest.NewUnstartedServer(mux)
	tls.EnableHTTP2 = true
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	t.Cleanup(plain.Close)
	t.Cleanup(tls.Close)
	return plain, tls
}

func TestHTTP(t *testing.T) {
	remotetest.Need(t, "curl")
	plain, tls := server(t)
	for name, h := range map[string]remote.Host{"through the dialer": remote.Local("here"), "by curl there": walled()} {
		t.Run(name, func(t *testing.T) {
			expect(t, &HTTPCheck{URL: plain.URL + "/ok"}, h, Pass, "answers 200 in ")
			expect(t, &HTTPCheck{URL: plain.URL + "/ok", Contains: `"status":\s*"ok"`}, h, Pass, "200")
			expect(t, &HTTPCheck{URL: plain.URL + "/ok", Contains: "absent"}, h, Block, "the body does not match absent")
			expect(t, &HTTPCheck{URL: plain.URL + "/ok", JSON: map[string]string{"status": "ok", "nodes.0.up": "true", "nodes.0.n": "12345678901234567890"}}, h, Pass, "200")
			expect(t, &HTTPCheck{URL: plain.URL + "/ok", JSON: map[string]string{"nodes.0.name": "b"}}, h, Block, "nodes.0.name is a, not b")
			expect(t, &HTTPCheck{URL: plain.URL + "/ok", JSON: map[string]string{"nodes.1.name": "b"}}, h, Block, "the body has no nodes.1.name")
			expect(t, &HTTPCheck{URL: plain.URL + "/broken", JSON: map[string]string{"a": "b"}, Status: 500}, h, Block, "not JSON")
			expect(t, &HTTPCheck{URL: plain.URL + "/moved"}, h, Block, "answers 302")
			expect(t, &HTTPCheck{URL: plain.URL + "/moved", Status: 302}, h, Pass, "302")
			expect(t, &HTTPCheck{URL: plain.URL + "/broken"}, h, Block, "answers 500")
			expect(t, &HTTPCheck{URL: plain.URL + "/broken", Status: 200}, h, Block, "not 200")
			expect(t, &HTTPCheck{URL: plain.URL + "/big", Contains: "x"}, h, Block, "does not match")
			expect(t, &HTTPCheck{URL: plain.URL + "/big"}, h, Pass, "200")
			expect(t, &HTTPCheck{URL: plain.URL + "/ok", Method: "HEAD"}, h, Pass, "200")
			expect(t, &HTTPCheck{URL: "http://" + closedPort(t) + "/"}, h, Block, "onnect")
			expect(t, &HTTPCheck{URL: tls.URL + "/ok"}, h, Block, "certificate")
			expect(t, &HTTPCheck{URL: tls.URL + "/ok", Insecure: true}, h, Pass, "200")
			expect(t, &HTTPCheck{URL: "http://other.example:1/echo", Connect: plain.Listener.Addr().String(), Contains: "host=other.example:1 "}, h, Pass, "200")
			expect(t, &HTTPCheck{URL: plain.URL + "/echo", Method: "POST", Body: `a "b" \ @c`, Headers: map[string]string{"X-Y": `q"\z`}, Bearer: secret.Ref{Name: "token"},
				Contains: `^POST host=.* x=q"\\z auth=true user= body=a "b" \\ @c$`}, h, Pass, "200")
			expect(t, &HTTPCheck{URL: plain.URL + "/echo", User: "ann", Password: secret.Ref{Name: "token"}, Contains: "user=ann "}, h, Pass, "200")
			expect(t, &HTTPCheck{URL: plain.URL + "/ok", Bearer: secret.Ref{Name: "none"}}, h, Unknown, `secret "none" is not declared`)
		})
	}
}

func TestHTTPTooSlowOrStopped(t *testing.T) {
	plain, _ := server(t)
	expect(t, &HTTPCheck{URL: plain.URL + "/slow", Timeout: quick(50 * time.Millisecond)}, remote.Local("here"), Block, "no answer within 50ms")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stopped"))
	found, err := (&HTTPCheck{URL: plain.URL + "/slow"}).Assess(ctx, World{Hosts: remote.Hosts{"here": remote.Local("here")}})
	if err == nil || len(found) > 0 {
		t.Errorf("a look that was stopped found %+v, %v", found, err)
	}
}

// The name in the URL is what the certificate is asked for, wherever we connect.
func TestHTTPAsksForTheNameOfTheURL(t *testing.T) {
	asked := make(chan string, 1)
	h := remote.Local("here")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 2000)
		n, _ := c.Read(b)
		asked <- string(b[:n])
	}()
	f := ask(t, &HTTPCheck{URL: "https://chat.example.com/", Connect: l.Addr().String()}, h)
	if f.Level != Block {
		t.Errorf("%s %s", f.Level, f.Text)
	}
	if hello := <-asked; !strings.Contains(hello, "chat.example.com") {
		t.Errorf("the TLS hello %q does not name chat.example.com", hello)
	}
}

func TestHTTPWithoutCurl(t *testing.T) {
	remotetest.Need(t, "wget")
	plain, _ := server(t)
	for name, programs := range map[string]map[string]string{
		"wget":        {"wget": remotetest.Find("wget"), "head": remotetest.Find("head")},
		"broken wget": {"wget": remotetest.Find("true"), "head": remotetest.Find("head")},
		"nothing":     {},
	} {
		t.Run(name, func(t *testing.T) {
			h := walled()
			h.Runner = onlyPath{h.Runner, pathOf(t, programs)}
			if name == "nothing" {
				expect(t, &HTTPCheck{URL: plain.URL + "/ok"}, h, Unknown, "no program that could ask")
				expect(t, &TCPCheck{Addr: plain.Listener.Addr().String()}, h, Unknown, "no nc")
				return
			}
			if name == "broken wget" {
				expect(t, &HTTPCheck{URL: plain.URL + "/ok"}, h, Unknown, "its wget said nothing")
				return
			}
			expect(t, &HTTPCheck{URL: plain.URL + "/ok", Contains: `"up": true`}, h, Pass, "200")
			expect(t, &HTTPCheck{URL: plain.URL + "/broken"}, h, Block, "500")
			expect(t, &HTTPCheck{URL: plain.URL + "/ok", Bearer: secret.Ref{Name: "token"}}, h, Unknown, "no program that could ask")
			expect(t, &HTTPCheck{URL: "http://" + closedPort(t) + "/"}, h, Block, "")
		})
	}
}

func pathOf(t *testing.T, programs map[string]string) string {
	dir := t.TempDir()
	for name, program := range programs {
		if err := os.Symlink(program, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// onlyPath runs scripts with another PATH.
type onlyPath struct {
	remote.Runner
	path string
}

func (o onlyPath) Run(ctx context.Context, c remote.Cmd) error {
	c.Argv = append([]string{}, c.Argv...)
	c.Argv[0], c.Argv[2] = "/bin/sh", "PATH="+o.path+"\n"+c.Argv[2]
	return o.Runner.Run(ctx, c)
}

func TestTCP(t *testing.T) {
	h := remote.Local("here")
	open := fmt.Sprintf("127.0.0.1:%d", listen(t))
	expect(t, &TCPCheck{Addr: open}, h, Pass, open+" takes connections (")
	expect(t, &TCPCheck{Addr: closedPort(t)}, h, Block, "refused")
	silent := h
	silent.Dialer = hanging{}
	expect(t, &TCPCheck{Addr: open, Timeout: quick(20 * time.Millisecond)}, silent, Block, "no answer within 20ms")
	cut := h
	cut.Dialer = failing{&remote.LostError{Host: "here", Err: io.EOF}}
	expect(t, &TCPCheck{Addr: open}, cut, Unknown, "could not look")
	expect(t, &HTTPCheck{URL: "http://" + open}, cut, Unknown, "could not look")
	if remotetest.Find("nc") != "" {
		expect(t, &TCPCheck{Addr: open}, walled(), Pass, open)
		expect(t, &TCPCheck{Addr: closedPort(t)}, walled(), Block, "")
	}
}

type hanging struct{}

func (hanging) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

type failing struct{ err error }

func (f failing) Dial(context.Context, string, string) (net.Conn, error) { return nil, f.err }
func (f failing) Run(context.Context, remote.Cmd) error                  { return f.err }

func TestCommand(t *testing.T) {
	h := remote.Local("here")
	expect(t, &CommandCheck{Run: "echo fine; echo more"}, h, Pass, ": fine more")
	expect(t, &CommandCheck{Run: "exit 3"}, h, Block, "exit 0 was expected")
	expect(t, &CommandCheck{Run: "echo oops >&2; exit 3", Status: 3}, h, Pass, "exit 3 in ")
	expect(t, &CommandCheck{Run: "echo oops >&2; exit 1"}, h, Block, ": oops")
	expect(t, &CommandCheck{Run: "echo fine", Expect: "^bad$"}, h, Block, "the output does not match ^bad$")
	expect(t, &CommandCheck{Run: "printf '\\033[31mred\\n'"}, h, Pass, "red")
	expect(t, &CommandCheck{Run: "sleep 60", Timeout: quick(50 * time.Millisecond)}, h, Block, "no answer within 50ms")
	expect(t, &CommandCheck{Run: "true"}, remote.Host{Name: "here", Runner: failing{&remote.LostError{Err: io.EOF}}}, Unknown, "lost")
}

func TestFile(t *testing.T) {
	h, dir, no := remote.Local("here"), t.TempDir(), false
	path := filepath.Join(dir, "a file.conf")
	if err := os.WriteFile(path, []byte("# x\nproxy_pass http://a;\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	os.Symlink("nowhere", filepath.Join(dir, "dangling"))
	os.Symlink(path, filepath.Join(dir, "link"))
	expect(t, &FileCheck{Path: path}, h, Pass, "is there (file, mode 0640")
	expect(t, &FileCheck{Path: filepath.Join(dir, "link"), Contains: "^proxy_pass", Mode: "640", Size: 10, Type: "file"}, h, Pass, "25 B")
	expect(t, &FileCheck{Path: path, Mode: "0600", Size: 1 << 20, Contains: "absent", Type: "directory", Owner: "nobody-at-all"}, h, Block,
		"is a file, not a directory, has mode 0640, not 0600, belongs to ")
	expect(t, &FileCheck{Path: path, Exists: &no}, h, Block, "is there (file)")
	expect(t, &FileCheck{Path: dir + "/deep/er/none"}, h, Block, "is not there")
	expect(t, &FileCheck{Path: dir + "/deep/er/none", Exists: &no}, h, Pass, "is not there")
	expect(t, &FileCheck{Path: dir + "/dangling"}, h, Block, "leads nowhere")
	expect(t, &FileCheck{Path: dir, Contains: "x"}, h, Block, "so it has no lines")
	expect(t, &FileCheck{Path: path}, remote.Host{Name: "here", Runner: failing{io.EOF}}, Unknown, "could not look")
}

func TestLog(t *testing.T) {
	h := remote.Local("here")
	path := filepath.Join(t.TempDir(), "chat.log")
	if err := os.WriteFile(path, []byte("panic: old\n"+strings.Repeat("line\n", 50)+"ready on 8088\n\x1b[1mlast"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, &LogCheck{Path: path, Contains: `^ready on \d+$`}, h, Pass, "the log says: ready on 8088")
	expect(t, &LogCheck{Path: path, Absent: "panic"}, h, Block, "1 of the last 53 lines match panic; the last: panic: old")
	expect(t, &LogCheck{Path: path, Absent: "panic", Tail: 40}, h, Pass, "none of the last 40 lines")
	expect(t, &LogCheck{Path: path, Contains: "never"}, h, Block, "none of the last 53 lines")
	expect(t, &LogCheck{Command: "echo one; echo two", Contains: "two", Absent: "three"}, h, Pass, "two")
	expect(t, &LogCheck{Command: "echo one; exit 4", Absent: "x"}, h, Unknown, "exit status 4")
	expect(t, &LogCheck{Path: path + ".none", Absent: "x"}, h, Unknown, "is not a file")
	blind := h
	blind.Runner = onlyPath{h.Runner, "/nonexistent"}
	expect(t, &LogCheck{Path: path, Absent: "x"}, blind, Unknown, "could not look")
	expect(t, &LogCheck{Command: "echo x", Absent: "y"}, blind, Unknown, "could not look")
	expect(t, &FileCheck{Path: path}, blind, Unknown, "could not look")
	expect(t, &FileCheck{Path: path, Contains: "x"}, blind, Unknown, "could not look")
}

func TestDisk(t *testing.T) {
	h, dir := remote.Local("here"), t.TempDir()
	diskExpect := func(c *DiskCheck, h remote.Host, level Level, part string) {
		t.Helper()
		expect(t, c, h, level, part)
	}
	diskExpect(&DiskCheck{Path: dir, Free: 1}, h, Pass, "free for "+dir)
	diskExpect(&DiskCheck{Path: dir + "/not/yet", Free: 1}, h, Pass, "it will be on "+dir)
	diskExpect(&DiskCheck{Path: dir, Free: 1 << 60}, h, Block, "needed")
	os.Symlink("gone", dir+"/dangling")
	diskExpect(&DiskCheck{Path: dir + "/dangling/x", Free: 1}, h, Unknown, "leads nowhere")
	m := remotetest.NewScripted(t, "here")
	m.WhenScript(diskScript).Say("lots /\n")
	diskExpect(&DiskCheck{Free: 1}, m.Host(), Unknown, "something else than a number")
}

func TestToolsThatNoFactTellsOf(t *testing.T) {
	h := remote.Local("here")
	expect(t, &ToolCheck{Name: "cat", Version: ">= 1"}, h, Pass, "cat ")
	expect(t, &ToolCheck{Name: "no-such-tool-at-all"}, h, Block, "is not installed")
	expect(t, &ToolCheck{Name: "no-such-tool-at-all", Any: []string{"cat"}}, h, Pass, "cat is installed")
	expect(t, &ToolCheck{Name: "cat"}, remote.Host{Name: "here", Runner: failing{io.EOF}}, Unknown, "could not look")
}
