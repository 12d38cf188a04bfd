package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"belay/remote"
)

// Engine is the Docker engine of one host, asked through its API. It listens
// on no network for that: every connection is one of the host's Dialer, or the
// stdin and stdout of a command there. Close it.
type Engine struct {
	*client.Client
	Version string // of the engine: "28.2.2"
	API     string // what both sides speak: "1.50"
	Road    string // how it is reached: "unix:///var/run/docker.sock", "docker system dial-stdio"

	ways *ways
}

// oldestAPI is the least that the client speaks, and the engine that brought
// it (https://docs.docker.com/reference/api/engine/#api-version-matrix).
const (
	oldestAPI    = "1.40"
	oldestEngine = "19.03"
)

// ErrTooOld says that the engine is older than the client can speak to.
var ErrTooOld = errors.New("the Docker engine is older than " + oldestEngine)

// Open reaches the engine that the login of h would reach with the docker
// command: by its socket, else by `docker system dial-stdio` on the host (as
// root where h is a host with sudo).
func Open(ctx context.Context, h remote.Host) (*Engine, error) { return open(ctx, h, false) }

// Look is Open for looking only: any request that could change something is
// refused with remote.ErrReadOnly before it is sent.
func Look(ctx context.Context, h remote.Host) (*Engine, error) { return open(ctx, h, true) }

func open(ctx context.Context, h remote.Host, look bool) (*Engine, error) {
	at, err := endpoint(ctx, h)
	if err != nil {
		return nil, fmt.Errorf("the Docker engine of %s: %w", h.Name, err)
	}
	var socketErr error
	if path, ok := strings.CutPrefix(at, "unix://"); ok && h.Dialer != nil {
		w := &ways{dial: func(ctx context.Context) (net.Conn, error) { return h.Dial(ctx, "unix", path) }}
		e, err := connect(ctx, w, at, look)
		if err == nil {
			return e, nil
		}
		if _, lost := errors.AsType[*remote.UnreachableError](err); lost || ctx.Err() != nil || errors.Is(err, ErrTooOld) {
			return nil, fmt.Errorf("the Docker engine of %s: %w", h.Name, err)
		}
		socketErr = err
	}
	w := &ways{}
	w.dial = func(ctx context.Context) (net.Conn, error) {
		c := dialStdio(ctx, h, remote.Cmd{Argv: []string{"docker", "system", "dial-stdio"}, Pure: look})
		w.keep(c)
		return c, nil
	}
	e, err := connect(ctx, w, "docker system dial-stdio", look)
	if err != nil && socketErr != nil {
		return nil, fmt.Errorf("the Docker engine of %s: it is reached neither by its socket (%w) nor by a command there (%w); "+
			"nothing was changed. Is it running, and may the login use it (group docker, or sudo: true for the host)?", h.Name, socketErr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("the Docker engine of %s at %s: %w", h.Name, at, err)
	}
	return e, nil
}

// OwnStore tells whether the engine keeps its images in its own store, where the
// ID of an image is the SHA-256 of its configuration, and not in containerd's
// (which is the usual one from Engine 29 on).
func (e *Engine) OwnStore(ctx context.Context) (bool, error) {
	info, err := e.Info(ctx, client.InfoOptions{})
	if err != nil {
		return false, fmt.Errorf("the Docker engine: %w", err)
	}
	return !slices.ContainsFunc(info.Info.DriverStatus, func(s [2]string) bool {
		return s[0] == "driver-type" && strings.HasPrefix(s[1], "io.containerd.")
	}), nil
}

// endpoint is where the login's docker command looks for the engine.
// `docker context inspect` knows DOCKER_HOST, DOCKER_CONTEXT and what
// `docker context use` has set (docker CLI ≥ 19.03).
func endpoint(ctx context.Context, h remote.Host) (string, error) {
	c := remote.Sh(`h=$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null) || h=
h=${h:-${DOCKER_HOST-}}
printf '%s\n' "${h:-unix:///var/run/docker.sock}"`)
	c.Pure = true
	out, err := remote.Output(ctx, h, c)
	if err != nil {
		return "", err
	}
	at, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(at), nil
}

// connect makes the client and asks the engine who it is.
func connect(ctx context.Context, w *ways, road string, look bool) (*Engine, error) {
	opts := []client.Opt{
		// The host comes first: it resets the dialer.
		client.WithHost("unix:///docker"),
		client.WithDialContext(func(ctx context.Context, _, _ string) (net.Conn, error) { return w.reach(ctx) }),
	}
	if look {
		opts = append(opts, client.WithHTTPRequestHook(onlyLook))
	}
	c, err := client.New(opts...)
	if err != nil {
		return nil, err
	}
	e := &Engine{Client: c, Road: road, ways: w}
	if err := e.meet(ctx); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func onlyLook(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	return fmt.Errorf("%w: %s %s", remote.ErrReadOnly, r.Method, r.URL.Path)
}

// meetLimit is how long an engine may take to say who it is.
const meetLimit = 30 * time.Second

func (e *Engine) meet(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, meetLimit, fmt.Errorf("no answer within %s", meetLimit))
	defer cancel()
	p, err := e.Ping(ctx, client.PingOptions{})
	if err != nil {
		return e.ways.why(ctx, err)
	}
	if p.APIVersion == "" || older(p.APIVersion, oldestAPI) {
		return fmt.Errorf("%w (its API is %q, and at least %s is needed); update the engine, or use the docker command in a run step", ErrTooOld, p.APIVersion, oldestAPI)
	}
	v, err := e.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return e.ways.why(ctx, err)
	}
	e.Version, e.API = v.Version, e.ClientVersion()
	return nil
}

// older compares API versions, "1.9" and "1.40"; what is none is older.
func older(a, b string) bool {
	num := func(s string) int {
		major, minor, _ := strings.Cut(s, ".")
		x, err1 := strconv.Atoi(major)
		y, err2 := strconv.Atoi(minor)
		if err1 != nil || err2 != nil {
			return -1
		}
		return x*1000 + y
	}
	return num(a) < num(b)
}

// Close ends every connection, and waits until no command of ours is left on
// the host.
func (e *Engine) Close() error {
	err := e.Client.Close()
	e.ways.close()
	return err
}

// ways are the connections to one engine.
type ways struct {
	dial func(ctx context.Context) (net.Conn, error)
	mu   sync.Mutex
	open []*stdioConn
	err  error // of the last dialing
}

func (w *ways) reach(ctx context.Context) (net.Conn, error) {
	c, err := w.dial(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	return c, err
}

// why is the reason behind an error of the client, which turns most that
// happens below it into text.
func (w *ways) why(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	for _, c := range w.open {
		select {
		case <-c.done:
			if c.err != nil {
				return c.err
			}
		default:
		}
	}
	return err
}

func (w *ways) keep(c *stdioConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = append(w.open, c)
}

func (w *ways) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		c.Close()
	}
	for _, c := range w.open {
		<-c.done
	}
	w.open = nil
}
