package ssh

import (
	"os/exec"
	"path/filepath"
	"testing"

	"belay/remote"
	"belay/remote/remotetest"
)

// BenchmarkExec is one command there and back, against ssh with ControlMaster.
func BenchmarkExec(b *testing.B) {
	s := remotetest.StartSSHD(b, remotetest.SSHDOptions{})
	b.Run("belay", func(b *testing.B) {
		h := open(b, s)
		c := remote.Cmd{Argv: []string{"true"}}
		must(b, h.Run(b.Context(), c))
		for b.Loop() {
			must(b, h.Run(b.Context(), c))
		}
	})
	b.Run("ControlMaster", func(b *testing.B) {
		remotetest.Need(b, "ssh")
		args := []string{"-F", s.Config, "-o", "ControlPath=" + filepath.Join(s.Dir, "cm")}
		must(b, exec.Command("ssh", append(args, "-o", "ControlMaster=yes", "-o", "ControlPersist=yes", "server", "true")...).Run())
		defer func() { must(b, exec.Command("ssh", append(args, "-O", "exit", "server")...).Run()) }()
		for b.Loop() {
			must(b, exec.Command("ssh", append(args, "server", "true")...).Run())
		}
	})
}

// BenchmarkConnect is a whole login.
func BenchmarkConnect(b *testing.B) {
	s := remotetest.StartSSHD(b, remotetest.SSHDOptions{})
	for b.Loop() {
		n := NewNetwork(Options{Config: s.Config, Agent: "none"})
		h, err := n.Open(s.Name, Spec{})
		must(b, err)
		must(b, h.Run(b.Context(), remote.Cmd{Argv: []string{"true"}}))
		must(b, n.Close())
	}
}
