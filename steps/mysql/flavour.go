package mysql

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// unlike is what one flavour writes into the definition of a table and the
// other does not take, outside of quotes.
type unlike struct {
	key, what, fix string
	found          *regexp.Regexp
}

var (
	// Only MariaDB has these (MariaDB: "Incompatibilities and Feature
	// Differences Between MariaDB and MySQL").
	mariadbOnly = []unlike{
		{"type", "types that MySQL has not: uuid, inet4, inet6, xmltype", "change these columns on the source (varchar(36), varbinary(16), longtext), or move them by a dump that you rework",
			regexp.MustCompile(`(?i) (uuid|inet4|inet6|xmltype)\b`)},
		{"versioned", "system versioning or periods, which MySQL has not", "ALTER TABLE … DROP SYSTEM VERSIONING on a copy of the source, or leave that database out",
			regexp.MustCompile(`(?i)WITH SYSTEM VERSIONING|PERIOD FOR |WITHOUT OVERLAPS|AS ROW (START|END)`)},
		{"default", "defaults that take a sequence's next value, which MySQL has not", "make the column AUTO_INCREMENT on the source first",
			regexp.MustCompile(`(?i)\bnextval\(`)},
		{"option", "options of columns, keys or tables that MySQL does not read", "ALTER TABLE without them on the source first",
			regexp.MustCompile(`(?i) (COMPRESSED\b|IGNORED\b|PAGE_CHECKSUM=|TRANSACTIONAL=|.?PAGE_COMPRESSED)`)},
	}
	// Only MySQL has these.
	mysqlOnly = []unlike{
		{"key", "keys on expressions, which MariaDB has not", "drop these keys on the source, or put a generated column in the place of each first",
			regexp.MustCompile(`KEY [^\n]*[(,]\([^0-9]`)},
	}
	mysqlVector = unlike{"type", "columns of type vector, which MariaDB has from 11.7 on", "take a newer MariaDB, or leave that database out", regexp.MustCompile(`(?i) vector\(`)}
	// MariaDB passes over comments for MySQL 5.7 and later.
	mysqlComment = regexp.MustCompile(`/\*!80\d+ `)
)

// judgeFlavour looks for what the target has not: its engines, and where it is
// of the other flavour, what only the source's flavour has.
func (s *Survey) judgeFlavour(ctx context.Context, from, _ *DB, _ *Copy) error {
	var engines []string
	for _, t := range s.Tables {
		if !slices.Contains(s.Engines, strings.ToLower(t.Engine)) {
			engines = append(engines, t.String()+" ("+t.Engine+")")
		}
	}
	if len(engines) > 0 {
		s.block("engines", "ALTER TABLE … ENGINE = InnoDB on the source first, or install the engine there", "the target has not the engine of these tables: %s", list(engines))
	}
	if s.From.MariaDB == s.To.MariaDB {
		return nil
	}
	has := mariadbOnly
	if s.To.MariaDB {
		if has = mysqlOnly; !s.To.atLeast(11, 7) {
			has = append(slices.Clone(has), mysqlVector)
		}
	}
	var others []string
	for _, o := range s.Stored {
		if o.Kind == Sequence || o.Kind == Package || o.Kind == Body {
			others = append(others, o.String())
		}
	}
	if len(others) > 0 {
		s.block("objects", "do without them on the source first, or leave that database out", "MySQL has no sequences and no packages: %s", list(others))
	}
	return s.judgeTables(ctx, from, has)
}

func (s *Survey) judgeTables(ctx context.Context, q Queryer, has []unlike) error {
	found := map[string][]string{}
	var loose []string
	for _, t := range s.Tables {
		show, err := showCreate(ctx, q, "TABLE", t.sql())
		if err != nil {
			return fmt.Errorf("table %s: %w", t, err)
		}
		text := unquoted(show["create table"])
		for _, u := range has {
			if u.found.MatchString(text) {
				found[u.key] = append(found[u.key], t.String())
			}
		}
		if mysqlComment.MatchString(text) {
			loose = append(loose, t.String())
		}
	}
	for _, u := range has {
		if all := found[u.key]; len(all) > 0 {
			s.block("flavour "+u.key, u.fix, "these tables have %s: %s", u.what, list(all))
		}
	}
	if len(loose) > 0 {
		s.warn("flavour comments", "look at SHOW CREATE TABLE of these", "MariaDB passes over what MySQL writes as /*!80…*/, so that invisible columns and keys become visible, SRIDs are not held, and every CHECK is enforced: %s", list(loose))
	}
	return nil
}

// notAcross stands for what the flavours write too differently to be compared.
const notAcross = "there; what is in it is not compared between flavours"

var commentFor = regexp.MustCompile(` */\*!\d+ [^*]*\*/`)

// across is a definition by which a table can be compared with one of the other
// flavour: its columns by name, type and character set, its keys without what
// only one flavour takes. Collations, defaults, checks and partitions are
// written in too many ways.
func (c Create) across(t *Table) Create {
	plain := Create{Primary: c.Primary, Foreign: c.Foreign, Options: autoValue.FindString(c.Options)}
	for _, col := range t.Columns {
		full, charset := col.Full, strings.Replace(col.Charset, "utf8mb3", "utf8", 1)
		switch {
		case col.Type == "json":
			full, charset = "longtext", "utf8mb4" // as MariaDB has it
		case intTypes[col.Type]:
			full = Same(full)
		}
		def := Ident(col.Name) + " " + full
		if charset != "" {
			def += " CHARACTER SET " + charset
		}
		if !col.Nullable {
			def += " NOT NULL"
		}
		plain.Columns = append(plain.Columns, def)
	}
	for _, k := range c.Keys {
		plain.Keys = append(plain.Keys, commentFor.ReplaceAllString(k, ""))
	}
	return plain
}
