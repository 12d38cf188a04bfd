package inspect

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"belay/tui/widget"
)

// Text writes an inspection for people, in lines of at most w cells (60 at
// least), without colour. now is what ages of certificates are counted from.
func Text(out io.Writer, in *Inspection, w int, now time.Time) error {
	t := &text{w: max(w, 60), now: now}
	for i, h := range in.Hosts {
		if i > 0 {
			t.line("")
		}
		t.host(h)
	}
	b := bufio.NewWriter(out)
	for _, l := range t.lines {
		// What could not be cleaned on the way in ends here.
		b.WriteString(widget.CleanLine(l) + "\n")
	}
	return b.Flush()
}

type text struct {
	w     int
	now   time.Time
	lines []string
}

func (t *text) line(s string) { t.lines = append(t.lines, s) }

// para wraps s, each line after first and rest.
func (t *text) para(first, rest, s string) {
	for i, l := range wrap(widget.CleanLine(s), t.w-widget.Width(first)) {
		if i > 0 {
			first = rest
		}
		t.line(strings.TrimRight(first+l, " "))
	}
}

// wrap breaks s at spaces alone, so that a path stays one word for whoever
// copies it; only what is longer than a line is chopped.
func wrap(s string, w int) []string {
	indent := s[:len(s)-len(strings.TrimLeft(s, " "))]
	var all []string
	line := ""
	for word := range strings.SplitSeq(s[len(indent):], " ") {
		for i, piece := range widget.Chop(word, w-len(indent)) {
			if i > 0 || line != "" && widget.Width(line)+1+widget.Width(piece) > w {
				all, line = append(all, line), ""
			}
			if line == "" {
				line = indent + piece
			} else {
				line += " " + piece
			}
		}
	}
	return append(all, line)
}

func (t *text) heading(s string) {
	t.line("")
	t.line(widget.Cut(s, t.w))
}

func (t *text) host(h *Host) {
	if h.Unreached != "" {
		t.para("✗ "+h.Name+": ", "  ", "not inspected: "+h.Unreached)
		t.para("  → ", "    ", "see that `ssh "+h.Name+"` works from here, then look again; nothing was changed")
		return
	}
	t.para(h.Name+": ", "  ", fmt.Sprintf("%s, %s, %s memory, up %s", or(h.OS, "unknown system"), countOf(h.CPUs, "CPU", "CPUs"),
		widget.Bytes(h.Memory), widget.Rough(time.Duration(h.Uptime)*time.Second)))
	as := "as " + h.User
	if !h.Root {
		as += ", who may not see everything"
	}
	t.para("", "  ", "Looked at "+h.TakenAt.Format("2006-01-02 15:04 UTC")+" "+as+". Nothing was changed.")
	t.para("", "  ", h.summary())
	var listen, quiet, rest []*Program
	for _, p := range h.Programs {
		switch {
		case len(p.Listens) > 0:
			listen = append(listen, p)
		case p.quiet():
			quiet = append(quiet, p)
		default:
			rest = append(rest, p)
		}
	}
	t.programs("WHAT LISTENS", listen, h)
	t.programs("WHAT RUNS WITHOUT A PORT", rest, h)
	t.names("PART OF THE SYSTEM, WITHOUT A PORT", namesOf(quiet))
	t.orphans(h)
	t.machine(h)
	t.gaps(h)
}

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

// summary is the line that counts.
func (h *Host) summary() string {
	listen, dbs := 0, 0
	for _, p := range h.Programs {
		if len(p.Listens) > 0 {
			listen++
		}
		dbs += len(p.Databases)
	}
	s := fmt.Sprintf("%s on ports, %s, %s, %s, %s. ", countOf(listen, "program listens", "programs listen"), countOf(dbs, "database server", "database servers"),
		countOf(len(h.Jobs), "job", "jobs"), countOf(len(h.Certificates), "certificate", "certificates"), countOf(len(h.EnvFiles), "environment file", "environment files"))
	if n := len(h.Gaps); n > 0 {
		return s + countOf(n, "thing was", "things were") + " not understood: see the end."
	}
	return s + "Everything was understood."
}

// quiet tells a program that the system brought and that nothing here depends
// on: it has no port, no database, no job and no connection of note.
func (p *Program) quiet() bool {
	if len(p.Listens)+len(p.Databases)+len(p.Jobs)+len(p.Certs)+len(p.EnvFiles) > 0 || slices.ContainsFunc(p.Connects, func(c Connect) bool { return c.What != "" }) {
		return false
	}
	switch p.Kind {
	case KindUnit:
		return p.Unit == "" || strings.HasPrefix(p.Unit, "/lib/") || strings.HasPrefix(p.Unit, "/usr/lib/") || strings.HasPrefix(p.Unit, "/run/")
	case KindProcess:
		return len(p.Processes) > 0 && p.Processes[0].Package != "-" && p.Processes[0].Package != ""
	}
	return false
}

func namesOf(programs []*Program) []string {
	counts := map[string]int{}
	var all []string
	for _, p := range programs {
		if counts[p.Name]++; counts[p.Name] == 1 {
			all = append(all, p.Name)
		}
	}
	for i, n := range all {
		if counts[n] > 1 {
			all[i] = fmt.Sprintf("%s ×%d", n, counts[n])
		}
	}
	return all
}

func (t *text) programs(title string, programs []*Program, h *Host) {
	if len(programs) == 0 {
		return
	}
	t.heading(title)
	for _, p := range programs {
		t.program(p, h)
	}
}

// names is a list in one paragraph.
func (t *text) names(title string, names []string) {
	if len(names) == 0 {
		return
	}
	t.heading(title)
	t.para("  ", "  ", strings.Join(names, ", "))
}

// orphans are the jobs, certificates and environment files of no program.
func (t *text) orphans(h *Host) {
	first := true
	title := func(s string) {
		if first {
			t.heading(s)
		}
		first = false
	}
	for _, j := range h.Jobs {
		if j.Program == "" {
			title("JOBS OF NO PROGRAM ABOVE")
			t.para("  ○ ", "    ", jobInWords(j))
		}
	}
	first = true
	for _, c := range h.Certificates {
		if c.Program == "" && c.Problem == "" {
			title("CERTIFICATES THAT NO PROGRAM ABOVE WAS SEEN TO USE")
			t.para("  ○ ", "    ", t.certInWords(c))
		}
	}
	first = true
	for _, e := range h.EnvFiles {
		if e.Program == "" && e.Problem == "" {
			title("ENVIRONMENT FILES OF NO PROGRAM ABOVE (values are not read)")
			t.para("  ○ ", "    ", e.Path+": "+some(e.Keys, 8))
		}
	}
}

// machine is what belongs to the host itself.
func (t *text) machine(h *Host) {
	t.heading("THE HOST ITSELF")
	var people []string
	for _, u := range h.Users {
		people = append(people, fmt.Sprintf("%s (%d)", u.Name, u.UID))
	}
	t.para("  users     ", "            ", some(people, 30))
	for _, m := range h.Mounts {
		ro := ""
		if m.ReadOnly {
			ro = ", read-only"
		}
		t.para("  mount     ", "            ", fmt.Sprintf("%s: %s on %s, %s of %s free%s", m.At, m.Type, m.Device, widget.Bytes(m.Free), widget.Bytes(m.Total), ro))
	}
	if n := len(h.Packages); n > 0 {
		t.line(fmt.Sprintf("  packages  %d installed (--json lists them)", n))
	}
}

func (t *text) gaps(h *Host) {
	if len(h.Gaps) == 0 {
		return
	}
	t.heading(fmt.Sprintf("NOT UNDERSTOOD (%d)", len(h.Gaps)))
	for i, g := range h.Gaps {
		t.para("  ? ", "    ", g.What)
		if i+1 == len(h.Gaps) || h.Gaps[i+1].Do != g.Do {
			t.para("    → ", "      ", g.Do)
		}
	}
}

// some is a list cut to max entries, saying how many more there are.
func some(all []string, max int) string {
	if len(all) <= max+1 {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:max], ", "), len(all)-max)
}
