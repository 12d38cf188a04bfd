// Package remotetest is for tests: a scripted machine that answers commands
// from a table, a real OpenSSH server on loopback, and the conformance suite
// that every remote.Runner passes.
package remotetest
