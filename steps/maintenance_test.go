package steps

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"belay/checks"
	"belay/remote"
	"belay/remote/secret"
)

// maintenanceLab is a service with a maintenance mode.
type maintenanceLab struct {
	*httptest.Server
	mu     sync.Mutex
	on     bool
	asked  []string // method, body and authorization of each order
	deaf   bool     // the next order is carried out, and its answer not heard
	refuse int      // status to answer instead
}

func newMaintenanceLab(t *testing.T) *maintenanceLab {
	l := &maintenanceLab{}
	l.Server = httptest.NewServer(http.HandlerFunc(l.serve))
	t.Cleanup(l.Close)
	return l
}

func (l *maintenanceLab) serve(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.URL.Path == "/" {
		if l.on {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, "hello")
		return
	}
	body, _ := io.ReadAll(r.Body)
	l.asked = append(l.asked, r.Method+" "+string(body)+" "+r.Header.Get("Authorization")+" "+r.Header.Get("X-Key"))
	if l.refuse != 0 {
		w.WriteHeader(l.refuse)
		return
	}
	l.on = r.URL.Path == "/on"
	if l.deaf {
		l.deaf = false
		panic(http.ErrAbortHandler)
	}
}

func (l *maintenanceLab) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *maintenanceLab) orders() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.asked)
}

func (l *maintenanceLab) step(method string, status bool) *maintenance {
	c := &maintenance{Switch: "on", Begin: &maintenanceAsk{URL: l.URL + "/on", Method: method, Body: "b"}, End: &maintenanceAsk{URL: l.URL + "/off", Method: method, Body: "e"}}
	if status {
		c.Status = &maintenanceStatus{URL: l.URL + "/", Code: 503}
	}
	return c
}

func maintenanceEnv() *fileEnv {
	e := newFileEnv(nil)
	e.Host = remote.Local("box")
	e.Hosts = remote.Hosts{"box": e.Host}
	return e
}

// TestMaintenanceURL switches on and off by requests, with and without a status
// to see it by; nothing is asked twice; what was on before stays on.
func TestMaintenanceURL(t *testing.T) {
	for _, status := range []bool{true, false} {
		l := newMaintenanceLab(t)
		c, e := l.step("POST", status), maintenanceEnv()
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		e.undo(t, c)
		if got := e.pending(t, c); len(got) != 1 || !strings.HasPrefix(got[0].Text, "switch maintenance on") {
			t.Errorf("pending: %+v", got)
		}
		e.apply(t, c)
		e.apply(t, c)
		e.verify(t, c)
		if got := e.pending(t, c); len(got) != 0 {
			t.Errorf("still pending: %+v", got)
		}
		e.undo(t, c)
		e.undo(t, c)
		if d := cmp.Diff([]string{"POST b  ", "POST e  "}, l.orders()); d != "" || l.on {
			t.Errorf("status %v: %s", status, d)
		}
		e.apply(t, c) // again, after it was taken back
		if !l.on {
			t.Error("a step that was undone was not done again")
		}
	}
	l := newMaintenanceLab(t)
	l.set(func() { l.on = true })
	c, e := l.step("POST", true), maintenanceEnv()
	found, err := c.Needs("box")[0].Assess(t.Context(), checks.World{Hosts: e.Hosts})
	if err != nil || len(found) != 1 || found[0].Level != checks.Warn {
		t.Errorf("assessed: %+v %v", found, err)
	}
	e.apply(t, c)
	e.undo(t, c)
	if !l.on || len(l.orders()) > 0 {
		t.Errorf("it was on before, and now: %v after %v", l.on, l.orders())
	}
	c.Switch = "off"
	e = maintenanceEnv()
	e.apply(t, c)
	e.verify(t, c)
	e.undo(t, c)
	if d := cmp.Diff([]string{"POST e  ", "POST b  "}, l.orders()); d != "" || !l.on {
		t.Error(d)
	}
}

// TestMaintenanceUnheard: the order was carried out, and the answer not heard.
// It is asked for again only where that does no harm, or the status says so.
func TestMaintenanceUnheard(t *testing.T) {
	for _, x := range []struct {
		method string
		status bool
		orders int
		word   string
	}{{"POST", false, 1, "may be on or not"}, {"PUT", false, 2, ""}, {"POST", true, 1, ""}} {
		l := newMaintenanceLab(t)
		l.deaf = true
		c, e := l.step(x.method, x.status), maintenanceEnv()
		if err := c.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "is not known") {
			t.Errorf("%+v: %v", x, err)
		}
		err := c.Apply(t.Context(), e.Env)
		if (err == nil) != (x.word == "") || err != nil && !strings.Contains(err.Error(), x.word) {
			t.Errorf("%+v: again: %v", x, err)
		}
		if got := l.orders(); len(got) != x.orders {
			t.Errorf("%+v: asked %q", x, got)
		}
		e.undo(t, c)
		if l.on {
			t.Errorf("%+v: still on after undo", x)
		}
	}
}

// TestMaintenanceRefused: what was surely not done is told so, and can be tried
// again.
func TestMaintenanceRefused(t *testing.T) {
	l := newMaintenanceLab(t)
	c, e := l.step("POST", false), maintenanceEnv()
	l.set(func() { l.refuse = 403 })
	if err := c.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "answers 403") {
		t.Errorf("refused: %v", err)
	}
	l.set(func() { l.refuse = 0 })
	good := c.Begin.URL
	c.Begin.URL = "http://127.0.0.1:1/on"
	if err := c.Apply(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "it was not asked") {
		t.Errorf("not reached: %v", err)
	}
	c.Begin.URL = good
	e.apply(t, c)
	if !l.on {
		t.Error("not on")
	}
	c.Status = &maintenanceStatus{URL: l.URL + "/nowhere/", Code: 418}
	l.set(func() { l.refuse = 500 })
	if _, err := c.Pending(t.Context(), e.Env); err == nil || !strings.Contains(err.Error(), "neither on nor off") {
		t.Errorf("a status that tells nothing: %v", err)
	}
}

// TestMaintenanceSecrets reach the service, and nothing else.
func TestMaintenanceSecrets(t *testing.T) {
	const planted = `s3cr3t $planted' "x`
	l := newMaintenanceLab(t)
	c, e := l.step("PUT", false), maintenanceEnv()
	c.Begin.Body = ""
	c.Begin.SecretBody, c.Begin.Bearer = secret.Ref{Name: "db_password"}, secret.Ref{Name: "db_password"}
	c.Begin.SecretHeaders = map[string]secret.Ref{"X-Key": {Name: "db_password"}}
	l.set(func() { l.refuse = 500 })
	refused := c.Apply(t.Context(), e.Env)
	l.set(func() { l.refuse = 0 })
	e.apply(t, c)
	want := "PUT " + planted + " Bearer " + planted + " " + planted
	if got := l.orders(); len(got) != 2 || got[1] != want {
		t.Errorf("asked %q", got)
	}
	memory, err := json.Marshal(e.Memory)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{e.log.String(), string(memory), fmt.Sprint(refused), fmt.Sprintf("%+v", e.pending(t, c))} {
		if strings.Contains(text, "planted") {
			t.Errorf("the secret stands in %q", text)
		}
	}
	c.Begin.SecretHeaders["X-Key"] = secret.Ref{Name: "none"}
	fresh := maintenanceEnv()
	if err := c.Apply(t.Context(), fresh.Env); err == nil || !strings.Contains(err.Error(), "nothing was asked") {
		t.Errorf("without its secret: %v", err)
	}
}

// TestMaintenanceFile puts a flag and takes it away, whatever command the link
// is cut at; where the command after it fails, the file is as it was.
func TestMaintenanceFile(t *testing.T) {
	for shellName, shell := range fileShells(t) {
		for _, to := range []string{"on", "off"} {
			for cut := 0; ; cut++ {
				dir := t.TempDir()
				flag := dir + "/etc/maintenance"
				if to == "off" {
					fileWrite(t, flag, "the old one", 0o604)
				} else if err := os.Mkdir(dir+"/etc", 0o755); err != nil {
					t.Fatal(err)
				}
				before := fileSnapshot(t, dir, nil)
				c := &maintenance{Switch: to, File: &maintenanceFile{Path: flag, Content: "back at 22:45\n", Mode: "0640", Then: "! [ -e " + dir + "/fail ]"}}
				if err := c.Validate(); err != nil {
					t.Fatal(err)
				}
				e := newFileEnv(shell)
				r := &fileRunner{shell: shell, cut: cut, after: cut%2 == 0}
				e.with(r)
				err := c.Apply(t.Context(), e.Env)
				if cut > 0 && !r.wasCut() {
					break
				}
				if (cut == 0) != (err == nil) {
					t.Errorf("%s, %s, cut %d: %v", shellName, to, cut, err)
				}
				e.with(&fileRunner{shell: shell})
				e.apply(t, c)
				e.verify(t, c)
				if left := e.pending(t, c); len(left) > 0 {
					t.Errorf("%s, %s, cut %d: still pending: %+v", shellName, to, cut, left)
				}
				if _, err := os.Stat(flag); (err == nil) != (to == "on") {
					t.Errorf("%s, %s: %v", shellName, to, err)
				}
				e.undo(t, c)
				e.undo(t, c)
				if d := cmp.Diff(before, fileSnapshot(t, dir, nil)); d != "" {
					t.Errorf("%s, %s, cut %d: undo: -before +after:\n%s", shellName, to, cut, d)
				}
				fileWrite(t, dir+"/fail", "", 0o600)
				fresh := newFileEnv(shell)
				fresh.ID = "run2.step.box"
				if err := c.Apply(t.Context(), fresh.Env); err == nil {
					t.Error("the command after the switch failed, and nobody said so")
				}
				if err := os.Remove(dir + "/fail"); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(before, fileSnapshot(t, dir, nil)); d != "" {
					t.Errorf("%s, %s: not put back: -before +after:\n%s", shellName, to, d)
				}
			}
		}
	}
}

// TestMaintenanceValidate: what no service could be asked is refused offline,
// and where it stands is told.
func TestMaintenanceValidate(t *testing.T) {
	ask := func() *maintenanceAsk { return &maintenanceAsk{URL: "http://127.0.0.1/x"} }
	for want, c := range map[string]*maintenance{
		"begin: say either":            {Begin: ask()},
		"file: file goes without":      {File: &maintenanceFile{Path: "/x"}, Begin: ask()},
		"file.path: ":                  {File: &maintenanceFile{Path: "x"}},
		"end.url: \"ftp://x\"":         {Begin: ask(), End: &maintenanceAsk{URL: "ftp://x"}},
		"end.headers.Cookie: would":    {Begin: ask(), End: &maintenanceAsk{URL: "http://x", Headers: map[string]string{"Cookie": "a"}}},
		"end.secret_headers.a b: is":   {Begin: ask(), End: &maintenanceAsk{URL: "http://x", SecretHeaders: map[string]secret.Ref{"a b": {Name: "x"}}}},
		"status.url: say by code":      {Begin: ask(), End: ask(), Status: &maintenanceStatus{URL: "http://x"}},
		"status.contains: error parsi": {Begin: ask(), End: ask(), Status: &maintenanceStatus{URL: "http://x", Contains: "("}},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
