// Package compare proves two stores equal, or names what differs.
//
// It knows no store: steps/postgres, steps/mysql and steps/redis each make a
// Side, and so does a directory of files.
package compare
