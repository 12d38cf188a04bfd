package inspect

import (
	"cmp"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// addSites gives nginx its server blocks, and each route who listens there.
func (b *builder) addSites() {
	b.nginx = parseNginx(b.r.nginx)
	p := b.nginxProgram()
	if p == nil {
		return
	}
	for _, f := range b.r.nginx {
		// Tables that every package brings say nothing of this host.
		if ext := path.Ext(f.path); ext == ".conf" || strings.Contains(path.Dir(f.path), "sites-") || strings.Contains(f.text, "server") {
			p.file(tidy(f.path, 500), "config")
		}
	}
	p.NginxFiles = b.nginx.confs()
	for _, s := range b.nginx.sites {
		for i := range s.Routes {
			for _, to := range b.nginx.targets(s.Routes[i].To) {
				if q := b.target(to); q != nil {
					s.Routes[i].Program = q.Key()
				}
			}
		}
		p.Sites = append(p.Sites, s)
	}
}

// nginxProgram is the program that reads the configuration of this host: not
// one in a container, which has its own.
func (b *builder) nginxProgram() *Program {
	for _, p := range b.h.Programs {
		if p.Kind == KindContainer {
			continue
		}
		for _, proc := range p.Processes {
			if path.Base(proc.Exe) == "nginx" || path.Base(proc.Exe) == "openresty" || strings.HasPrefix(proc.Args, "nginx:") {
				return p
			}
		}
	}
	return nil
}

// target is the program behind "127.0.0.1:8088" or "unix:/run/app.sock".
func (b *builder) target(to string) *Program {
	if file, ok := strings.CutPrefix(to, "unix:"); ok {
		return b.onSocket(file)
	}
	host, port, err := net.SplitHostPort(to)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil {
		return nil
	}
	if host == "localhost" || host == b.h.Hostname {
		return b.at(int(n))
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return nil
	}
	return b.behind(addr, int(n))
}

func (b *builder) onSocket(file string) *Program {
	for _, p := range b.h.Programs {
		if slices.Contains(p.Sockets, file) {
			return p
		}
	}
	return nil
}

// behind is the program at an address: of this host, or of a container. The
// host's own addresses are those that something listens on.
func (b *builder) behind(addr netip.Addr, port int) *Program {
	for _, p := range b.h.Programs {
		if p.Container != nil && slices.Contains(p.Container.ips, addr.String()) {
			return p
		}
	}
	own := addr.IsLoopback() || addr.IsUnspecified()
	for _, p := range b.f.Ports {
		own = own || p.Address == addr.String()
	}
	for _, l := range b.r.links.tcp {
		own = own || l.local.Addr() == addr
	}
	if own {
		return b.at(port)
	}
	return nil
}

// databasePorts name what is likely to be at a remote port.
var databasePorts = map[int]string{
	5432: "postgresql", 6432: "pgbouncer", 3306: "mysql", 6379: "redis", 27017: "mongodb", 9042: "cassandra",
	9200: "elasticsearch", 5672: "rabbitmq", 11211: "memcached", 2379: "etcd", 9092: "kafka", 7700: "meilisearch", 4222: "nats",
}

// addConnects finds where programs' connections go: those whose own end is no
// port that the host listens on.
func (b *builder) addConnects() {
	listens := map[int]bool{}
	for _, p := range b.f.Ports {
		listens[p.Number] = true
	}
	for _, l := range b.r.links.tcp {
		if from := b.ownerOf(l.pid, 0); from != nil && !listens[int(l.local.Port())] && from.Name != "docker-proxy" {
			b.connect(from, l.remote.String(), b.behind(l.remote.Addr(), int(l.remote.Port())), databasePorts[int(l.remote.Port())])
		}
	}
	for _, l := range b.r.links.toUnix {
		from, to := b.ownerOf(l.pid, 0), b.onSocket(l.path)
		if from == nil || from == to || strings.HasPrefix(l.path, "/run/systemd/") || strings.HasPrefix(l.path, "/run/dbus/") {
			continue
		}
		b.connect(from, l.path, to, "")
	}
	for _, p := range b.h.Programs {
		slices.SortFunc(p.Connects, func(a, c Connect) int {
			return cmp.Or(cmp.Compare(c.What, a.What), cmp.Compare(a.To, c.To)) // databases first
		})
	}
}

func (b *builder) connect(from *Program, to string, at *Program, what string) {
	if at == from {
		return
	}
	c := Connect{To: tidy(to, 200), What: what, Count: 1}
	if at != nil {
		c.Program = at.Key()
		if len(at.Databases) > 0 {
			c.What = at.Databases[0].Kind
		}
	}
	for i := range from.Connects {
		if from.Connects[i].To == c.To {
			from.Connects[i].Count++
			return
		}
	}
	if len(from.Connects) < 200 {
		from.Connects = append(from.Connects, c)
	}
}
