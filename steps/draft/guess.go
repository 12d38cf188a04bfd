package draft

import (
	"strings"
	"time"
)

// Length writes a time as people do: 1h30m, not 1h30m0s.
func Length(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// copyRate is what a copy of a database moves in a second on small servers,
// indexes and all: a guess, on the safe side.
const copyRate = 10 << 20

// Guess is how much there is in the databases among the items, and how long a
// copy of it may take.
func Guess(items []Item) (bytes int64, took time.Duration) {
	for _, it := range items {
		if it.Kind == Database {
			for _, db := range it.names() {
				bytes += max(0, db.Bytes)
			}
		}
	}
	return bytes, max(time.Duration(bytes/copyRate)*time.Second, time.Second)
}
