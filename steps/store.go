package steps

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"

	"belay/remote"
	"belay/remote/secret"
)

// store is where a server of data listens, and as whom belay logs in. The
// kinds of every store have it, with what is the store's own beside it.
type store struct {
	Host      string     `yaml:"host" host:"" doc:"the host that reaches the server; left out, the host of the step"`
	Addr      string     `yaml:"addr" doc:"host:port as that host sees it, or the absolute path of a socket; left out, the usual port on 127.0.0.1"`
	User      string     `yaml:"user" doc:"whom belay logs in as"`
	Password  secret.Ref `yaml:"password" doc:"secret of the login"`
	TLSCA     string     `yaml:"tls_ca" doc:"where tls verifies: file with the certificates of the authority (PEM), on that host; a server that replicates from this one looks for it at the same path of its own; left out, the authorities that belay's machine knows, and for client programs the host's"`
	TLSName   string     `yaml:"tls_name" doc:"where tls verifies: the name in the server's certificate, if it is not the host of addr"`
	Container string     `yaml:"container" doc:"container on the host in which the server and its client tools are; left out, the host itself has them"`
}

// storeTLS refuses offline what belongs to TLS and is not looked at. mode is
// the store's own.
func storeTLS(field string, s store, mode string) error {
	for _, f := range []struct{ name, value string }{{"tls_ca", s.TLSCA}, {"tls_name", s.TLSName}} {
		switch {
		case f.value == "":
		case !strings.HasPrefix(mode, "verify"):
			return Field(storeField(field, f.name), "nobody looks at it unless tls verifies")
		case f.name == "tls_ca" && !path.IsAbs(f.value):
			return Field(storeField(field, f.name), "%q is not an absolute path", f.value)
		case strings.ContainsAny(f.value, "\n\x00"):
			return Field(storeField(field, f.name), "it has a line break in it")
		}
	}
	if strings.HasPrefix(mode, "verify") && path.IsAbs(s.Addr) {
		return Field(storeField(field, "tls"), "a socket has no TLS")
	}
	return nil
}

// storeTrust reads the authority's file from the host. It only looks.
func storeTrust(ctx context.Context, h remote.Host, s store) (t remote.Trust, err error) {
	t.Name = s.TLSName
	if s.TLSCA == "" {
		return t, nil
	}
	file, err := remote.ReadFile(ctx, h, s.TLSCA)
	if err != nil {
		return t, fmt.Errorf("tls_ca of %s: %w", h.Name, err)
	}
	t.CA = string(file)
	_, err = t.Pool()
	return t, err
}

// storeCheck refuses an address offline. field is where the store stands in
// the step's parameters: "from".
func storeCheck(field string, s store) error {
	if s.Addr == "" || path.IsAbs(s.Addr) {
		return nil
	}
	h, p, err := net.SplitHostPort(s.Addr)
	if err != nil || h == "" {
		return Field(storeField(field, "addr"), "%q is neither host:port nor the absolute path of a socket", s.Addr)
	}
	if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
		return Field(storeField(field, "addr"), "%q is not a port", p)
	}
	return nil
}

func storeField(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}

// storeHost is the host of a store, the step's own where it names none.
func storeHost(e Env, s store) (remote.Host, error) {
	if s.Host == "" {
		if e.Host.Runner == nil {
			return remote.Host{}, errors.New("neither the store nor the step names a host")
		}
		return e.Host, nil
	}
	h, ok := e.Hosts[s.Host]
	if !ok {
		return remote.Host{}, fmt.Errorf("host %q is not of this plan", s.Host)
	}
	return h, nil
}

// storePassword is the login's secret, or an empty one where there is none.
func storePassword(ctx context.Context, s store, get func(context.Context, string) (secret.Value, error)) (secret.Value, error) {
	if s.Password.Name == "" {
		return secret.Value{}, nil
	}
	if get == nil {
		return secret.Value{}, fmt.Errorf("secret %q is not at hand here", s.Password.Name)
	}
	return get(ctx, s.Password.Name)
}
