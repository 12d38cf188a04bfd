package inspect

import (
	"path"
	"slices"
	"strings"
)

// confs are the files that the main configuration includes, outside of a
// server, and that no package brings: sites, and what stands beside them.
func (c nginxConf) confs() (all []NginxFile) {
	seen := map[string]bool{}
	var walk func(block []directive, dir string, depth int)
	walk = func(block []directive, dir string, depth int) {
		for _, d := range block {
			switch {
			case d.name == "http" && depth == 0:
				walk(d.block, dir, 1)
			case d.name == "include" && len(d.args) == 1:
				for _, name := range matching(c.names, d.args[0], dir) {
					if name != d.file && !seen[name] && ownNginx(name) && len(all) < 500 {
						seen[name] = true
						all = append(all, c.conf(name, dir))
					}
				}
			}
		}
	}
	for _, root := range c.roots {
		walk(c.parsed[root], path.Dir(root), 0)
	}
	return all
}

// conf is all that one file and those that it includes name. dir is where
// relative paths begin.
func (c nginxConf) conf(file, dir string) NginxFile {
	f := NginxFile{File: tidy(file, 300), Target: tidy(c.targetOf[file], 300)}
	in, left := []string{file}, 5000
	add := func(list *[]string, p string) {
		if !path.IsAbs(p) {
			p = path.Join(dir, p)
		}
		if p = tidy(path.Clean(p), 300); !slices.Contains(*list, p) && len(*list) < 200 {
			*list = append(*list, p)
		}
	}
	var walk func(block []directive, depth int)
	walk = func(block []directive, depth int) {
		for _, d := range block {
			if left--; left < 0 || depth > 8 {
				return
			}
			if len(d.args) > 0 {
				switch first := d.args[0]; {
				case d.name == "include":
					for _, name := range matching(c.names, first, dir) {
						if !slices.Contains(in, name) {
							in = append(in, name)
							if ownNginx(name) {
								add(&f.Names, name)
							}
							walk(c.parsed[name], depth+1)
						}
					}
				case namesFile(d.name):
					if !strings.HasPrefix(first, "data:") && !strings.HasPrefix(first, "engine:") {
						add(&f.Names, first)
					}
				case d.name == "access_log" || d.name == "error_log":
					if path.IsAbs(first) && !strings.Contains(first, "$") {
						add(&f.Logs, path.Dir(first))
					}
				case (d.name == "root" || d.name == "alias") && path.IsAbs(first) && !strings.Contains(first, "$"):
					add(&f.Dirs, first)
				case slices.Contains(shares, d.name) && depth == 0:
					f.Shares = true
				}
			}
			walk(d.block, depth+1)
		}
	}
	walk(c.parsed[file], 0)
	return f
}

// shares are directives outside of a server that another site may lean on.
var shares = []string{"upstream", "map", "geo", "split_clients", "limit_req_zone", "limit_conn_zone", "log_format", "proxy_cache_path", "fastcgi_cache_path", "uwsgi_cache_path", "ssl_session_cache"}

// namesFile tells a directive whose first argument is a file that nginx reads.
func namesFile(name string) bool {
	if name == "auth_basic_user_file" || name == "auth_jwt_key_file" {
		return true
	}
	_, what, ok := strings.Cut("_"+name, "_ssl_")
	return ok && slices.Contains([]string{"certificate", "certificate_key", "trusted_certificate", "client_certificate", "dhparam", "crl", "password_file", "session_ticket_key", "stapling_file"}, what)
}

// ownNginx tells a file of nginx's configuration from those that packages bring,
// which Debian's, Red Hat's and nginx's own call alike.
func ownNginx(file string) bool {
	if strings.HasPrefix(file, "/usr/") && !strings.HasPrefix(file, "/usr/local/") || strings.Contains(file, "/modules-enabled/") {
		return false
	}
	switch path.Base(file) {
	case "mime.types", "fastcgi.conf", "fastcgi_params", "proxy_params", "scgi_params", "uwsgi_params", "koi-utf", "koi-win", "win-utf", "fastcgi-php.conf", "snakeoil.conf":
		return false
	}
	return true
}
