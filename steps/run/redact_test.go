package run

import (
	"encoding/json"
	"strings"
	"testing"

	"belay/remote/secret"
	"belay/steps/journal"
)

// The password of a store may be the name of a database, too: what a step
// remembers is read again by its undo, and has to be as it was written.
func TestMemoryKeepsNames(t *testing.T) {
	r := asking(t, "belay: 1\nname: x\nenvironment: lab\nhosts: {here: {}}\nprepare:\n  - {step: One, manual: Do it}\n")
	red := r.red
	for _, s := range []string{"shop2024", "postgres", "x7Kq!pw-93"} {
		red.Add(secret.New(s))
	}
	log := redacting{r.journal, red}
	data := json.RawMessage(`{"made":{"shop2024":true},"roles":["postgres","x7Kq!pw-93"]}`)
	for _, e := range []journal.Event{{Type: journal.Remembered, Step: "s", Key: "postgres.copy", Data: data}, {Type: journal.Noted, Key: "logged in with shop2024"}} {
		if err := log.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	all := r.journal.Events(0)
	memory, note := all[len(all)-2], all[len(all)-1]
	if got := string(memory.Data); memory.Key != "postgres.copy" || !strings.Contains(got, `"shop2024":true`) || !strings.Contains(got, `"postgres"`) || strings.Contains(got, "x7Kq") {
		t.Errorf("remembered %s: %s", memory.Key, got)
	}
	if strings.Contains(note.Key, "shop2024") {
		t.Errorf("noted: %s", note.Key)
	}
}
