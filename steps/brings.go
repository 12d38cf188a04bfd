package steps

import (
	"cmp"
	"net"
	"strconv"
)

// broughtPort is a port that somebody listens at, as a Bringer calls it and a
// finding that awaits it.
func broughtPort(host, port string) string { return "port " + port + " of " + host }

// broughtDatabase is a database of a PostgreSQL server that a host reaches.
func broughtDatabase(host string, s postgresStore) string {
	return "database " + s.Database + " at " + cmp.Or(s.Addr, "127.0.0.1:"+postgresPort) + s.Container + " of " + host
}

// broughtSwarm is a Swarm whose manager is on a host.
func broughtSwarm(host string) string { return "Swarm of " + host }

// awaitedPort is the port of a host at which nobody listens; "" for an address
// that is not the host's own for certain.
func awaitedPort(host, addr string) string {
	at, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(at); err != nil || at != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return ""
	}
	return broughtPort(host, port)
}

// Brings is the Swarm, on the hosts that become managers of it.
func (j *swarmJoin) Brings(on string) []string {
	if on != j.Manager && j.As != "manager" {
		return nil
	}
	return []string{broughtSwarm(on)}
}

// Brings is the database that is copied to.
func (c *postgresCopy) Brings(on string) []string {
	return []string{broughtDatabase(cmp.Or(c.To.Host, on), c.To)}
}

// Brings are the ports of the node.
func (s *swarmService) Brings(string) []string {
	var all []string
	for _, p := range s.Ports {
		if s.Node != "" && p.Protocol != "udp" {
			all = append(all, broughtPort(s.Node, strconv.Itoa(p.Published)))
		}
	}
	return all
}

var (
	_ Bringer = (*swarmJoin)(nil)
	_ Bringer = (*swarmService)(nil)
	_ Bringer = (*postgresCopy)(nil)
)
