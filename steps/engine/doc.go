// Package engine walks a plan: it assesses, applies, resumes and undoes, asks
// an Operator, and writes to the journal before and after each act.
package engine
