// Package soak judges what the probes of a soak see: a pure fold over looks, so
// that a run that is taken up again comes to the same verdict from its journal.
//
//	s := soak.New(rules)
//	s.Add(look)              // in the order in which they came
//	rule, why, ok := s.Broken(wanted)
//	verdict, why := s.End(watched)
//
// # What is judged
//
// A Rule says which looks are guilty (a bad one; one that took longer than a
// limit, or longer than on the old server) and which share of them is too much.
// The share is that of the newest looks: as many as it takes to tell such a
// share at all, or those of the last quarter of Rule.For if they are more.
//
// Two thresholds keep a verdict from flickering. A probe goes over its limit
// when the share is passed, from the first guilty look on. It comes back only
// with so many good looks in a row that what was seen before would hardly ever
// leave such a gap (one time in ten thousand): four or five after a long outage,
// more than a hundred where one look in seventeen failed for long. Over for the whole of
// Rule.For is Degraded; going over and coming back again and again is flapping,
// and Inconclusive.
//
// # Never healthy by default
//
// What nobody could look at is no good look. Too few answers, a baseline that
// was not measured, a limit that is passed in sum but never for long, a watch
// that belay itself missed half of: each of these is Inconclusive.
package soak
