package inspect

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/checks"
)

var update = flag.Bool("update", false, "write the golden files anew")

// recorded is a host as it was read: facts.json and a file for each section of
// the second round trip.
func recorded(t testing.TB, name string) (*checks.Facts, map[string][]byte) {
	t.Helper()
	dir := filepath.Join("testdata", name)
	text, err := os.ReadFile(filepath.Join(dir, "facts.json"))
	if err != nil {
		t.Fatal(err)
	}
	f := &checks.Facts{}
	if err := json.Unmarshal(text, f); err != nil {
		t.Fatal(err)
	}
	sections := map[string][]byte{}
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if sections[strings.TrimSuffix(filepath.Base(file), ".txt")], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return f, sections
}

var then = time.Date(2026, 11, 21, 22, 20, 0, 0, time.UTC)

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is another now (-want +got); write it anew with -update if that is right:\n%s", file, diff)
	}
}

func TestRecordedHost(t *testing.T) {
	f, sections := recorded(t, "chat")
	h := Build(f, sections, nil)
	in := &Inspection{Format: Format, Hosts: []*Host{h, {Name: "gone", Unreached: `host "gone" was not reached: connection refused`}}}
	var text bytes.Buffer
	if err := Text(&text, in, 80, then); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/chat/golden.text", text.Bytes())
	b, err := json.MarshalIndent(in, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/chat/golden.json", append(b, '\n'))
	for n, line := range strings.Split(text.String(), "\n") {
		if w := len([]rune(line)); w > 80 {
			t.Errorf("line %d is %d wide: %q", n+1, w, line)
		}
	}
	for _, secret := range []string{"hunter2", "s3cr3t"} {
		if strings.Contains(text.String()+string(b), secret) {
			t.Errorf("%q came through", secret)
		}
	}
}

// What is written as JSON can be read back and compared: the later comparison
// works on a file.
func TestJSONGoesAndComes(t *testing.T) {
	f, sections := recorded(t, "chat")
	h := Build(f, sections, nil)
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	back := &Host{}
	if err := json.Unmarshal(b, back); err != nil {
		t.Fatal(err)
	}
	if d := Diff(h, back); len(d) > 0 {
		t.Errorf("a host differs from itself: %+v", d)
	}
	again, err := json.Marshal(back)
	if err != nil || !bytes.Equal(b, again) {
		t.Errorf("the JSON changes on its way: %v", err)
	}
}

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		"PGPASSWORD=hunter2 pg_dump -U app shop":              "PGPASSWORD=*** pg_dump -U app shop",
		"FOO='a b' BAR=\"x y\" run":                           "FOO=*** BAR=*** run",
		"redis-server *:6379 --requirepass hunter2":           "redis-server *:6379 --requirepass ***",
		"app --db-password=hunter2 -v":                        "app --db-password=*** -v",
		"node app.js --token hunter2 --port 8080":             "node app.js --token *** --port 8080",
		"psql postgres://app:hunter2@db/shop":                 "psql postgres://***@db/shop",
		"curl -fsS -u bob:hunter2 https://x/y":                "curl -fsS -u *** https://x/y",
		"curl -H 'Authorization: Bearer hunter2hunter2' x":    "",
		"mysqldump -u root -phunter2 shop":                    "mysqldump -u root -p*** shop",
		"redis-cli -p 6380 -a hunter2 bgsave":                 "redis-cli -p 6380 -a *** bgsave",
		"sshpass -p hunter2 ssh x":                            "sshpass -p *** ssh x",
		`app '{"apiKey":"hunter2"}'`:                          "",
		"nginx: master process /usr/sbin/nginx -g daemon on;": "nginx: master process /usr/sbin/nginx -g daemon on;",
		"/usr/bin/python3 -m http.server 8088":                "/usr/bin/python3 -m http.server 8088",
		"cp -p /a /b":                                         "cp -p /a /b",
	} {
		got := mask(in)
		if strings.Contains(got, "hunter2") || want != "" && got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
}

func TestNginxConfiguration(t *testing.T) {
	files, denied := readNginx([]byte("=/etc/nginx/nginx.conf\n\tevents {}\n\thttp {\n\t  include /etc/nginx/sites-enabled/*;\n\t  upstream app { server 127.0.0.1:9000 weight=2; server unix:/run/app.sock; }\n\t}\n" +
		"=/etc/nginx/sites-enabled/a\n\tserver {\n\t  listen 443 ssl; server_name a.example \"b.example\"; # { not a block\n\t  location ~ \\.php$ { fastcgi_pass unix:/run/php.sock; }\n" +
		"\t  location / { if ($x = \"}\") { return 403; } proxy_pass http://app/; }\n\t  location /v{ proxy_pass http://$backend; }\n\t}\nx /etc/nginx/sites-enabled/secret\n"))
	c := parseNginx(files)
	want := []Site{{
		File: "/etc/nginx/sites-enabled/a", Names: []string{"a.example", "b.example"}, Listen: []string{"443 ssl"},
		Routes: []Route{{Path: `~ \.php$`, To: "unix:/run/php.sock"}, {Path: "/", To: "http://app/"}, {Path: "/v", To: "http://$backend"}},
	}}
	if diff := cmp.Diff(want, c.sites); diff != "" {
		t.Error(diff)
	}
	if got := c.targets("http://app/"); !cmp.Equal(got, []string{"127.0.0.1:9000", "unix:/run/app.sock"}) {
		t.Errorf("the upstream leads to %q", got)
	}
	for to, want := range map[string][]string{
		"http://127.0.0.1:8088": {"127.0.0.1:8088"}, "https://[::1]/x": {"[::1]:443"}, "localhost:9000": {"localhost:9000"},
		"http://unix:/run/x.sock:/path": {"unix:/run/x.sock"}, "http://$b": nil,
	} {
		if got := c.targets(to); !cmp.Equal(got, want) {
			t.Errorf("%s leads to %q, want %q", to, got, want)
		}
	}
	if !cmp.Equal(denied, []string{"/etc/nginx/sites-enabled/secret"}) {
		t.Errorf("denied: %q", denied)
	}
}

// An include that includes itself, or braces without end, must end.
func TestHostileNginx(t *testing.T) {
	for _, text := range []string{
		"=/a\n\tinclude /a;\n\tinclude /b;\n=/b\n\tinclude /a;\n\tserver { include /b; include /a; }\n",
		"=/a\n" + strings.Repeat("\tserver { location / { \n", 5000),
		"=/a\n\t" + strings.Repeat("}", 5000) + "'\n",
	} {
		files, _ := readNginx([]byte(text))
		if c := parseNginx(files); len(c.sites) > 5000 {
			t.Errorf("%d sites", len(c.sites))
		}
	}
}
