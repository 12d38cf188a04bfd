package mysql

import (
	"context"
	"math/big"
)

// chunk is a part of a table that one lane copies at a time.
type chunk struct {
	where string // " WHERE …", or "" for the whole table
}

var intTypes = map[string]bool{"tinyint": true, "smallint": true, "mediumint": true, "int": true, "bigint": true}

// chunks cuts a table by the first column of its key, if that is a whole
// number, into parts of about size bytes that together are everything.
func (t *Table) chunks(ctx context.Context, q Queryer, size int64) ([]chunk, error) {
	whole := []chunk{{}}
	if len(t.Key) == 0 || !intTypes[t.column(t.Key[0]).Type] || t.Bytes <= size {
		return whole, nil
	}
	key := Ident(t.Key[0])
	r, err := table(ctx, q, "SELECT MIN("+key+"), MAX("+key+") FROM "+t.sql())
	if err != nil {
		return nil, err
	}
	low, ok1 := new(big.Int).SetString(r[0][0].String, 10)
	high, ok2 := new(big.Int).SetString(r[0][1].String, 10)
	if !ok1 || !ok2 {
		return whole, nil // it is empty
	}
	n := min((t.Bytes+size-1)/size, 10_000)
	span := new(big.Int).Sub(high, low)
	var all []chunk
	last := ""
	for i := int64(1); i < n; i++ {
		at := new(big.Int).Mul(span, big.NewInt(i))
		bound := at.Div(at, big.NewInt(n)).Add(at, low).String()
		if bound == last || bound == low.String() {
			continue
		}
		where := " WHERE " + key + " < " + bound
		if last != "" {
			where += " AND " + key + " >= " + last
		}
		all = append(all, chunk{where})
		last = bound
	}
	if last == "" {
		return whole, nil
	}
	return append(all, chunk{" WHERE " + key + " >= " + last}), nil
}

// sums fingerprints a part of the table: rows and their sum.
func (t *Table) sums(ctx context.Context, q Queryer, h hash, where string) (rows, sum string, err error) {
	r, err := table(ctx, q, "SELECT "+t.printSums(h)+" FROM "+t.sql()+where)
	if err != nil {
		return "", "", err
	}
	return r[0][0].String, r[0][1].String, nil
}
