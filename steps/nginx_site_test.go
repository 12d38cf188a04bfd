package steps

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/checks"
	"belay/remote"
	"belay/remote/remotetest"
)

// nginxLab is a real nginx with a directory of its own.
type nginxLab struct {
	dir  string
	port int
	cmd  string
}

func newNginxLab(t *testing.T, sites bool) *nginxLab {
	t.Helper()
	remotetest.Need(t, "nginx")
	l := &nginxLab{dir: t.TempDir(), port: remotetest.FreePort(t)}
	include := "conf.d/*.conf"
	if sites {
		include = "sites-enabled/*"
		for _, d := range []string{"/sites-available", "/sites-enabled"} {
			if err := os.Mkdir(l.dir+d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	fileWrite(t, l.dir+"/nginx.conf", fmt.Sprintf(`%s
error_log %[2]s/error.log;
pid %[2]s/nginx.pid;
worker_processes 2;
events {}
http { access_log off; client_body_temp_path %[2]s/t1; proxy_temp_path %[2]s/t2; fastcgi_temp_path %[2]s/t3; uwsgi_temp_path %[2]s/t4; scgi_temp_path %[2]s/t5;
include %[2]s/%[3]s; }
`, user, l.dir, include), 0o644)
	l.cmd = remotetest.Find("nginx") + " -p " + l.dir + " -c " + l.dir + "/nginx.conf"
	return l
}

// start begins nginx, and ends it with the test.
func (l *nginxLab) start(t *testing.T) {
	t.Helper()
	args := append(strings.Fields(l.cmd)[1:], "-g", "daemon off;")
	cmd := exec.Command(strings.Fields(l.cmd)[0], args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		_ = cmd.Wait()
	})
	for range 600 {
		if b, err := os.ReadFile(l.dir + "/nginx.pid"); err == nil && len(b) > 1 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("nginx did not start")
}

func (l *nginxLab) text(says string) *string {
	s := fmt.Sprintf("server { listen 127.0.0.1:%d; server_name chat.test; location / { return 200 %q; } }\n", l.port, says)
	return &s
}

func (l *nginxLab) site(says string) *nginxSite {
	return &nginxSite{Name: "chat.test", Text: l.text(says), Enabled: true, Dir: l.dir, Layout: "auto", Nginx: l.cmd, Within: remote.Duration(time.Minute),
		Serves: &checks.HTTPCheck{On: []string{"web"}, URL: fmt.Sprintf("http://127.0.0.1:%d/", l.port), Headers: map[string]string{"Host": "chat.test"}, Contains: "^" + says + "$"}}
}

// nginxBox cuts the link before a command is started or after it has ended.
type nginxBox struct {
	remote.Host
	cut, count int
	after      bool
}

func (b *nginxBox) Run(ctx context.Context, c remote.Cmd) error {
	b.count++
	if b.count == b.cut && !b.after {
		return &remote.UnreachableError{Host: "web", Err: errDockerCut}
	}
	err := b.Host.Run(ctx, c)
	if b.count == b.cut {
		return &remote.LostError{Host: "web", Err: errDockerCut}
	}
	return err
}

func nginxEnv(id string) (*fileEnv, *nginxBox) {
	e := newFileEnv(nil)
	e.ID = id
	b := &nginxBox{Host: remote.Local("web")}
	e.Host = remote.Host{Name: "web", Runner: b, Dialer: b.Host.Dialer}
	e.Hosts = remote.Hosts{"web": e.Host}
	return e, b
}

func (l *nginxLab) tree(t *testing.T) map[string]string {
	t.Helper()
	return fileSnapshot(t, l.dir, func(rel string) bool {
		return rel == "error.log" || rel == "nginx.pid" || len(rel) == 2 && rel[0] == 't'
	})
}

// TestNginxSite puts sites before a running nginx, one after the other, and
// takes them back: what was there is there again, and served.
func TestNginxSite(t *testing.T) {
	for _, sites := range []bool{true, false} {
		t.Run(fmt.Sprintf("sites %v", sites), func(t *testing.T) {
			l := newNginxLab(t, sites)
			l.start(t)
			empty := l.tree(t)
			first, second := l.site("first"), l.site("second")
			e1, _ := nginxEnv("run1.one.web")
			if c := e1.pending(t, first); len(c) < 2 || !strings.Contains(c[0].Diff, "+server {") {
				t.Errorf("pending: %+v", c)
			}
			e1.apply(t, first)
			e1.verify(t, first)
			if c := e1.pending(t, first); len(c) != 0 {
				t.Errorf("still pending: %+v", c)
			}
			one := l.tree(t)
			e2, _ := nginxEnv("run1.two.web")
			e2.apply(t, second)
			e2.verify(t, second)
			if err := first.Verify(t.Context(), e1.Env); err == nil {
				t.Error("the first site passes as served while the second one is")
			}
			two := l.tree(t)
			nginxRefused(t, l, two)
			off := l.site("second")
			off.Enabled, off.Text, off.Serves = false, nil, nil
			e3, _ := nginxEnv("run1.off.web")
			e3.apply(t, off)
			e3.verify(t, off)
			e3.undo(t, off)
			e2.verify(t, second)
			if d := cmp.Diff(two, l.tree(t)); d != "" {
				t.Errorf("after the site was off and on: -before +after:\n%s", d)
			}
			e2.undo(t, second)
			e1.verify(t, first)
			if d := cmp.Diff(one, l.tree(t)); d != "" {
				t.Errorf("after undo of the second: -before +after:\n%s", d)
			}
			e1.undo(t, first)
			e1.undo(t, first)
			delete(empty, "conf.d")
			after := l.tree(t)
			delete(after, "conf.d")
			if d := cmp.Diff(empty, after); d != "" {
				t.Errorf("after undo of all: -before +after:\n%s", d)
			}
		})
	}
}

// nginxRefused: what nginx does not take is put back at once, with its words;
// also what its test takes and its reload does not: an address that is in use.
func nginxRefused(t *testing.T, l *nginxLab, want map[string]string) {
	t.Helper()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	taken := other.Addr().(*net.TCPAddr).Port
	for text, word := range map[string]string{
		"server { listen 127.0.0.1:1;\nno_such_thing on; }\n":                              `unknown directive "no_such_thing"`,
		fmt.Sprintf("server { listen 127.0.0.1:%d; location / { return 200; } }\n", taken): "bind() to",
	} {
		s := l.site("x")
		s.Text, s.Serves = &text, nil
		e, _ := nginxEnv("run1.bad.web")
		err := s.Apply(t.Context(), e.Env)
		if err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), "put back at once") {
			t.Errorf("%s: %v", word, err)
		}
		if d := cmp.Diff(want, l.tree(t)); d != "" {
			t.Errorf("%s: not as before: -before +after:\n%s", word, d)
		}
		e.undo(t, s)
		if d := cmp.Diff(want, l.tree(t)); d != "" {
			t.Errorf("%s: undo: -before +after:\n%s", word, d)
		}
	}
}

// A site comes from another host with its mode, and is nowhere shown.
func TestNginxSiteOfAnotherHost(t *testing.T) {
	l := newNginxLab(t, true)
	l.start(t)
	s := l.site("moved")
	s.From, s.Host, s.Text = filepath.Join(t.TempDir(), "chat"), "old", nil
	if err := os.WriteFile(s.From, []byte(*l.text("moved")), 0o640); err != nil {
		t.Fatal(err)
	}
	e, _ := nginxEnv("run1.move.web")
	e.Hosts["old"] = remote.Local("old")
	if c := e.pending(t, s); len(c) < 2 || c[0].Diff != "" {
		t.Errorf("pending: %+v", c)
	}
	e.apply(t, s)
	e.verify(t, s)
	if st, err := os.Stat(l.dir + "/sites-available/chat.test"); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	e.undo(t, s)
}

// TestNginxSiteCut cuts the link at every command: what follows is the same.
func TestNginxSiteCut(t *testing.T) {
	l := newNginxLab(t, true)
	l.start(t)
	fileWrite(t, l.dir+"/sites-available/chat.test", *l.text("old"), 0o640)
	if err := os.Symlink(l.dir+"/sites-available/chat.test", l.dir+"/sites-enabled/chat.test"); err != nil {
		t.Fatal(err)
	}
	was := l.tree(t)
	for cut := 1; ; cut++ {
		reached := false
		for _, after := range []bool{false, true} {
			s := l.site("new")
			e, b := nginxEnv(fmt.Sprintf("run1.%d%v.web", cut, after))
			b.cut, b.after = cut, after
			if err := s.Apply(t.Context(), e.Env); err == nil && b.count >= cut {
				t.Errorf("cut %d was not told", cut)
			}
			reached = reached || b.count >= cut
			b.cut = 0
			e.apply(t, s)
			e.verify(t, s)
			b.count, b.cut = 0, cut
			_ = s.Undo(t.Context(), e.Env) // it is cut
			b.cut = 0
			e.undo(t, s)
			if d := cmp.Diff(was, l.tree(t)); d != "" {
				t.Fatalf("cut %d, after %v: undo: -before +after:\n%s", cut, after, d)
			}
		}
		if !reached {
			break
		}
	}
}

// TestNginxSiteStopped: where nginx does not run, a site is refused; what
// somebody else wrote since is left alone.
func TestNginxSiteStopped(t *testing.T) {
	l := newNginxLab(t, true)
	before := l.tree(t)
	s := l.site("x")
	e, _ := nginxEnv("run1.s.web")
	if err := s.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "nginx.pid") {
		t.Errorf("nginx does not run: %v", err)
	}
	if d := cmp.Diff(before, l.tree(t)); d != "" {
		t.Errorf("-before +after:\n%s", d)
	}
	e.undo(t, s)
	l.start(t)
	e.apply(t, s)
	fileWrite(t, l.dir+"/sites-available/chat.test", "# mine\n", 0o644)
	if err := s.Undo(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "left as it is") {
		t.Errorf("undo over somebody's change: %v", err)
	}
	found, err := s.Needs("web")[0].Assess(t.Context(), checks.World{Hosts: e.Hosts})
	if err != nil || len(found) != 1 || found[0].Level != checks.Pass {
		t.Errorf("%+v %v", found, err)
	}
	fileWrite(t, l.dir+"/sites-available/chat.test", "rubbish\n", 0o644)
	found, err = s.Needs("web")[0].Assess(t.Context(), checks.World{Hosts: e.Hosts})
	if err != nil || len(found) != 1 || found[0].Level != checks.Block || !strings.Contains(found[0].Text, "[emerg]") {
		t.Errorf("%+v %v", found, err)
	}
}
