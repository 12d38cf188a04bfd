package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode"

	"belay/steps/journal"
	"belay/steps/plan"
)

// JSON is the report for programs: the Report, indented, with a newline at the
// end. Text is exact; whatever cannot be printed stands as a \u escape.
func JSON(p *plan.Plan, events []journal.Event, o Options) ([]byte, error) {
	return Build(p, events, o).JSON()
}

// JSON renders the report. The error says which value JSON cannot hold; Build
// makes none.
func (r *Report) JSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("report of run %q: %w", r.Run, err)
	}
	return escaped(b.Bytes()), nil
}

// escaped writes runes that a terminal might obey, or hide, as JSON escapes.
// They occur inside of strings only.
func escaped(in []byte) []byte {
	out := make([]byte, 0, len(in))
	for _, r := range string(in) {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out = append(out, string(r)...)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}
