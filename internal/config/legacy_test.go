package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const settings = `
# settings of the old script
REMOTE_IP: "[2001:db8::2]:8086"
REMOTE_TOKEN: "rem$$ote${X}=="
REMOTE_ORG: cryo
LOCAL_IP: localhost:8086
LOCAL_TOKEN: loc==
LOCAL_ORG: caltech
REFRESH_RATE: "01:02:03"
RECOVER_DATA_SINCE_DATE: 2024-07-20T00:00:00Z
BUCKETS:
  - cryostat
  - AC_1 north*
  - cryostat
`

func TestLegacy(t *testing.T) {
	env := environ(map[string]string{"XDG_STATE_HOME": "/s"})
	load := func(text string) *Config {
		t.Helper()
		c, err := Load(filepath.Join(write(t, "settings.yaml", text), "settings.yaml"), env)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := load(settings)
	remote, local := c.Endpoint("remote"), c.Endpoint("local")
	if !c.Legacy || remote.URL.String() != "http://[2001:db8::2]:8086" || local.URL.String() != "http://localhost:8086" {
		t.Errorf("%v %v", remote, local)
	}
	if remote.Token().Reveal() != "rem$$ote${X}==" || local.Token().Reveal() != "loc==" || remote.Org != "cryo" || local.Org != "caltech" {
		t.Error("tokens and organisations")
	}
	if len(c.Warnings) != 1 || c.Warnings[0] != "line 14: bucket cryostat is named twice; leave one out" || len(c.Mirrors) != 2 {
		t.Errorf("%v", c.Warnings)
	}
	m := c.Mirror("AC_1 north*")
	if m.From.String() != "remote:AC_1 north*" || m.To.String() != "local:AC_1 north*" || m.Log.String() != "local:Logging" {
		t.Errorf("%v", m)
	}
	if m.Wait != time.Hour+2*time.Minute+3*time.Second || m.Since.Format(time.RFC3339) != "2024-07-20T00:00:00Z" {
		t.Errorf("%v %v", m.Wait, m.Since)
	}
	if filepath.Dir(c.StateDir) != "/s/influxmirror" || len(filepath.Base(c.StateDir)) != 16 {
		t.Error(c.StateDir)
	}

	same := load(strings.NewReplacer("localhost:8086", "http://LOCALHOST:8086/", "01:02:03", "00:00:00").Replace(settings))
	if same.StateDir != c.StateDir {
		t.Error("another way to write an address gives another state")
	}
	if same.Mirrors[0].Wait != time.Second || len(same.Warnings) != 2 {
		t.Errorf("%v", same.Warnings)
	}
	swapped := load(strings.NewReplacer("REMOTE_", "LOCAL_", "LOCAL_", "REMOTE_").Replace(settings))
	if swapped.StateDir != c.SwappedStateDir || swapped.SwappedStateDir != c.StateDir || c.StateDir == swapped.StateDir {
		t.Error("the state of the other direction is not named")
	}
}
