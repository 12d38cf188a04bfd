package compare

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

const (
	partRows  = 1000      // about as many rows shall be in one part of a table that differs
	maxParts  = 4096      // and no table is cut into more parts
	batchRows = 50_000    // rows of each side that are read before the next look at how much was found
	readRows  = 2_000_000 // rows of each side that are read to count differences, once enough are named
)

// rows compares the rows of one object.
func rows(ctx context.Context, p Pair, job rowsJob, named int) (f tableFound) {
	if !job.old || !job.new {
		return lone(ctx, p, job)
	}
	whole, other, err := prints(ctx, p, job.Name, 1)
	if err != nil {
		return tableFound{err: err}
	}
	f = tableFound{old: whole[0], new: other[0]}
	if f.old == f.new {
		return f
	}
	parts := parts(max(f.old.Rows, f.new.Rows))
	olds, news := whole, other
	if parts > 1 {
		if olds, news, err = prints(ctx, p, job.Name, parts); err != nil {
			f.err = err
			return f
		}
	}
	var of []int
	for i := range olds {
		if olds[i] != news[i] {
			of = append(of, i)
		}
	}
	f.name(ctx, p, job, olds, news, of, named)
	return f
}

// lone counts the rows of an object that only one side has; that it is missing
// or extra is known already.
func lone(ctx context.Context, p Pair, job rowsJob) (f tableFound) {
	side, to := p.Old, &f.old
	if job.new {
		side, to = p.New, &f.new
	}
	got, err := guarded(func() ([]Print, error) { return side.Prints(ctx, job.Name, 1) })
	if err == nil && len(got) == 1 {
		*to = got[0]
	}
	f.err = err
	return f
}

// prints asks both sides for an object's fingerprints.
func prints(ctx context.Context, p Pair, name string, n int) (olds, news []Print, err error) {
	olds, news, err = both(ctx, p, func(s Side) ([]Print, error) {
		got, err := s.Prints(ctx, name, n)
		if err == nil && len(got) != n {
			err = fmt.Errorf("%d fingerprints instead of %d (a bug worth a report)", len(got), n)
		}
		return got, err
	})
	return olds, news, err
}

// parts is how many parts a table of so many rows is cut into: a power of two.
func parts(rows int64) int {
	n := 1
	for n < maxParts && int64(n)*partRows < rows {
		n *= 2
	}
	return n
}

// name reads the parts that differ, until enough differences are named, and
// goes on counting as long as that is cheap.
func (f *tableFound) name(ctx context.Context, p Pair, job rowsJob, olds, news []Print, of []int, named int) {
	var all []Differs
	var total, read int64
	for len(of) > 0 {
		if total >= int64(named) && read > readRows {
			f.atLeast = true
			break
		}
		n, size := 0, int64(0)
		for n < len(of) && (n == 0 || size < batchRows) {
			size += max(olds[of[n]].Rows, news[of[n]].Rows)
			n++
		}
		d, err := diffParts(ctx, p, job, len(olds), of[:n])
		if err != nil {
			f.err = err
			break
		}
		for _, x := range d {
			total += max(x.Times, 1)
		}
		if all = append(all, d...); len(all) > 4*named+1000 {
			all = firsts(all, named)
		}
		read, of = read+size, of[n:]
	}
	if total == 0 && f.err == nil {
		f.differs = []Differs{{How: Unsteady, Kind: job.Kind, Object: job.Name}}
		return
	}
	f.differs = firsts(all, named)
	for _, x := range f.differs {
		total -= max(x.Times, 1)
	}
	f.more = total
}

// firsts are the first n by key, in people's order.
func firsts(all []Differs, n int) []Differs {
	slices.SortFunc(all, func(a, b Differs) int {
		return cmp.Or(natural(a.Key, b.Key), cmp.Compare(a.How, b.How))
	})
	return all[:min(n, len(all))]
}

// balance counts rows: those of the old side up, those of the new one down.
// What is left in the end is what only one side has.
type balance struct {
	mu  sync.Mutex
	net map[Row]int64
}

func (b *balance) add(r Row, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n += b.net[r]; n == 0 {
		delete(b.net, r)
	} else {
		b.net[r] = n
	}
}

// diffParts reads some parts of both sides and tells what differs in them.
func diffParts(ctx context.Context, p Pair, job rowsJob, parts int, of []int) ([]Differs, error) {
	b := balance{net: map[Row]int64{}}
	_, _, err := each(ctx, p, func(s Side, old bool) (struct{}, error) {
		n := int64(1)
		if !old {
			n = -1
		}
		return struct{}{}, s.Rows(ctx, job.Name, parts, of, func(r Row) error {
			b.add(r, n)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return b.differs(job), nil
}

// loneRow is a row that only one side has, so many times.
type loneRow struct {
	print string
	times int64
}

// differs pairs what is left by key: a key on both sides is a row that
// differs, any other one is missing or extra.
func (b *balance) differs(job rowsJob) []Differs {
	left, right := map[string][]loneRow{}, map[string][]loneRow{}
	for r, n := range b.net {
		if n > 0 {
			left[r.Key] = append(left[r.Key], loneRow{r.Print, n})
		} else {
			right[r.Key] = append(right[r.Key], loneRow{r.Print, -n})
		}
	}
	var all []Differs
	tell := func(how, key string, n int64, a, b string) {
		d := Differs{How: how, Kind: job.Kind, Object: job.Name, Key: words(key), Old: spoken(a), New: spoken(b)}
		if n > 1 {
			d.Times = n
		}
		all = append(all, d)
	}
	for key, olds := range left {
		news := right[key]
		delete(right, key)
		sortLone(olds)
		sortLone(news)
		for len(olds) > 0 && len(news) > 0 {
			n := min(olds[0].times, news[0].times)
			tell(Different, key, n, olds[0].print, news[0].print)
			olds, news = take(olds, n), take(news, n)
		}
		for _, r := range olds {
			tell(Missing, key, r.times, r.print, "")
		}
		for _, r := range news {
			tell(Extra, key, r.times, "", r.print)
		}
	}
	for key, news := range right {
		for _, r := range news {
			tell(Extra, key, r.times, "", r.print)
		}
	}
	return all
}

func sortLone(l []loneRow) {
	slices.SortFunc(l, func(a, b loneRow) int { return cmp.Compare(a.print, b.print) })
}

// take takes n off the first of l.
func take(l []loneRow, n int64) []loneRow {
	if l[0].times -= n; l[0].times == 0 {
		return l[1:]
	}
	return l
}

// spoken is a row's print if it is words; a hash tells people nothing.
func spoken(print string) string {
	if strings.Contains(print, " ") && strings.ContainsAny(print, "ghijklmnopqrstuvwxyz") {
		return words(print)
	}
	return ""
}
