package mysql

import (
	"fmt"
	"strconv"
	"strings"
)

// gtid is one of MariaDB's: domain-server-sequence.
type gtid struct{ domain, server, seq uint64 }

func (g gtid) String() string { return fmt.Sprintf("%d-%d-%d", g.domain, g.server, g.seq) }

// parseGTIDs reads a position or a state of MariaDB's: "0-1-500,7-2-3".
func parseGTIDs(text string) ([]gtid, error) {
	var all []gtid
	for _, part := range strings.Split(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		var g gtid
		if n, err := fmt.Sscanf(part, "%d-%d-%d", &g.domain, &g.server, &g.seq); err != nil || n != 3 {
			return nil, fmt.Errorf("GTID %.60q is not one of MariaDB's", part)
		}
		all = append(all, g)
	}
	return all, nil
}

// gtidBehind is how many transactions a replica's position is behind: of every
// domain of the source's, by its sequence numbers.
func gtidBehind(source, replica string) (int64, error) {
	at, err := parseGTIDs(replica)
	if err != nil {
		return 0, err
	}
	reached := map[uint64]uint64{}
	for _, g := range at {
		reached[g.domain] = max(reached[g.domain], g.seq)
	}
	want, err := parseGTIDs(source)
	if err != nil {
		return 0, err
	}
	var behind int64
	for _, g := range want {
		if g.seq > reached[g.domain] {
			behind += int64(g.seq - reached[g.domain])
		}
	}
	return behind, nil
}

// gtidMerge is a position, with what own has of domains that it has not got:
// a server with gtid_strict_mode refuses a gtid_slave_pos without them.
func gtidMerge(position, own string) (string, error) {
	all, err := parseGTIDs(position)
	if err != nil {
		return "", err
	}
	has := map[uint64]bool{}
	var parts []string
	for _, g := range all {
		has[g.domain] = true
		parts = append(parts, g.String())
	}
	more, err := parseGTIDs(own)
	for _, g := range more {
		if !has[g.domain] {
			parts = append(parts, g.String())
		}
	}
	return strings.Join(parts, ","), err
}

// gtidOwn is the part of a state (gtid_binlog_state) that a server wrote
// itself, but in the domain of belay's sessions.
func gtidOwn(state string, server uint64, domain uint32) (string, error) {
	all, err := parseGTIDs(state)
	var own []string
	for _, g := range all {
		if g.server == server && g.domain != uint64(domain) {
			own = append(own, g.String())
		}
	}
	return strings.Join(own, ","), err
}

// gtidSetSize is how many transactions one of MySQL's sets has:
// "uuid:1-5:7,uuid:tag:2".
func gtidSetSize(set string) int64 {
	var n int64
	for _, part := range strings.FieldsFunc(set, func(r rune) bool { return r == ',' || r == ':' || r == '\n' || r == ' ' }) {
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseInt(from, 10, 64)
		if err != nil {
			continue // a server's UUID, or a tag
		}
		b := a
		if isRange {
			if b, err = strconv.ParseInt(to, 10, 64); err != nil {
				continue
			}
		}
		n += b - a + 1
	}
	return n
}

// gtidSetOf is the part of one of MySQL's sets that one server wrote.
func gtidSetOf(set, uuid string) string {
	for _, part := range strings.Split(strings.ReplaceAll(set, "\n", ""), ",") {
		if part = strings.TrimSpace(part); strings.HasPrefix(strings.ToLower(part), strings.ToLower(uuid)+":") {
			return part
		}
	}
	return ""
}
