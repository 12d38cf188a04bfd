package remote

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a plan's span of time: Go's notation plus d for days ("90s",
// "1h30m", "7d").
type Duration time.Duration

// UnmarshalText reads a duration; it must not be negative.
func (d *Duration) UnmarshalText(b []byte) error {
	s := string(b)
	var days time.Duration
	if i := strings.IndexByte(s, 'd'); i > 0 {
		n, err := strconv.ParseUint(s[:i], 10, 16)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 90s, 5m, 1h30m or 7d", b)
		}
		days, s = time.Duration(n)*24*time.Hour, s[i+1:]
		if s == "" {
			*d = Duration(days)
			return nil
		}
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration such as 90s, 5m, 1h30m or 7d", b)
	}
	*d = Duration(days + v)
	return nil
}

func (d Duration) String() string { return time.Duration(d).String() }

// Size is a plan's number of bytes: a whole number with an optional unit
// (B, kB, MB, GB, TB for powers of 1000; KiB, MiB, GiB, TiB for powers of 1024).
type Size int64

var sizeUnits = map[string]int64{
	"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

// UnmarshalText reads a size.
func (z *Size) UnmarshalText(b []byte) error {
	s := strings.TrimSpace(string(b))
	i := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if i < 0 {
		i = len(s)
	}
	unit, ok := sizeUnits[strings.TrimSpace(s[i:])]
	n, err := strconv.ParseFloat(s[:i], 64)
	if !ok || err != nil || n*float64(unit) > 1<<62 {
		return fmt.Errorf("%q is not a size such as 512MiB or 5GB", b)
	}
	*z = Size(n * float64(unit))
	return nil
}

func (z Size) String() string { return FormatBytes(int64(z)) }

// Plural counts for people: "1 step", "3 steps".
func Plural[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// FormatBytes writes a number of bytes for people: "5.0 GiB".
func FormatBytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n), -1
	for v >= 1023.95 && i < 4 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTP"[i])
}
