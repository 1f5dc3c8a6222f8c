package conformance

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/url"
	"strings"
)

var writeCases = []testCase{
	{"fact 15: lines that do not parse", both, func(c *scene) {
		b := c.bucket("parse", day)
		for _, l := range []string{"bad line here", "g,x f=1 6", "n v=NaN 1", "n v=1e400 1", "n v=9223372036854775808i 1", "n v=18446744073709551616u 1", "n,t= v=1 1", `n,t=a\ v=1 1`, "n,a=1,a=2 v=1 1", "n", "n ", "n v", "n v= 1", "n =1 1", "n,=1 v=1 1",
			",a=1 v=1 1", "n v=tru 1", `n v="x 1`, "n v=1 1 2", "n v=1 abc", "n v=1i2 1", "n v=+1 1", "n v=.5 1", "n v=1. 1", "n v=1e5 1", "n v=-1e-5 1", "n v=0x1 1", "n v=inf 1", "n v=1,w 1", "n v=1,,w=2 1", "n v=--1 1", "n v=-i 1"} {
			c.write(b, l)
			c.write(b, "good v=1 1\n"+l)
		}
		c.query(b, "SELECT *::field,*::tag FROM good")
		c.query(b, "SELECT *::field,*::tag FROM n")
	}},
	{"fact 15: comments, empty lines, empty bodies", both, func(c *scene) {
		b := c.bucket("empty", day)
		for _, l := range []string{"", "\n", "# comment", "  m v=1 1", "m v=2 2\r\nm v=3 3\r\n", "\n\nm v=4 4\n# x\n"} {
			c.write(b, l)
		}
		c.query(b, "SELECT v FROM m")
	}},
	{"fact 15: where a line ends", both, func(c *scene) {
		b := c.bucket("ends", day)
		for i, l := range []string{"\rm v=1 1", "\vm v=1 1", `m,k\\ x=a"b v=1 1` + "\n", `m,k\\ x=a"b v=2 2` + "\nn v=1 1\n", `m\\ b=c"d v=1 1` + "\nn v=1 2", `m,t=v\\ \=\,,k=x f\ \=J"=-0.1 3` + "\nn v=1 3\n",
			`m s="a` + "\n" + `b=\"c\",d" 4` + "\nn v=1 4\n", `m,t=\\ v=1 5` + "\n", `m,t=\\ ,u=" v=1 6` + "\nn v=1 6",
			`m,t=a\\,b s="x` + "\nsplit0 v=1 7\n" + `y" 7`, `a\\ ,t\\,=v s="x` + "\nsplit v=1 7\n" + `y" 7`} { // the newline in the text is taken for the end of the line
			c.write(b, l)
			c.write(b, fmt.Sprintf("after i=%di %d\n", i, i)+l)
		}
		for _, m := range []string{"m", "n", "after", "split", "split0", "\"\vm\""} {
			c.query(b, "SELECT *::field FROM "+m+" GROUP BY *")
		}
		c.query(b, "SHOW SERIES")
	}},
	{"fact 15, 16: type conflicts", not16, func(c *scene) {
		b := c.bucket("conflict", day)
		c.write(b, `m v="x",f=1 1`)
		for _, l := range []string{"m v=1 2", "m ok=1i,v=1i 3", "m f=1i 4\nother x=1 4", "m v=1 5\nm f=true 5\nm z=1 5", "m v=1 " + at(40*day, 0), "n v=1,v=\"x\" 1", "n2 v=1,v=2 1"} {
			c.write(b, l)
		}
		c.query(b, "SELECT *::field FROM m GROUP BY *")
		c.query(b, "SELECT *::field FROM other")
		c.query(b, "SELECT *::field FROM n2")
		c.query(b, "SHOW FIELD KEYS")
		c.query(b, "EXPLAIN SELECT *::field FROM m WHERE time < 10")
	}},
	{"fact 18: what cannot be written", not16, func(c *scene) {
		b := c.bucket("never", day)
		for _, l := range []string{"n,time=x v=1 1", "n time=5 1", "n time=5,z=1 1", "#x v=1 1", `\#x v=1 1`, "n,_field=x v=1 1", "n,_measurement=x v=1 1", `m\ v=1 1`, `n,k\=1 v=1 1`, `n f\=1 1`, "n,a=b\nc v=1 1"} {
			c.write(b, l)
		}
		for _, m := range []string{"n", "m", `"m v=1"`, `"#x"`, `"\\#x"`} {
			c.query(b, "SELECT *::field,*::tag FROM "+m)
		}
		c.query(b, "SHOW SERIES")
		c.query(b, "SHOW FIELD KEYS")
	}},
	{"fact 18: what can", both, func(c *scene) {
		b := c.bucket("odd", day)
		c.write(b, strings.Join([]string{`a\,b\ c,t\,1\ \==v\,1\ \= f\,1\ \==1,s="a\"b\\c\d, = 	" 1`, "nl s=\"two\nlines\",t=\"x\\\\\" 2", `back\slash,t=a\b f\g=1 3`, `eq=m,t=1 v=1 4`, "ü,ö=ä é=\"ß\" 5", "q\"m,t\"=\"v\" \"f\"=1 6", `e s="",b=F 7`,
			`mm,z=1,a=2 v=1 8`, `mm,a=2,z=1 w=2 8`, `c,t=# #f=1 9`}, "\n"))
		for _, m := range []string{`"a,b c"`, "nl", `"back\\slash"`, `"eq=m"`, `"ü"`, `"q\"m"`, "e", "mm", "c"} {
			c.query(b, "SELECT *::field,*::tag FROM "+m)
			c.query(b, "SELECT *::field FROM "+m+" GROUP BY *")
			c.query(b, "EXPLAIN SELECT *::field,*::tag FROM "+m)
		}
		c.query(b, "SHOW SERIES")
		c.query(b, "SHOW FIELD KEYS")
		c.query(b, "SHOW TAG KEYS")
		c.query(b, "SHOW MEASUREMENTS")
	}},
	{"fact 19: the later write wins", both, func(c *scene) {
		b := c.bucket("again", day)
		c.write(b, "m,t=1 v=1,w=1i 1\nm,t=1 v=2 1")
		c.write(b, "m,t=1 v=3 1\nm,t=1 v=3 1\nm,t=1 u=true 1\nm,t=1 v=0 0")
		c.want(c.query(b, "SELECT *::field FROM m GROUP BY *"), "[0 mmap[t:1][time u v w] (0i null 0f null; 1i true 3f 1i)]")
		c.query(b, "SELECT count(*::field) FROM m")
	}},
	{"fact 20: precision", not16, func(c *scene) {
		b := c.bucket("precision", day)
		for _, p := range []string{"ns", "us", "ms", "s", "", "n", "u", "m", "h", "auto"} {
			q := url.Values{"bucket": {b}, "orgID": {c.orgID}, "precision": {p}}
			path := "/api/v2/write?" + q.Encode()
			if c.v1 {
				path = "/write?" + url.Values{"db": {b}, "precision": {p}}.Encode()
			}
			status, _, body := c.send("POST", path, "", nil, "m v=1 7\nm v=2 86401")
			c.keep("precision "+p, refusal(status, body))
		}
		c.query(b, "SELECT v FROM m")
	}},
	{"fact 15: where and how", both, func(c *scene) {
		b := c.bucket("where", day)
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write([]byte("m v=1 1"))
		_ = z.Close()
		paths := []string{"/write", "/write?db=where", "/write?db=nosuch", "/write?db=where&rp=nosuch", "/write?db=where&rp=autogen"}
		if !c.v1 {
			org := "orgID=" + c.orgID
			paths = []string{"/api/v2/write?" + org + "&bucket=where", "/api/v2/write?org=lab&bucket=where", "/api/v2/write?org=" + c.orgID + "&bucket=where", "/api/v2/write?" + org, "/api/v2/write?bucket=where", "/api/v2/write?org=nosuch&bucket=where",
				"/api/v2/write?orgID=zz&bucket=where", "/api/v2/write?orgID=0000000000000001&bucket=where", "/api/v2/write?" + org + "&bucket=nosuch", "/api/v2/write?" + org + "&bucket=0000000000000001"}
		}
		for _, p := range paths {
			status, _, body := c.send("POST", p, "", nil, "m v=1 1")
			c.keep(p, refusal(status, body))
			status, _, body = c.send("POST", p, "", []string{"Content-Encoding", "gzip"}, packed.String())
			c.keep("gzip "+p, refusal(status, body))
			status, _, body = c.send("POST", p, "", []string{"Content-Encoding", "gzip"}, "not gzip")
			c.keep("not gzip "+p, refusal(status, body))
		}
		c.query(b, "SELECT v FROM m")
	}},
}
