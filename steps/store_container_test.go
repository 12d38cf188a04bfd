package steps

import (
	"context"
	"io"
	"strings"
	"testing"

	"belay/remote"
)

// boxHost is a host on which docker inspect says said.
type boxHost struct{ said string }

func (b boxHost) Run(_ context.Context, c remote.Cmd) error {
	_, err := io.WriteString(c.Stdout, b.said)
	return err
}

func TestStoreContainer(t *testing.T) {
	const bridged = `{"Running":true,"Mode":"bridge","Networks":{"b":{"IPAddress":"172.18.0.2"},"a":{"IPAddress":""}},
		"Ports":{"5432/tcp":[{"HostIp":"0.0.0.0","HostPort":"6432"},{"HostIp":"::","HostPort":"6432"}],"9/tcp":null}}`
	for _, c := range []struct{ name, said, addr, outside, inside, err string }{
		{"its own address", bridged, "", "172.18.0.2:5432", "172.18.0.2:5432", ""},
		{"a published port", bridged, "127.0.0.1:6432", "127.0.0.1:6432", "172.18.0.2:5432", ""},
		{"another port", bridged, "127.0.0.1:7000", "127.0.0.1:7000", "127.0.0.1:7000", ""},
		{"a socket", bridged, "/run/s", "/run/s", "/run/s", ""},
		{"the host's network", `{"Running":true,"Mode":"host","Networks":{"host":{"IPAddress":""}},"Ports":{}}`, "", "127.0.0.1:5432", "127.0.0.1:5432", ""},
		{"no network", `{"Running":true,"Mode":"none","Networks":{},"Ports":{}}`, "", "", "", "give addr"},
		{"stopped", `{"Running":false}`, "", "", "", "does not run"},
		{"nonsense", `oops`, "", "", "", "unexpected answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := remote.ReadOnly(remote.Host{Name: "db", Runner: boxHost{c.said}})
			out, in, err := storeContainer(t.Context(), h, store{Addr: c.addr, Container: "pg"}, "5432")
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil || out != c.outside || in != c.inside {
				t.Errorf("%q, %q, %v; want %q, %q", out, in, err, c.outside, c.inside)
			}
		})
	}
	out, in, err := storeContainer(t.Context(), remote.Host{}, store{}, "5432")
	if err != nil || out != "127.0.0.1:5432" || in != out {
		t.Errorf("without a container: %q, %q, %v", out, in, err)
	}
}
