package draft

import (
	"strings"
	"testing"
	"time"

	"belay/checks/inspect"
)

// webHost has nginx with a site whose certificate certbot renews, one with a
// certificate of its own, and what no step can put in its place.
func webHost() *inspect.Host {
	site := func(file string, listen []string, names ...string) inspect.Site {
		return inspect.Site{File: file, Listen: listen, Names: names}
	}
	const enabled, live = "/etc/nginx/sites-enabled/", "/etc/letsencrypt/live/shop.test/"
	return &inspect.Host{
		Name: "old", TakenAt: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Root: true,
		Packages: map[string]string{"nginx": "1.22", "libnginx-mod-http-geoip2": "3.4"},
		Units:    []inspect.Unit{{Name: "nginx.service", State: "active (running)", Enabled: "enabled"}},
		Programs: []*inspect.Program{unit("nginx.service", "/lib/systemd/system/nginx.service", inspect.Program{
			Enabled: "enabled", Listens: append(tcp(80, 443, 8443), inspect.Listen{Proto: "tcp", Address: "::", Port: 443}),
			Sites: []inspect.Site{
				site(enabled+"shop", []string{"443 ssl", "[::]:443 ssl"}, "shop.test", "www.shop.test"),
				site(enabled+"api", []string{"10.0.0.1:8443 ssl"}, "api.test"), site("/etc/nginx/nginx.conf", nil, "_"), site("/opt/odd/nginx.conf", []string{"80"}, "odd.test"),
			},
			NginxFiles: []inspect.NginxFile{
				{File: enabled + "api", Names: []string{"/etc/ssl/api/cert.pem", "/etc/ssl/api/key.pem", "/etc/nginx/snippets/tls.conf", "/etc/shadow", "/etc/ssl/certs/$ssl_server_name.pem"}},
				{File: enabled + "shop", Target: "/etc/nginx/sites-available/shop", Shares: true, Logs: []string{"/var/log/shop"}, Dirs: []string{"/srv/shop/public"},
					Names: []string{live + "fullchain.pem", live + "privkey.pem", "/etc/letsencrypt/options-ssl-nginx.conf", "/etc/nginx/snippets/tls.conf"}},
				{File: "/etc/nginx/conf.d/zones.conf", Shares: true},
				{File: "/opt/odd/nginx.conf"},
			},
		})},
		Certificates: []inspect.Certificate{{Path: live + "fullchain.pem", Issuer: "R11, Let's Encrypt"}},
		Idle:         []inspect.Idle{{Name: "never.timer", File: "/etc/systemd/system/never.timer"}, {Name: "sync.service", File: "/home/ada/.config/systemd/user/sync.service", User: "ada"}},
	}
}

// Sites come with what they name, are tested before they are served, and are
// taken out of service where they were; people are told of what is left.
func TestSites(t *testing.T) {
	old := webHost()
	p := golden(t, "sites.yaml", Plan(Wish{Name: "sites", Old: End{Name: "old"}, New: &End{Name: "new", Address: "10.0.0.2"}, Clients: "dns"}, old,
		&inspect.Host{Name: "new", Packages: map[string]string{"openssl": "3"}}))
	for _, s := range p.Steps() {
		if s.Stage != "close" && !s.HasWayBack() && s.Title != "Send clients to the new server" {
			t.Errorf("%q has no way back", s.Title)
		}
	}
	now := &inspect.Host{Name: "new", Packages: map[string]string{"nginx": "1.22"}, Certificates: []inspect.Certificate{{Path: "/etc/letsencrypt/live/shop.test/cert.pem"}}}
	now.Programs = []*inspect.Program{
		unit("nginx.service", "", inspect.Program{Listens: tcp(80), NginxFiles: []inspect.NginxFile{{File: "/etc/nginx/sites-enabled/default"}}}), unit("apache2.service", "", inspect.Program{Listens: tcp(8443)})}
	wants(t, move(old, now, "proxy"), []string{"nginx.site: {name: default, enabled: false}", "apache2.service has port 8443 on new", "lacks modules", `listen: "0.0.0.0:443", to: "${{ new_address }}:443", by: systemd`, "of its own; it"},
		[]string{"There is no nginx", "/etc/letsencrypt/archive", `- {area: port, key: tcp 443`})
	wants(t, string(Plan(Wish{Old: End{Name: "old"}, New: &End{Name: "new"}, Move: []string{"site /etc/nginx/sites-enabled/api"}, Clients: "proxy"}, old, now)),
		[]string{"- {area: port, key: tcp 443, why: shop stays where it is}"}, []string{"sites-available/shop", "letsencrypt", "key: tcp 8443"})
	for _, it := range Items(old) {
		if it.Kind == Site && (it.Says != "nginx site api, api.test, tcp 8443" && it.Says != "nginx site shop, shop.test, www.shop.test, tcp 443" || len(it.Whole()) < 2) {
			t.Errorf("%+v", it)
		}
	}
	if rest := strings.Join(Rest(old, Items(old)), "\n"); !strings.Contains(rest, "never.timer, which does nothing now") || !strings.Contains(rest, "--user unit sync.service of ada") {
		t.Error(rest)
	}
}

// A port at which sites stay is not handed on.
func TestPortsOfSitesThatStay(t *testing.T) {
	old := webHost()
	for i := range old.Programs[0].Sites {
		old.Programs[0].Sites[i].Listen = []string{"443 ssl"}
	}
	wants(t, string(Plan(Wish{Old: End{Name: "old"}, New: &End{Name: "new"}, Move: []string{"site /etc/nginx/sites-enabled/api"}, Clients: "proxy"}, old, &inspect.Host{Name: "new"})),
		[]string{"port 443 of old is not handed on, for nginx there goes on serving shop.test www.shop.test"}, []string{"proxy:"})
}

// What starts a unit moves with it, and before it; what belongs to the server
// stays there, and directories of what a timer starts come along.
func TestWhatBelongsToAUnit(t *testing.T) {
	old := &inspect.Host{Name: "old", Programs: []*inspect.Program{
		unit("shop.service", "/etc/systemd/system/shop.service", inspect.Program{EnvFiles: []string{"/etc/environment", "/etc/shop/env"}, Dirs: []string{"/var/lib/shop", "/etc/shop"},
			Starters: []inspect.Starter{{Name: "shop.socket", Enabled: "enabled", Files: []string{"/etc/systemd/system/shop.socket", "/etc/systemd/system/shop.socket.d/x.conf"}}}}),
	}, Jobs: []inspect.Job{{Kind: "timer", Where: "tick.timer", When: "daily", Command: "tick.service: /usr/bin/true", Units: []string{"/etc/systemd/system/tick.timer", "/etc/systemd/system/tick.service"},
		EnvFiles: []string{"/etc/default/locale", "/etc/default/tick"}, Dirs: []string{"/var/lib/tick", "/srv/tick/in", "/home/app"}}}}
	text := move(old, &inspect.Host{Name: "new"}, "none")
	wants(t, text, []string{
		"- step: Copy /etc/systemd/system/shop.socket.d/x.conf", "/etc/environment, which shop.service reads, belongs to the server", "/etc/default/locale, which tick.timer reads",
		"- step: Copy /etc/shop\n", "- step: Copy /etc/default/tick\n", "- step: Copy /var/lib/tick\n", "- step: Copy /srv/tick\n", "/home/app of tick.timer is not copied", "shop.service shop.socket", "undo: {run: systemctl start -- shop.socket shop.service}",
	}, []string{"from: /etc/environment", "from: /etc/default/locale", "Copy /etc/shop/env"})
	order := []string{"- step: Stop shop.socket on old", "- step: Stop shop.service on old", "- step: Start shop.socket on new", "- step: Start shop.service on new"}
	for last := 0; len(order) > 0; order = order[1:] {
		i := strings.Index(text, order[0])
		if i < last {
			t.Errorf("%s: too early, or not at all", order[0])
		}
		last = i
	}
}

// The database that every server has is copied where people have put tables
// into it, and passed over where they have not.
func TestDatabasePostgres(t *testing.T) {
	for _, own := range [][]string{nil, {"public.orders", "audit.log"}} {
		old := &inspect.Host{Name: "old", Programs: []*inspect.Program{unit("postgresql@15-main.service", "", inspect.Program{Listens: tcp(5432),
			Databases: []inspect.Database{{Kind: "postgresql", Port: 5432, Own: own, Names: []inspect.Size{{Name: "postgres", Bytes: 1 << 23}, {Name: "shop"}}}}})}}
		lines := []string{"- step: Copy the database postgres", "- step: Freeze the database postgres", "public.orders, audit.log"}
		if text := move(old, newHost(), "none"); own == nil {
			wants(t, text, nil, lines)
		} else {
			wants(t, text, lines, nil)
		}
	}
}

// Comments are seen whole on a screen of 80 columns.
func TestCommentsAreNarrow(t *testing.T) {
	for line := range strings.Lines(move(webHost(), newHost(), "dns")) {
		if i := strings.Index(line, "# "); i >= 0 && len(strings.TrimSuffix(line, "\n")) > noteWidth {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
}
