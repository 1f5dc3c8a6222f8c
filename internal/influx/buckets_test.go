package influx_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"influxmirror/influxtest"
	"influxmirror/internal/influx"
	"influxmirror/internal/mirror"
	"influxmirror/test/servers"
)

func lister(t *testing.T, s *influxtest.Server, org string, login influx.Login) *influx.Client {
	t.Helper()
	return listerAt(t, s.URL, org, login)
}

func listerAt(t *testing.T, at, org string, login influx.Login) *influx.Client {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	return influx.New(influx.Options{Side: mirror.SourceSide, URL: u, Org: org, Login: func() (influx.Login, error) { return login, nil }})
}

func names(all []influx.Listed) (out []string) {
	for _, l := range all {
		out = append(out, strings.TrimSuffix(l.Name+" "+l.Also, " "))
	}
	return out
}

// TestBuckets: what the token sees, over several pages, by name.
func TestBuckets(t *testing.T) {
	s := influxtest.NewServer(influxtest.Options{})
	defer s.Close()
	var want []string
	for i := range 250 {
		want = append(want, fmt.Sprintf("b%03d", 249-i))
		s.CreateBucket(want[i], 0, 0)
	}
	all, err := lister(t, s, s.Org, influx.Login{Token: s.Token}).Buckets(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := names(all)
	if len(got) < 250 || !strings.Contains(strings.Join(got, " "), "b000 b001 b002") || !strings.Contains(strings.Join(got, " "), "b248 b249") {
		t.Errorf("%d: %v", len(got), got)
	}
	all, err = lister(t, s, s.Org, influx.Login{Token: s.CreateToken([]string{"b007"}, nil)}).Buckets(context.Background())
	if d := cmp.Diff([]string{"b007"}, names(all)); d != "" || err != nil {
		t.Error(d, err)
	}
	for want, c := range map[string]*influx.Client{
		"org and token_file are missing": lister(t, s, "", influx.Login{}),
		"org is missing":                 lister(t, s, "", influx.Login{Token: s.Token}),
		"no username and password":       lister(t, s, "", influx.Login{User: "u", Password: "p"}),
		"check org: nope":                lister(t, s, "nope", influx.Login{Token: s.Token}),
	} {
		_, err := c.Buckets(context.Background())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestBucketsOfOldServers: a database stands for its default retention policy, and each other policy for itself.
func TestBucketsOfOldServers(t *testing.T) {
	s := influxtest.NewServer(influxtest.Options{Version: influxtest.V1})
	defer s.Close()
	for _, name := range []string{"plant", "plant/week", "b/forever", "a"} {
		s.CreateBucket(name, 0, 0)
	}
	all, err := lister(t, s, "", influx.Login{}).Buckets(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a a/autogen", "b b/forever", "plant plant/autogen", "plant/week"}, names(all)); d != "" {
		t.Error(d)
	}
}

// TestBucketsReal: paging and policies as real servers have them.
func TestBucketsReal(t *testing.T) {
	t.Run("2", func(t *testing.T) {
		s := servers.Start(t, servers.V2, servers.Auth)
		var want []string
		for i := range 120 {
			want = append(want, fmt.Sprintf("b%03d", i))
			s.CreateBucket(want[i], 0, 0)
		}
		all, err := listerAt(t, s.URL, s.Org, influx.Login{Token: s.Token}).Buckets(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, name := range names(all) {
			if strings.HasPrefix(name, "b") && len(name) == 4 {
				got = append(got, name)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if listed := strings.Join(names(all), " "); !strings.Contains(listed, "_monitoring _tasks") {
			t.Error(listed)
		}
	})
	t.Run("1", func(t *testing.T) {
		s := servers.Start(t, servers.V1, servers.Auth)
		for _, name := range []string{"plant", "plant/week", "b/forever", "hidden"} {
			s.CreateBucket(name, 0, 0)
		}
		s.CreateUser("reader", "pw", "READ plant", "READ b")
		all, err := listerAt(t, s.URL, "", influx.Login{User: "reader", Password: "pw"}).Buckets(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		t.Log(names(all))
		if listed := strings.Join(names(all), ","); !strings.Contains(listed, "b/forever") || !strings.Contains(listed, "plant plant/autogen,plant/week") || strings.Contains(listed, "hidden") || strings.Contains(listed, "_internal") {
			t.Error(listed)
		}
	})
}
