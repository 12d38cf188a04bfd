package files

// Batch is what goes over at once.
type Batch struct {
	Entries []Entry
	Bytes   int64
	Update  bool // by Road.Update; else by Road.Send
}

// Limits are of one batch.
type Limits struct {
	Bytes   int64 // about
	Entries int
	Names   int // bytes of the names
}

// pack gathers entries until there are enough of them.
type pack struct {
	Limits
	b     Batch
	names int
	each  func(Batch) error
}

func (p *pack) flush() error {
	if len(p.b.Entries) == 0 {
		return nil
	}
	full := p.b
	p.b, p.names = Batch{Update: full.Update}, 0
	return p.each(full)
}

// put adds what is one file: an entry, or all hard links of one.
func (p *pack) put(all ...Entry) error {
	more := 0
	for _, e := range all {
		more += len(e.Path) + 3
	}
	if len(p.b.Entries)+len(all) > p.Entries || p.names+more > p.Names || p.b.Bytes+all[0].Size > p.Bytes {
		if err := p.flush(); err != nil {
			return err
		}
	}
	p.b.Entries = append(p.b.Entries, all...)
	p.b.Bytes += all[0].Size
	p.names += more
	return nil
}

// Batches gives all that is to be sent, but directories, in batches. Hard links
// of one file are never parted. each owns what it is given.
func (t *Todo) Batches(send, update Limits, each func(Batch) error) error {
	packs := map[bool]*pack{false: {Limits: send, each: each}, true: {Limits: update, each: each, b: Batch{Update: true}}}
	links := map[string][]Entry{}
	updated := map[string]bool{} // by First: one of the links is to be updated
	var failed error
	put := func(update bool, all ...Entry) {
		if failed == nil {
			failed = packs[update].put(all...)
		}
	}
	err := t.both(func(a, o *Entry) {
		if failed != nil || a == nil || a.Type == 'd' || a.Type == 's' || o != nil && !t.differs(*a, *o) {
			return
		}
		update := t.updates(*a, o)
		if a.First == "" {
			put(update, *a)
			return
		}
		updated[a.First] = updated[a.First] || update
		all := append(links[a.First], *a)
		links[a.First] = all
		if len(all) == t.from.links[a.inode] {
			delete(links, a.First)
			put(updated[a.First], all...)
		}
	})
	for first, all := range links { // some name of them is a socket's or vanished
		put(updated[first], all...)
	}
	for _, update := range []bool{false, true} {
		if failed == nil && err == nil {
			failed = packs[update].flush()
		}
	}
	if failed != nil {
		return failed
	}
	return err
}
