package steps

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

func init() {
	register(Kind{
		Name:    "manual",
		Summary: "Asks a person to do something and, if so wished, for a proof that it is done.",
		Example: `- step: Point the domain at the new server
  manual:
    text: In the console of the DNS provider, set st.example.org to 203.0.113.7.
    evidence: the change number that the console shows
    match: '^CHG-\d+$'
`,
		NoHost: true,
		New:    func() Step { return &manual{} },
	})
}

// manual is carried out by a person; the engine asks.
type manual struct {
	Text     string `yaml:"text" scalar:"" required:"" doc:"what to do, in full sentences"`
	Evidence string `yaml:"evidence" doc:"what to type as proof that it is done; it is kept in the report"`
	Match    string `yaml:"match" doc:"regular expression that the proof must match"`
}

func (m *manual) Validate() error {
	if strings.TrimSpace(m.Text) == "" {
		return Field("text", "it is empty")
	}
	if m.Match != "" && m.Evidence == "" {
		return Field("match", "say under evidence what is to be typed")
	}
	if _, err := regexp.Compile(m.Match); err != nil {
		return Field("match", "%w", err)
	}
	return nil
}

func (m *manual) Instruction() (text, evidence string) { return m.Text, m.Evidence }

// manualDone is what is remembered.
type manualDone struct {
	Evidence string `json:"evidence,omitempty"`
}

// Pending is the instruction, until somebody has said that it is done.
func (m *manual) Pending(_ context.Context, e Env) ([]Change, error) {
	if done, err := e.Memory.Get("done", &manualDone{}); err != nil || done {
		return nil, err
	}
	first, _, more := strings.Cut(strings.TrimSpace(m.Text), "\n")
	if more {
		first += " …"
	}
	return []Change{{Text: "by hand: " + first}}, nil
}

// Apply takes the answer.
func (m *manual) Apply(_ context.Context, e Env) error {
	proof := strings.TrimSpace(e.Answer)
	if err := m.proves(proof); err != nil {
		return err
	}
	if proof != "" {
		fmt.Fprintf(e.Log, "-- %s: %s\n", m.Evidence, proof)
	}
	return e.Memory.Put("done", manualDone{proof})
}

func (m *manual) proves(proof string) error {
	switch re, err := regexp.Compile(m.Match); {
	case err != nil:
		return Field("match", "%w", err)
	case m.Evidence != "" && proof == "":
		return fmt.Errorf("proof is missing: %s; the step does not count as done", m.Evidence)
	case !re.MatchString(proof):
		return fmt.Errorf("proof %q does not look like %s (it must match %s); the step does not count as done", proof, m.Evidence, m.Match)
	}
	return nil
}

// Verify holds what was remembered against the plan. What a person did outside
// of every host only a further step can prove: a wait, say.
func (m *manual) Verify(_ context.Context, e Env) error {
	var done manualDone
	if found, err := e.Memory.Get("done", &done); err != nil {
		return err
	} else if !found {
		return fmt.Errorf("nobody has said yet that this is done")
	}
	return m.proves(done.Evidence)
}
