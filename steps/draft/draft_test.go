package draft

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"belay/checks/inspect"
	"belay/steps/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

func tcp(ports ...int) (all []inspect.Listen) {
	for _, p := range ports {
		all = append(all, inspect.Listen{Proto: "tcp", Address: "0.0.0.0", Port: p})
	}
	return all
}

// oldHost has one of everything.
func oldHost() *inspect.Host {
	container := func(name, service string, mounts []inspect.Volume, ports ...int) *inspect.Program {
		return &inspect.Program{Kind: inspect.KindContainer, Name: name, Listens: tcp(ports...), Mounts: mounts, Container: &inspect.Container{
			Image: "ghcr.io/shop/" + service + ":1.2", Project: "shop", Service: service, Dir: "/opt/shop", Config: []string{"/opt/shop/compose.yaml"}}}
	}
	return &inspect.Host{
		Name: "old", TakenAt: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Root: true,
		Programs: []*inspect.Program{
			container("shop-web-1", "web", []inspect.Volume{{Type: "bind", Source: "/srv/media", Target: "/media"}, {Type: "bind", Source: "/etc/localtime", Target: "/etc/localtime"}}, 80, 443),
			container("shop-db-1", "db", []inspect.Volume{{Type: "volume", Source: "shop_db", Target: "/var/lib/db"}}),
			{Kind: inspect.KindUnit, Name: "api.service", Unit: "/etc/systemd/system/api.service", Listens: tcp(9000), EnvFiles: []string{"/etc/api.env"},
				Processes: []inspect.Process{{PID: 7, User: "api", Exe: "/usr/local/bin/api", Package: "-", Dir: "/var/lib/api"}},
				Files:     []inspect.File{{Path: "/var/lib/api/queue/1", Use: "written"}, {Path: "/usr/lib/x.so", Use: "open"}}, Jobs: []int{0}},
			{Kind: inspect.KindUnit, Name: "nginx.service", Unit: "/lib/systemd/system/nginx.service", Listens: tcp(8080)},
			{Kind: inspect.KindUnit, Name: "postgresql@15-main.service", Unit: "/lib/systemd/system/postgresql@.service", Listens: tcp(5432),
				Databases: []inspect.Database{{Kind: "postgresql", Port: 5432, Names: []inspect.Size{{Name: "postgres"}, {Name: `we"ird: ${{ name }}`}, {Name: "shop"}}}}},
			{Kind: inspect.KindUnit, Name: "mariadb.service", Listens: tcp(3306), Databases: []inspect.Database{{Kind: "mariadb", Port: 3306, Names: []inspect.Size{{Name: "blog"}}}}},
			{Kind: inspect.KindUnit, Name: "redis.service", Listens: tcp(6379), Databases: []inspect.Database{{Kind: "redis", Port: 6379}}},
			{Kind: inspect.KindTmux, Name: "chat: on*", Listens: tcp(8088), Processes: []inspect.Process{{User: "root", Dir: "/root/chat", Args: "./chat --port 8088 # \"quoted\"\n"}}},
			{Kind: inspect.KindProcess, Name: "sshd", Listens: tcp(22)},
		},
		Jobs: []inspect.Job{
			{Kind: "cron", User: "api", Where: "/etc/cron.d/api", When: "* * * * *", Command: "true"},
			{Kind: "cron", User: "root", Where: "/etc/cron.d/e2scrub_all", When: "30 3 * * 0", Command: "/usr/sbin/e2scrub_all"},
			{Kind: "cron", User: "ada", Where: "/var/spool/cron/crontabs/ada", When: "@daily", Command: "/opt/tidy/bin/it's --all /opt/shop/x /srv/other"},
			{Kind: "timer", Where: "backup.timer", When: "*-*-* 06:00:00", Command: "backup.service: /usr/local/bin/backup /data/backups",
				Units: []string{"/etc/systemd/system/backup.timer", "/etc/systemd/system/backup.service"}},
			{Kind: "timer", Where: "apt-daily.timer", When: "*-*-* 06:00:00", Command: "apt-daily.service", Units: []string{"/lib/systemd/system/apt-daily.timer", "/lib/systemd/system/apt-daily.service"}},
		},
		Users: []inspect.User{{Name: "root"}, {Name: "ada", UID: 1000, Home: "/home/ada's", Shell: "/bin/sh"}, {Name: "api", UID: 999, Home: "/var/lib/api", Shell: "/usr/sbin/nologin"}},
	}
}

func newHost() *inspect.Host {
	return &inspect.Host{Name: "new", Users: []inspect.User{{Name: "root"}}, Programs: []*inspect.Program{
		{Kind: inspect.KindUnit, Name: "postgresql@15-main.service", Databases: []inspect.Database{{Kind: "postgresql", Port: 5433}}},
	}}
}

// golden holds a draft against a file, and wants it to be a plan without problems.
func golden(t *testing.T, name string, text []byte) *plan.Plan {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(text)); d != "" {
		t.Error(d)
	}
	p, err := plan.Load(name, text, plan.All())
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}

func keys(h *inspect.Host) (all []string) {
	for _, it := range Items(h) {
		all = append(all, it.Key())
	}
	return all
}

func TestItems(t *testing.T) {
	want := []string{"compose shop", "cron crontab of ada", "database mysql 3306", "database postgresql 5432", "database redis 6379", "timer backup.timer", "unit api.service",
		"by hand tmux chat: on*", "cron /etc/cron.d/api", "files /root/chat"}
	if d := cmp.Diff(want, keys(oldHost())); d != "" {
		t.Error(d)
	}
	if says := Items(oldHost())[0].Says; says != "Compose project shop: 2 containers, tcp 80, tcp 443" {
		t.Error(says)
	}
}

func TestMove(t *testing.T) {
	w := Wish{Name: "old-to-new", Old: End{Name: "old"}, New: &End{Name: "new", Address: "10.0.0.2", User: "admin", Sudo: true}, Move: keys(oldHost()), Clients: "proxy"}
	p := golden(t, "move.yaml", Plan(w, oldHost(), newHost()))
	for _, s := range p.Steps() {
		if s.Stage != "close" && !s.HasWayBack() && !strings.HasPrefix(s.Title, "Prepare ") {
			t.Errorf("%q has no way back", s.Title)
		}
	}
}

// Databases that cannot be copied in the time that people can be without them
// follow, where there is a way between the servers.
func TestMoveWhatTakesTooLong(t *testing.T) {
	w := Wish{Name: "follow", Old: End{Name: "old", Address: "10.0.0.1"}, New: &End{Name: "new", Address: "10.0.0.2"}, Freeze: time.Minute, Clients: "dns",
		Move: []string{"database mysql 3306", "database postgresql 5432"}}
	old, now := oldHost(), newHost()
	big := inspect.Size{Name: "shop", Bytes: 100 << 30}
	for _, p := range old.Programs {
		for i := range p.Databases {
			p.Databases[i].Names = []inspect.Size{big}
		}
	}
	now.Programs = append(now.Programs, &inspect.Program{Kind: inspect.KindUnit, Name: "mariadb.service", Listens: tcp(3306), Databases: []inspect.Database{{Kind: "mariadb", Port: 3306}}})
	golden(t, "follow.yaml", Plan(w, old, now))

	w.Clients = "proxy" // the old server must make room: nothing can be kept equal there
	if text := strings.Join(strings.Fields(strings.ReplaceAll(string(Plan(w, old, now)), "# ", "")), " "); strings.Contains(text, "reverse:") || !strings.Contains(text, "postgres.replicate") || !strings.Contains(text, "it cannot be kept equal as well") {
		t.Errorf("with a proxy:\n%s", text)
	}
	for _, p := range old.Programs {
		for i := range p.Listens {
			p.Listens[i].Address = "127.0.0.1"
		}
	}
	if text := strings.Join(strings.Fields(strings.ReplaceAll(string(Plan(w, old, now)), "# ", "")), " "); strings.Contains(text, ".replicate") || !strings.Contains(text, "listens on 127.0.0.1 only") || strings.Contains(text, "proxy:") {
		t.Errorf("with no way between the servers:\n%s", text)
	}
}

func TestMoveOnlyTheAdvised(t *testing.T) {
	w := Wish{Name: "some", Old: End{Name: "old"}, New: &End{Name: "new"}, Move: []string{"compose shop"}, Clients: "dns"}
	golden(t, "some.yaml", Plan(w, oldHost(), newHost()))
}

// Who signs is drafted in the shortest form that says it, and is read back as
// it was meant.
func TestApprovers(t *testing.T) {
	for _, tc := range []struct {
		w    Wish
		want string
	}{
		{Wish{}, ""},
		{Wish{Approvers: 2}, "approvers: 2\n"},
		{Wish{Roles: []Role{{"dba", []string{"ada", "7"}}, {"app: owner # 1", nil}}}, "    - {role: dba, who: [ada, \"7\"]}\n"},
		{Wish{Approvers: 3, Roles: []Role{{"dba", nil}}, Second: true}, "  count: 3\n"},
		{Wish{Second: true}, "  second_person: true"},
	} {
		tc.w.Old, tc.w.New = End{Name: "old"}, &End{Name: "new"}
		text := Plan(tc.w, oldHost(), newHost())
		if !strings.Contains(string(text), tc.want) || tc.want == "" && strings.Contains(string(text), "approvers") {
			t.Errorf("%+v:\n%s", tc.w, text)
		}
		p, err := plan.Load("a.yaml", text, plan.All())
		if err != nil {
			t.Fatal(err)
		}
		want := plan.Approvers{Count: max(1, tc.w.Approvers, len(tc.w.Roles)), Distinct: "login", SecondPerson: tc.w.Second}
		for _, r := range tc.w.Roles {
			want.Roles = append(want.Roles, plan.Role{Name: r.Name, Who: r.Who})
		}
		if d := cmp.Diff(want, p.Approvers); d != "" {
			t.Error(d)
		}
	}
}

func TestInPlace(t *testing.T) {
	old := oldHost()
	old.Programs = append(old.Programs, &inspect.Program{Kind: inspect.KindUnit, Name: "mariadb@two.service", Databases: []inspect.Database{{Kind: "mariadb", Port: 3307}}})
	golden(t, "inplace.yaml", Plan(Wish{Name: "upgrade", Old: End{Name: "old"}}, old, nil))
}

// Nothing that a host is called or has can make a draft that is no plan.
func FuzzDraft(f *testing.F) {
	f.Add("shop", "/opt/shop", "shop_db", "api.service")
	f.Add("a: b", "/srv/x y/\n#", "${{ v }}", "-x*\x00")
	f.Add("yes", "/opt/\"'\\", "{}", "é\u2028")
	f.Fuzz(func(t *testing.T, project, dir, volume, unit string) {
		for _, s := range []string{project, dir, volume, unit} {
			if strings.ToValidUTF8(s, "") != s || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Skip("an inspection's texts are harmless to a terminal")
			}
		}
		old := oldHost()
		old.Programs[0].Container.Project, old.Programs[1].Container.Project = project, project
		old.Programs[0].Container.Dir = dir
		old.Programs[1].Mounts[0].Source = volume
		old.Programs[2].Name = unit
		old.Programs[3].Sites = []inspect.Site{{File: "/etc/nginx/conf.d/shop.conf", Names: []string{project, unit}, Listen: []string{volume}}}
		old.Programs[3].NginxFiles = []inspect.NginxFile{{File: "/etc/nginx/conf.d/shop.conf", Target: dir, Names: []string{dir, volume}, Logs: []string{"/var/log/" + dir}, Dirs: []string{dir}}, {File: dir}}
		old.Idle = []inspect.Idle{{Name: unit, File: dir, User: project}}
		w := Wish{Name: "fuzz", Old: End{Name: "old"}, New: &End{Name: "new"}, Move: keys(old), Clients: "proxy"}
		if _, err := plan.Load("fuzz.yaml", Plan(w, old, newHost()), plan.All()); err != nil && (strings.Contains(err.Error(), "readable") || strings.Contains(err.Error(), "invisible")) {
			t.Fatal(err)
		}
	})
}

// What anybody can write into a crontab does not lead root out of the places
// where programs of people's own are.
func TestAJobLeadsNowhereElse(t *testing.T) {
	for _, command := range []string{
		"/usr/local/../../etc/shadow", "/opt/../etc/shadow", "/usr/local/bin/../../../etc/shadow -x", "/var/lib/../../etc/shadow", "'/opt/../etc/shadow'",
	} {
		old := &inspect.Host{Name: "old", Root: true, Jobs: []inspect.Job{{Kind: "cron", User: "eve", Where: "/var/spool/cron/crontabs/eve", When: "@daily", Command: command}}}
		to := End{Name: "new"}
		text := string(Plan(Wish{Old: End{Name: "old"}, New: &to, Move: []string{"cron crontab of eve"}}, old, &inspect.Host{Name: "new", Root: true}))
		if !strings.Contains(text, "crontab of eve") {
			t.Fatalf("the crontab is not moved:\n%s", text)
		}
		for line := range strings.Lines(text) {
			if strings.Contains(line, "shadow") && !strings.Contains(line, "key:") {
				t.Errorf("%s: %s", command, line)
			}
		}
	}
}

// move drafts all that old has.
func move(old, now *inspect.Host, clients string) string {
	return string(Plan(Wish{Old: End{Name: "old"}, New: &End{Name: "new", Address: "10.0.0.2"}, Move: keys(old), Clients: clients}, old, now))
}

func unit(name, file string, p inspect.Program) *inspect.Program {
	p.Kind, p.Name, p.Unit = inspect.KindUnit, name, file
	return &p
}

// wants holds a draft against lines that it must and must not have.
func wants(t *testing.T, text string, has, hasNot []string) {
	t.Helper()
	if _, err := plan.Load("a.yaml", []byte(text), plan.All()); err != nil {
		t.Error(err)
	}
	for _, h := range has {
		if !strings.Contains(text, h) {
			t.Errorf("lacks %s", h)
		}
	}
	for _, h := range hasNot {
		if strings.Contains(text, h) {
			t.Errorf("has %s", h)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// The files of a database server are no copy of it, and those of the one that
// runs on the new host are not written over: not for a program that runs as its
// login either.
func TestDataOfDatabasesIsNoFiles(t *testing.T) {
	old := &inspect.Host{Name: "old", Programs: []*inspect.Program{
		unit("export.service", "/etc/systemd/system/export.service", inspect.Program{RunsAs: "postgres"}),
		unit("tail.service", "/etc/systemd/system/tail.service", inspect.Program{Processes: []inspect.Process{{PID: 2, User: "root", Dir: "/var/lib/redis"}}}),
		unit("postgresql@15-main.service", "/lib/systemd/system/postgresql@.service", inspect.Program{Listens: tcp(5432),
			Databases: []inspect.Database{{Kind: "postgresql", Port: 5432, Dir: "/var/lib/postgresql/15/main", Names: []inspect.Size{{Name: "postgres"}}}}}),
	}, Users: []inspect.User{{Name: "postgres", UID: 105, Home: "/var/lib/postgresql", Shell: "/bin/bash"}}}
	now := &inspect.Host{Name: "new", Programs: []*inspect.Program{unit("redis.service", "", inspect.Program{
		Databases: []inspect.Database{{Kind: "redis", Port: 6379}}, Processes: []inspect.Process{{PID: 1, User: "redis", Dir: "/var/lib/redis"}}})}}
	wants(t, move(old, now, "none"), []string{"/var/lib/postgresql, where postgresql keeps its data, is not copied", "/var/lib/redis, where redis keeps"},
		[]string{"path: /var/lib", "of postgresql on port 5432 by hand"})
}

// Databases that could not be read are not passed over in silence.
func TestUnreadDatabasesAreAskedFor(t *testing.T) {
	old := &inspect.Host{Name: "old", Programs: []*inspect.Program{unit("postgresql@15-main.service", "", inspect.Program{Listens: tcp(5432),
		Databases: []inspect.Database{{Kind: "postgresql", Port: 5432, Note: "it wants a password"}}})}}
	wants(t, move(old, newHost(), "none"), []string{"- step: Copy the databases of postgresql on port 5432", "copies NONE of them. it wants a password"}, nil)
}

// Two servers of one engine do not go into one.
func TestEachServerHasItsOwn(t *testing.T) {
	two := func(ports ...int) *inspect.Host {
		h := &inspect.Host{}
		for _, port := range ports {
			h.Programs = append(h.Programs, &inspect.Program{Kind: inspect.KindUnit, Name: "redis.service", Listens: tcp(port), Databases: []inspect.Database{{Kind: "redis", Port: port}}})
		}
		return h
	}
	to := func(text string, port string) int {
		return strings.Count(text, `to: {host: new, addr: "127.0.0.1:`+port+`"`)
	}
	for _, tc := range []struct {
		old, now []int
		want     map[string]int // steps that write to it: a copy and a switch
	}{
		{[]int{6379, 6380}, []int{6380, 6379}, map[string]int{"6379": 2, "6380": 2}},
		{[]int{6379, 6380}, []int{6379}, map[string]int{"6379": 2, "6380": 2}}, // the assessment asks for the second one
		{[]int{6379}, []int{6390}, map[string]int{"6390": 2}},
	} {
		old := two(tc.old...)
		text := move(old, two(tc.now...), "none")
		for port, n := range tc.want {
			if to(text, port) != n || !strings.Contains(text, `- tcp: {on: new, addr: "127.0.0.1:`+port) {
				t.Errorf("%v to %v: %d steps write to %s:\n%s", tc.old, tc.now, to(text, port), port, text)
			}
		}
	}
}

// Keys of a login are not copied, whoever names them.
func TestKeysAreNotCopied(t *testing.T) {
	old := &inspect.Host{Name: "old", Root: true,
		Programs: []*inspect.Program{unit("tool.service", "/etc/systemd/system/tool.service", inspect.Program{
			Processes: []inspect.Process{{PID: 1, User: "root", Exe: "/home/ada/.config/tool/run", Package: "-", Dir: "/root/.kube"}},
			Files:     []inspect.File{{Path: "/root/.ssh/known_hosts", Use: "written"}}})},
		Jobs: []inspect.Job{{Kind: "cron", User: "eve", Where: "/var/spool/cron/crontabs/eve", When: "@daily", Command: "/root/.ssh/x; /home/eve/.sshfs/x"}}}
	wants(t, move(old, &inspect.Host{Name: "new"}, "none"), []string{
		"/home/ada/.config/tool/run of tool.service is not copied", "/root/.kube of tool.service is not", "/root/.ssh/known_hosts of", "/root/.ssh/x, which a job names"},
		[]string{"path: /root", "path: /home", "from: /root", "from: /home"})
}

// A port is handed on where it was listened on, and the server that made room
// does not come back with a reboot.
func TestPortsAreNotOpenedWider(t *testing.T) {
	old := &inspect.Host{Name: "old", Programs: []*inspect.Program{
		unit("mariadb.service", "", inspect.Program{Enabled: "enabled", Listens: []inspect.Listen{{Proto: "tcp", Address: "127.0.0.1", Port: 3306}, {Proto: "tcp", Address: "10.0.0.1", Port: 3306}},
			Databases: []inspect.Database{{Kind: "mariadb", Port: 3306, Names: []inspect.Size{{Name: "blog"}}}}}),
		unit("api.service", "/etc/systemd/system/api.service", inspect.Program{Listens: []inspect.Listen{
			{Proto: "tcp", Address: "127.0.0.1", Port: 9000}, {Proto: "tcp", Address: "10.0.0.1", Port: 9001}, {Proto: "tcp", Address: "fd00::1", Port: 9001}, {Proto: "tcp", Address: "::", Port: 9002}}}),
	}}
	wants(t, move(old, &inspect.Host{Name: "new"}, "proxy"), []string{
		`proxy: {listen: "10.0.0.1:3306", to: "${{ new_address }}:3306"}`, "service: {name: mariadb.service, state: stopped, enabled: false}",
		`proxy: {listen: "10.0.0.1:9001", to: "${{ new_address }}:9001"}`, `proxy: {listen: "[fd00::1]:9001", to: "${{ new_address }}:9001"}`, `proxy: {listen: "0.0.0.0:9002"`,
		"Nothing that stays on old uses its port 9000",
	}, []string{"0.0.0.0:3306", ":9000\", to:"})
}

// What runs on the new host is not stopped because the old one has it masked.
func TestMaskStopsNothing(t *testing.T) {
	old := &inspect.Host{Name: "old", Units: []inspect.Unit{{Name: "systemd-networkd.service", Enabled: "masked"}, {Name: "tidy.timer", Enabled: "masked"}}}
	now := &inspect.Host{Name: "new", Units: []inspect.Unit{{Name: "systemd-networkd.service", Enabled: "enabled", State: "active (running)"}, {Name: "tidy.timer", Enabled: "enabled", State: "inactive (dead)"}}}
	wants(t, move(old, now, "none"), []string{"systemd-networkd.service is masked on old, but runs on new", "systemctl mask -- tidy.timer"}, []string{"mask -- systemd-networkd"})
}
