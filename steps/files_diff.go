package steps

import (
	"fmt"
	"regexp"
	"strings"

	"belay/remote/secret"
)

// fileDiffMax is how many bytes of a text are worth a diff on a screen.
const fileDiffMax = 256 << 10

// fileDiff is the unified diff (three lines of context) that turns a into b;
// "" when they are equal. Values of keys that look like secrets are masked.
func fileDiff(path string, a, b string) string {
	return fileDiffShown(path, a, b, a, b)
}

// fileDiffShown compares a with b and prints showA and showB, which must have
// the same number of lines as a and b.
func fileDiffShown(path, a, b, showA, showB string) string {
	if a == b {
		return ""
	}
	as, bs := fileLines(a), fileLines(b)
	sa, sb := fileLines(showA), fileLines(showB)
	if len(as) != len(sa) || len(bs) != len(sb) {
		return "(the diff is not shown: a secret in it spans several lines)\n"
	}
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", path, path)
	for _, h := range fileHunks(fileOps(as, bs)) {
		h.print(&out, sa, sb)
	}
	return out.String()
}

// fileLines cuts text after each line break; the breaks stay.
func fileLines(s string) []string {
	lines := strings.SplitAfter(s, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// fileOp is one line of an edit script; a and b are the line's numbers from 0
// in the old and in the new text.
type fileOp struct {
	kind byte // ' ', '-' or '+'
	a, b int
}

// fileOps is the shortest edit script, or, when the changed middle is large,
// the replacement of all of it: a diff is for eyes.
func fileOps(a, b []string) []fileOp {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var ops []fileOp
	for i := range head {
		ops = append(ops, fileOp{' ', i, i})
	}
	ops = append(ops, fileMiddle(a[head:len(a)-tail], b[head:len(b)-tail], head)...)
	for i := range tail {
		ops = append(ops, fileOp{' ', len(a) - tail + i, len(b) - tail + i})
	}
	return ops
}

func fileMiddle(a, b []string, at int) []fileOp {
	var ops []fileOp
	n, m := len(a), len(b)
	common := make([][]int32, 0)
	if n*m <= 4<<20 {
		common = make([][]int32, n+1)
		for i := range common {
			common[i] = make([]int32, m+1)
		}
		for i := n - 1; i >= 0; i-- {
			for j := m - 1; j >= 0; j-- {
				if a[i] == b[j] {
					common[i][j] = common[i+1][j+1] + 1
				} else {
					common[i][j] = max(common[i+1][j], common[i][j+1])
				}
			}
		}
	}
	i, j := 0, 0
	for i < n || j < m {
		switch {
		case len(common) > 0 && i < n && j < m && a[i] == b[j]:
			ops = append(ops, fileOp{' ', at + i, at + j})
			i, j = i+1, j+1
		case i < n && (j == m || len(common) == 0 || common[i+1][j] >= common[i][j+1]):
			ops = append(ops, fileOp{'-', at + i, at + j})
			i++
		default:
			ops = append(ops, fileOp{'+', at + i, at + j})
			j++
		}
	}
	return ops
}

type fileHunk []fileOp

// fileHunks groups the changes with three lines around them.
func fileHunks(ops []fileOp) []fileHunk {
	const around = 3
	var hunks []fileHunk
	last := -1 // index after the last op taken
	for i, op := range ops {
		if op.kind == ' ' {
			continue
		}
		from, to := max(i-around, 0), min(i+around+1, len(ops))
		if last >= from {
			hunks[len(hunks)-1] = append(hunks[len(hunks)-1], ops[last:max(last, to)]...)
		} else {
			hunks = append(hunks, append(fileHunk{}, ops[from:to]...))
		}
		last = max(last, to)
	}
	return hunks
}

func (h fileHunk) print(out *strings.Builder, a, b []string) {
	var na, nb int
	for _, op := range h {
		if op.kind != '+' {
			na++
		}
		if op.kind != '-' {
			nb++
		}
	}
	fmt.Fprintf(out, "@@ -%s +%s @@\n", fileRange(h[0].a, na), fileRange(h[0].b, nb))
	for _, op := range h {
		line := ""
		if op.kind == '+' {
			line = b[op.b]
		} else {
			line = a[op.a]
		}
		text, ended := strings.CutSuffix(line, "\n")
		if cut, ok := strings.CutSuffix(text, "\r"); ok {
			text = cut + "\\r"
		}
		fmt.Fprintf(out, "%c%s\n", op.kind, fileMask(text))
		if !ended {
			out.WriteString("\\ no newline at end of file\n")
		}
	}
}

func fileRange(start, n int) string {
	if n > 0 {
		start++
	}
	if n == 1 {
		return fmt.Sprint(start)
	}
	return fmt.Sprintf("%d,%d", start, n)
}

// Diffs are kept in the journal and shown on screens, and configuration files
// hold secrets that no plan has declared: what such a key is set to, and what
// stands before the @ of a URL, is not shown.
var (
	fileSecretKey = regexp.MustCompile(`(?i)((?:passw|passphrase|secret|token|api_?key|private_?key|access_?key|credential)[\w.-]*["']?[ \t]*[:=][ \t]*)(\S.*)$`)
	fileUserinfo  = regexp.MustCompile(`(://[^/@\s:]*):[^/@\s]+@`)
)

func fileMask(line string) string {
	line = fileSecretKey.ReplaceAllString(line, "${1}"+secret.Mask)
	return fileUserinfo.ReplaceAllString(line, "${1}:"+secret.Mask+"@")
}

// fileIsText tells whether b is worth a diff: UTF-8 or Latin text, no NUL.
func fileIsText(b []byte) bool {
	return len(b) <= fileDiffMax && !strings.ContainsRune(string(b), 0)
}

// fileDiffCount says how many lines a diff changes, for people.
func fileDiffCount(diff string) string {
	n := 0
	for _, l := range strings.Split(diff, "\n") {
		if strings.HasPrefix(l, "+++") || strings.HasPrefix(l, "---") {
			continue
		}
		if strings.HasPrefix(l, "+") || strings.HasPrefix(l, "-") {
			n++
		}
	}
	if n == 1 {
		return "1 line of the diff"
	}
	return fmt.Sprintf("%d lines of the diff", n)
}
