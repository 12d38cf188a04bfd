package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"belay/remote"
)

// proxyBox is the container of a proxy.
type proxyBox struct {
	Image   string   `yaml:"image" required:"" doc:"an image with socat that the engine has or can pull, such as alpine/socat"`
	Name    string   `yaml:"name" doc:"name of the container; left out, belay-proxy and the port"`
	Network string   `yaml:"network" required:"" doc:"network on which the old server had its name"`
	Aliases []string `yaml:"aliases" doc:"names by which clients on that network know the old server"`
	Publish bool     `yaml:"publish" doc:"listen on the host as well, at the address of listen"`
	Port    int      `yaml:"port" doc:"port in the container, which clients on the network know, where it is another one than that of listen"`
}

var proxyDockerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,126}$`)

func (b *proxyBox) check() error {
	var errs []error
	if b.Image == "" || strings.HasPrefix(b.Image, "-") || strings.ContainsAny(b.Image, " \t\r\n") {
		errs = append(errs, Field("container.image", "%q is not the name of an image", b.Image))
	}
	if b.Name != "" && !proxyDockerName.MatchString(b.Name) {
		errs = append(errs, Field("container.name", "%q is not the name of a container", b.Name))
	}
	if !proxyDockerName.MatchString(b.Network) {
		errs = append(errs, Field("container.network", "%q is not the name of a network", b.Network))
	}
	if b.Network == "host" && (b.Publish || len(b.Aliases) > 0) {
		errs = append(errs, Field("container.network", "the host's own network knows neither aliases nor publishing"))
	}
	if b.Port < 0 || b.Port > 65535 || b.Port > 0 && b.Network == "host" {
		errs = append(errs, Field("container.port", "%d is not a port of a container's own", b.Port))
	}
	for _, a := range b.Aliases {
		if !proxyDockerName.MatchString(a) {
			errs = append(errs, Field("container.aliases", "%q is not a name on a network", a))
		}
	}
	return errors.Join(errs...)
}

// proxyDocker is a container that runs socat. The engine starts it again,
// also after a reboot.
type proxyDocker struct{ *proxy }

const proxyLabel = "belay.proxy"

func (p *proxyDocker) name() string {
	if p.Box.Name != "" {
		return p.Box.Name
	}
	_, port, _ := net.SplitHostPort(p.Listen)
	return "belay-proxy-" + port
}

// port is the one in the container.
func (p *proxyDocker) port() string {
	if p.Box.Port > 0 {
		return strconv.Itoa(p.Box.Port)
	}
	_, port, _ := net.SplitHostPort(p.Listen)
	return port
}

func (p *proxyDocker) argv(e Env) []string {
	port := p.port()
	listen := net.JoinHostPort("0.0.0.0", port)
	if p.Box.Network == "host" {
		listen = p.Listen
	}
	argv := []string{"docker", "run", "--detach", "--name", p.name(), "--label", proxyLabel + "=" + e.ID, "--restart", "unless-stopped",
		"--log-opt", "max-size=1m", "--network", p.Box.Network, "--entrypoint", "socat"}
	for _, a := range p.Box.Aliases {
		argv = append(argv, "--network-alias", a)
	}
	if p.Box.Publish {
		argv = append(argv, "--publish", p.Listen+":"+port)
	}
	return append(append(argv, "--", p.Box.Image), proxySocatArgs(listen, p.To, p.Max)[1:]...)
}

// proxySeen is what `docker inspect` tells of a container.
type proxySeen struct {
	Name    string
	Running bool
	Label   string
	Args    []string
	Nets    map[string]struct {
		Aliases   []string
		IPAddress string
	}
}

func proxyInspect(ctx context.Context, h remote.Host, names ...string) ([]proxySeen, error) {
	const format = `{"Name":{{json .Name}},"Running":{{json .State.Running}},"Label":{{json (index .Config.Labels "` + proxyLabel + `")}},"Args":{{json .Args}},"Nets":{{json .NetworkSettings.Networks}}}`
	out, err := remote.Output(ctx, h, remote.Cmd{Argv: append([]string{"docker", "inspect", "--type", "container", "--format", format, "--"}, names...), Pure: true})
	if err != nil {
		return nil, err
	}
	var all []proxySeen
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var s proxySeen
		if err := d.Decode(&s); err != nil {
			return nil, fmt.Errorf("docker inspect: unexpected answer %.100q: %w", out, err)
		}
		s.Name = strings.TrimPrefix(s.Name, "/")
		all = append(all, s)
	}
	return all, nil
}

// containers are all that run or are named as ours is. One may vanish while it
// is looked at, for proxies come and go side by side: then once more.
func (p *proxyDocker) containers(ctx context.Context, e Env) ([]proxySeen, error) {
	ids, err := p.list(ctx, e)
	for err == nil && len(ids) > 0 {
		all, inspectErr := proxyInspect(ctx, e.Host, ids...)
		if inspectErr == nil {
			return all, nil
		}
		was := ids
		if ids, err = p.list(ctx, e); err == nil && !slices.ContainsFunc(was, func(id string) bool { return !slices.Contains(ids, id) }) {
			return nil, inspectErr // all are still there
		}
	}
	return nil, err
}

func (p *proxyDocker) list(ctx context.Context, e Env) ([]string, error) {
	var ids []string
	for _, filter := range []string{"status=running", "name=^/?" + regexp.QuoteMeta(p.name()) + "$"} {
		out, err := remote.Output(ctx, e.Host, remote.Cmd{Argv: []string{"docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", filter}, Pure: true})
		if err != nil {
			return nil, err
		}
		for id := range strings.FieldsSeq(string(out)) {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// state refuses a name or an alias that somebody else has: two who answer to
// one name get a client each in turn.
func (p *proxyDocker) state(ctx context.Context, e Env) (bool, error) {
	all, err := p.containers(ctx, e)
	if err != nil {
		return false, err
	}
	ours := false
	for _, c := range all {
		if c.Name == p.name() {
			if c.Label != e.ID {
				return false, fmt.Errorf("container %s is there and is not of this step; nothing was changed", c.Name)
			}
			ours = c.Running
			continue
		}
		for _, a := range append(slices.Clone(p.Box.Aliases), p.name()) {
			if n, on := c.Nets[p.Box.Network]; c.Running && on && (c.Name == a || slices.Contains(n.Aliases, a)) {
				return false, fmt.Errorf("%s is the name of container %s on network %s; stop that first, so that its clients come here; nothing was changed", a, c.Name, p.Box.Network)
			}
		}
	}
	if ours || !p.Box.Publish && p.Box.Network != "host" {
		return ours, nil
	}
	held, err := proxyListeners(ctx, e.Host, p.Listen)
	if err == nil && len(held) > 0 {
		err = fmt.Errorf("%s on %s is held by %s; stop that first; nothing was changed", p.Listen, e.Host.Name, held[0])
	}
	return false, err
}

func (p *proxyDocker) changes() []Change {
	return []Change{{Text: fmt.Sprintf("run container %s of %s on network %s as %s: hands over to %s", p.name(), p.Box.Image, p.Box.Network, strings.Join(append([]string{p.name()}, p.Box.Aliases...), ", "), p.To),
		Cmd: remote.Quote(p.argv(Env{ID: "RUN"})...)}}
}

// start replaces one of ours that does not run any more.
func (p *proxyDocker) start(ctx context.Context, e Env) error {
	if err := e.Memory.Put(proxyKey, proxyRun{N: 1}); err != nil {
		return err
	}
	if err := p.remove(ctx, e); err != nil {
		return err
	}
	if err := e.Host.Run(ctx, remote.Cmd{Argv: p.argv(e), Stdout: e.Log, Stderr: e.Log}); err != nil {
		return fmt.Errorf("start container %s: %w; the log holds what docker said", p.name(), err)
	}
	return nil
}

// remove takes away the container with our name and our label.
func (p *proxyDocker) remove(ctx context.Context, e Env) error {
	all, err := p.containers(ctx, e)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Name == p.name() && c.Label == e.ID {
			if err := e.Host.Run(ctx, remote.Cmd{Argv: []string{"docker", "rm", "--force", "--", c.Name}, Stderr: e.Log}); err != nil {
				return fmt.Errorf("remove container %s: %w", c.Name, err)
			}
			fmt.Fprintf(e.Log, "-- removed container %s\n", c.Name)
		}
	}
	return nil
}

func (p *proxyDocker) stop(ctx context.Context, e Env) error {
	found, err := e.Memory.Get(proxyKey, &proxyRun{})
	if err != nil {
		return err
	}
	if !found {
		fmt.Fprintln(e.Log, "-- nothing was started here, so there is nothing to undo")
		return nil
	}
	return p.remove(ctx, e)
}

func (p *proxyDocker) addr(ctx context.Context, e Env) (string, error) {
	if p.Box.Publish || p.Box.Network == "host" {
		return p.reach(), nil
	}
	all, err := proxyInspect(ctx, e.Host, p.name())
	if err != nil {
		return "", err
	}
	if len(all) == 1 && all[0].Nets[p.Box.Network].IPAddress != "" {
		return net.JoinHostPort(all[0].Nets[p.Box.Network].IPAddress, p.port()), nil
	}
	return "", fmt.Errorf("container %s has no address on network %s", p.name(), p.Box.Network)
}
