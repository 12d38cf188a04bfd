package ssh

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/remote/remotetest"
)

// The files of TestConfigurationAsOpenSSHReadsIt; HOME stands for their place.
var configFiles = map[string]string{
	"config": `
# a comment
Include conf.d/*
Include "HOME/with space"
User first # a comment at the end
User second
Host web !web.staging *.staging
	HostName=%h.example.com
	Port = 2222
	IdentityFile ~/.ssh/key_%r
	IdentityFile "HOME/key with space"
Host web.staging
	HostName staging.example.com
	ProxyJump gate,inner:2200
Host one?two
	Port 1111
HOST upper lower
	PORT 3333
	identitiesonly YES
Host proxy
	ProxyJump first
	ProxyCommand nc %h %p
Host db
	Include inside-host
Match host inner.example.com
	Port 5555
Match originalhost matched,other
	Port 6666
Match !host web,db originalhost neg*
	Port 7777
Match all
	ConnectTimeout 7
Host *
	ServerAliveInterval 11
	ServerAliveCountMax 4
	UserKnownHostsFile ~/.ssh/known_%h "HOME/other known"
	HostKeyAlias alias-of-%n
	ConnectTimeout 99
`,
	"conf.d/10-a": "Host a\n Port 10\nHost inner\n HostName inner.example.com\n",
	"conf.d/20-b": "Host a\n Port 20\n User from-include\n",
	"with space":  "Host spaced\n Port 4444\n",
	"inside-host": "Port 5432\nHost web\n Port 1\nHost db\n User dba\n",
}

func TestConfigurationAsOpenSSHReadsIt(t *testing.T) {
	remotetest.Need(t, "ssh")
	home := t.TempDir()
	for name, text := range configFiles {
		path := filepath.Join(home, ".ssh", name)
		if name == "with space" {
			path = filepath.Join(home, name)
		}
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		// OpenSSH finds ~ in the account, not in HOME.
		text = strings.ReplaceAll(strings.ReplaceAll(text, "HOME", home), "~/", home+"/")
		text = strings.ReplaceAll(text, "Include conf.d", "Include "+home+"/.ssh/conf.d")
		write(t, path, strings.ReplaceAll(text, "Include inside", "Include "+home+"/.ssh/inside"))
	}
	config := filepath.Join(home, ".ssh", "config")
	for _, name := range []string{"web", "web.staging", "x.staging", "one1two", "onetwo", "lower", "proxy", "a", "inner", "spaced", "db", "matched", "negative", "else"} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command("ssh", "-G", "-F", config, name).Output()
			must(t, err)
			theirs := map[string][]string{}
			for line := range strings.Lines(string(out)) {
				k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
				theirs[k] = append(theirs[k], v)
			}
			set, notices, err := resolve(name, Spec{}, Options{Config: config, Home: home})
			must(t, err)
			if len(notices) > 0 {
				t.Errorf("notices: %q", notices)
			}
			jumps := strings.Join(set.Jumps, ",")
			want := []string{
				theirs["hostname"][0], theirs["user"][0], theirs["port"][0], strings.Join(theirs["proxyjump"], ""),
				theirs["serveraliveinterval"][0], theirs["serveralivecountmax"][0], theirs["connecttimeout"][0],
				theirs["identitiesonly"][0],
			}
			yesno := map[bool]string{true: "yes", false: "no"}
			got := []string{
				set.HostName, set.User, fmt.Sprint(set.Port), jumps,
				fmt.Sprint(set.AliveInterval.Seconds()), fmt.Sprint(set.AliveCount), fmt.Sprint(set.ConnectTimeout.Seconds()),
				yesno[set.IdentitiesOnly],
			}
			if set.Explicit { // -G does not fill tokens in
				raw := strings.Join(theirs["identityfile"], "\n")
				want = append(want, strings.ReplaceAll(raw, "%r", set.User))
				got = append(got, strings.Join(set.Identities, "\n"))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-openssh +belay:\n%s", diff)
			}
		})
	}
}

func TestConfigurationTokens(t *testing.T) {
	t.Setenv("BELAY_TEST_DIR", "/from/env")
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	write(t, config, `
Host web
 HostName %h.example.com
 User deploy
 Port 2222
 HostKeyAlias known-%n
 ProxyJump gate-%n,%r@b:%p
 IdentityFile ~/.ssh/%r@%h:%p
 IdentityFile %d/x
 IdentityFile ${BELAY_TEST_DIR}/%%n
 UserKnownHostsFile ~/known_%h /second
 GlobalKnownHostsFile none
`)
	set, _, err := resolve("web", Spec{}, Options{Config: config, Home: dir, Agent: "none"})
	must(t, err)
	want := settings{
		HostName: "web.example.com", User: "deploy", Port: 2222, KnownAs: "known-%n", Explicit: true,
		Jumps:          []string{"gate-web", "deploy@b:2222"},
		Identities:     []string{dir + "/.ssh/deploy@web.example.com:2222", dir + "/x", "/from/env/%n"},
		UserKnown:      []string{dir + "/known_web.example.com", "/second"},
		ConnectTimeout: defaultConnectTimeout,
	}
	if diff := cmp.Diff(want, set); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSpecGoesBeforeConfiguration(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	write(t, config, "Host *\n HostName a\n User b\n Port 3\n ProxyJump c\n IdentityFile d\n ConnectTimeout 5\n")
	spec := Spec{Address: "10.0.0.1", User: "root", Port: 2222, Jump: "bastion", Identity: "~/key", ConnectTimeout: time.Second}
	set, _, err := resolve("web", spec, Options{Config: config, Home: dir, Agent: "none"})
	must(t, err)
	want := settings{
		HostName: "10.0.0.1", User: "root", Port: 2222, Jumps: []string{"bastion"}, Identities: []string{dir + "/key"},
		Explicit: true, IdentitiesOnly: true, ConnectTimeout: time.Second,
		UserKnown:   []string{dir + "/.ssh/known_hosts", dir + "/.ssh/known_hosts2"},
		GlobalKnown: []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"},
	}
	if diff := cmp.Diff(want, set); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What ssh_config says of an address by its very name is of that machine: a
// rehearsal that says `old: {address: staging}` must reach what ssh staging
// does, and not by the port and the keys of old.
func TestAddressThatConfigurationKnows(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	write(t, config, "Host old\n HostName 10.0.0.1\n Port 2201\n User ada\n ProxyJump gate\nHost staging stag*\n HostName 10.0.0.2\n Port 2202\nHost 10.0.9.9\n Port 2299\n")
	for _, c := range []struct {
		spec  Spec
		host  string
		port  int
		jumps int
		typed string
	}{
		{Spec{}, "10.0.0.1", 2201, 1, "ssh old"},
		{Spec{Address: "staging"}, "10.0.0.2", 2202, 0, "ssh staging"},
		{Spec{Address: "staging", User: "grace"}, "10.0.0.2", 2202, 0, "ssh -p 2202 grace@staging"},
		{Spec{Address: "stage"}, "stage", 2201, 1, "ssh -J gate -p 2201 ada@stage"}, // a pattern names no machine
		{Spec{Address: "10.0.9.9"}, "10.0.9.9", 2299, 0, "ssh 10.0.9.9"},
		{Spec{Address: "10.0.0.3", Port: 22, Jump: "none", Identity: "key"}, "10.0.0.3", 22, 0, "ssh -i key ada@10.0.0.3"},
	} {
		o := Options{Config: config, Home: dir, Agent: "none"}
		set, _, err := resolve("old", c.spec, o)
		must(t, err)
		if set.HostName != c.host || set.Port != c.port || len(set.Jumps) != c.jumps {
			t.Errorf("%+v: %s port %d by %q", c.spec, set.HostName, set.Port, set.Jumps)
		}
		if got := typed("old", c.spec, o); got != c.typed {
			t.Errorf("%+v: %s, want %s", c.spec, got, c.typed)
		}
	}
}

func TestConfigurationThatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"Host \"a":               "config:1: a quote is not closed",
		"\nUser":                 "config:2: user has no value",
		"Include HOME/config":    "include each other",
		"Port 99999":             "port 99999",
		"ConnectTimeout soonish": `"soonish"`,
	} {
		dir := t.TempDir()
		config := filepath.Join(dir, "config")
		write(t, config, strings.ReplaceAll(text, "HOME", dir))
		if _, _, err := resolve("a", Spec{}, Options{Config: config, Home: dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want it to say %q", text, err, want)
		}
	}
}

func TestMatchThatIsNotUnderstoodIsTold(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	write(t, config, "Match exec \"touch "+dir+"/ran\"\n Port 1\nMatch all\n User me\n")
	set, notices, err := resolve("a", Spec{}, Options{Config: config, Home: dir})
	must(t, err)
	if set.Port != 22 || set.User != "me" || len(notices) != 1 || !strings.Contains(notices[0], config+":1") {
		t.Errorf("port %d, user %s, notices %q", set.Port, set.User, notices)
	}
	if _, err := os.Stat(dir + "/ran"); err == nil {
		t.Error("a program of the configuration was run")
	}
}

func TestSplitJump(t *testing.T) {
	for hop, want := range map[string]string{
		"gate": "gate {  0}", "u@gate:22": "gate { u 22}", "ssh://u@gate:2200/": "gate { u 2200}", "[::1]:23": "::1 {  23}",
		"a@b@gate": "gate { a@b 0}", " gate ": "gate {  0}", "[fe80::1]": "fe80::1 {  0}",
	} {
		name, spec, err := splitJump(hop)
		if got := fmt.Sprintf("%s { %s %d}", name, spec.User, spec.Port); err != nil || strings.ReplaceAll(got, "{  ", "{ ") != strings.ReplaceAll(want, "{  ", "{ ") {
			t.Errorf("%q: %s, %v; want %s", hop, got, err, want)
		}
	}
	for _, hop := range []string{"", "u@", "gate:x", "-oProxyCommand=x"} {
		if _, _, err := splitJump(hop); err == nil {
			t.Errorf("%q was taken", hop)
		}
	}
}

func FuzzConfiguration(f *testing.F) {
	for _, text := range configFiles {
		f.Add(text, "web")
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text, name string) {
		if strings.Contains(strings.ToLower(text), "include") {
			return // it would read this machine's files
		}
		config := filepath.Join(dir, "config")
		write(t, config, text)
		set, _, err := resolve(name, Spec{}, Options{Config: config, Home: dir})
		if err == nil && (set.Port < 1 || set.Port > 65535) {
			t.Errorf("port %d", set.Port)
		}
	})
}

func FuzzKnownHosts(f *testing.F) {
	f.Add("host ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n", "host")
	f.Add("|1|x|y ssh-rsa AAAA\n@revoked * x\n@cert-authority *.a,!b.a ssh-ed25519 A\n", "[a]:22")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text, name string) {
		file := filepath.Join(dir, "known")
		write(t, file, text)
		lines, err := readKnown([]string{file}, name)
		if err != nil {
			t.Error(err)
		}
		for _, l := range lines {
			if l.key == nil || l.line < 1 || l.line > strings.Count(text, "\n")+1 {
				t.Errorf("line %+v", l)
			}
		}
	})
}
