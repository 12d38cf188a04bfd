// Package files knows directories on hosts: what is in them, how two of them
// differ, and how the difference gets from one host to the other.
//
//	old, err := files.Read(ctx, hosts["old"], "/srv/uploads", files.Look{Sums: true})
//	defer old.Close()
//	side := files.NewSide(hosts["new"], "/srv/uploads", files.Look{Sums: true}) // for steps/compare
//	todo, err := files.Delta(old, other, files.How{})
//
// A host needs a POSIX shell, find, stat -c and sha256sum, as GNU and busybox
// have them; tar to send and take files, and for Update rsync. Names may hold
// any byte. What a host tells goes to an unlinked
// temporary file, so that a tree of millions of entries costs little memory.
package files
