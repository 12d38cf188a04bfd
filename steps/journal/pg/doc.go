// Package pg keeps journals in a PostgreSQL database, so that a run outlives
// the machine that it was begun on: a colleague on another bastion looks at
// it, and takes it over when the first one has died.
//
// A Store is one database. Create and Open return a Journal, which behaves as
// the file journal does: Append returns when the event is on the server's
// disk, and every line is byte for byte what the file would hold, so that the
// same hash chain vouches for it. With the journal the database keeps the
// run's plan and overlays.
//
// One writer: Create and Open take an advisory lock that lives as long as
// their connection; who comes second gets a *journal.LockedError that names
// who holds it. The server drops the lock when the connection ends, half a
// minute after a bastion has lost its power. Every append proves in its own
// transaction that this connection is still the run's holder and that the line
// follows the newest one, so a writer that was cut off cannot write again.
//
// When the connection breaks in an append, whether the line was written is not
// known. Append then connects anew, takes the lock back and reads: the line is
// there, or it is written now, or somebody else has taken over. When that is
// not settled in Patience, Append returns an error and takes no more events;
// the run stops before its next act and can be resumed.
//
// The password comes from PGPASSWORD or a password file (PGPASSFILE, by
// default ~/.pgpass), never from the URL, which others can see in the process
// list. TLS is asked for in the URL: ?sslmode=verify-full.
//
// # Privileges
//
// The first use makes the schema "belay", for which the role needs CREATE on
// the database. Afterwards these suffice:
//
//	GRANT USAGE ON SCHEMA belay TO role;
//	GRANT SELECT, INSERT, UPDATE ON belay.run TO role;
//	GRANT SELECT, INSERT ON belay.event, belay.file TO role;
//	GRANT SELECT ON belay.version TO role;
//
// To look only: USAGE, and SELECT on the four tables. Nothing is ever deleted.
// A pooler that shares connections between transactions (PgBouncer in
// transaction mode) cannot hold the lock: appends through it are refused.
package pg
