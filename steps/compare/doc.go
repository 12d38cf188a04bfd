// Package compare proves two stores equal, or names what differs.
//
// It knows no store: steps/postgres, steps/mysql and steps/redis each make a
// Side, and so does a directory of files (steps/files).
//
//	r := compare.Run(ctx, []compare.Pair{{Name: "gitlab", What: "postgres", Old: a, New: b}}, compare.Options{})
//	if !r.Equal() {
//		fmt.Print(r.Table(80), r.Detail(80))
//	}
//
// First all that both sides have is listed and matched by kind and name. Then
// each object with rows is counted and fingerprinted on both sides at the same
// time. Where the fingerprints differ, they are taken again in parts, and only
// the rows of the parts that differ are read, to name the keys.
package compare
