// Package run is the run directory: the copy of the plan, the journal, the
// logs with their line indexes, and the lock. The directory is the truth; a
// screen is a reader of it, through Session.
package run
