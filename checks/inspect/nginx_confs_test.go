package inspect

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a site names of its own is known, with what it includes; what packages
// bring is not among it.
func TestNginxFiles(t *testing.T) {
	files, _ := readNginx([]byte("=/etc/nginx/nginx.conf\n\tinclude modules-enabled/*.conf;\n\thttp { include mime.types; include conf.d/*.conf; include sites-enabled/*; ssl_dhparam /etc/x.pem; }\n" +
		"=/etc/nginx/modules-enabled/50-x.conf\n\tload_module x;\n=/etc/nginx/mime.types\n\ttypes {}\n" +
		"=/etc/nginx/conf.d/map.conf\n\tmap $a $b { default 1; }\n" +
		"=/etc/nginx/snippets/tls.conf\n\tssl_dhparam dh.pem; ssl_certificate data:$x; proxy_ssl_trusted_certificate /opt/ca.pem;\n=/etc/nginx/fastcgi_params\n\tfastcgi_param A b;\n" +
		"=/etc/nginx/sites-enabled/shop\nl /etc/nginx/sites-available/shop\n\tserver { include snippets/tls.conf; ssl_certificate /a/c.pem; ssl_certificate_key /a/k.pem; access_log /var/log/shop/a.log main; error_log syslog:server=x;\n" +
		"\t root /srv/shop; location /x { alias /srv/x/; auth_basic_user_file passwd; include fastcgi_params; root $y; } }\n"))
	want := []NginxFile{
		{File: "/etc/nginx/conf.d/map.conf", Shares: true},
		{File: "/etc/nginx/sites-enabled/shop", Target: "/etc/nginx/sites-available/shop",
			Names: []string{"/etc/nginx/snippets/tls.conf", "/etc/nginx/dh.pem", "/opt/ca.pem", "/a/c.pem", "/a/k.pem", "/etc/nginx/passwd"},
			Logs:  []string{"/var/log/shop"}, Dirs: []string{"/srv/shop", "/srv/x"}},
	}
	if d := cmp.Diff(want, parseNginx(files).confs()); d != "" {
		t.Error(d)
	}
}

// Units of the host's own that do nothing now, and those of logins, are named;
// what a program or a timer has is not.
func TestIdleUnits(t *testing.T) {
	r := parse(map[string][]byte{"units": []byte("UserUnit=/home/ada/.config/systemd/user/sync.timer\n\n" +
		"Id=shop.service\nMainPID=7\nLoadState=loaded\nActiveState=active\nFragmentPath=/etc/systemd/system/shop.service\nTriggeredBy=shop.socket\n\n" +
		"Id=shop.socket\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nFragmentPath=/etc/systemd/system/shop.socket\n\n" +
		"Id=never.timer\nUnit=never.service\nLoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\nFragmentPath=/etc/systemd/system/never.timer\n\n" +
		"Id=never.service\nLoadState=loaded\nActiveState=inactive\nUnitFileState=static\nFragmentPath=/etc/systemd/system/never.service\nTriggeredBy=never.timer\n\n" +
		"Id=tick.timer\nUnit=tick.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nFragmentPath=/etc/systemd/system/tick.timer\n\n" +
		"Id=tick.service\nLoadState=loaded\nActiveState=inactive\nUnitFileState=static\nStateDirectory=tick later\nAbsent=/var/lib/later\nWorkingDirectory=/srv/tick\nFragmentPath=/etc/systemd/system/tick.service\n\n" +
		"Id=rules.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nFragmentPath=/etc/systemd/system/rules.service\n\n" +
		"Id=of-a-package.timer\nUnit=x.service\nLoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\nFragmentPath=/lib/systemd/system/x.timer\n")}, nil)
	b := &builder{r: r, h: &Host{Programs: []*Program{{Kind: KindUnit, Name: "shop.service"}}}, byKey: map[string]*Program{}}
	b.byKey["unit shop.service"] = b.h.Programs[0]
	b.describe()
	b.addTimers()
	b.addIdle()
	if d := cmp.Diff([]Starter{{Name: "shop.socket", Enabled: "enabled", Files: []string{"/etc/systemd/system/shop.socket"}}}, b.h.Programs[0].Starters); d != "" {
		t.Error(d)
	}
	if len(b.h.Jobs) != 1 || !cmp.Equal(b.h.Jobs[0].Dirs, []string{"/var/lib/tick", "/srv/tick"}) {
		t.Errorf("%+v", b.h.Jobs)
	}
	want := []Idle{
		{Name: "never.timer", File: "/etc/systemd/system/never.timer"}, {Name: "rules.service", File: "/etc/systemd/system/rules.service"},
		{Name: "sync.timer", File: "/home/ada/.config/systemd/user/sync.timer", User: "ada"},
	}
	if d := cmp.Diff(want, b.h.Idle); d != "" {
		t.Error(d)
	}
}
