// Package journaltest is the conformance suite that every place for a journal
// passes, and a real PostgreSQL for tests.
package journaltest
