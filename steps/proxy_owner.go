package steps

import (
	"context"
	_ "embed"
	"encoding/hex"
	"fmt"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	"belay/remote"
)

//go:embed proxy_look.sh
var proxyLookScript string

// proxyListener is one who listens on a port.
type proxyListener struct {
	ip   net.IP
	pid  string // "": not to be seen by this login
	job  string // id of belay's job that it belongs to; "": of none
	args string
}

func (l proxyListener) String() string {
	if l.pid == "" {
		return "a process that is hidden from this login"
	}
	return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(l.args), l.pid)
}

// proxyListeners are those who have the address, or all addresses of the port.
func proxyListeners(ctx context.Context, h remote.Host, listen string) ([]proxyListener, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	cmd := remote.Sh(proxyLookScript, fmt.Sprintf("%04X", n))
	cmd.Pure = true
	out, err := remote.Output(ctx, h, cmd)
	if err != nil {
		return nil, fmt.Errorf("who listens on port %s of %s: %w", port, h.Name, err)
	}
	all := proxyParse(string(out))
	mine := net.ParseIP(host)
	return slices.DeleteFunc(all, func(l proxyListener) bool {
		return l.ip != nil && !l.ip.IsUnspecified() && !mine.IsUnspecified() && !l.ip.Equal(mine)
	}), nil
}

// proxyParse reads proxy_look.sh's answer. A socket that several processes
// share has one line each.
func proxyParse(out string) []proxyListener {
	var all []proxyListener
	at := map[string]net.IP{}
	seen := map[string]bool{}
	var order []string
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		switch {
		case f[0] == "listen" && len(f) == 3:
			at[f[2]] = proxyIP(f[1])
			order = append(order, f[2])
		case f[0] == "owner" && len(f) == 5:
			l := proxyListener{ip: at[f[1]], pid: f[2], args: f[4]}
			if f[3] != "" {
				l.job = path.Base(f[3])
			}
			seen[f[1]] = true
			all = append(all, l)
		}
	}
	for _, inode := range order {
		if !seen[inode] {
			all = append(all, proxyListener{ip: at[inode]})
		}
	}
	return all
}

// proxyIP reads an address of /proc/net/tcp: words of 32 bits in the order of
// the machine, which is taken to be little-endian (proc(5)).
func proxyIP(s string) net.IP {
	b, err := hex.DecodeString(s)
	if err != nil || len(b)%4 != 0 {
		return nil
	}
	for k := 0; k < len(b); k += 4 {
		slices.Reverse(b[k : k+4])
	}
	return net.IP(b)
}
