// Package redis is what belay can do with a Redis, Valkey or KeyDB server: log
// in from the host that reaches it, tell what it is, make it follow another,
// hold its writers, copy it key by key, take over users and settings, and
// fingerprint it for steps/compare. It knows hosts, but neither plans nor
// steps.
//
//	c, err := redis.Server{Host: h, Addr: "127.0.0.1:6379", Password: pw}.Connect(ctx)
//	defer c.Close()
//	info, err := c.Info(ctx)              // role, offsets, version, memory, keys a database
//	err = c.Follow(ctx, "10.0.0.4:6379", "", pw)   // REPLICAOF; the password goes by CONFIG SET
//	w, err := c.Hold(ctx, 30*time.Second) // CLIENT PAUSE … WRITE, renewed until Release
//
// Nothing secret is ever on a command line: all goes over the connection.
package redis
