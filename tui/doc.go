// Package tui is the wizard: the screens through which people watch a run and
// answer its questions.
//
// Run shows a run.Session full-screen; Plain is its line-by-line twin for
// screen readers, pipes and CI. Both only read the session and only answer or
// ask for something through it, so either may come and go while the engine
// works on.
//
// There is one tea.Model. Screens and dialogs are plain structs, one a file,
// that draw from a scene (a snapshot, never the session) and act on named
// actions; which key means which action is said once, in keys.go, for the
// footer, the help and the manual. Nothing in Update waits: the session's
// snapshots are pulled on a tick, answers travel in commands.
//
// Enter never changes anything. An answer takes a letter to choose it, the
// words that it needs, and ctrl-y to send it.
package tui
