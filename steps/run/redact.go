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

// Append redacts every string of the event and appends it.
func (l redacting) Append(e journal.Event) error {
	e.Err, e.Key = l.red.String(e.Err), l.red.String(e.Key)
	if len(e.Data) > 0 && l.red.String(string(e.Data)) != string(e.Data) {
		e.Data = redactJSON(e.Data, l.red)
	}
	return l.Journal.Append(e)
}

// redactJSON redacts the strings of a document, keys too, and leaves its shape.
func redactJSON(data json.RawMessage, red *secret.Redactor) json.RawMessage {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return json.RawMessage(`"` + secret.Mask + `"`)
	}
	out, err := json.Marshal(mapStrings(v, red.String))
	if err != nil {
		return json.RawMessage(`"` + secret.Mask + `"`)
	}
	return out
}

// mapStrings does f to every string of a document, keys too.
func mapStrings(v any, f func(string) string) any {
	switch v := v.(type) {
	case string:
		return f(v)
	case json.Number:
		return json.Number(v)
	case []any:
		for i := range v {
			v[i] = mapStrings(v[i], f)
		}
	case map[string]any:
		clean := make(map[string]any, len(v))
		for k, x := range v {
			clean[f(k)] = mapStrings(x, f)
		}
		return clean
	}
	return v
}
