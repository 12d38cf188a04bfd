// Package checks reads facts from hosts and judges them.
//
// A fact is a reading, taken by a POSIX shell script and turned into values by
// a pure parser. All facts of a host come in one round trip (Gather). A Check
// is a judge: it looks at the World (hosts and their facts) and returns
// findings. Standing checks look at every host; a plan adds its own under
// assess and watches with the same ones during soak.
//
// A new check is one new file that calls register in its init.
package checks
