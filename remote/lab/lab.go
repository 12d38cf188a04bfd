package lab

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Lab is a set of running pretend servers.
type Lab struct {
	dir     string
	made    bool // dir did not exist before
	id      string
	names   []string
	servers map[string]*server
	stop    sync.Once
	stopErr error
	release func() bool
}

// plainPath is what a directory may be made of, so that it can stand in any
// shell text unquoted.
const plainPath = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-"

var nameRule = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)

// Start starts one server a name under dir, which is created where it is
// missing. When ctx ends, the lab stops.
func Start(ctx context.Context, dir string, names ...string) (*Lab, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("lab: %w", err)
	}
	var id [8]byte
	rand.Read(id[:])
	l := &Lab{dir: dir, id: hex.EncodeToString(id[:]), servers: map[string]*server{}}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		l.made = true
	}
	if err := l.start(names); err != nil {
		return nil, errors.Join(fmt.Errorf("lab: %w", err), l.Stop())
	}
	l.release = context.AfterFunc(ctx, func() { l.Stop() })
	return l, nil
}

func (l *Lab) start(names []string) error {
	if strings.Trim(l.dir, plainPath) != "" {
		return fmt.Errorf("%s: the path of a lab must consist of letters, digits and / . _ - (set TMPDIR to another directory)", l.dir)
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	client, err := newKey()
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.path("client_key"), client.pem, 0o600); err != nil {
		return err
	}
	for _, name := range names {
		if !nameRule.MatchString(name) || l.servers[name] != nil {
			return fmt.Errorf("%q is not a name for a server here, or stands there twice", name)
		}
		s, err := newServer(l, name, client.signer.PublicKey())
		if err != nil {
			return fmt.Errorf("server %s: %w", name, err)
		}
		l.servers[name] = s
		l.names = append(l.names, name)
	}
	return l.writeConfig()
}

// writeConfig writes what an SSH client needs: strict host keys included.
func (l *Lab) writeConfig() error {
	me := "belay"
	if u, err := user.Current(); err == nil {
		me = u.Username
	}
	var config, known strings.Builder
	for _, name := range l.names {
		s := l.servers[name]
		host, port, err := net.SplitHostPort(s.addr)
		if err != nil {
			return err
		}
		fmt.Fprintf(&config, "Host %s\n\tHostName %s\n\tPort %s\n\tUser %s\n", name, host, port, me)
		fmt.Fprintf(&config, "\tIdentityFile \"%s\"\n\tIdentitiesOnly yes\n", l.path("client_key"))
		fmt.Fprintf(&config, "\tUserKnownHostsFile \"%s\"\n\tStrictHostKeyChecking yes\n", l.path("known_hosts"))
		fmt.Fprintf(&config, "\tServerAliveInterval 5\n\tServerAliveCountMax 3\n\n")
		fmt.Fprintf(&known, "[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(s.key.PublicKey()))
	}
	return errors.Join(
		os.WriteFile(l.path("known_hosts"), []byte(known.String()), 0o600),
		os.WriteFile(l.SSHConfig(), []byte(config.String()), 0o600),
	)
}

func (l *Lab) path(name string) string { return filepath.Join(l.dir, name) }

// SSHConfig is the path of an ssh_config file that knows every server by its
// name, with its port, its host key and the key to log in with.
func (l *Lab) SSHConfig() string { return l.path("ssh_config") }

// Home is the directory of a server: home and working directory of its commands.
func (l *Lab) Home(name string) string { return l.path(name) }

// Names are the servers in the order of Start.
func (l *Lab) Names() []string { return l.names }

// Addr is where a server listens: "127.0.0.1:40123".
func (l *Lab) Addr(name string) string { return l.servers[name].addr }

// Cut breaks every connection to a server and refuses new ones, as a machine
// that is down does. What runs there goes on. Restore mends it.
func (l *Lab) Cut(name string) { l.servers[name].cut() }

// Hang lets a server fall silent: connections stay open and nothing moves, as
// when a firewall begins to drop packets. Restore mends it.
func (l *Lab) Hang(name string) { l.servers[name].faults.set(true, 0) }

// Slow adds delay to whatever a server receives. Restore mends it.
func (l *Lab) Slow(name string, delay time.Duration) { l.servers[name].faults.set(false, delay) }

// Restore undoes Cut, Hang and Slow.
func (l *Lab) Restore(name string) error { return l.servers[name].restore() }

// Stop ends the servers and every process that they have started, and removes
// their directories. It may be called again.
func (l *Lab) Stop() error {
	l.stop.Do(func() {
		if l.release != nil {
			l.release()
		}
		for _, s := range l.servers {
			s.shut()
		}
		l.stopErr = endProcesses(l.marker(), l.dir)
		if l.stopErr == nil { // else a command may never let go of its output
			for _, s := range l.servers {
				s.wg.Wait()
			}
		}
		l.stopErr = errors.Join(l.stopErr, l.clean())
	})
	return l.stopErr
}

// clean removes what the lab has made, and only that.
func (l *Lab) clean() error {
	if l.made {
		return os.RemoveAll(l.dir)
	}
	var errs []error
	for _, name := range append([]string{"client_key", "known_hosts", "ssh_config"}, l.names...) {
		errs = append(errs, os.RemoveAll(l.path(name)))
	}
	return errors.Join(errs...)
}

// marker is in the environment of everything that a server starts.
func (l *Lab) marker() string { return "BELAY_LAB=" + l.id }

type key struct {
	signer ssh.Signer
	pem    []byte
}

func newKey() (key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return key{}, err
	}
	block, err := ssh.MarshalPrivateKey(private, "belay lab")
	if err != nil {
		return key{}, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	return key{signer, pem.EncodeToMemory(block)}, err
}
