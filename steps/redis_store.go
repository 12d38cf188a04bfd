package steps

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"strconv"

	"belay/steps/redis"
)

// redisStore is a Redis server, as a plan writes it. All its databases count.
type redisStore struct {
	store `yaml:",inline"`
	TLS   string `yaml:"tls" enum:"disable|require|verify-full" default:"disable" doc:"whether the server wants TLS, and whether its certificate must be good; the way to the host is SSH's in any case"`
}

// redisPort is the usual one.
const redisPort = "6379"

// check refuses offline what cannot be. field is where the store stands in the
// step's parameters: "from"; empty where it is the step itself.
func (s redisStore) check(field string) error {
	return errors.Join(storeCheck(field, s.store), storeTLS(field, s.store, s.TLS))
}

// server is where to connect to. It asks the host where a container is, and
// resolves the password; it does not log in.
func (s redisStore) server(ctx context.Context, e Env) (redis.Server, error) {
	h, outside, _, err := storeReach(ctx, e, s.store, redisPort)
	if err != nil {
		return redis.Server{}, err
	}
	password, err := storePassword(ctx, s.store, e.Secret)
	if err != nil {
		return redis.Server{}, err
	}
	trust, err := storeTrust(ctx, h, s.store)
	if err != nil {
		return redis.Server{}, err
	}
	return redis.Server{Host: h, Addr: outside, User: s.User, Password: password, TLS: s.TLS, Trust: trust, Container: s.Container}, nil
}

// redisEnds are the two servers of a move, as a plan writes them.
type redisEnds struct {
	From       redisStore `yaml:"from" required:"" doc:"the server with the data"`
	To         redisStore `yaml:"to" required:"" doc:"the server that gets them; it must be empty"`
	SourceAddr string     `yaml:"source_addr" doc:"host:port of the source as the target server itself sees it; left out, the address of from where both are on one host"`
}

func (r redisEnds) check() error {
	errs := []error{r.From.check("from"), r.To.check("to"), redisAddr("source_addr", r.SourceAddr)}
	if r.From.Host == r.To.Host && r.From.Addr == r.To.Addr && r.From.Container == r.To.Container {
		errs = append(errs, Field("to", "it is the same server as from"))
	}
	return errors.Join(errs...)
}

// redisAddr refuses what is no address of a server for another server.
func redisAddr(field, addr string) error {
	if addr == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if n, nerr := strconv.Atoi(port); err != nil || host == "" || nerr != nil || n < 1 || n > 65535 {
		return Field(field, "%q is not host:port", addr)
	}
	return nil
}

// hosts are the hosts that the ends name.
func (r redisEnds) hosts() []string { return storeHosts("", r.From.store, r.To.store) }

// redisPair is both servers, connected, and how they were found.
type redisPair struct {
	from, to *redis.Client
	a, b     redis.Info
	source   string // address of the source as the target sees it; empty: not known
	// find looks for the source's address anew, where that changes when its
	// container is started again; nil: it does not.
	find func(ctx context.Context) (string, error)
}

// redisSideError is a server that could not be asked.
type redisSideError struct {
	Side string // "source", "target"
	Err  error
}

func (e *redisSideError) Error() string { return e.Side + ": " + e.Err.Error() }
func (e *redisSideError) Unwrap() error { return e.Err }

// open connects to both and refuses what can never be a move.
func (r redisEnds) open(ctx context.Context, e Env) (_ *redisPair, err error) {
	p := &redisPair{}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	from, err := r.From.server(ctx, e)
	if err == nil {
		p.from, err = from.Connect(ctx)
	}
	if err != nil {
		return nil, &redisSideError{"source", err}
	}
	to, err := r.To.server(ctx, e)
	if err == nil {
		p.to, err = to.Connect(ctx)
	}
	if err != nil {
		return nil, &redisSideError{"target", err}
	}
	if p.source = r.SourceAddr; p.source == "" && from.Host.Name == to.Host.Name && r.To.Container == "" && !path.IsAbs(from.Addr) {
		p.source = from.Addr
		if r.From.Container != "" && r.From.Addr == "" {
			p.find = func(ctx context.Context) (string, error) {
				outside, _, err := storeContainer(ctx, from.Host, r.From.store, redisPort)
				return outside, err
			}
		}
	}
	if err := p.look(ctx); err != nil {
		return nil, err
	}
	switch {
	case p.a.RunID == p.b.RunID && p.a.RunID != "":
		return nil, fmt.Errorf("source and target are one and the same server (%s); nothing was changed", from)
	case p.a.Cluster || p.b.Cluster:
		return nil, errors.New("a server is part of a Redis Cluster, which belay does not move; nothing was changed")
	}
	return p, nil
}

func (p *redisPair) look(ctx context.Context) (err error) {
	if p.a, err = p.from.Info(ctx); err != nil {
		return &redisSideError{"source", err}
	}
	if p.b, err = p.to.Info(ctx); err != nil {
		return &redisSideError{"target", err}
	}
	return nil
}

func (p *redisPair) close() {
	for _, c := range []*redis.Client{p.from, p.to} {
		if c != nil {
			c.Close()
		}
	}
}

// reach proves that the host of the target gets to the source by the address
// that the target will be told, as whom it will be told, and that it is the
// source. A container may see more or less than its host does.
func (p *redisPair) reach(ctx context.Context) error {
	if p.source == "" {
		return errors.New("how the target server reaches the source is not known: give source_addr")
	}
	s := p.from.Server
	s.Host, s.Addr = p.to.Server.Host, p.source
	c, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	i, err := c.Info(ctx)
	if err == nil && i.RunID != p.a.RunID {
		err = fmt.Errorf("seen from %s, %s is another server than the source", s.Host.Name, p.source)
	}
	return err
}

// redisHostPort splits an address that Validate has seen.
func redisHostPort(addr string) (host, port string) {
	host, port, _ = net.SplitHostPort(addr)
	return host, port
}
