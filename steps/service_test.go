package steps

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"belay/remote"
)

// fakeSystemctl stands in for systemctl(1), because no systemd runs where these
// tests do: the same words in and out, one unit, its state in files. It has
// the two traps of the real one: `start` of a program that dies at once is a
// success, and a stopped unit may come back.
const fakeSystemctl = `#!/bin/sh
cd "$SYSTEMCTL_STATE" || exit 1
echo "$@" >>calls
for unit; do :; done
case $1 in
show)
	[ ! -e offline ] || { echo 'System has not been booted with systemd as init system (PID 1). Can'"'"'t operate.' >&2; exit 1; }
	[ ! -e dying ] || { [ "$(grep -c ^show calls)" -lt "$(cat dying)" ] || echo failed >active; }
	echo "LoadState=$(cat load)"; echo "ActiveState=$(cat active)"; echo "SubState=x"
	echo "UnitFileState=$(cat enabled)"; echo "ActiveEnterTimestampMonotonic=$(cat since)"; echo "CanReload=$(cat reload)" ;;
start | restart)
	[ ! -e broken ] || { echo "Job for $unit failed because the control process exited with error code." >&2; exit 1; }
	[ "$1 $(cat active)" = "start active" ] || echo $(($(cat since) + 1)) >since
	echo active >active ;;
stop) [ -e stubborn ] || echo inactive >active ;;
reload) ;;
enable) echo enabled >enabled ;;
disable) echo disabled >enabled ;;
status) echo "chat.service: cannot open /etc/chat.conf"; exit 3 ;;
*) exit 1 ;;
esac
`

func init() { serviceSettle = 20 * time.Millisecond }

type fakeUnit struct{ dir string }

func newUnit(t *testing.T, active, enabled string) (fakeUnit, remote.Host) {
	t.Helper()
	u := fakeUnit{t.TempDir()}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte(fakeSystemctl), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"load": "loaded", "active": active, "enabled": enabled, "since": "100", "reload": "yes"} {
		u.set(t, name, text)
	}
	b := &runBox{home: t.TempDir(), env: []string{"PATH=" + bin + ":/usr/bin:/bin", "SYSTEMCTL_STATE=" + u.dir}, over: remote.Local("chat")}
	return u, b.host()
}

func (u fakeUnit) set(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(u.dir, name), []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (u fakeUnit) is(t *testing.T) string {
	return strings.ReplaceAll(content(t, u.dir+"/active")+content(t, u.dir+"/enabled"), "\n", " ")
}

func TestService(t *testing.T) {
	for _, c := range []struct {
		active, enabled string
		do              service
		pending, after  string
	}{
		{"inactive", "disabled", service{State: "started", Enabled: "true"}, "enable start", "active enabled "},
		{"active", "enabled", service{State: "stopped", Enabled: "false"}, "disable stop", "inactive disabled "},
		{"active", "enabled", service{State: "stopped", Enabled: "keep"}, "stop", "inactive enabled "},
		{"failed", "enabled", service{State: "stopped", Enabled: "keep"}, "", "failed enabled "},
		{"failed", "enabled", service{State: "started", Enabled: "keep"}, "start", "active enabled "},
		{"active", "static", service{State: "started", Enabled: "keep"}, "", "active static "},
		{"active", "enabled", service{State: "restarted", Enabled: "keep"}, "restart", "active enabled "},
		{"inactive", "enabled", service{State: "restarted", Enabled: "keep"}, "restart", "active enabled "},
		{"active", "enabled", service{State: "reloaded", Enabled: "keep"}, "reload", "active enabled "},
	} {
		t.Run(c.do.State+"-from-"+c.active, func(t *testing.T) {
			t.Parallel()
			u, h := newUnit(t, c.active, c.enabled)
			c.do.Name = "chat"
			if err := c.do.Validate(); err != nil {
				t.Fatal(err)
			}
			e, log := runEnv(h)
			todo, err := c.do.Pending(t.Context(), looking(e))
			if err != nil {
				t.Fatal(err)
			}
			var verbs []string
			for _, change := range todo {
				verbs = append(verbs, strings.Fields(change.Text)[0])
			}
			if got := strings.Join(verbs, " "); got != c.pending {
				t.Errorf("pending %q, want %q", got, c.pending)
			}
			if len(todo) == 0 {
				return
			}
			for range 2 { // a second time, as after a crash
				mustApply(t, &c.do, e)
				if got := u.is(t); got != c.after {
					t.Errorf("after: %q, want %q\n%s", got, c.after, log)
				}
			}
			for range 2 {
				if err := c.do.Undo(t.Context(), e); err != nil {
					t.Fatal(err)
				}
				want := c.active
				if want == "failed" {
					want = "inactive"
				}
				if got := u.is(t); got != want+" "+c.enabled+" " {
					t.Errorf("undone: %q\n%s", got, log)
				}
			}
		})
	}
}

// TestServiceCrash kills belay at each of its acts; the way back must lead to
// what was there before the first of them.
func TestServiceCrash(t *testing.T) {
	for _, after := range []bool{false, true} {
		for at, crashed := 1, true; crashed; at++ {
			u, h := newUnit(t, "active", "enabled")
			s := &service{Name: "chat", State: "stopped", Enabled: "false"}
			e, _ := runEnv(h)
			crashed = crashing(t, e, at, after, s.Apply)
			resume(t, s, e, func() {})
			if got := u.is(t); got != "inactive disabled " {
				t.Errorf("act %d: %q", at, got)
			}
			crashing(t, e, at, after, s.Undo)
			if err := s.Undo(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			// The very first crashes come before anything is remembered, and
			// before anything is changed: then nothing is taken back by them.
			if got := u.is(t); got != "active enabled " {
				t.Errorf("act %d, after %v, undone: %q", at, after, got)
			}
		}
	}
}

func TestServiceRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		prepare map[string]string
		state   string
		pending string // beginning of the error
		apply   string
		verify  string
	}{
		"no systemd":     {map[string]string{"offline": ""}, "started", `unit "chat": chat is not run by systemd`, "", ""},
		"unknown":        {map[string]string{"load": "not-found"}, "started", `unit "chat": systemd on chat does not know it`, "", ""},
		"masked":         {map[string]string{"load": "masked"}, "started", `unit "chat": it is masked on chat`, "", ""},
		"cannot reload":  {map[string]string{"reload": "no", "active": "active"}, "reloaded", `unit "chat": it cannot be reloaded`, "", ""},
		"does not start": {map[string]string{"broken": ""}, "started", "", "systemctl start chat: exit status 1: Job for chat failed", ""},
		"dies at once":   {map[string]string{"dying": "4"}, "started", "", "", `unit "chat" is failed (x), not running`},
		"does not stop":  {map[string]string{"stubborn": "", "active": "active"}, "stopped", "", "", `unit "chat" is active (x), not stopped`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, h := newUnit(t, "inactive", "disabled")
			for file, text := range c.prepare {
				u.set(t, file, text)
			}
			s := &service{Name: "chat", State: c.state, Enabled: "keep"}
			e, log := runEnv(h)
			if _, err := s.Pending(t.Context(), looking(e)); !begins(err, c.pending) {
				t.Fatalf("pending: %v", err)
			} else if err != nil {
				return
			}
			err := s.Apply(t.Context(), e)
			if !begins(err, c.apply) {
				t.Fatalf("apply: %v", err)
			}
			if err != nil {
				if !strings.Contains(log.String(), "cannot open /etc/chat.conf") {
					t.Errorf("the log lacks what the unit said:\n%s", log)
				}
				return
			}
			if err := s.Verify(t.Context(), looking(e)); !begins(err, c.verify) {
				t.Errorf("verify: %v", err)
			}
		})
	}
}

func begins(err error, want string) bool {
	return want == "" && err == nil || err != nil && want != "" && strings.HasPrefix(err.Error(), want)
}

func TestServiceNoSystemctl(t *testing.T) {
	b := &runBox{home: t.TempDir(), env: []string{"PATH=" + t.TempDir()}, over: remote.Local("chat")}
	e, _ := runEnv(b.host())
	s := &service{Name: "chat", State: "started", Enabled: "keep"}
	if _, err := s.Pending(t.Context(), looking(e)); err == nil || !strings.Contains(err.Error(), "not run by systemd") {
		t.Errorf("%v", err)
	}
}

func TestServiceValidate(t *testing.T) {
	for _, bad := range []string{"", "-now", "a b", "*.service", "a;b"} {
		if err := (&service{Name: bad}).Validate(); err == nil {
			t.Errorf("%q is taken for a unit", bad)
		}
	}
	for _, good := range []string{"nginx", "postgresql@15-main.service", "mnt-data.mount", `dev-disk-by\x2dlabel-a.swap`} {
		if err := (&service{Name: good}).Validate(); err != nil {
			t.Error(fmt.Errorf("%q: %w", good, err))
		}
	}
}
