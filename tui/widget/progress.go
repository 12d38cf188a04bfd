package widget

import (
	"fmt"
	"strings"
	"time"
)

// Bar draws how much of total is done, w cells wide. It is full only when
// everything is done, and never empty once something is.
func Bar(t Theme, done, total int64, w int) string {
	if total <= 0 || w < 1 {
		return ""
	}
	n := int(float64(w) * float64(min(done, total)) / float64(total))
	switch {
	case done < total:
		n = min(n, w-1)
	case done >= total:
		n = w
	}
	if done > 0 {
		n = max(n, 1)
	}
	return t.Paint(Accent, strings.Repeat("━", n)) + t.Paint(Dim, strings.Repeat("─", w-n))
}

// Amount says a number of bytes (unit "B") or of things: "1.2 GiB", "4,096 rows".
func Amount(n int64, unit string) string {
	if unit == "B" {
		return Bytes(n)
	}
	return strings.TrimSpace(Thousands(n) + " " + unit)
}

// Bytes says a size in binary units.
func Bytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n), -1
	for f >= 1024 && i < 4 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTP"[i])
}

// Thousands writes 1234567 as 1,234,567.
func Thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Span says a duration as people do: "0:42", "4:05", "1h 05m", "3d 4h".
// Negative ones count as their distance.
func Span(d time.Duration) string {
	d = d.Abs().Truncate(time.Second)
	switch {
	case d < time.Hour:
		return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh %02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd %dh", int(d.Hours())/24, int(d.Hours())%24)
}

// Rough says a duration that is a minute or more without its seconds, so that
// a clock far from zero does not redraw the screen every second.
func Rough(d time.Duration) string {
	switch d = d.Abs(); {
	case d < 10*time.Minute:
		return Span(d)
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	}
	return Span(d)
}

// Ago says how old something is, coarsely: "just now", "3 min ago".
func Ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours())/24)
}
