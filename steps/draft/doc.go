// Package draft writes the first version of a plan from what an inspection
// found. It is pure: hosts in, YAML out.
//
//	items := draft.Items(old)                    // what could be moved, and how
//	text := draft.Plan(draft.Wish{…}, old, new)  // commented, ready for `belay check`
//
// A draft does what can be done without knowing the application: it brings
// directories, files, images, volumes and databases over, stops the old side,
// proves both equal, starts the new side and watches its ports. What only
// people know (DNS, credentials that stand elsewhere, programs that were
// started by hand) becomes a manual step, which says what is to be done.
package draft
