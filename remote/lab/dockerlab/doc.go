// Package dockerlab is for tests: servers in containers, with a real sshd, tmux,
// nginx and, where asked for, a Docker engine of their own inside. Each is
// reached over loopback by the name that SSHConfig gives it.
//
//	l := dockerlab.Up(t, dockerlab.Server{Name: "chat", Docker: dockerlab.ComposeV1})
//	l.Exec("chat", "nginx")
//	// ssh -F l.SSHConfig() chat …
//
// Up skips the test, saying why, where no Docker engine answers or the image
// debian:bookworm-slim is missing; with BELAY_TEST_ALL=1 it fails the test
// instead. `make test` provides both. What Up has started, the test's end ends.
//
// The engines inside are Debian's; BELAY_ENGINE and BELAY_ENGINE_STORE give them
// another one, for any test: see remotetest.StartDockerd.
package dockerlab
