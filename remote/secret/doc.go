// Package secret holds values that cannot be printed, knows where they come
// from, and takes them out of whatever else is printed.
//
// A Value shows itself as "[secret]" to fmt, encoding/json and log/slog; only
// Reveal gives the text, so a review can grep for it. A Redactor knows every
// value revealed to a run and removes them, also in encoded forms and across
// the borders of two writes, from output on its way to a log or a screen.
package secret
