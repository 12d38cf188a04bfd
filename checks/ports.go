package checks

import (
	"encoding/hex"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

func init() {
	addFact(fact{name: "ports", limit: 1 << 20, parse: parsePorts, script: `
if has ss; then printf '=ss\n'; lim 5 ss -ltunp && return; fi
if has netstat; then printf '=netstat\n'; lim 5 netstat -ltunp && return; fi
[ -r /proc/net/tcp ] || { miss "ss and netstat are missing or fail, and /proc/net/tcp cannot be read"; return; }
printf '=proc\n'
for f in tcp tcp6 udp udp6; do
	printf '=%s\n' $f
	# Listening (0A) or, for udp, not connected (07).
	if has grep; then grep -e ' 0A ' -e ' 07 ' /proc/net/$f; else pass /proc/net/$f; fi
done
printf '=fd\n'
if has ls && has grep; then lim 5 ls -l /proc/[0-9]*/fd | grep -e '^/proc/' -e ' socket:'; else note owners "ls or grep is missing"; fi
`})
}

// parsePorts expects one of three listings, each after its name: "=ss",
// "=netstat", or "=proc" with its parts. A listing that failed half way is
// followed by the next one, which then counts alone.
func parsePorts(section []byte, f *Facts) error {
	method, part := "", ""
	proc := procSockets{inode: map[string][]int{}}
	var ports []Port
	for line := range lines(section) {
		if name, ok := strings.CutPrefix(line, "="); ok {
			switch name {
			case "ss", "netstat", "proc":
				method, ports = name, nil
			default:
				part = name
			}
			continue
		}
		var p Port
		ok := false
		switch method {
		case "ss":
			p, ok = parseSS(line)
		case "netstat":
			p, ok = parseNetstat(line)
		case "proc":
			ports = proc.add(part, line, ports)
		}
		if ok {
			ports = append(ports, p)
		}
	}
	if method == "" {
		return noReading(f, "ports")
	}
	f.Ports = ports
	return nil
}

// ssOwner is the first of users:(("nginx",pid=7,fd=6),("nginx",pid=8,fd=6)).
var ssOwner = regexp.MustCompile(`users:\(\("(.*?)",pid=(\d{1,9}),`)

// parseSS reads "tcp LISTEN 0 128 [::]:22 [::]:* users:((…))"; the header has
// no local address of this form.
func parseSS(line string) (p Port, ok bool) {
	words := strings.Fields(line)
	if len(words) < 6 || (words[0] != "tcp" && words[0] != "udp") {
		return p, false
	}
	if p, ok = addressPort(words[0], words[4]); !ok {
		return p, false
	}
	if m := ssOwner.FindStringSubmatch(line); m != nil {
		p.Process = m[1]
		p.PID, _ = strconv.Atoi(m[2])
	}
	return p, true
}

// parseNetstat reads "tcp6 0 0 :::80 :::* LISTEN 812/nginx: master"; udp has no
// state.
func parseNetstat(line string) (p Port, ok bool) {
	words := strings.Fields(line)
	if len(words) < 5 || (!strings.HasPrefix(words[0], "tcp") && !strings.HasPrefix(words[0], "udp")) {
		return p, false
	}
	owner := words[5:]
	if words[0][:3] == "tcp" {
		if len(owner) == 0 || owner[0] != "LISTEN" {
			return p, false
		}
		owner = owner[1:]
	}
	if p, ok = addressPort(words[0][:3], words[3]); !ok {
		return p, false
	}
	if len(owner) > 0 {
		pid, name, _ := strings.Cut(strings.Join(owner, " "), "/")
		if n, err := strconv.Atoi(pid); err == nil && n > 0 {
			// Cut at 20 bytes or so, and a title where the process set one:
			// "nginx: master", "sshd: /usr/sb".
			name, _, _ = strings.Cut(name, ":")
			p.PID, p.Process = n, strings.TrimSpace(name)
		}
	}
	return p, true
}

// addressPort reads "0.0.0.0:22", "[::]:22", ":::22", "*:22", and the zones
// that ss writes: "127.0.0.53%lo:53", "[fe80::1]%eth0:546".
func addressPort(proto, s string) (Port, bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return Port{}, false
	}
	n, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || n == 0 {
		return Port{}, false
	}
	host, _, _ := strings.Cut(s[:i], "%")
	host = strings.Trim(host, "[]")
	if host == "*" {
		host = "::" // ss: a socket for both families
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return Port{}, false
	}
	if addr.Is6() {
		proto += "6"
	}
	return Port{Proto: proto, Address: addr.String(), Number: int(n)}, true
}

// procSockets joins /proc/net/tcp, whose lines name a socket's inode, with the
// links in /proc/PID/fd, which name it too.
type procSockets struct {
	inode map[string][]int // → index into ports
	pid   int
}

func (s *procSockets) add(part, line string, ports []Port) []Port {
	if part != "fd" {
		p, inode, ok := parseProcNet(part, line)
		if !ok {
			return ports
		}
		s.inode[inode] = append(s.inode[inode], len(ports))
		return append(ports, p)
	}
	if rest, ok := strings.CutPrefix(line, "/proc/"); ok {
		s.pid, _ = strconv.Atoi(strings.TrimSuffix(rest, "/fd:"))
		return ports
	}
	if _, inode, ok := strings.Cut(line, "socket:["); ok && s.pid > 0 {
		for _, i := range s.inode[strings.TrimSuffix(inode, "]")] {
			if ports[i].PID == 0 {
				ports[i].PID = s.pid
			}
		}
	}
	return ports
}

// parseProcNet reads "0: 0100007F:1F98 00000000:0000 0A … uid timeout inode"
// (proc(5)): each 32 bits of an address in the machine's byte order, which on
// all that we support is little endian.
func parseProcNet(proto, line string) (p Port, inode string, ok bool) {
	w := strings.Fields(line)
	if len(w) < 10 {
		return p, "", false
	}
	if want := map[string]string{"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}[proto]; want == "" || w[3] != want {
		return p, "", false
	}
	addr, port, _ := strings.Cut(w[1], ":")
	raw, err := hex.DecodeString(addr)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || n == 0 || (len(raw) != 4 && len(raw) != 16) {
		return p, "", false
	}
	for i := 0; i < len(raw); i += 4 {
		raw[i], raw[i+1], raw[i+2], raw[i+3] = raw[i+3], raw[i+2], raw[i+1], raw[i]
	}
	ip, _ := netip.AddrFromSlice(raw)
	return Port{Proto: proto, Address: ip.String(), Number: int(n)}, w[9], true
}
