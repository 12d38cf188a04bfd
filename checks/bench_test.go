package checks

import (
	"context"
	"fmt"
	"os/exec"
	"sync"
	"testing"

	"belay/remote"
	"belay/remote/remotetest"
)

// openSSH is a Runner through OpenSSH's own client, whose one connection all
// commands share (ControlMaster).
type openSSH struct {
	server  *remotetest.SSHD
	control string
}

func (o openSSH) args(more ...string) []string {
	return append([]string{"-F", o.server.Config, "-S", o.control, o.server.Name}, more...)
}

func (o openSSH) Run(ctx context.Context, c remote.Cmd) error {
	cmd := exec.CommandContext(ctx, "ssh", o.args("--", remote.Quote(c.Argv...))...)
	cmd.Stdin, cmd.Stdout = c.Stdin, c.Stdout
	return cmd.Run()
}

// tenHosts are ten names of one sshd, each with a connection that stands.
func tenHosts(b *testing.B) remote.Hosts {
	remotetest.Need(b, "ssh")
	server := remotetest.StartSSHD(b, remotetest.SSHDOptions{MaxSessions: 100})
	hosts := remote.Hosts{}
	for i := range 10 {
		o := openSSH{server, fmt.Sprintf("%s/c%d", b.TempDir(), i)}
		if out, err := exec.Command("ssh", append([]string{"-M", "-f", "-N"}, o.args()...)...).CombinedOutput(); err != nil {
			b.Fatalf("ssh: %v: %s", err, out)
		}
		b.Cleanup(func() { exec.Command("ssh", append([]string{"-O", "exit"}, o.args()...)...).Run() })
		name := fmt.Sprint("host", i)
		hosts[name] = remote.Host{Name: name, Runner: o}
	}
	return hosts
}

// BenchmarkGatherTenHosts compares one round trip a host with one ssh command
// a fact (host by host at the same time, as Ansible would; fact after fact).
func BenchmarkGatherTenHosts(b *testing.B) {
	hosts := tenHosts(b)
	b.Run("one script a host", func(b *testing.B) {
		for b.Loop() {
			if _, errs := GatherAll(b.Context(), hosts); len(errs) > 0 {
				b.Fatal(errs)
			}
		}
	})
	b.Run("one command a fact", func(b *testing.B) {
		for b.Loop() {
			var all sync.WaitGroup
			for _, h := range hosts {
				all.Go(func() {
					for _, f := range factList {
						g := gathering{facts: append(some(clockFact), f), path: "$PATH:" + systemPath, limit: gatherLimit}
						if f.name == clockFact {
							g.facts = g.facts[1:]
						}
						if _, err := g.run(b.Context(), h); err != nil {
							b.Error(err)
						}
					}
				})
			}
			all.Wait()
		}
	})
}

func BenchmarkGatherThisMachine(b *testing.B) {
	for b.Loop() {
		if _, err := Gather(b.Context(), remote.Local("here")); err != nil {
			b.Fatal(err)
		}
	}
}
