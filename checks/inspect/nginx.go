package inspect

import (
	"net"
	"path"
	"slices"
	"strings"
)

// nginxFile is one file of a configuration, in the order of reading.
type nginxFile struct{ path, text, target string } // target: of a link

// directive is one of nginx's: "listen 443 ssl;" or "server { … }".
type directive struct {
	name, file string
	args       []string
	block      []directive
}

// nginxConf is what a configuration says of sites.
type nginxConf struct {
	sites     []Site
	upstreams map[string][]string // name → "host:port" or "unix:/path"

	names, roots []string // files; those that no other one includes
	parsed       map[string][]directive
	targetOf     map[string]string // of files that are links
}

// readNginx expects "=FILE", "l TARGET" where that is a link, and its lines,
// each after a tab; "x FILE" is one that may not be read.
func readNginx(section []byte) (files []nginxFile, denied []string) {
	var text strings.Builder
	done := func() {
		if n := len(files); n > 0 {
			files[n-1].text = text.String()
		}
		text.Reset()
	}
	for line := range lines(section) {
		switch {
		case line[0] == '=':
			done()
			files = append(files, nginxFile{path: line[1:]})
		case strings.HasPrefix(line, "x "):
			denied = append(denied, line[2:])
		case strings.HasPrefix(line, "l ") && len(files) > 0:
			files[len(files)-1].target = line[2:]
		case line[0] == '\t':
			text.WriteString(line[1:] + "\n")
		}
	}
	done()
	return files, denied
}

// parseNginx follows includes among the files; the first file, and each that
// no other one included, is a beginning.
func parseNginx(files []nginxFile) nginxConf {
	parsed, included, targetOf := map[string][]directive{}, map[string]bool{}, map[string]string{}
	var names []string
	for _, f := range files {
		if parsed[f.path] != nil {
			continue
		}
		words := nginxWords(f.text)
		parsed[f.path] = parseBlock(&words, f.path, 0)
		names, targetOf[f.path] = append(names, f.path), f.target
	}
	c := nginxConf{upstreams: map[string][]string{}, names: names, parsed: parsed, targetOf: targetOf}
	left := 20000
	var walk func(all []directive, root string, depth int)
	walk = func(all []directive, root string, depth int) {
		for _, d := range all {
			if left--; left < 0 || depth > 12 {
				return
			}
			switch {
			case d.name == "include" && len(d.args) == 1:
				for _, name := range matching(names, d.args[0], path.Dir(root)) {
					if name != d.file && !included[name] {
						included[name] = true
						walk(parsed[name], root, depth+1)
					}
				}
			case d.name == "upstream" && len(d.args) == 1:
				for _, s := range d.block {
					if s.name == "server" && len(s.args) > 0 {
						c.upstreams[d.args[0]] = append(c.upstreams[d.args[0]], s.args[0])
					}
				}
			case d.name == "server" && d.block != nil:
				c.sites = append(c.sites, siteOf(d, func(pattern string) (more []directive) {
					for _, name := range matching(names, pattern, path.Dir(root)) {
						included[name] = true
						more = append(more, parsed[name]...)
					}
					return more
				}))
			default:
				walk(d.block, root, depth+1)
			}
		}
	}
	for _, name := range names {
		if !included[name] {
			included[name] = true
			c.roots = append(c.roots, name)
			walk(parsed[name], name, 0)
		}
	}
	return c
}

func matching(names []string, pattern, dir string) []string {
	if !path.IsAbs(pattern) {
		pattern = path.Join(dir, pattern)
	}
	var found []string
	for _, n := range names {
		if ok, err := path.Match(pattern, n); ok && err == nil {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	return found
}

// siteOf reads a server block; include gives the directives of files that it
// includes.
func siteOf(server directive, include func(pattern string) []directive) Site {
	s := Site{File: tidy(server.file, 300)}
	left := 5000
	var walk func(all []directive, at string, depth int)
	walk = func(all []directive, at string, depth int) {
		for _, d := range all {
			if left--; left < 0 || depth > 8 {
				return
			}
			args := tidy(mask(strings.Join(d.args, " ")), 300)
			switch {
			case len(d.args) == 0:
			case d.name == "include":
				walk(include(d.args[0]), at, depth+1)
			case d.name == "server_name":
				for _, n := range d.args {
					s.Names = append(s.Names, tidy(n, 260))
				}
			case d.name == "listen":
				s.Listen = append(s.Listen, args)
			case d.name == "root" && at == "":
				s.Root = args
			case d.name == "ssl_certificate":
				s.Certs = append(s.Certs, args)
			case d.name == "location":
				walk(d.block, args, depth+1)
			case d.name == "if" || d.name == "limit_except":
				walk(d.block, at, depth+1)
			case slices.Contains(passes, d.name):
				s.Routes = append(s.Routes, Route{Path: at, To: args})
			}
		}
	}
	walk(server.block, "", 0)
	return s
}

var passes = []string{"proxy_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "grpc_pass", "memcached_pass"}

// parseBlock takes directives until the block's end.
func parseBlock(words *[]string, file string, depth int) []directive {
	all := []directive{}
	var d directive
	for len(*words) > 0 {
		w := (*words)[0]
		*words = (*words)[1:]
		switch {
		case w == ";" || w == "{":
			if w == "{" {
				block := parseBlock(words, file, depth+1)
				if depth < 16 {
					d.block = block
				}
			}
			if d.name != "" {
				all = append(all, d)
			}
			d = directive{}
		case w == "}":
			return all
		case d.name == "":
			d.name, d.file = strings.TrimPrefix(w, "\x00"), file
		default:
			d.args = append(d.args, strings.TrimPrefix(w, "\x00"))
		}
	}
	return all
}

// nginxWords cuts a configuration into words, ";", "{" and "}". A quoted word
// begins with a NUL, so that it is never taken for one of these.
func nginxWords(text string) []string {
	var all []string
	for i := 0; i < len(text) && len(all) < 200000; {
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '#':
			if n := strings.IndexByte(text[i:], '\n'); n >= 0 {
				i += n
			} else {
				i = len(text)
			}
		case c == ';' || c == '{' || c == '}':
			all = append(all, string(c))
			i++
		case c == '"' || c == '\'':
			w, n := quotedWord(text[i:])
			all = append(all, "\x00"+w)
			i += n
		default:
			n := strings.IndexAny(text[i:], " \t\r\n;")
			if n < 0 {
				n = len(text) - i
			}
			// "${name}" and "\.php$" are words; "location /{" is two.
			if b := strings.IndexByte(text[i:i+n], '{'); b > 0 && text[i+b-1] != '$' && b == n-1 {
				n = b
			}
			all = append(all, text[i:i+n])
			i += n
		}
	}
	return all
}

func quotedWord(s string) (word string, n int) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == s[0]:
			return b.String(), i + 1
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), len(s)
}

// targets is where a pass leads: "127.0.0.1:8088", "unix:/run/app.sock"; those
// of an upstream when it names one. A variable leads nowhere that we know.
func (c nginxConf) targets(to string) []string {
	scheme, rest, ok := strings.Cut(to, "://")
	if !ok {
		scheme, rest = "", to
	}
	if file, ok := strings.CutPrefix(rest, "unix:"); ok {
		file, _, _ = strings.Cut(file, ":")
		return []string{"unix:" + file}
	}
	host, _, _ := strings.Cut(rest, "/")
	if up := c.upstreams[host]; up != nil {
		var all []string
		for _, u := range up {
			all = append(all, withPort(u, scheme))
		}
		return all
	}
	if strings.Contains(host, "$") {
		return nil
	}
	return []string{withPort(host, scheme)}
}

func withPort(host, scheme string) string {
	if strings.HasPrefix(host, "unix:") {
		return host
	}
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	port := "80"
	if scheme == "https" || scheme == "grpcs" {
		port = "443"
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}
