// Package widget draws: values in, string out. It knows no terminal, no keys
// and nothing of belay; a screen gives it what to show and how wide, and gets
// lines that fit.
//
// Rules that every function keeps: a line never gets wider than asked, counted
// in terminal cells; only the 16 colours of the terminal's own palette are
// used; what colour says is also said by a mark or a word; no glyph of ours is
// wider than one cell. Text that comes from elsewhere goes through Clean first.
package widget
