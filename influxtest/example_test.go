package influxtest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"influxmirror/influxtest"
)

func Example() {
	srv := influxtest.NewServer(influxtest.Options{})
	defer srv.Close()
	srv.CreateBucket("lab", 0, 0)
	srv.Write("lab", "temp,room=1 v=21.5 1000\ntemp,room=2 v=19 1000")

	fault := srv.Fault(influxtest.Queries, influxtest.Status(503, 0, "busy")).Times(1)
	for range 2 {
		req, _ := http.NewRequest("POST", srv.URL+"/query?db=lab&epoch=ns", strings.NewReader(url.Values{"q": {"SELECT * FROM temp"}}.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Authorization", "Token "+srv.Token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Print(resp.StatusCode, " ", string(body))
	}
	fmt.Println("faults:", fault.Fired(), "requests:", len(srv.Requests()))
	// Output:
	// 503 busy
	// 200 {"results":[{"statement_id":0,"series":[{"name":"temp","columns":["time","room","v"],"values":[[1000,"1",21.5],[1000,"2",19]]}]}]}
	// faults: 1 requests: 2
}
