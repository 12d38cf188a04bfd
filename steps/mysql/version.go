package mysql

import (
	"fmt"
	"strings"
)

// Version is a server's flavour and number.
type Version struct {
	MariaDB             bool
	Major, Minor, Patch int
	Text                string // as the server says it: "10.11.6-MariaDB-0+deb12u1-log"
}

// ParseVersion reads what VERSION() says.
func ParseVersion(text string) (Version, error) {
	v := Version{Text: text, MariaDB: strings.Contains(strings.ToLower(text), "mariadb")}
	rest := text
	if v.MariaDB {
		rest = strings.TrimPrefix(rest, "5.5.5-") // MariaDB 10 to old replicas
	}
	if n, err := fmt.Sscanf(rest, "%d.%d.%d", &v.Major, &v.Minor, &v.Patch); n < 2 {
		return v, fmt.Errorf("server version %.60q: %w", text, err)
	}
	return v, nil
}

func (v Version) String() string {
	flavour := "MySQL"
	if v.MariaDB {
		flavour = "MariaDB"
	}
	return fmt.Sprintf("%s %d.%d.%d", flavour, v.Major, v.Minor, v.Patch)
}

// atLeast compares within a flavour; ask v.MariaDB first.
func (v Version) atLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// before tells whether v is an older release line than w; patches do not count.
func (v Version) before(w Version) bool {
	return v.Major < w.Major || v.Major == w.Major && v.Minor < w.Minor
}
