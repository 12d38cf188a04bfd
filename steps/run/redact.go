package run

import (
	"bytes"
	"encoding/json"

	"belay/remote/secret"
	"belay/steps/journal"
)

// redacting takes secrets out of events on their way to the journal.
type redacting struct {
	Journal
	red *secret.Redactor
}

// Append redacts every string of the event and appends it. Names that belay
// itself reads again, and what steps remember, keep words that some secret
// happens to be equal to.
func (l redacting) Append(e journal.Event) error {
	text, name := l.red.String, l.red.Structure
	e.Err = text(e.Err)
	switch e.Type {
	case journal.Noted:
		e.Key = text(e.Key)
	case journal.Remembered:
		text = name
		fallthrough
	default:
		e.Key = name(e.Key)
	}
	if len(e.Data) > 0 && text(string(e.Data)) != string(e.Data) {
		e.Data = redactJSON(e.Data, text, name)
	}
	return l.Journal.Append(e)
}

// redactJSON redacts the strings of a document by text, its keys by name, and
// leaves its shape.
func redactJSON(data json.RawMessage, text, name func(string) string) json.RawMessage {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return json.RawMessage(`"` + secret.Mask + `"`)
	}
	out, err := json.Marshal(mapStrings(v, text, name))
	if err != nil {
		return json.RawMessage(`"` + secret.Mask + `"`)
	}
	return out
}

// mapStrings does text to every string of a document, and name to every key.
func mapStrings(v any, text, name func(string) string) any {
	switch v := v.(type) {
	case string:
		return text(v)
	case json.Number:
		return json.Number(v)
	case []any:
		for i := range v {
			v[i] = mapStrings(v[i], text, name)
		}
	case map[string]any:
		clean := make(map[string]any, len(v))
		for k, x := range v {
			clean[name(k)] = mapStrings(x, text, name)
		}
		return clean
	}
	return v
}
