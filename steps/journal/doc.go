// Package journal keeps what happened in a run: the Event, the append-only
// file of events, and the State that they fold into.
//
// Append returns when the event is on the disk. Every reader (resume, screen,
// report) folds the same events with the same reducer, so none of them can
// know more than the disk does. Lines are hash-chained: each holds the
// checksum of its own body and of the line before.
package journal
