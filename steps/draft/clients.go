package draft

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"belay/checks/inspect"
)

// clients sends people to the new host.
func (d *draft) clients() {
	switch d.Clients {
	case "proxy":
		for _, it := range d.items {
			if it.Kind == Database {
				d.handOn(it)
			}
		}
		for _, port := range d.ports {
			if site := d.staying(port); site != "" {
				d.signoff.line("  - %s", fmt.Sprintf("Clients find the moved sites on %s by name: port %d of %s is not handed on, for nginx there goes on serving %s at it", d.New.Name, port, d.Old.Name, site))
				continue
			}
			d.proxy(port, strconv.Itoa(port))
		}
	case "dns":
		d.gives.raw("  - step: Send clients to the new server\n")
		more := ""
		if len(d.renewed) > 0 {
			more = fmt.Sprintf(" Then see on %s that the certificate of %s can be renewed there, and end its renewal on %s.", d.New.Name, strings.Join(d.renewed, ", "), d.Old.Name)
		}
		d.gives.line("    manual: {text: %s, evidence: the change number or the names that were changed}",
			fmt.Sprintf("Change the DNS records (or the load balancer) that lead to %s so that they lead to %s. Lower their TTL a day before.%s", d.Old.Name, d.New.Name, more))
	}
}

// staying is a site that stays on the old host at a port; "" for none.
func (d *draft) staying(port int) string {
	for _, p := range d.old.Programs {
		for _, s := range p.Sites {
			moved := slices.ContainsFunc(d.items, func(it Item) bool {
				return it.Kind == Site && (it.Name == s.File || slices.Contains(it.Nginx.Names, s.File))
			})
			if !moved && sitePorts([]inspect.Site{s})[port] {
				return cmp.Or(strings.Join(s.Names, " "), s.File)
			}
		}
	}
	return ""
}

// handOn keeps a database's old port alive: its old server makes room first.
func (d *draft) handOn(it Item) {
	port := it.Database.Port
	if !reachable(it) {
		if len(d.left) > 0 {
			d.signoff.line("  - %s", fmt.Sprintf("Nothing that stays on %s uses %s, which listens there on 127.0.0.1 only", d.Old.Name, it.Title()))
		}
		return
	}
	d.gives.line("  - step: %s", fmt.Sprintf("Stop %s on %s", it.Title(), d.Old.Name))
	if p := it.Programs[0]; p.Kind == inspect.KindUnit {
		d.gives.line("    on: %s", d.Old.Name)
		boot := raw("") // a reboot that brought it back would let clients write to it
		if p.Enabled == "enabled" {
			boot = ", enabled: false"
		}
		d.gives.line("    service: {name: %s, state: stopped%s}", p.Name, boot)
	} else {
		d.gives.line("    manual: %s", fmt.Sprintf("Stop %s on %s, so that its port %d is free.", it.Name, d.Old.Name, port))
		d.gives.line("    undo: {manual: %s}", fmt.Sprintf("Start %s on %s again.", it.Name, d.Old.Name))
	}
	to := d.pairOf(it).port
	d.assess.line("  - tcp: {on: %s, addr: %s}", d.Old.Name, d.reach(to))
	d.proxy(port, to)
}

// proxy hands connections to a port of the old host on to the new one: at the
// addresses where it listened, for nobody else shall reach it now.
func (d *draft) proxy(port int, to string) {
	at := d.fronts(port)
	if len(at) == 0 {
		d.signoff.line("  - %s", fmt.Sprintf("Nothing that stays on %s uses its port %d, which listens there on 127.0.0.1 only and is not handed on", d.Old.Name, port))
	}
	for _, addr := range at {
		what := fmt.Sprintf("port %d of %s", port, d.Old.Name)
		if len(at) > 1 {
			what += " at " + addr
		}
		d.gives.line("  - step: %s", fmt.Sprintf("Hand connections to %s on to %s", what, d.New.Name))
		d.gives.line("    on: %s", d.Old.Name)
		by := raw("") // else socat, which a reboot ends
		if d.systemd() {
			by = ", by: systemd"
		}
		d.gives.line("    proxy: {listen: %s, to: %s%s}", net.JoinHostPort(addr, strconv.Itoa(port)), d.reach(to), by)
	}
}

// fronts are the addresses at which others reach a port of what moves: every
// one, or each by itself.
func (d *draft) fronts(port int) (all []string) {
	for _, it := range d.items {
		for _, p := range it.Programs {
			for _, l := range p.Listens {
				addr, err := netip.ParseAddr(l.Address)
				switch {
				case l.Proto != "tcp" || l.Port != port || l.Loopback():
				case err != nil || addr.IsUnspecified():
					return []string{"0.0.0.0"}
				case addr.Zone() == "":
					all = append(all, addr.Unmap().String())
				}
			}
		}
	}
	return once(all)
}
