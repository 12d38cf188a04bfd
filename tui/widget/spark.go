package widget

import "strings"

var sparks = []rune("▁▂▃▄▅▆▇█")

// Spark draws the last w values as one line of bars, the highest full; a value
// below zero is a failure and gets its own mark. All bars are low when all
// values are alike: calm looks calm.
func Spark(t Theme, values []float64, w int) string {
	if len(values) > w {
		values = values[len(values)-w:]
	}
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	low := top
	for _, v := range values {
		if v >= 0 {
			low = min(low, v)
		}
	}
	var b, run strings.Builder
	flush := func() {
		b.WriteString(t.Paint(Accent, run.String()))
		run.Reset()
	}
	for _, v := range values {
		if v < 0 {
			flush()
			b.WriteString(t.Paint(Fail, "✗"))
			continue
		}
		i := 0
		if top > low*1.5 { // jitter is not a peak
			i = int((v - low) / (top - low) * float64(len(sparks)-1))
		}
		run.WriteRune(sparks[i])
	}
	flush()
	return b.String() + strings.Repeat(" ", w-len(values))
}
