package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"belay/steps/journal"
	"belay/steps/plan"
)

// answersForm tells people what a file of answers looks like.
const answersForm = `What a headless run says when it is asked stands in the file of --answers:

  name: Ada Lovelace                                # who answers
  answers:
    - {question: findings, choice: accept, item: "*", reason: known, times: 9}
    - {question: findings, choice: go}
    - {question: sign-off, choice: sign, item: "*"} # "*": every open item
    - {question: sign-off, choice: go}               # role: dba, where the approvers have roles
    - {question: cutover, choice: go, text: chat}   # text: the host's name
    - {question: failed, step: start-fluxer, choice: retry, times: 2}
    - {question: last-safe, choice: on, reason: nearly done} # or rollback: turn back; the moment to do so has passed
    - {question: soak, choice: hold}                # stops a countdown; without it that goes on
    - {question: close, choice: close, text: chat}
    - {question: rollback, choice: go, text: chat, reason: too slow} # or, for go, the name of a way back

The first answer that fits the kind of question, and the step when it names
one, is taken; once, or as often as times says. What a person is to do to undo a
step has -undo behind the step's name. A question that none fits ends
the command, and the run waits: the question is printed with what it takes. With
--sign-within (or within: of the plan's approvers) it does not end at the gates
of sign-off and of a second person's cutover before so long has passed: people
sign by belay sign meanwhile, and an answer that is refused because somebody or
something is missing is given again once that has changed.`

// answers are what a headless run says when it is asked; see answersForm.
type answers struct {
	Name    string   `yaml:"name"`
	Answers []prefab `yaml:"answers"`
}

type prefab struct {
	Question string `yaml:"question"`
	Step     string `yaml:"step"`
	Choice   string `yaml:"choice"`
	Item     string `yaml:"item"`
	Text     string `yaml:"text"`
	Reason   string `yaml:"reason"`
	Name     string `yaml:"name"`
	Role     string `yaml:"role"`
	Times    int    `yaml:"times"`

	refused string // what was missing when it was last given; see answers.next
}

// pick is an answer on its way: it is used up only by being taken.
type pick struct {
	journal.Answer
	of   *prefab // nil: nobody wrote it
	more bool    // it is for further items, too
}

// taken uses the answer up.
func (k pick) taken() {
	if k.of != nil && !k.more {
		k.of.Times--
	}
}

// refused puts the answer back, for when something else is missing than now.
func (k pick) refused(missing string) {
	if k.of != nil {
		k.of.refused = missing
	}
}

var askKinds = []string{
	journal.AskFindings, journal.AskFailed, journal.AskUnknown, journal.AskManual, journal.AskSignoff,
	journal.AskCutover, journal.AskSoak, journal.AskClose, journal.AskRollback, journal.AskLock, journal.AskLastSafe,
}

// readAnswers reads an answers file; "" is an empty one.
func readAnswers(path string) (*answers, error) {
	a := &answers{}
	if path == "" {
		return a, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError{fmt.Errorf("answers: %w; nothing was done", err)}
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(a); err != nil {
		return nil, usageError{fmt.Errorf("answers %s: %s; nothing was done", path, plainly(err))}
	}
	for i := range a.Answers {
		p := &a.Answers[i]
		if !slices.Contains(askKinds, p.Question) {
			return nil, usageError{fmt.Errorf("answers %s: answer %d: %q is no kind of question; there are %q; nothing was done", path, i+1, p.Question, askKinds)}
		}
		if p.Choice == "" {
			return nil, usageError{fmt.Errorf("answers %s: answer %d: choice is missing; nothing was done", path, i+1)}
		}
		p.Times = max(p.Times, 1)
	}
	return a, nil
}

// plainly says what is wrong with a YAML file without the words of our types.
func plainly(err error) string {
	if errors.Is(err, io.EOF) {
		return "the file is empty"
	}
	var wrong *yaml.TypeError
	if !errors.As(err, &wrong) {
		return strings.TrimPrefix(err.Error(), "yaml: ")
	}
	var all []string
	for _, text := range wrong.Errors {
		text = unknownField.ReplaceAllString(text, `unknown key "$1"`)
		all = append(all, wrongType.ReplaceAllString(text, "$1 is not what belongs here"))
	}
	return strings.Join(all, "; ") + "; a file of answers has `name:` and `answers:`, a list of {question, choice, step, item, text, reason, role, name, times}"
}

var (
	unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)
	wrongType    = regexp.MustCompile(`cannot unmarshal (?:!!\w+ )?(.*) into \S+$`)
)

// fit tells which answer is for a step that the plan does not have.
func (as *answers) fit(p *plan.Plan) error {
	for i, a := range as.Answers {
		if a.Step != "" && p.Step(a.Step) == nil && p.Step(strings.TrimSuffix(a.Step, undoStep)) == nil {
			return usageError{fmt.Errorf("answers: answer %d: the plan has no step %q; nothing was done", i+1, a.Step)}
		}
	}
	return nil
}

// undoStep stands behind a step's name where it is a person who undoes it: who
// has done a thing has not undone it.
const undoStep = "-undo"

// answersStep is how a file of answers names the step that q is about.
func answersStep(q journal.Question) string {
	if q.Undo {
		return q.Step + undoStep
	}
	return q.Step
}

// next finds the answer to q, or says that there is none: one that was refused
// while the same was missing is none. A gate of findings where nothing stands in
// the way needs no answer.
func (as *answers) next(q journal.Question, s *journal.State, by journal.Author, missing string) (pick, bool) {
	by.Name = as.Name
	for i := range as.Answers {
		p := &as.Answers[i]
		if p.Times == 0 || p.Question != q.Kind || p.Step != "" && p.Step != answersStep(q) || p.refused == missing {
			continue
		}
		a := journal.Answer{Question: q.ID, Choice: p.Choice, Item: p.Item, Text: p.Text, Reason: p.Reason, Role: p.Role, By: by}
		if p.Name != "" {
			a.By.Name = p.Name
		}
		more := false
		if p.Item == "*" {
			if a.Item, more = openItem(q, s); a.Item == "" {
				p.Times = 0
				continue
			}
		}
		return pick{a, p, more}, true
	}
	if blocks, open := s.Standing(); q.Kind == journal.AskFindings && len(blocks)+len(open) == 0 {
		return pick{Answer: journal.Answer{Question: q.ID, Choice: "go", By: by}}, true
	}
	return pick{}, false
}

// openItem returns the first item of the question that "*" stands for, and
// whether more are left: unsigned people's items, or findings to accept.
func openItem(q journal.Question, s *journal.State) (item string, more bool) {
	var open []string
	if q.Kind == journal.AskFindings {
		_, standing := s.Standing()
		for _, f := range standing {
			open = append(open, f.ID)
		}
	}
	for _, id := range q.Items {
		if it := s.Items[id]; q.Kind == journal.AskSignoff && it != nil && !it.Machine && !it.OK {
			open = append(open, id)
		}
	}
	if len(open) == 0 {
		return "", false
	}
	return open[0], len(open) > 1
}
