// Package lab is a lab of pretend servers on this machine, for the demo and for
// tests: real SSH servers in this process, on loopback, each with a directory of
// its own as home and working directory. Commands are run by sh as the user who
// started the lab. Nothing needs to be installed but sh, and nothing is left
// behind: Stop ends every process that a pretend server has started, detached
// ones too, and removes the directories.
//
// A server is reached by anything that reads SSHConfig:
//
//	l, err := lab.Start(ctx, dir, "old", "new", "backup")
//	defer l.Stop()
//	// ssh -F l.SSHConfig() old uname -a
//
// Cut, Hang and Slow break the way to a server, Restore mends it.
//
// What it is not: the servers share this machine's processes, ports and files.
package lab
