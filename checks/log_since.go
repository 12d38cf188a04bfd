package checks

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"belay/remote"
)

// markScript prints the host's clock in seconds, and of the file $1 its inode
// and size; 0 0 of one that is not there (yet).
const markScript = `LC_ALL=C; export LC_ALL
now=$(date +%s) || exit 1
set -- "$now" "$(stat -L -c '%i %s' -- "$1" 2>/dev/null)"
echo "$1 ${2:-0 0}"`

// Mark notes where the log ends now, on every host.
func (c *LogCheck) Mark(ctx context.Context, w World) error {
	var errs []error
	for _, name := range w.names(c.On) {
		h, known := w.Hosts[name]
		if !known {
			continue
		}
		path := c.Path
		if path == "" {
			path = "/nonexistent"
		}
		out, err := look(ctx, h, within(c.Timeout, 10*time.Second), markScript, path)
		if err == nil && len(strings.Fields(string(out))) != 3 {
			err = fmt.Errorf("the host's answer is not understood: %s", OneLine(string(out), 100))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("host %s: %w", name, err))
			continue
		}
		w.Memory[name] = strings.TrimSpace(string(out))
	}
	return errors.Join(errs...)
}

// growthScript prints what the file $1 has got since it had inode $2 and $3
// bytes: the rest of it, and after a rotation the rest of the file that it was
// (FILE.1, as logrotate calls it) and all of the new one; at most $4 bytes of
// the end. A file that is not there yet has got nothing; one that has gone after
// it was there is no answer.
const growthScript = `LC_ALL=C; export LC_ALL
id() { stat -L -c '%i' -- "$1" 2>/dev/null; }
size() { stat -L -c '%s' -- "$1" 2>/dev/null; }
f=$1 was=$2 had=$3
if [ ! -e "$f" ]; then
	[ "$was" = 0 ] && exit 0
	echo "$f has gone" >&2; exit 1
fi
[ -r "$f" ] || { echo "$f may not be read" >&2; exit 1; }
if [ "$(id "$f")" = "$was" ] && [ "$(size "$f")" -ge "$had" ]; then
	tail -c +$((had + 1)) -- "$f"
else
	if [ "$was" != 0 ] && [ "$(id "$f.1")" = "$was" ] && [ -r "$f.1" ]; then tail -c +$((had + 1)) -- "$f.1"; fi
	cat -- "$f"
fi | tail -c "$4"`

// sinceMark judges what has come since the mark.
func (c *LogCheck) sinceMark(ctx context.Context, h remote.Host, mark string, limit time.Duration, contains, absent *regexp.Regexp) Finding {
	v := strings.Fields(mark)
	if len(v) != 3 {
		return unknown("it is known in a soak, where the cutover went through belay", "there has been no cutover that this log could be counted from")
	}
	var out []byte
	var err error
	if c.Path != "" {
		out, err = look(ctx, h, limit, growthScript, c.Path, v[1], v[2], strconv.Itoa(maxLog))
	} else {
		out, err = look(ctx, h, limit, logScript, "1000000", strconv.Itoa(maxLog), "", c.command(v[0]))
	}
	if err != nil {
		return couldNotLook(err)
	}
	return c.judge(out, "%d lines since the cutover", contains, absent)
}
