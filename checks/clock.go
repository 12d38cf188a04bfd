package checks

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// clockFact is the section that buildScript puts first and alone.
const clockFact = "clock"

func init() {
	addFact(fact{name: clockFact, limit: 200, parse: parseClock, script: `
if has date; then
	date +%s.%N
else
	miss "there is no date program"
fi`})
}

// parseClock expects "1700000000.123456789"; busybox built without
// nanoseconds prints "1700000000.%N" or nothing after the dot. f.TakenAt must
// hold the moment, by our clock, that it is compared with.
func parseClock(section []byte, f *Facts) error {
	text := strings.TrimSpace(string(section))
	if text == "" {
		return noReading(f, clockFact)
	}
	whole, part, _ := strings.Cut(text, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	// Up to the year 9999: what is beyond would overflow the difference.
	if err != nil || sec < 0 || sec > 253402300799 {
		return fmt.Errorf("date printed %q", OneLine(text, 50))
	}
	nano, err := strconv.ParseInt(part, 10, 64)
	if err != nil || nano < 0 || nano >= 1e9 || len(part) != 9 {
		nano = int64(time.Second / 2) // somewhere in that second
		f.SkewErr += time.Second / 2
	}
	// Round: the monotonic part of TakenAt would count otherwise.
	f.Skew = time.Unix(sec, nano).Sub(f.TakenAt.Round(0))
	return nil
}

// noReading is for a parser that got nothing: an error, unless the script
// already said why.
func noReading(f *Facts, name string) error {
	if _, said := f.Lacks(name); said {
		return nil
	}
	return fmt.Errorf("the host gave no answer")
}
