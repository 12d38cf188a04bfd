package draft

import (
	"fmt"
	"strings"
	"time"

	"belay/remote"
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

// enough says whether the databases can be copied in the time that people can
// be without them; "" when nobody said how long.
func (d *draft) enough() string {
	n, took := Guess(d.items)
	if d.Freeze == 0 || n == 0 {
		return ""
	}
	text := fmt.Sprintf("People can be without it for %s. The databases have %s: a guess is %s for their copies; a rehearsal will know.",
		Length(d.Freeze), remote.FormatBytes(n), Length(took))
	if took > d.Freeze {
		text += " That is too long: postgres.replicate, mysql.replicate and redis.copy by replication keep the new side close before the cutover, which then takes seconds."
	}
	return text
}
