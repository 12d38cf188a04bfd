// Package remotetest is for tests: a scripted machine that answers commands
// from a table, a real OpenSSH server on loopback, and the conformance suite
// that every remote.Runner passes.
//
// A check or a step whose machine need not be real:
//
//	m := remotetest.NewScripted(t, "web")
//	m.When("systemctl", "is-active", "nginx").Say("inactive\n").Exit(3, "")
//	m.When("systemctl", "is-active", "nginx").Say("active\n") // from the second time on
//	m.When("sh", "-c", "*", "...").Do(func(c remotetest.Call) error { … })
//	step.Apply(ctx, steps.Env{Hosts: remote.Hosts{"web": m.Host()}})
//	m.Calls() // what was run, in order
//
// A command that no line of the table expects fails the test.
package remotetest
