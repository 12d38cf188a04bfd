package draft

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// systemFiles are files of /etc that every server has of its own: on another
// one they would take the place of who may log in, of its name, of its net.
var systemFiles = []string{
	"adjtime", "bash.bashrc", "crypttab", "default/cron", "default/grub", "default/keyboard", "default/locale", "default/ssh", "default/useradd", "environment",
	"fstab", "group", "gshadow", "host.conf", "hostname", "hosts", "hosts.allow", "hosts.deny", "krb5.conf", "krb5.keytab", "ld.so.cache", "ld.so.conf", "ld.so.preload",
	"locale.conf", "localtime", "login.defs", "machine-id", "mtab", "nginx/nginx.conf", "nsswitch.conf", "os-release", "passwd", "profile", "protocols", "resolv.conf",
	"services", "shadow", "shells", "ssl/certs/ca-certificates.crt", "ssl/certs/ssl-cert-snakeoil.pem", "ssl/openssl.cnf", "ssl/private/ssl-cert-snakeoil.key",
	"subgid", "subuid", "sudoers", "sysconfig/network", "sysctl.conf", "timezone",
}

// systemDirs are directories that are likewise.
var systemDirs = []string{
	"NetworkManager", "alternatives", "apt", "ca-certificates", "cloud", "dpkg", "environment.d", "grub.d", "iptables", "ld.so.conf.d", "modprobe.d", "modules-load.d", "netplan", "network",
	"pam.d", "pki/ca-trust", "pki/tls/certs", "profile.d", "security", "selinux", "ssh", "sudoers.d", "sysctl.d", "sysconfig/network-scripts", "udev", "yum.repos.d",
}

// sharedDirs have files of many programs.
var sharedDirs = []string{
	"cron.d", "cron.daily", "cron.hourly", "cron.monthly", "cron.weekly", "default", "docker", "init.d", "letsencrypt", "logrotate.d", "mysql", "nginx", "opt",
	"postgresql", "redis", "ssl", "sysconfig", "systemd", "xdg",
}

// ofSystem tells a file that belongs to the server and to none of its programs.
func ofSystem(file string) bool {
	rel, ok := strings.CutPrefix(path.Clean(file), "/etc/")
	if !ok {
		return false
	}
	return slices.Contains(systemFiles, rel) || slices.ContainsFunc(systemDirs, func(dir string) bool { return rel == dir || strings.HasPrefix(rel, dir+"/") })
}

// leaveToSystem says of such a file that it is not copied.
func (d *draft) leaveToSystem(file, of string) {
	if file = path.Clean(file); slices.Contains(d.brought, file) {
		return
	}
	d.brought = append(d.brought, file)
	d.signoff.line("  - %s", fmt.Sprintf("%s, which %s reads, belongs to the server and is not copied; what %s needs of it stands in that of %s", file, of, of, d.New.Name))
}

// systemd tells whether it is the first process of the old server.
func (d *draft) systemd() bool { return len(d.old.Units) > 0 }

// idle names what somebody wrote for the old host and what does nothing there
// now: it is not moved, and not forgotten either.
func (d *draft) idle() {
	var all []string
	for _, u := range d.old.Idle {
		if !slices.Contains(d.brought, u.File) {
			name := u.Name
			if u.User != "" {
				name += " (systemd --user of " + u.User + ")"
			}
			all = append(all, name)
		}
	}
	for part := range slices.Chunk(all, 8) {
		d.signoff.line("  - %s", fmt.Sprintf("Not moved, for they run nothing on %s now that belay knows, and not to be missed on %s: %s", d.Old.Name, d.New.Name, strings.Join(part, ", ")))
	}
}
