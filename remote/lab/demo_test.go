package lab_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belay/remote/lab"
)

func startDemo(t *testing.T, fail string) *lab.Demo {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d, err := lab.StartDemo(t.Context(), filepath.Join(t.TempDir(), "demo"), self, fail)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// moveByHand does what the demo's plan does, without belay.
func moveByHand(t *testing.T, d *lab.Demo) {
	t.Helper()
	v := d.Vars
	old, next := dial(t, d.Lab, "old"), dial(t, d.Lab, "new")
	output(t, old, "pid=$(cat "+v["old"]+"/chat.pid); kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.1; done", "")
	if out := output(t, next, v["chat"]+" import --from "+v["old"]+"/messages --to "+v["new"]+"/store", ""); !strings.Contains(out, "Imported message 41 of 41\n") {
		t.Errorf("import said %q", out)
	}
	if out := output(t, next, v["chat"]+" count --flavour new --data "+v["new"]+"/store", ""); out != "41\n" {
		t.Errorf("count said %q", out)
	}
	output(t, next, "nohup "+v["chat"]+" serve --flavour new --data "+v["new"]+"/store --addr 127.0.0.1:"+v["port"]+" "+v["new_flag"]+
		" >chat.log 2>&1 </dev/null &", "")
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(d.URL); err == nil {
			resp.Body.Close()
			return
		} else if time.Since(start) > 20*time.Second {
			t.Fatal(err)
		}
	}
}

func TestDemoMoves(t *testing.T) {
	d := startDemo(t, "")
	resp, err := http.Post(d.URL+"/messages", "text/plain", strings.NewReader("last words"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	_, before := get(t, d.URL+"/messages")
	if !strings.Contains(before, "last words") {
		t.Errorf("messages %s", before)
	}
	moveByHand(t, d)
	if code, body := get(t, d.URL+"/_health"); code != 200 || !strings.Contains(body, `"chat":"new"`) {
		t.Errorf("health %d %s", code, body)
	}
	if _, after := get(t, d.URL+"/messages"); after != before {
		t.Errorf("messages before:\n%s\nafter:\n%s", before, after)
	}
}

func TestDemoFails(t *testing.T) {
	if _, err := lab.StartDemo(t.Context(), t.TempDir(), "true", "everything"); err == nil {
		t.Error("an unknown failure was accepted")
	}
	for _, fail := range lab.Failures {
		t.Run(fail, func(t *testing.T) {
			d := startDemo(t, fail)
			resp, err := http.Post(d.URL+"/messages", "text/plain", strings.NewReader("last words"))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			moveByHand(t, d)
			for start := time.Now(); ; {
				if code, _ := get(t, d.URL+"/_health"); code == 500 {
					return
				}
				if time.Since(start) > 20*time.Second {
					t.Fatal("it never failed")
				}
			}
		})
	}
}
