package files

import (
	"context"
	"hash/fnv"
	"slices"
	"strconv"
	"sync"
	"unicode"

	"belay/remote"
	"belay/steps/compare"
)

// Side is a directory as one of two that shall be equal: path, type, mode,
// owner, size and content of every entry, and which of them are one file.
// Times are not compared.
type Side struct {
	name string
	read func(ctx context.Context) (*Tree, error)

	once sync.Once
	tree *Tree
	err  error
}

var _ compare.Side = (*Side)(nil)

// NewSide is the directory dir of a host. It is read once, when it is first
// asked for something, by that call's context. name is what both sides' object
// is called.
func NewSide(h remote.Host, dir, name string, l Look) *Side {
	return &Side{name: name, read: func(ctx context.Context) (*Tree, error) { return Read(ctx, h, dir, l) }}
}

// SideOf is a tree that was read already. Close closes it.
func SideOf(t *Tree, name string) *Side {
	return &Side{name: name, read: func(context.Context) (*Tree, error) { return t, nil }}
}

func (s *Side) load(ctx context.Context) (*Tree, error) {
	s.once.Do(func() { s.tree, s.err = s.read(ctx) })
	return s.tree, s.err
}

// Objects is the directory.
func (s *Side) Objects(ctx context.Context) ([]compare.Object, error) {
	t, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	o := compare.Object{Kind: "directory", Name: s.name, Data: true, Bytes: t.Bytes}
	if !t.Summed {
		o.Note, o.Bytes = "the content of files was not read", 0
	}
	return []compare.Object{o}, nil
}

func bucket(p string, n int) int {
	h := fnv.New64a()
	h.Write([]byte(p))
	return int(h.Sum64() % uint64(n))
}

// Prints are the sums of the entries' SHA-256, each cut to 128 bits.
func (s *Side) Prints(ctx context.Context, _ string, buckets int) ([]compare.Print, error) {
	t, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]compare.Print, buckets)
	sums := make([][2]uint64, buckets)
	err = t.Each(func(e Entry) error {
		i := bucket(e.Path, buckets)
		add128(&sums[i], e.Path+"\x00"+e.Words())
		all[i].Rows++
		return ctx.Err()
	})
	for i := range all {
		all[i].Sum = hex128(sums[i])
	}
	return all, err
}

// Rows are the entries: the key is the path, the print says all in words.
func (s *Side) Rows(ctx context.Context, _ string, buckets int, of []int, each func(compare.Row) error) error {
	t, err := s.load(ctx)
	if err != nil {
		return err
	}
	return t.Each(func(e Entry) error {
		if !slices.Contains(of, bucket(e.Path, buckets)) {
			return ctx.Err()
		}
		return each(compare.Row{Key: Name(e.Path), Print: e.Words()})
	})
}

// Close frees the tree.
func (s *Side) Close() error {
	s.once.Do(func() {})
	return s.tree.Close()
}

// Name is a path as people can read it: quoted where it holds what does not
// show, or begins or ends with a blank.
func Name(p string) string {
	plain := p != "" && p[0] != ' ' && p[len(p)-1] != ' ' && p[0] != '"'
	for _, r := range p {
		plain = plain && r != unicode.ReplacementChar && unicode.IsPrint(r)
	}
	if plain {
		return p
	}
	return strconv.Quote(p)
}
