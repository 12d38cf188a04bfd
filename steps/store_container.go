package steps

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"belay/remote"
)

// storeContainer finds a server in a container: the address at which the
// container's host reaches it, and the one at which a program in the container
// does (its client tools run there). port is the usual one of the store. It
// only looks.
func storeContainer(ctx context.Context, h remote.Host, s store, port string) (outside, inside string, err error) {
	if s.Container == "" {
		if s.Addr == "" {
			s.Addr = net.JoinHostPort("127.0.0.1", port)
		}
		return s.Addr, s.Addr, nil
	}
	c, err := storeInspect(ctx, h, s.Container)
	if err != nil {
		return "", "", err
	}
	if strings.HasPrefix(s.Addr, "/") {
		return s.Addr, s.Addr, nil
	}
	ip := c.ip()
	switch {
	case s.Addr != "":
		return s.Addr, c.inside(s.Addr, ip), nil
	case ip == "":
		return "", "", fmt.Errorf("container %s on %s: it has no address of its own; give addr", s.Container, h.Name)
	}
	addr := net.JoinHostPort(ip, port)
	return addr, addr, nil
}

// storeBox is what `docker inspect` tells of a container's network.
type storeBox struct {
	Running  bool
	Mode     string // of the network: "host", "bridge", …
	Networks map[string]struct{ IPAddress string }
	Ports    map[string][]struct{ HostIP, HostPort string } // "5432/tcp": where the host has it
}

// storeInspect leaves the environment out, which holds secrets.
func storeInspect(ctx context.Context, h remote.Host, container string) (b storeBox, err error) {
	const format = `{"Running":{{json .State.Running}},"Mode":{{json .HostConfig.NetworkMode}},"Networks":{{json .NetworkSettings.Networks}},"Ports":{{json .NetworkSettings.Ports}}}`
	out, err := remote.Output(ctx, h, remote.Cmd{Argv: []string{"docker", "inspect", "--type", "container", "--format", format, "--", container}, Pure: true})
	if err != nil {
		return b, fmt.Errorf("container %s on %s: %w", container, h.Name, err)
	}
	if err := json.Unmarshal(out, &b); err != nil {
		return b, fmt.Errorf("container %s on %s: docker inspect: unexpected answer %.100q: %w", container, h.Name, out, err)
	}
	if !b.Running {
		return b, fmt.Errorf("container %s on %s: it does not run", container, h.Name)
	}
	return b, nil
}

// ip is the container's address, of the first network by name where it has
// several; the loopback where it shares the host's.
func (b storeBox) ip() string {
	if b.Mode == "host" {
		return "127.0.0.1"
	}
	for _, name := range slices.Sorted(maps.Keys(b.Networks)) {
		if ip := b.Networks[name].IPAddress; ip != "" {
			return ip
		}
	}
	return ""
}

// inside is what addr, a published port perhaps, is within the container.
func (b storeBox) inside(addr, ip string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	at := net.ParseIP(host)
	for _, name := range slices.Sorted(maps.Keys(b.Ports)) {
		own, proto, _ := strings.Cut(name, "/")
		for _, p := range b.Ports[name] {
			on := net.ParseIP(p.HostIP)
			any := on == nil || on.IsUnspecified()
			if proto != "tcp" || p.HostPort != port || !any && (at == nil || !on.Equal(at)) {
				continue
			}
			if ip == "" {
				ip = "127.0.0.1"
			}
			return net.JoinHostPort(ip, own)
		}
	}
	return addr
}
