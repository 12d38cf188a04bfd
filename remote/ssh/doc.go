// Package ssh reaches machines over SSH, as the engineer's own ssh would: what
// ~/.ssh/config and known_hosts say holds.
//
//	net := ssh.NewNetwork(ssh.Options{Prompt: …, HostKey: …, Light: …})
//	defer net.Close()
//	host, err := net.Open("web", ssh.Spec{}) // "web" as ~/.ssh/config knows it
//	host.Run(ctx, remote.Cmd{Argv: []string{"uptime"}})
//
// Open contacts nobody; the first Run or Dial does. Hosts of one Network share
// jump hosts, keys (a passphrase is asked for once) and known_hosts. A broken
// connection is noticed by keepalives and made again, with growing pauses;
// the next Run waits for that a while, and is told by *remote.UnreachableError
// when nothing was started, by *remote.LostError when the connection broke
// under a command that ran.
//
// Of ssh_config these words are honoured: Host, Include, Match (all, host,
// originalhost; other criteria never match, with a notice), HostName, User,
// Port, IdentityFile, IdentitiesOnly, IdentityAgent, CertificateFile,
// ProxyJump, UserKnownHostsFile, GlobalKnownHostsFile, HostKeyAlias,
// HashKnownHosts, ConnectTimeout, ServerAliveInterval, ServerAliveCountMax.
// Host keys are always checked strictly, whatever StrictHostKeyChecking says.
// ProxyCommand is refused with an error; all else is ignored.
//
// Commands go through the account's login shell, which must be one that reads
// POSIX quoting (any sh, bash, zsh). When a command's context ends, its process
// group gets TERM, three seconds later KILL, and the channel is closed. OpenSSH
// drops signals to root's sessions, so they are sent by a second, short command;
// to a process under `sudo -n` by sudo again (remote.Sudo with a password sees
// to its own).
package ssh
