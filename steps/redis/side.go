package redis

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"belay/steps/compare"
)

// Rules are what two sides must have alike in order to be comparable.
type Rules struct {
	// Exact compares when keys expire to the millisecond; both servers must
	// know PEXPIRETIME (since 7.0). Else only whether they expire.
	Exact bool
	// Soon leaves out keys that expire before it: they may be gone from one side
	// and not yet from the other. Zero: none.
	Soon time.Time
}

// soon is how long a comparison is taken to last, for Rules.Soon.
const soon = 5 * time.Minute

// Sides opens both servers for a comparison with the same rules. Keys that
// expire within five minutes are left out. Frozen writers (Hold, Guard) are the
// caller's.
func Sides(ctx context.Context, old, now Server) (a, b compare.Side, err error) {
	left, err := openSide(ctx, old)
	if err != nil {
		return nil, nil, err
	}
	right, err := openSide(ctx, now)
	if err != nil {
		left.Close()
		return nil, nil, err
	}
	rules := Rules{Exact: left.info.Since("7.0") && right.info.Since("7.0"), Soon: time.Now().Add(soon)}
	left.rules, right.rules = rules, rules
	return left, right, nil
}

// OpenSide opens one server with given rules.
func OpenSide(ctx context.Context, s Server, rules Rules) (compare.Side, error) {
	side, err := openSide(ctx, s)
	if err != nil {
		return nil, err
	}
	side.rules = rules
	return side, nil
}

func openSide(ctx context.Context, s Server) (*side, error) {
	c, err := s.With(0).Connect(ctx)
	if err != nil {
		return nil, err
	}
	i, err := c.Info(ctx)
	if err != nil {
		c.Close()
		return nil, err
	}
	return &side{main: c, info: i, dbs: map[int]*Client{0: c}}, nil
}

// side is a server as compare looks at it.
type side struct {
	main  *Client
	info  Info
	rules Rules

	mu  sync.Mutex
	dbs map[int]*Client
}

func (s *side) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, c := range s.dbs {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

func (s *side) db(ctx context.Context, n int) (*Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.dbs[n]; c != nil {
		return c, nil
	}
	c, err := s.main.Server.With(n).Connect(ctx)
	if err == nil {
		s.dbs[n] = c
	}
	return c, err
}

// Objects lists the key spaces by size, then functions, users and settings.
// What the server does not let us read is an object that says so.
func (s *side) Objects(ctx context.Context) ([]compare.Object, error) {
	i, err := s.main.Info(ctx)
	if err != nil {
		return nil, err
	}
	var all []compare.Object
	total := i.Keys()
	for db, space := range i.Keyspace {
		all = append(all, compare.Object{Kind: "key space", Name: fmt.Sprintf("db%d", db), Data: true,
			Bytes: int64(float64(i.Used) * float64(space.Keys) / float64(max(1, total))), Note: s.note()})
	}
	slices.SortFunc(all, func(a, b compare.Object) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
	libraries, err := s.main.Functions(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range libraries {
		all = append(all, compare.Object{Kind: "function library", Name: l.Name, Print: fmt.Sprintf("%s, code sha256 %s", l.Engine, shortHash(l.Code))})
	}
	users, ok, err := s.main.Users(ctx)
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		all = append(all, compare.Object{Kind: "user", Name: u.Name, Print: u.Told() + ", fingerprint " + shortHash(u.Print())})
	}
	if !ok {
		all = append(all, compare.Object{Kind: "user", Name: "all", Note: "the server does not list its users"})
	}
	settings, err := s.main.Settings(ctx, Matters...)
	if err != nil && !Refused(err) {
		return nil, err
	}
	for _, name := range Matters {
		if v, known := settings[name]; known {
			all = append(all, compare.Object{Kind: "setting", Name: name, Print: v})
		}
	}
	return all, nil
}

func (s *side) note() string {
	var notes []string
	if !s.rules.Exact {
		notes = append(notes, "when keys expire is not compared (a server older than 7.0), only whether they do")
	}
	if !s.rules.Soon.IsZero() {
		notes = append(notes, "keys that expire before "+s.rules.Soon.UTC().Format(time.TimeOnly)+" UTC are left out")
	}
	return strings.Join(notes, "; ")
}

func shortHash(s string) string {
	d := sha256.Sum256([]byte(s))
	return hex.EncodeToString(d[:8])
}

// Prints fingerprints a key space bucket by bucket.
func (s *side) Prints(ctx context.Context, name string, buckets int) ([]compare.Print, error) {
	sums := make([]sum128, max(1, buckets))
	out := make([]compare.Print, len(sums))
	err := s.walk(ctx, name, nil, len(sums), func(bucket int, key, print string) error {
		out[bucket].Rows++
		sums[bucket].add(digestOf(key, print))
		return nil
	})
	for k := range out {
		out[k].Sum = sums[k].String()
	}
	return out, err
}

// Rows tells the keys of the buckets in of.
func (s *side) Rows(ctx context.Context, name string, buckets int, of []int, each func(compare.Row) error) error {
	wanted := map[int]bool{}
	for _, b := range of {
		wanted[b] = true
	}
	return s.walk(ctx, name, wanted, max(1, buckets), func(_ int, key, print string) error {
		return each(compare.Row{Key: keyText(key), Print: print})
	})
}

// walk reads every key once, of the wanted buckets only (nil: of all).
func (s *side) walk(ctx context.Context, name string, wanted map[int]bool, buckets int, each func(bucket int, key, print string) error) error {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "db"))
	if err != nil || !strings.HasPrefix(name, "db") {
		return fmt.Errorf("%s: key space %q: its name is like db0", s.main.Server, name)
	}
	c, err := s.db(ctx, n)
	if err != nil {
		return err
	}
	i, err := c.Info(ctx)
	if err != nil {
		return err
	}
	r := c.reader(i)
	r.soon = s.rules.Soon.UnixMilli()
	seen := map[[16]byte]struct{}{} // SCAN may tell a key twice
	return c.Scan(ctx, func(keys []string) error {
		var mine []string
		for _, k := range keys {
			d := sha256.Sum256([]byte(k))
			short := [16]byte(d[:16])
			if _, twice := seen[short]; twice || wanted != nil && !wanted[bucketOf(d, buckets)] {
				continue
			}
			seen[short] = struct{}{}
			mine = append(mine, k)
		}
		return s.read(ctx, r, mine, func(key, print string) error { return each(bucketOf(sha256.Sum256([]byte(key)), buckets), key, print) })
	})
}

func bucketOf(d [32]byte, buckets int) int {
	return int(binary.BigEndian.Uint64(d[16:]) % uint64(buckets))
}

func (s *side) read(ctx context.Context, r reader, keys []string, each func(key, print string) error) error {
	if len(keys) == 0 {
		return nil
	}
	all, err := r.entries(ctx, keys)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(e entry) bool { return e.expiry != 0 && e.expiry < s.rules.Soon.UnixMilli() })
	prints, err := r.prints(ctx, all)
	if err != nil {
		return err
	}
	for k, e := range all {
		if prints[k] == "" {
			continue
		}
		text := prints[k]
		switch {
		case e.expiry != 0 && s.rules.Exact:
			text += ", " + expiryText(e.expiry)
		case e.expiry != 0:
			text += ", expires"
		}
		if err := each(e.key, text); err != nil {
			return err
		}
	}
	return nil
}

// keyText is a key as people find it; one with odd bytes is quoted, and so is
// one that looks quoted, so that no two keys have one text.
func keyText(key string) string {
	odd := strings.HasPrefix(key, `"`) || key == "" || strings.ContainsFunc(key, func(r rune) bool {
		return r == unicode.ReplacementChar || !unicode.IsPrint(r)
	})
	if odd {
		return strconv.Quote(key)
	}
	return key
}
