package checks

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"belay/remote"
)

func init() {
	register(Kind{
		Name: "tcp", Summary: "an address takes connections, as seen from a host",
		Example: `- tcp: {on: chat, addr: "127.0.0.1:5432", timeout: 3s}`,
		New:     func() Check { return new(TCPCheck) },
	})
}

// TCPCheck opens a connection as seen from the host and closes it at once.
type TCPCheck struct {
	On      []string        `yaml:"on" doc:"hosts from which to connect; all of the plan when left out"`
	Addr    string          `yaml:"addr" scalar:"" required:"" doc:"address:port"`
	Timeout remote.Duration `yaml:"timeout" default:"5s" doc:"how long it may take"`
}

func (c *TCPCheck) HostNames() []string { return c.On }
func (c *TCPCheck) NeedsFacts() bool    { return false }

// Validate refuses what is not address:port.
func (c *TCPCheck) Validate() error {
	host, port, err := net.SplitHostPort(c.Addr)
	n, numErr := strconv.Atoi(port)
	if err != nil || host == "" || numErr != nil {
		return Field("addr", "%q is not address:port, such as 127.0.0.1:5432", c.Addr)
	}
	return portNumber("addr", n)
}

// Assess gives one finding a host.
func (c *TCPCheck) Assess(ctx context.Context, w World) ([]Finding, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	limit := within(c.Timeout, 5*time.Second)
	return onHosts(ctx, c, w, c.On, c.Addr, func(ctx context.Context, h remote.Host) Finding {
		ctx, cancel := context.WithTimeoutCause(ctx, limit, slow(limit))
		defer cancel()
		began := time.Now()
		err := c.connect(ctx, h, limit)
		took := time.Since(began)
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		var cannot cannotAsk
		switch {
		case errors.As(err, &cannot):
			return unknown("allow forwarding for that login, or install nc there", "%s", cannot.Error())
		case err != nil && lost(err):
			return couldNotLook(err)
		case err != nil:
			return block("see whether it runs, and what stands between", "%s: %s", c.Addr, plainError(err))
		}
		return pass("%s takes connections (%s)", c.Addr, millis(took)).took(took)
	})
}

func (c *TCPCheck) connect(ctx context.Context, h remote.Host, limit time.Duration) error {
	if h.Dialer != nil {
		conn, err := h.Dial(ctx, "tcp", c.Addr)
		if err == nil {
			return conn.Close()
		}
		if !errors.Is(err, remote.ErrNoForwarding) {
			return err
		}
	}
	return c.connectThere(ctx, h, limit)
}

// connectScript needs a netcat with -z (OpenBSD's, nmap's, busybox's since
// 1.30 where built so); one without it says so with another status than 1.
const connectScript = `command -v nc >/dev/null 2>&1 || exit 127
nc -z -w "$1" "$2" "$3" </dev/null`

func (c *TCPCheck) connectThere(ctx context.Context, h remote.Host, limit time.Duration) error {
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return err
	}
	secs := strconv.Itoa(int(max(1, limit.Seconds())))
	cmd := remote.Sh(connectScript, secs, host, port)
	cmd.Pure = true
	err = h.Run(ctx, cmd)
	exit, ended := errors.AsType[*remote.ExitError](err)
	switch {
	case !ended:
		return err
	case exit.Status == 127:
		return cannotAsk("host " + h.Name + " passes no connections on, and has no nc that could try for us")
	case exit.Status != 1, len(exit.Stderr) > 200: // a page of usage
		return cannotAsk("host " + h.Name + " passes no connections on, and its nc cannot try for us: " + OneLine(exit.Stderr, 80))
	case exit.Stderr == "":
		return errors.New("no connection")
	}
	return errors.New(OneLine(exit.Stderr, 200))
}
