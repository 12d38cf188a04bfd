package steps

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"time"

	"belay/checks"
	"belay/remote"
)

func init() {
	register(Kind{
		Name:    "proxy",
		Summary: "Keeps an old address alive: takes its TCP connections and hands them to the new one, and proves it by logging in through it.",
		Example: `- step: Keep the old address of Redis
  on: chat
  proxy:
    listen: 127.0.0.1:6379
    to: 10.0.0.80:6383
    by: socat
    login: {kind: redis, user: app, password: {secret: app_password}}
`,
		New: func() Step { return &proxy{} },
	})
}

// proxy hands TCP connections over. The server behind it sees the proxy's
// address in place of the client's.
type proxy struct {
	Listen string       `yaml:"listen" required:"" doc:"address:port that clients know; in a container, the port there, and on the host where publish says so"`
	To     string       `yaml:"to" required:"" doc:"host:port that gets the connections, as the proxy sees it"`
	By     string       `yaml:"by" enum:"socat|systemd|container" default:"socat" doc:"socat: a supervised process of the login's, which a reboot ends; systemd: a socket unit, which survives it; container: one with the old name on a docker network"`
	Max    int          `yaml:"max" default:"500" doc:"connections at the same time"`
	Box    *proxyBox    `yaml:"container" doc:"of by: container"`
	Login  *proxyLogin  `yaml:"login" doc:"log in through the proxy as the application does"`
	Check  checks.Check `yaml:"check" doc:"a check that proves it, in place of login or besides"`
}

// proxyWay is one of the ways to hand connections over.
type proxyWay interface {
	// state says what stands there: ours tells that it is this step's and as
	// it should be. An error is somebody else's.
	state(ctx context.Context, e Env) (ours bool, err error)
	changes() []Change
	start(ctx context.Context, e Env) error
	stop(ctx context.Context, e Env) error
	// addr is where the host itself reaches the proxy.
	addr(ctx context.Context, e Env) (string, error)
}

func (p *proxy) way() proxyWay {
	switch p.By {
	case "systemd":
		return &proxySystemd{p}
	case "container":
		return &proxyDocker{p}
	}
	return &proxySocat{p}
}

// proxyHost is the name or address of a host; it goes into command lines and
// unit files, where little else is harmless.
var proxyHost = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,252})$|^[0-9A-Fa-f:.]{2,45}$`)

func proxySplit(addr string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(addr)
	if err != nil || !proxyHost.MatchString(host) {
		return "", "", fmt.Errorf("%q is not host:port", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
		return "", "", fmt.Errorf("%q is not a port", port)
	}
	return host, port, nil
}

func (p *proxy) Validate() error {
	var errs []error
	host, _, err := proxySplit(p.Listen)
	if err != nil {
		errs = append(errs, Field("listen", "%w", err))
	} else if net.ParseIP(host) == nil {
		errs = append(errs, Field("listen", "%q is a name; give the address", host))
	}
	if _, _, err := proxySplit(p.To); err != nil {
		errs = append(errs, Field("to", "%w", err))
	}
	if p.Listen == p.To && p.By != "container" {
		errs = append(errs, Field("to", "it would hand connections to itself"))
	}
	if p.Max < 1 {
		errs = append(errs, Field("max", "%d is less than 1", p.Max))
	}
	switch {
	case p.By == "container" && p.Box == nil:
		errs = append(errs, Field("container", "by: container needs one, with an image at least"))
	case p.By != "container" && p.Box != nil:
		errs = append(errs, Field("container", "it is for by: container"))
	case p.Box != nil:
		errs = append(errs, p.Box.check())
	}
	return errors.Join(errs...)
}

func (p *proxy) HostNames() []string {
	if h, ok := p.Check.(checks.Hoster); ok {
		return h.HostNames()
	}
	return nil
}

// Repeatable: what stands there already is left alone.
func (p *proxy) Repeatable() bool { return true }

// Needs the program that hands over.
func (p *proxy) Needs(on string) []checks.Check {
	tool := map[string]string{"socat": "socat", "systemd": "systemctl", "container": "docker"}[p.By]
	return []checks.Check{&checks.ToolCheck{On: []string{on}, Name: tool}}
}

// Pending is the proxy, unless it is there and ours.
func (p *proxy) Pending(ctx context.Context, e Env) ([]Change, error) {
	ours, err := p.way().state(ctx, e)
	if err != nil || ours {
		return nil, err
	}
	return p.way().changes(), nil
}

// Apply starts the proxy once. It goes on without belay and without the link.
func (p *proxy) Apply(ctx context.Context, e Env) error {
	ours, err := p.way().state(ctx, e)
	if err != nil {
		return err
	}
	if ours {
		fmt.Fprintln(e.Log, "-- it runs already")
		return nil
	}
	if p.By != "container" { // what a container sees, its host may not
		if err := proxyDial(ctx, e.Host, p.To); err != nil {
			return fmt.Errorf("nobody answers at %s, seen from %s: %w; nothing was changed", p.To, e.Host.Name, err)
		}
	}
	if err := p.way().start(ctx, e); err != nil {
		return err
	}
	if p.By == "socat" {
		fmt.Fprintln(e.Log, "-- note: a reboot of the host ends it; by: systemd survives one")
	}
	return nil
}

func proxyDial(ctx context.Context, h remote.Host, addr string) error {
	ctx, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	c, err := h.Dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return c.Close()
}

// Verify wants it to be ours, and to lead to where it should: by a login as the
// application's user, or a check; a mere connection proves only that somebody
// listens.
func (p *proxy) Verify(ctx context.Context, e Env) error {
	ours, err := p.way().state(ctx, e)
	if err != nil {
		return err
	}
	if !ours {
		return fmt.Errorf("nothing of this step's listens at %s", p.Listen)
	}
	addr, err := p.way().addr(ctx, e)
	if err != nil {
		return err
	}
	if p.Login != nil {
		if err := p.Login.try(ctx, e, addr); err != nil {
			return fmt.Errorf("log in through the proxy at %s: %w", addr, err)
		}
		fmt.Fprintf(e.Log, "-- logged in through %s\n", addr)
	}
	if p.Check != nil {
		w := wait{For: p.Check}
		passed, answer, err := w.look(ctx, e)
		if err != nil {
			return err
		}
		if !passed {
			return fmt.Errorf("through the proxy at %s: %s", addr, answer)
		}
	}
	if p.Login == nil && p.Check == nil {
		return proxyDial(ctx, e.Host, addr)
	}
	return nil
}

// Undo stops exactly what this step has started.
func (p *proxy) Undo(ctx context.Context, e Env) error { return p.way().stop(ctx, e) }

// reach is the listening address as the host itself connects to it.
func (p *proxy) reach() string {
	host, port, _ := net.SplitHostPort(p.Listen)
	switch ip := net.ParseIP(host); {
	case ip.IsUnspecified() && ip.To4() != nil:
		host = "127.0.0.1"
	case ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}
