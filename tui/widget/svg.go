package widget

import (
	"fmt"
	"html"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Cell size of the picture in pixels, for a font of 14 px.
const cellW, cellH = 8.4, 18.0

// The palette of the picture; the names are those of the terminal's own 16.
var palette = [16]string{
	"#1b1f27", "#e5626d", "#8fbf7f", "#dfb760", "#6da3e8", "#c48be0", "#5fb9c4", "#d5d9e2",
	"#6b7382", "#f07f89", "#a9d79a", "#f0cb7d", "#8cbaf3", "#d6a6ee", "#7fd3dd", "#ffffff",
}

const paper, ink = "#1b1f27", "#d5d9e2"

type look struct {
	fg, bg             string
	bold, dim, rev, ul bool
}

// SVG turns a captured screen (text with SGR sequences, a line per row, as
// `tmux capture-pane -ep` prints it) of w by h cells into a picture with a
// title bar. The result is the same for the same input, byte for byte.
func SVG(screen string, w, h int, title string) []byte {
	var b strings.Builder
	pw, ph := float64(w)*cellW+32, float64(h)*cellH+60
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label="%s">`+"\n", pw, ph, pw, ph, html.EscapeString(title))
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" rx="10" fill="%s"/>`+"\n", pw, ph, paper)
	for i, c := range []string{"#e5626d", "#dfb760", "#8fbf7f"} {
		fmt.Fprintf(&b, `<circle cx="%d" cy="20" r="6" fill="%s"/>`, 22+i*20, c)
	}
	fmt.Fprintf(&b, "\n"+`<text x="%.0f" y="25" text-anchor="middle" font-family="sans-serif" font-size="13" fill="#8b93a3">%s</text>`+"\n", pw/2, html.EscapeString(title))
	b.WriteString(`<g font-family="ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace" font-size="14">` + "\n")
	l := look{}
	for y, line := range strings.Split(screen, "\n") {
		if y >= h {
			break
		}
		svgLine(&b, &l, line, 16, 40+float64(y)*cellH)
	}
	b.WriteString("</g>\n</svg>\n")
	return []byte(b.String())
}

// svgLine draws one row: runs of cells that look alike.
func svgLine(b *strings.Builder, l *look, line string, x, y float64) {
	for line != "" {
		if strings.HasPrefix(line, "\x1b") {
			n := escape(line)
			if strings.HasPrefix(line, "\x1b[") && line[n-1] == 'm' {
				l.apply(line[2 : n-1])
			}
			line = line[n:]
			continue
		}
		run, rest := line, ""
		if i := strings.IndexByte(line, 0x1b); i >= 0 {
			run, rest = line[:i], line[i:]
		}
		line = rest
		run = Clean(run)
		width := float64(ansi.StringWidth(run)) * cellW
		l.draw(b, run, x, y, width)
		x += width
	}
}

func (l look) draw(b *strings.Builder, run string, x, y, width float64) {
	front, back := l.fg, l.bg
	if front == "" {
		front = ink
	}
	if l.rev {
		if back == "" {
			back = paper
		}
		front, back = back, front
	}
	if back != "" {
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, x, y, width+0.3, cellH, back)
	}
	if strings.TrimSpace(run) == "" {
		return
	}
	lead := len(run) - len(strings.TrimLeft(run, " "))
	run = strings.TrimSpace(run)
	x += float64(lead) * cellW
	attr := ""
	if l.bold {
		attr += ` font-weight="bold"`
	}
	if l.dim {
		attr += ` opacity="0.55"`
	}
	if l.ul {
		attr += ` text-decoration="underline"`
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" textLength="%.1f" lengthAdjust="spacingAndGlyphs" fill="%s"%s xml:space="preserve">%s</text>`+"\n",
		x, y+13.5, float64(ansi.StringWidth(run))*cellW, front, attr, html.EscapeString(run))
}

// apply reads the parameters of one SGR sequence (ECMA-48 §8.3.117).
func (l *look) apply(params string) {
	ps := strings.FieldsFunc(params, func(r rune) bool { return r == ';' || r == ':' })
	if len(ps) == 0 {
		ps = []string{"0"}
	}
	for i := 0; i < len(ps); i++ {
		n, _ := strconv.Atoi(ps[i])
		switch {
		case n == 0:
			*l = look{}
		case n == 1:
			l.bold = true
		case n == 2:
			l.dim = true
		case n == 4:
			l.ul = true
		case n == 7:
			l.rev = true
		case n == 22:
			l.bold, l.dim = false, false
		case n == 24:
			l.ul = false
		case n == 27:
			l.rev = false
		case n >= 30 && n <= 37:
			l.fg = palette[n-30]
		case n >= 90 && n <= 97:
			l.fg = palette[n-82]
		case n == 39:
			l.fg = ""
		case n >= 40 && n <= 47:
			l.bg = palette[n-40]
		case n >= 100 && n <= 107:
			l.bg = palette[n-92]
		case n == 49:
			l.bg = ""
		case (n == 38 || n == 48) && i+2 < len(ps) && ps[i+1] == "5":
			if c, _ := strconv.Atoi(ps[i+2]); c >= 0 && c < 16 {
				if n == 38 {
					l.fg = palette[c]
				} else {
					l.bg = palette[c]
				}
			}
			i += 2
		}
	}
}
