// Package remote is the door to a machine: a Host is a name, a Runner that
// runs commands there, and a Dialer that opens connections as seen from there.
//
// Runner has one method, so what is needed around it is a wrapper: Sudo runs
// as root, ReadOnly refuses whatever does not promise to change nothing,
// Redact takes secrets out of output, Record tells what was run. Local is the
// Runner of this very machine; the SSH one lives in remote/ssh, and nothing
// below cmd knows it.
package remote
