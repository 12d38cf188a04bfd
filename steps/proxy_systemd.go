package steps

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"

	"belay/remote"
)

// proxySystemd is a socket unit and systemd-socket-proxyd behind it. Both units
// are files of our making, which say so in their first line.
type proxySystemd struct{ *proxy }

func (p *proxySystemd) name() string {
	host, port, _ := net.SplitHostPort(p.Listen)
	if net.ParseIP(host).IsUnspecified() {
		return "belay-proxy-" + port
	}
	return "belay-proxy-" + port + "-" + fmt.Sprintf("%x", []byte(net.ParseIP(host)))
}

// units are the files by their path. %q of Go and systemd's quoting do not
// meet: addresses were validated.
func (p *proxySystemd) units(e Env, program string) map[string]string {
	mark := "# Made by belay, step " + e.ID + ": undo removes it.\n"
	return map[string]string{
		"/etc/systemd/system/" + p.name() + ".socket": mark + "[Unit]\nDescription=Old address of " + p.To + "\n\n[Socket]\nListenStream=" + p.Listen +
			"\nBacklog=128\nKeepAlive=yes\nNoDelay=yes\n\n[Install]\nWantedBy=sockets.target\n",
		"/etc/systemd/system/" + p.name() + ".service": mark + "[Unit]\nDescription=Hands connections from " + p.Listen + " to " + p.To +
			"\n\n[Service]\nExecStart=" + program + " --connections-max=" + strconv.Itoa(p.Max) + " " + p.To + "\nRestart=on-failure\n",
	}
}

// program is where systemd keeps the proxy.
func (p *proxySystemd) program(ctx context.Context, e Env) (string, error) {
	c := remote.Sh(`for d in /usr/lib/systemd /lib/systemd; do [ ! -x "$d/systemd-socket-proxyd" ] || { printf %s "$d/systemd-socket-proxyd"; exit; }; done
echo "there is no systemd-socket-proxyd on this host" >&2; exit 1`)
	c.Pure = true
	out, err := remote.Output(ctx, e.Host, c)
	return string(out), err
}

func (p *proxySystemd) state(ctx context.Context, e Env) (bool, error) {
	program, err := p.program(ctx, e)
	if err != nil {
		return false, err
	}
	same := true
	for file, want := range p.units(e, program) {
		got, err := remote.ReadFile(ctx, e.Host, file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			same = false
		case err != nil:
			return false, err
		case string(got) != want:
			return false, fmt.Errorf("%s is there and is not of this step; nothing was changed", file)
		}
	}
	active := remote.Cmd{Argv: []string{"systemctl", "is-active", "--quiet", "--", p.name() + ".socket"}, Pure: true}
	err = e.Host.Run(ctx, active)
	if err == nil && same {
		return true, nil
	}
	if err != nil && !isExit(err) {
		return false, err
	}
	all, err := proxyListeners(ctx, e.Host, p.Listen)
	if err == nil && len(all) > 0 {
		err = fmt.Errorf("%s on %s is held by %s; stop that first (the old server, most likely), or listen elsewhere; nothing was changed", p.Listen, e.Host.Name, all[0])
	}
	return false, err
}

func (p *proxySystemd) changes() []Change {
	return []Change{{Text: fmt.Sprintf("hand connections from %s to %s by systemd-socket-proxyd (also after a reboot)", p.Listen, p.To),
		Cmd: "systemctl enable --now " + p.name() + ".socket"}}
}

func (p *proxySystemd) start(ctx context.Context, e Env) error {
	program, err := p.program(ctx, e)
	if err != nil {
		return err
	}
	if err := e.Memory.Put(proxyKey, proxyRun{N: 1}); err != nil {
		return err
	}
	for file, text := range p.units(e, program) {
		if err := remote.WriteFile(ctx, e.Host, file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return p.systemctl(ctx, e, []string{"daemon-reload"}, []string{"enable", "--now", "--", p.name() + ".socket"})
}

func (p *proxySystemd) systemctl(ctx context.Context, e Env, calls ...[]string) error {
	for _, c := range calls {
		if err := e.Host.Run(ctx, remote.Cmd{Argv: append([]string{"systemctl"}, c...), Stdout: e.Log, Stderr: e.Log}); err != nil {
			return err
		}
	}
	return nil
}

// stop removes the units, if they are ours.
func (p *proxySystemd) stop(ctx context.Context, e Env) error {
	found, err := e.Memory.Get(proxyKey, &proxyRun{})
	if err != nil {
		return err
	}
	if !found {
		fmt.Fprintln(e.Log, "-- nothing was started here, so there is nothing to undo")
		return nil
	}
	program, err := p.program(ctx, e)
	if err != nil {
		return err
	}
	var ours []string
	for file, want := range p.units(e, program) {
		got, err := remote.ReadFile(ctx, e.Host, file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case string(got) != want:
			return fmt.Errorf("%s was changed since; it was left as it is, and so was the unit", file)
		default:
			ours = append(ours, file)
		}
	}
	if len(ours) == 0 {
		return nil
	}
	if err := p.systemctl(ctx, e, []string{"disable", "--now", "--", p.name() + ".socket"}, []string{"stop", "--", p.name() + ".service"}); err != nil {
		return err
	}
	rm := remote.Cmd{Argv: append([]string{"rm", "-f", "--"}, ours...), Stderr: e.Log}
	if err := e.Host.Run(ctx, rm); err != nil {
		return err
	}
	return p.systemctl(ctx, e, []string{"daemon-reload"})
}

func (p *proxySystemd) addr(context.Context, Env) (string, error) { return p.reach(), nil }
