// Package steps holds the contract of a step and every kind of step, one file
// each.
//
// A step says what is still to change (Pending), changes it (Apply), proves it
// by another road (Verify) and, where there is a way back, takes it back
// (Undo). A new kind is one new file whose init calls register; its Example is
// its manual, its schema and its first test.
package steps
