// Package hold is the one-writer lock of a machine: while one run may change
// it, no other run can, whoever drives that run and from wherever.
//
// The lock is a file on the machine, /var/tmp/belay.lock for all its users (or
// what BELAY_LOCK names in the login's environment; sudo drops that variable
// unless told to keep it). It holds one line of JSON, a Record, that everybody
// may read:
//
//	{"run":"20261121-0804-chat-k3xw","plan":"chat","login":"ada","from":"10.0.0.5","bastion":"gate","since":"…","why":"run"}
//
// It comes to be by a hard link, so that it is whole or not there, and of any
// number of takers one wins. It belongs to a run, not to a process: it outlives
// the connection, belay and the bastion, and is taken again by the same run
// as often as it likes (resumed, taken over on another bastion, or because two
// names of a plan are one machine). Each time is a sign of life, which is the
// file's time of change, judged by the machine's own clock.
//
//	fresh, err := hold.Take(ctx, host, record) // *HeldError: somebody else has it
//	err = hold.Release(ctx, host, record.Run)  // only one's own
//
// What stands in the place of the lock and is no Record (a torn file, a link, a
// directory) is held by nobody knows whom: it is shown, never overwritten.
//
// Where the file's directory is sticky, as /var/tmp is, only root and the
// account that took a lock can release or break it. A system that empties
// /var/tmp by age takes the lock of a run that gave no sign of life for weeks.
package hold
