// Package checks reads facts from hosts and judges them.
//
// A fact is a reading, taken by a POSIX shell script and turned into values by
// a pure parser. All facts of a host come in one round trip:
//
//	facts, unreached := checks.GatherAll(ctx, hosts)
//
// A Check is a judge: it looks at the World (hosts and their facts) and returns
// findings. Every host gets the Standing checks; a plan adds its own under
// assess, waits with the same ones, and watches with them during soak.
//
//	w := checks.World{Hosts: hosts, Facts: facts, Unreached: unreached, Secret: store.Get}
//	findings := checks.Judge(ctx, w, append(checks.Standing(), fromPlan...))
//
// For one look of a wait or a soak, call Assess itself; gather anew before it
// if the check is a FactReader that says so. A step that needs something of a
// host returns checks made here: &checks.DiskCheck{On: …, Path: …, Free: …}.
//
// What could not be read or asked is Unknown, never Pass: facts say what they
// lack (Facts.Lacks), and a check that finds nothing in a list that is not
// whole does not take it for absence. All texts in facts and findings are
// harmless to a terminal, whatever the host sent.
//
// A new fact is one new file that calls addFact in its init; a new check is one
// that calls register.
package checks
