package ledger

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"influxmirror/internal/mirror"
)

// One changed letter in the text of the schema leaves a sound database that is no ledger.
func TestSchemaText(t *testing.T) {
	want, all := damageGroups(), files(t, true)
	for _, text := range []string{"as_of  ", "excepted", "WITHOUT", "UNIQUE", "CHECK"} {
		b := []byte(strings.Replace(string(all[dbName]), text, string(rune(text[0]^4))+text[1:], 1))
		if _, rebuilt := checkDamaged(t, filepath.Join(t.TempDir(), "d"), text, map[string][]byte{dbName: b}, want); !rebuilt {
			t.Errorf("%s: not noticed", text)
		}
	}
	b := []byte(strings.Replace(string(all[dbName]), "-- see blob.go", "-- see blob.gp", 1))
	if _, rebuilt := checkDamaged(t, filepath.Join(t.TempDir(), "d"), "comment", map[string][]byte{dbName: b}, want); !rebuilt {
		t.Error("comment: not noticed")
	}
}

// Rows that SQLite finds sound, but that nobody recorded.
func TestTampered(t *testing.T) {
	for _, q := range []string{
		`UPDATE proof SET body = CAST(substr(body, 1, length(body) - 1) || x'00' AS BLOB)`,
		`UPDATE proof SET body = (SELECT body FROM proof ORDER BY id DESC LIMIT 1)`,
		`DELETE FROM proof`,
		`UPDATE summary SET proof = proof % 2 + 1`,
		`UPDATE summary SET source = source - 1`,
		`UPDATE summary SET as_of = as_of + 1`,
		`UPDATE summary SET checked_at = checked_at + 1`,
		`UPDATE summary SET checked_at = -9223372036854775808`,
		`UPDATE summary SET stop = stop + 1`,
		`DELETE FROM summary WHERE pair = 2; UPDATE summary SET pair = 2`,
		`UPDATE summary SET measurement = x'6d656e'`,
		`UPDATE summary SET start = start - 604800000000000`,
		`UPDATE exception SET n = 2 WHERE n = 1`,
		`UPDATE exception SET class = 'expired' WHERE n = 0`,
		`DELETE FROM exception WHERE n = 1`,
		`UPDATE pair SET key = 'z' || key`,
	} {
		l := openTest(t, t.TempDir())
		g, h := oddGroup("mem", 0, 1), oddGroup("mem", 0, 2)
		mustRecord(t, pairOf(t, l, "k"), g)
		mustRecord(t, pairOf(t, l, "k2"), h)
		if _, err := l.w.Exec(q); err != nil {
			t.Fatal(err)
		}
		known := map[string]mirror.Summary{"k": g.Summary(), "k2": h.Summary()}
		for key, want := range map[string]mirror.Group{"k": g, "k2": h} {
			p := pairOf(t, l, key)
			sums, err := p.Summaries(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range sums {
				if s != known[key] {
					t.Errorf("%s: claims %v", q, s)
				}
			}
			before, rows := l.Dropped(), count(t, l, p)
			got := getGroup(t, p, want)
			if len(got.Proofs)+len(got.Exceptions) != 0 && !reflect.DeepEqual(got, want) {
				t.Errorf("%s: a group that was not recorded", q)
			}
			if dropped := l.Dropped() - before; dropped > 0 && count(t, l, p) != rows-1 {
				t.Errorf("%s: the bad row is still there", q)
			}
			mustRecord(t, p, want)
			if got := getGroup(t, p, want); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: recorded again, and lost", q)
			}
		}
		if l.Dropped() == 0 && !strings.Contains(q, "pair SET key") {
			t.Errorf("%s: not noticed", q)
		}
	}
}

func count(t *testing.T, l *Ledger, p *Pair) (n int) {
	t.Helper()
	if err := l.r.QueryRow(`SELECT count(*) FROM summary WHERE pair = ?`, p.id).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
