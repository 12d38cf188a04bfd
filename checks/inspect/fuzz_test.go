package inspect

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"belay/checks"
)

// FuzzBuild gives any bytes to any section. Nothing may panic, and what is
// written for people must be harmless and fit the page.
func FuzzBuild(f *testing.F) {
	facts, sections := recorded(f, "chat")
	for name, text := range sections {
		f.Add(name, text)
	}
	f.Add("procs", []byte("/proc/601/cgroup:0::/docker/"+strings.Repeat("a1", 32)+"\n"))
	f.Add("units", []byte("Id=a\x1b.service\n\nEnvironmentFiles=\nTimersCalendar={ }\n"))
	f.Add("containers", []byte(`{"id":"x","ports":{"":[{"HostPort":"1"}]}}`))
	f.Add("certs", []byte("=/x\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		mixed := map[string][]byte{}
		for n, text := range sections {
			mixed[n] = text
		}
		mixed[name] = b
		for _, sec := range []map[string][]byte{{name: b}, mixed} {
			h := Build(facts, sec, nil)
			var out bytes.Buffer
			if err := Text(&out, &Inspection{Hosts: []*Host{h}}, 80, time.Unix(1800000000, 0)); err != nil {
				t.Fatal(err)
			}
			if !utf8.Valid(out.Bytes()) || strings.ContainsAny(out.String(), "\x1b\x00\r\u009b") {
				t.Fatalf("%q came through", out.String())
			}
			Diff(h, h)
			Diff(nil, h)
		}
	})
}

// FuzzMask: masking again changes nothing more, and never panics.
func FuzzMask(f *testing.F) {
	f.Add(`A="b c" mysql -px --token 'y z' postgres://a:b@c/d {"secret": "x"}`)
	f.Fuzz(func(t *testing.T, s string) {
		if got := command(s); !utf8.ValidString(got) || strings.ContainsAny(got, "\n\x1b") {
			t.Fatalf("%q", got)
		}
	})
}

// FuzzAsk: whatever the facts say, the readings stay one word each where words
// belong: no fact can write script.
func FuzzAsk(f *testing.F) {
	f.Add("a.service", "/srv/x", "abc", "nginx -c /x")
	f.Add("'; touch /tmp/x; '", "/srv/$(id)", "@PIDS@", "postgres\n-c /'")
	f.Fuzz(func(t *testing.T, unit, dir, id, args string) {
		facts := &checks.Facts{
			Units:      []checks.Unit{{Name: unit, Active: "active"}},
			Projects:   []checks.ComposeProject{{Name: "p", Dir: dir}},
			Containers: []checks.Container{{ID: id}},
			Processes:  []checks.Process{{PID: 5, PPID: 1, Args: args}},
		}
		for _, r := range ask(facts) {
			for _, text := range []string{unit, dir} {
				if strings.ContainsAny(text, "'") && strings.Contains(r.Script, " "+text+"\n") && !strings.Contains(scriptParts[r.Name], " "+text+"\n") {
					t.Fatalf("%q stands bare in %s", text, r.Name)
				}
			}
		}
	})
}
