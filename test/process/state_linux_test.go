package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What somebody does to the state directory of a service that runs. It is noticed within a minute and the service ends with 11, or it goes on and
// is right; the next start says what happened, needs no hand, and makes everything equal.
func TestStateUnderTheService(t *testing.T) {
	for n, c := range []struct {
		name string
		ends bool // with 11, within a minute, whether anything is written meanwhile or not
		busy bool // the source goes on
		do   func(p *place, ledger string)
	}{
		{"ledger deleted", true, false, func(p *place, ledger string) { p.must(os.Remove(ledger)) }},
		{"everything deleted", true, true, func(p *place, _ string) { p.must(os.RemoveAll(p.state)) }},
		{"directory renamed away", true, true, func(p *place, _ string) { p.must(os.Rename(p.state, p.state+".away")) }},
		{"lock deleted", true, false, func(p *place, _ string) { p.must(os.Remove(filepath.Join(p.state, "lock"))) }},
		{"log deleted", true, false, func(p *place, ledger string) { p.must(os.Remove(ledger + "-wal")) }},
		{"replaced by an older copy", true, true, func(p *place, ledger string) { p.must(os.Rename(filepath.Join(p.dir, "older.db"), ledger)) }},
		{"overwritten in place with an older copy", false, true, func(p *place, ledger string) {
			b, err := os.ReadFile(filepath.Join(p.dir, "older.db"))
			p.must(err)
			p.must(os.WriteFile(ledger, b, 0o600))
		}},
		{"truncated", false, true, func(p *place, ledger string) { p.must(os.Truncate(ledger, 5000)) }},
		{"emptied", false, true, func(p *place, ledger string) { p.must(os.Truncate(ledger, 0)) }},
		{"log truncated", false, true, func(p *place, ledger string) { p.must(os.Truncate(ledger+"-wal", 100)) }},
		{"bits flipped", false, true, func(p *place, ledger string) { p.flip(ledger) }},
		{"bits of the log flipped", false, true, func(p *place, ledger string) { p.flip(ledger + "-wal") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, 2000+uint64(n))
			ledger := filepath.Join(p.state, "ledger.db")
			p.want(0, "sync")
			b, err := os.ReadFile(ledger)
			p.must(err)
			p.file("older.db", string(b))
			p.edit()
			s := p.start("run")
			p.says(s, "in sync, lag", 1)
			until(t, "equal sides", p.equal)
			c.do(p, ledger)
			began := time.Now()
			until(t, "an end, or equal sides", func() bool {
				select {
				case <-s.done:
					return true
				default:
				}
				if c.busy && time.Since(began) < 5*time.Second { // then it has to settle
					p.src.Write(bucket, p.line(p.rnd.IntN(4), p.begun.UnixNano()-p.rnd.Int64N(int64(3*week))))
					time.Sleep(50 * time.Millisecond)
				}
				return !c.ends && time.Since(began) > 6*time.Second && p.equal()
			})
			select {
			case <-s.done:
				if took := time.Since(began); c.ends && took > time.Minute {
					t.Errorf("noticed after %v", took)
				}
				if code := s.code(); code != 11 || !strings.Contains(s.said(), p.state) || !strings.Contains(s.said(), "nothing is lost") {
					t.Errorf("exit %d:\n%s", code, s.said())
				}
			default:
				p.stopped(s)
			}
			t.Log(strings.ReplaceAll(s.said(), p.dir, "…"))
			p.quiet()
			p.edit()
			p.honest()
			said := p.want(0, "sync")
			t.Log(strings.ReplaceAll(said, p.dir, "…"))
			p.identical()
			p.untrue(p.changed, p.claims())
			p.want(0, "verify", "--full")
		})
	}
}

// While a service runs no second one starts, whatever happened to the files beside the lock.
func TestSecondService(t *testing.T) {
	p := newPlace(t, 3000)
	s := p.start("run")
	p.says(s, "in sync, lag", 1)
	p.want(10, "run")
	p.want(10, "sync")
	for _, name := range []string{"lock.json", "generation", "ledger.db-shm"} {
		p.must(os.Remove(filepath.Join(p.state, name)))
	}
	p.want(10, "run")
	s.kill()
	p.quiet()
	p.edit()
	said := p.want(0, "sync")
	t.Log(said)
	p.identical()
	p.untrue(p.changed, p.claims())
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// flip flips a bit on each page of a file.
func (p *place) flip(name string) {
	p.t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	p.must(err)
	defer f.Close()
	info, err := f.Stat()
	p.must(err)
	var b [1]byte
	for at := int64(200); at < info.Size(); at += 4096 {
		_, err := f.ReadAt(b[:], at)
		p.must(err)
		b[0] ^= 1 << (at / 4096 % 8)
		_, err = f.WriteAt(b[:], at)
		p.must(err)
	}
}
