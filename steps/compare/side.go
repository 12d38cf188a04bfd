package compare

import "context"

// Side is one of two stores that shall be equal, looked at in one frozen
// moment: all that it tells belongs to the same snapshot where the store has
// them. It is read-only. It is used by several goroutines at once.
//
// Rows fall into buckets by a hash of their key, or of the whole row where a
// table has no key, so that two sides agree on the bucket of a row whatever
// their collations and the order on disk. A mismatch is found by comparing the
// buckets, and named by listing the rows of those that differ.
type Side interface {
	// Objects lists everything that both sides should have: tables, views,
	// indexes, constraints, sequences, functions, triggers, policies,
	// extensions, roles, databases, settings. Data objects first by size.
	Objects(ctx context.Context) ([]Object, error)
	// Prints fingerprints an object with data: one Print a bucket, in order.
	// With 1 bucket it is the fastest way to count and fingerprint the whole.
	Prints(ctx context.Context, name string, buckets int) ([]Print, error)
	// Rows tells every row of the buckets in of, in any order. It ends with the
	// error of each, if that gives one.
	Rows(ctx context.Context, name string, buckets int, of []int, each func(Row) error) error
	Close() error
}

// Object is one thing in a store.
type Object struct {
	Kind  string // "table", "sequence", "extension", "role", "key space", "directory"
	Name  string // as people write it: public.messages; unique in its kind
	Print string // what must be equal on both sides, in words: a definition, a value, a version
	Data  bool   // it has rows: Prints and Rows answer for its Name
	Bytes int64  // about how big; 0 when not known
	Next  *int64 // of a counter that gives out numbers, its next one; negated where it counts down. A new side that is ahead gives none out twice
	Note  string // why its data is not compared, or what to know; for people
}

// Print is a fingerprint of rows. The sum does not depend on their order, and
// two equal rows do not cancel each other.
type Print struct {
	Rows int64
	Sum  string
}

// Row is one row, entry or file.
type Row struct {
	Key   string // as people find it: "id=17"; for a table without a key, the beginning of the row
	Print string // of the whole row
}
