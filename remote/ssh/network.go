package ssh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"belay/remote"
	"belay/remote/secret"
)

// maxJumps bounds a chain of jump hosts, which ssh_config can make endless.
const maxJumps = 8

var errClosed = errors.New("the connections were closed")

// Network is a set of machines that are reached with the same options. It is
// safe for concurrent use.
type Network struct {
	o      Options
	ctx    context.Context
	cancel context.CancelCauseFunc
	keys   keyRing

	askTurn sync.Mutex // one dialog at a time
	keyTurn sync.Mutex // one host key at a time

	mu        sync.Mutex
	links     map[string]*link
	passwords map[string]secret.Value
	noticed   map[string]bool
	running   sync.WaitGroup
}

// NewNetwork makes a Network. It contacts nobody.
func NewNetwork(o Options) *Network {
	n := &Network{o: o.withDefaults(), links: map[string]*link{}, passwords: map[string]secret.Value{}, noticed: map[string]bool{}}
	n.ctx, n.cancel = context.WithCancelCause(context.Background())
	return n
}

// Close ends every connection. Commands that run there get LostError.
func (n *Network) Close() error {
	n.cancel(errClosed)
	n.mu.Lock()
	var all []*link
	for _, l := range n.links {
		all = append(all, l)
	}
	n.mu.Unlock()
	for _, l := range all {
		l.close()
	}
	n.running.Wait()
	return nil
}

// Open returns the host that spec and ssh_config describe under name. It reads
// local files and contacts nobody: the first command does. An error is one of
// configuration, such as a ProxyCommand.
func (n *Network) Open(name string, spec Spec) (remote.Host, error) {
	l, err := n.link(name, spec, nil, 0)
	if err != nil {
		return remote.Host{}, err
	}
	addr := fmt.Sprintf("%s@%s", l.set.User, l.set.address())
	m := &machine{name: name, link: l}
	return remote.Host{Name: name, Addr: addr, Typed: typed(name, spec, n.o), Runner: m, Dialer: m}, nil
}

// link finds or makes the link for name. via is the hop before it when name is
// itself a jump host in the middle of a chain.
func (n *Network) link(name string, spec Spec, via *link, depth int) (*link, error) {
	if depth > maxJumps {
		return nil, fmt.Errorf("host %q: more than %d jump hosts; does one lead back to itself?", name, maxJumps)
	}
	if name == "" || strings.HasPrefix(name, "-") {
		return nil, fmt.Errorf("host name %q is not one", name)
	}
	set, notices, err := resolve(name, spec, n.o)
	if err != nil {
		return nil, err
	}
	n.notice(notices)
	if via == nil {
		if via, err = n.chain(set.Jumps, spec.Jump != "", depth); err != nil {
			return nil, fmt.Errorf("host %q: %w", name, err)
		}
	}
	set.Jumps = nil
	key := fmt.Sprintf("%+v via %p", set, via)
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.links[key]
	if l == nil {
		l = &link{net: n, set: set, via: via}
		n.links[key] = l
	}
	l.addName(name)
	return l, nil
}

// chain links the hops one through the other; the first goes its own way, by
// its own configuration, as with ssh -J. said tells that a Spec has named them,
// and not ssh_config, which knows nothing of Options.Hosts.
func (n *Network) chain(hops []string, said bool, depth int) (via *link, err error) {
	for i, hop := range hops {
		name, spec, err := splitJump(hop)
		if err != nil {
			return nil, err
		}
		if known, ok := n.o.Hosts[hop]; ok && said {
			spec = known
		}
		if via, err = n.link(name, spec, via, depth+i+1); err != nil {
			return nil, err
		}
	}
	return via, nil
}

func (n *Network) notice(all []string) {
	for _, text := range all {
		n.mu.Lock()
		told := n.noticed[text]
		n.noticed[text] = true
		n.mu.Unlock()
		if !told {
			n.o.Notice(text)
		}
	}
}

func (n *Network) password(account string) secret.Value {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.passwords[account]
}

func (n *Network) keepPassword(account string, v secret.Value) {
	if v.IsZero() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.passwords[account] = v
}

// short writes a path for people.
func (n *Network) short(path string) string {
	home := n.o.Home
	if home == "" {
		home, _ = os.UserHomeDir() // without one, the path stays whole
	}
	if rest, ok := strings.CutPrefix(path, home+"/"); ok && home != "" {
		return "~/" + rest
	}
	return path
}
