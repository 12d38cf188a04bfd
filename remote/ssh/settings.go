package ssh

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const defaultConnectTimeout = 15 * time.Second

// settings are all that decides how one host is reached.
type settings struct {
	HostName, User string
	Port           int
	Jumps          []string
	Identities     []string // existing or not
	Explicit       bool     // the identities were named, not guessed
	IdentitiesOnly bool
	Certificates   []string
	Agent          string // socket; empty: none
	UserKnown      []string
	GlobalKnown    []string
	KnownAs        string // HostKeyAlias
	Hash           bool
	ConnectTimeout time.Duration
	AliveInterval  time.Duration
	AliveCount     int
}

func (s settings) address() string { return net.JoinHostPort(s.HostName, strconv.Itoa(s.Port)) }

// knownName is how known_hosts calls the host: HostKeyAlias, host, [host]:port.
func (s settings) knownName() string {
	switch {
	case s.KnownAs != "":
		return strings.ToLower(s.KnownAs)
	case s.Port == 22:
		return strings.ToLower(s.HostName)
	}
	return fmt.Sprintf("[%s]:%d", strings.ToLower(s.HostName), s.Port)
}

// resolve works out the settings for name. Only local files are read.
func resolve(name string, spec Spec, o Options) (settings, []string, error) {
	name, spec, err := asKnown(name, spec, o)
	if err != nil {
		return settings{}, nil, err
	}
	r, err := readConfig(name, o)
	if err != nil {
		return settings{}, nil, err
	}
	s, err := fill(name, spec, o, r.vals, r.home)
	return s, r.notices, err
}

// asKnown is under which name ssh_config is to be read: an address that has a
// Host of its own there goes before name, for what is said there is of that
// machine.
func asKnown(name string, spec Spec, o Options) (string, Spec, error) {
	if spec.Address == "" {
		return name, spec, nil
	}
	r, err := readConfig(spec.Address, o)
	if err == nil && r.named {
		name, spec.Address = spec.Address, ""
	}
	return name, spec, err
}

// typed is what a person says to ssh to reach what spec means by name.
func typed(name string, spec Spec, o Options) string {
	s, _, err := resolve(name, spec, o)
	name, spec, err2 := asKnown(name, spec, o)
	if err != nil || err2 != nil || spec == (Spec{}) {
		return "ssh " + name
	}
	words := []string{"ssh"}
	if len(s.Jumps) > 0 {
		words = append(words, "-J", strings.Join(s.Jumps, ","))
	}
	if s.Port != 22 {
		words = append(words, "-p", strconv.Itoa(s.Port))
	}
	if spec.Identity != "" {
		words = append(words, "-i", spec.Identity)
	}
	where := cmp.Or(spec.Address, name)
	return strings.Join(append(words, s.User+"@"+where), " ")
}

// readConfig reads what ssh_config says about alias.
func readConfig(alias string, o Options) (*configReader, error) {
	home := o.Home
	if home == "" {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			return nil, err
		}
	}
	r := &configReader{alias: alias, home: home, vals: values{}}
	files := []string{filepath.Join(home, ".ssh", "config"), "/etc/ssh/ssh_config"}
	if o.Config != "" {
		files = []string{o.Config}
	}
	for _, f := range files {
		r.system = f == "/etc/ssh/ssh_config"
		if f == "none" {
			continue
		}
		if err := r.file(f, true, 0); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func fill(name string, spec Spec, o Options, v values, home string) (settings, error) {
	s := settings{HostName: name, User: v.first("user"), Port: 22, KnownAs: v.first("hostkeyalias")}
	me := loginName()
	if h := v.first("hostname"); h != "" {
		s.HostName = expand(h, map[byte]string{'h': name, 'n': name})
	}
	if spec.Address != "" {
		s.HostName = spec.Address
	}
	s.User = first(spec.User, s.User, me)
	if err := s.numbers(spec, v); err != nil {
		return s, err
	}
	if spec.Jump == "" && len(v["proxycommand"]) > 0 && !strings.EqualFold(v.first("proxycommand"), "none") {
		return s, fmt.Errorf("host %q: ProxyCommand (%s) is not supported; belay starts no programs to reach a host: use ProxyJump, or the plan's jump",
			name, v["proxycommand"][0][1])
	}
	tokens := map[byte]string{
		'd': home, 'h': s.HostName, 'n': name, 'p': strconv.Itoa(s.Port), 'r': s.User, 'u': me,
		'k': first(s.KnownAs, name), 'i': strconv.Itoa(os.Getuid()),
	}
	if j := first(spec.Jump, expand(v.first("proxyjump"), tokens)); j != "" && !strings.EqualFold(j, "none") {
		s.Jumps = strings.Split(j, ",")
	}
	path := func(p string) string { return expandPath(p, home, tokens) }
	paths := func(keyword, deflt string) []string {
		all := strings.Fields(deflt)
		if vs := v[keyword]; len(vs) > 0 {
			all = vs[0]
		}
		var out []string
		for _, p := range all {
			if !strings.EqualFold(p, "none") {
				out = append(out, path(p))
			}
		}
		return out
	}
	s.UserKnown = paths("userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2")
	s.GlobalKnown = paths("globalknownhostsfile", "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2")
	s.Hash = yes(v.first("hashknownhosts"))
	s.identities(spec, v, path)
	s.Agent = agentSocket(o, v, path)
	return s, nil
}

func (s *settings) numbers(spec Spec, v values) error {
	number := func(keyword string, deflt int) (int, error) {
		text := v.first(keyword)
		if text == "" || strings.EqualFold(text, "none") {
			return deflt, nil
		}
		n, err := strconv.Atoi(strings.TrimSuffix(text, "s"))
		if err != nil || n < 0 {
			return 0, fmt.Errorf("ssh configuration: %s %q is not a number", keyword, text)
		}
		return n, nil
	}
	port, err1 := number("port", 22)
	timeout, err2 := number("connecttimeout", 0)
	interval, err3 := number("serveraliveinterval", 0)
	count, err4 := number("serveralivecountmax", 0)
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			return err
		}
	}
	s.Port = port
	if spec.Port != 0 {
		s.Port = spec.Port
	}
	if s.Port < 1 || s.Port > 65535 {
		return fmt.Errorf("port %d is not between 1 and 65535", s.Port)
	}
	s.ConnectTimeout = defaultConnectTimeout
	if timeout > 0 {
		s.ConnectTimeout = time.Duration(timeout) * time.Second
	}
	if spec.ConnectTimeout > 0 {
		s.ConnectTimeout = spec.ConnectTimeout
	}
	s.AliveInterval, s.AliveCount = time.Duration(interval)*time.Second, count
	return nil
}

func (s *settings) identities(spec Spec, v values, path func(string) string) {
	s.IdentitiesOnly = yes(v.first("identitiesonly"))
	if spec.Identity != "" {
		s.Identities, s.Explicit, s.IdentitiesOnly = []string{path(spec.Identity)}, true, true
		return
	}
	for _, id := range v["identityfile"] {
		s.Explicit = true
		if !strings.EqualFold(id[0], "none") {
			s.Identities = append(s.Identities, path(id[0]))
		}
	}
	for _, c := range v["certificatefile"] {
		if !strings.EqualFold(c[0], "none") {
			s.Certificates = append(s.Certificates, path(c[0]))
		}
	}
	if !s.Explicit {
		for _, typ := range []string{"rsa", "ecdsa", "ed25519"} { // as ssh(1) does
			s.Identities = append(s.Identities, path("~/.ssh/id_"+typ))
		}
	}
}

func agentSocket(o Options, v values, path func(string) string) string {
	a := first(o.Agent, v.first("identityagent"), "SSH_AUTH_SOCK")
	switch {
	case strings.EqualFold(a, "none"):
		return ""
	case a == "SSH_AUTH_SOCK":
		return os.Getenv(a)
	case strings.HasPrefix(a, "$") && !strings.HasPrefix(a, "${"):
		return os.Getenv(a[1:])
	}
	return path(a)
}

var envVar = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

func expandPath(p, home string, tokens map[byte]string) string {
	if p == "~" || strings.HasPrefix(p, "~/") {
		p = home + p[1:]
	}
	p = envVar.ReplaceAllStringFunc(p, func(m string) string { return os.Getenv(m[2 : len(m)-1]) })
	return expand(p, tokens)
}

// expand fills in %-tokens; one that is not known stays as it is.
func expand(s string, tokens map[byte]string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+1 < len(s) {
			if s[i+1] == '%' {
				b.WriteByte('%')
				i++
				continue
			}
			if t, ok := tokens[s[i+1]]; ok {
				b.WriteString(t)
				i++
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func loginName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return os.Getenv("USER")
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

func yes(s string) bool { return strings.EqualFold(s, "yes") || strings.EqualFold(s, "true") }

// splitJump reads one hop: [user@]host[:port], ssh://[user@]host[:port], with
// brackets around an IPv6 address.
func splitJump(hop string) (name string, spec Spec, err error) {
	rest := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(hop), "ssh://"), "/")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		spec.User, rest = rest[:at], rest[at+1:]
	}
	name = strings.Trim(rest, "[]")
	if h, p, splitErr := net.SplitHostPort(rest); splitErr == nil {
		if spec.Port, err = strconv.Atoi(p); err != nil {
			return "", spec, fmt.Errorf("jump host %q: port %q is not a number", hop, p)
		}
		name = h
	}
	if name == "" || strings.HasPrefix(name, "-") {
		return "", spec, fmt.Errorf("jump host %q is not [user@]host[:port]", hop)
	}
	return name, spec, nil
}
