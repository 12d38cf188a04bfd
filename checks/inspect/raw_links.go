package inspect

import (
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// links are the sockets that are connected, and those of unix that listen.
type links struct {
	tcp    []tcpLink
	unix   map[string][]int // path that someone listens on → processes
	toUnix []unixLink
}

type tcpLink struct {
	pid           int
	local, remote netip.AddrPort
}

type unixLink struct {
	pid  int
	path string
}

// ssPID finds every process of users:(("nginx",pid=7,fd=6),("nginx",pid=8,fd=6)).
var ssPID = regexp.MustCompile(`"[^"]*",pid=(\d{1,9}),`)

// readLinks expects "=tcp" with what ss -tnp prints, "=unix" with ss -xap, or
// "=netstat" with netstat -tnp.
func readLinks(section []byte) links {
	l := links{unix: map[string][]int{}}
	named := map[string]string{} // inode of a server's end → path
	type end struct {
		pids []int
		peer string
	}
	var ends []end
	part := ""
	for line := range lines(section) {
		if line[0] == '=' {
			part = line[1:]
			continue
		}
		w := strings.Fields(line)
		switch {
		case part == "tcp" && len(w) >= 5 && w[0] == "ESTAB":
			l.addTCP(pidsIn(line), w[3], w[4])
		case part == "netstat" && len(w) >= 7 && strings.HasPrefix(w[0], "tcp") && w[5] == "ESTABLISHED":
			id, _, _ := strings.Cut(w[6], "/")
			if pid, err := strconv.Atoi(id); err == nil {
				l.addTCP([]int{pid}, w[3], w[4])
			}
		case part == "unix" && len(w) >= 8 && strings.HasPrefix(w[0], "u_"):
			name, inode, peer := w[4], w[5], w[7]
			switch {
			case path.IsAbs(name) && w[1] == "LISTEN":
				l.unix[name] = append(l.unix[name], pidsIn(line)...)
			case path.IsAbs(name):
				named[inode] = name
			case name == "*" && w[1] == "ESTAB":
				ends = append(ends, end{pidsIn(line), peer})
			}
		}
	}
	for _, e := range ends {
		for _, pid := range e.pids {
			if name := named[e.peer]; name != "" {
				l.toUnix = append(l.toUnix, unixLink{pid, name})
			}
		}
	}
	return l
}

func pidsIn(line string) []int {
	var pids []int
	for _, m := range ssPID.FindAllStringSubmatch(line, 50) {
		if n, err := strconv.Atoi(m[1]); err == nil && n > 0 {
			pids = append(pids, n)
		}
	}
	return pids
}

// addTCP takes addresses such as "10.0.0.5:5432", "[::ffff:10.0.0.5]:5432",
// "::1:5432" (netstat) and "[fe80::1%eth0]:22".
func (l *links) addTCP(pids []int, local, remote string) {
	a, ok := addrPort(local)
	b, ok2 := addrPort(remote)
	if !ok || !ok2 {
		return
	}
	for _, pid := range pids {
		l.tcp = append(l.tcp, tcpLink{pid, a, b})
	}
}

func addrPort(s string) (netip.AddrPort, bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return netip.AddrPort{}, false
	}
	host, _, _ := strings.Cut(strings.Trim(s[:i], "[]"), "%")
	addr, err := netip.ParseAddr(host)
	port, err2 := strconv.ParseUint(s[i+1:], 10, 16)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), err == nil && err2 == nil
}
