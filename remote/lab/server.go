package lab

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// maxSessions is OpenSSH's default for the sessions of one connection.
const maxSessions = 10

// server is one pretend server.
type server struct {
	name, home, addr string
	env              []string
	disguise         *strings.Replacer // of paths in commands
	key              ssh.Signer
	config           *ssh.ServerConfig
	faults           faults

	mu       sync.Mutex
	listener net.Listener // nil while cut
	conns    map[*wire]bool
	groups   map[int]bool // process groups whose leader is not waited for yet
	closed   bool
	wg       sync.WaitGroup
}

func newServer(l *Lab, name string, client ssh.PublicKey) (*server, error) {
	host, err := newKey()
	if err != nil {
		return nil, err
	}
	s := &server{name: name, home: l.path(name), key: host.signer, conns: map[*wire]bool{}, groups: map[int]bool{}}
	if err := s.dress(l.id); err != nil {
		return nil, err
	}
	s.env = append(os.Environ(), l.marker(), "BELAY_LAB_PID="+strconv.Itoa(os.Getpid()), "HOME="+s.home,
		"PWD="+s.home, "TMPDIR="+filepath.Join(s.home, "tmp"), "BELAY_LOCK="+filepath.Join(s.home, "tmp", "belay.lock"),
		"PATH="+filepath.Join(s.home, "bin")+":"+os.Getenv("PATH"))
	s.config = &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, offered ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(offered.Marshal(), client.Marshal()) {
			return nil, errors.New("not the key of this lab")
		}
		return nil, nil
	}}
	s.config.AddHostKey(s.key)
	return s, s.listen("127.0.0.1:0")
}

func (s *server) listen(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s.addr = ln.Addr().String()
	s.listener = ln
	s.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(newWire(c, &s.faults)) })
		}
	})
	return nil
}

// cut closes the door and every connection.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		s.listener.Close()
		s.listener = nil
	}
	for c := range s.conns {
		c.Close()
	}
}

func (s *server) restore() error {
	s.faults.set(false, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil || s.closed {
		return nil
	}
	return s.listen(s.addr)
}

// shut ends the connections and the commands that run in the foreground. What
// they have detached may still hold their output; once that has ended too, wg
// comes to an end.
func (s *server) shut() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cut()
	s.mu.Lock()
	defer s.mu.Unlock()
	for group := range s.groups {
		syscall.Kill(-group, syscall.SIGKILL)
	}
}

func (s *server) admit(w *wire) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.listener == nil {
		return false
	}
	s.conns[w] = true
	return true
}

func (s *server) serve(w *wire) {
	defer w.Close()
	if !s.admit(w) {
		return
	}
	defer func() {
		s.mu.Lock()
		delete(s.conns, w)
		s.mu.Unlock()
	}()
	conn, channels, requests, err := ssh.NewServerConn(w, s.config)
	if err != nil {
		return
	}
	defer conn.Close()
	s.wg.Go(func() { ssh.DiscardRequests(requests) }) // refusing a keepalive answers it
	sessions := make(chan struct{}, maxSessions)
	for ch := range channels {
		switch ch.ChannelType() {
		case "session":
			select {
			case sessions <- struct{}{}:
				s.wg.Go(func() { s.session(ch); <-sessions })
			default:
				ch.Reject(ssh.ResourceShortage, "too many sessions")
			}
		case "direct-tcpip":
			s.wg.Go(func() { forward(ch, tcpTarget) })
		case "direct-streamlocal@openssh.com":
			s.wg.Go(func() { forward(ch, unixTarget) })
		default:
			ch.Reject(ssh.UnknownChannelType, "not here")
		}
	}
}

// tcpTarget reads RFC 4254 section 7.2.
func tcpTarget(extra []byte) (network, addr string, err error) {
	var to struct {
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}
	err = ssh.Unmarshal(extra, &to)
	return "tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))), err
}

// unixTarget reads section 2.4 of OpenSSH's PROTOCOL file.
func unixTarget(extra []byte) (network, addr string, err error) {
	var to struct {
		Path     string
		Reserved string
		Zero     uint32
	}
	err = ssh.Unmarshal(extra, &to)
	return "unix", to.Path, err
}

// forward joins a channel with what it names, as seen from this machine.
func forward(ch ssh.NewChannel, target func([]byte) (string, string, error)) {
	network, addr, err := target(ch.ExtraData())
	if err != nil {
		ch.Reject(ssh.ConnectionFailed, "malformed request")
		return
	}
	far, err := net.Dial(network, addr)
	if err != nil {
		ch.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer far.Close()
	near, requests, err := ch.Accept()
	if err != nil {
		return
	}
	defer near.Close()
	go ssh.DiscardRequests(requests) // ends with the channel
	done := make(chan struct{})
	go func() {
		io.Copy(far, near)
		if half, ok := far.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
		close(done)
	}()
	io.Copy(near, far)
	near.CloseWrite()
	<-done
}
