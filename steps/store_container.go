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

// storeReach is the host by which a store is reached, and its address for the
// host and for a program in the container. The address of a container changes
// when it is started again, and another one may have it then: a server of the
// same kind, with the same password. So the host that is returned looks
// again whenever it dials.
func storeReach(ctx context.Context, e Env, s store, port string) (h remote.Host, outside, inside string, err error) {
	if h, err = storeHost(e, s); err != nil {
		return h, "", "", err
	}
	if outside, inside, err = storeContainer(ctx, h, s, port); err == nil && s.Container != "" && s.Addr == "" {
		h.Dialer = boxDialer{h, s, port, outside}
	}
	return h, outside, inside, err
}

// storeLasting is addr as far as it lasts: that of a container changes when it
// is started again.
func storeLasting(container, addr string) string {
	if container != "" {
		return ""
	}
	return addr
}

// boxDialer dials a container where it is now.
type boxDialer struct {
	remote.Host
	s         store
	port, was string
}

// Dial looks where the container is, if it is the one to be dialed.
func (d boxDialer) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if network == "tcp" && addr == d.was {
		now, _, err := storeContainer(ctx, d.Host, d.s, d.port)
		if err != nil {
			return nil, err
		}
		addr = now
	}
	return d.Host.Dial(ctx, network, addr)
}

// boxError is a container that is not there, or does not run.
type boxError struct {
	Container, Host string
	Stopped         bool
	Others          []string // that are there
}

func (e *boxError) Error() string {
	if e.Stopped {
		return fmt.Sprintf("container %s on %s: it does not run", e.Container, e.Host)
	}
	text := fmt.Sprintf("container %s on %s: there is none of that name", e.Container, e.Host)
	if len(e.Others) > 0 {
		text += "; there are " + strings.Join(e.Others[:min(8, len(e.Others))], ", ")
	}
	return text
}

// storeInspect leaves the environment out, which holds secrets.
func storeInspect(ctx context.Context, h remote.Host, container string) (b storeBox, err error) {
	const format = `{"Running":{{json .State.Running}},"Mode":{{json .HostConfig.NetworkMode}},"Networks":{{json .NetworkSettings.Networks}},"Ports":{{json .NetworkSettings.Ports}}}`
	out, err := remote.Output(ctx, h, remote.Cmd{Argv: []string{"docker", "inspect", "--type", "container", "--format", format, "--", container}, Pure: true})
	if isExit(err) {
		if others, there, ok := storeBoxes(ctx, h, container); ok && !there {
			return b, &boxError{Container: container, Host: h.Name, Others: others}
		}
	}
	if err != nil {
		return b, fmt.Errorf("container %s on %s: %w", container, h.Name, err)
	}
	if err := json.Unmarshal(out, &b); err != nil {
		return b, fmt.Errorf("container %s on %s: docker inspect: unexpected answer %.100q: %w", container, h.Name, out, err)
	}
	if !b.Running {
		return b, &boxError{Container: container, Host: h.Name, Stopped: true}
	}
	return b, nil
}

// storeBoxes are the names of a host's containers, and whether one of them is
// meant; ok is false where the engine does not say.
func storeBoxes(ctx context.Context, h remote.Host, container string) (names []string, there, ok bool) {
	out, err := remote.Output(ctx, h, remote.Cmd{Argv: []string{"docker", "ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}}"}, Pure: true})
	if err != nil {
		return nil, false, false
	}
	for line := range strings.Lines(string(out)) {
		id, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, _, _ = strings.Cut(name, ",") // links give one more
		names = append(names, name)
		there = there || name == container || strings.HasPrefix(id, container)
	}
	slices.Sort(names)
	return names, there, true
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
