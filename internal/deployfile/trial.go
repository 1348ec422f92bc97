package deployfile

import (
	"regexp"
	"time"

	"verge/internal/document"
)

// Shadow says how a candidate is asked what clients ask of the version that serves, before
// it serves itself. Its answers are compared with theirs, and thrown away.
type Shadow struct {
	Sample       float64  `json:"sample" jsonschema:"exclusiveMinimum=0,maximum=1" jsonschema_description:"Share of the requests that the candidate is asked too. 0.1 where it is not given."`
	Duration     Duration `json:"duration" jsonschema_description:"How long, such as 90s; at most 1h. 1m where it is not given."`
	MinAgreement float64  `json:"min_agreement" jsonschema:"minimum=0,maximum=1" jsonschema_description:"Least share of the answers that agree: by the highest score where they have scores, else within tests.functional_test.tolerance. 0.99 where it is not given."`
}

// Canary says how a candidate answers a share of what clients ask, before it answers all of
// it. Where it breaks a limit of Observe, it does not.
type Canary struct {
	Share       float64  `json:"share" jsonschema:"exclusiveMinimum=0,maximum=1" jsonschema_description:"Share of the requests that the candidate answers. 0.1 where it is not given."`
	Duration    Duration `json:"duration" jsonschema_description:"How long, such as 90s; at most 1h. 5m where it is not given."`
	Header      string   `json:"header,omitempty" jsonschema:"maxLength=128,pattern=^[A-Za-z0-9_-]+$" jsonschema_description:"Name of a header of requests: those with the same value of it are answered by the same version. Requests without it are shared out by chance."`
	MinRequests int      `json:"min_requests" jsonschema:"minimum=20,maximum=1000000" jsonschema_description:"Requests below which it cannot tell. 100 where it is not given."`
}

// trials fills in what the file does not say of shadow and canary.
func (c *checker) trials() {
	const share, least = 0.1, 100
	if n, s := c.root.Get("shadow"), c.file.Shadow; s != nil {
		unlessGiven(n, "sample", &s.Sample, share)
		unlessGiven(n, "duration", &s.Duration, Duration(time.Minute))
		unlessGiven(n, "min_agreement", &s.MinAgreement, 0.99)
	}
	if n, k := c.root.Get("canary"), c.file.Canary; k != nil {
		if header := n.Get("header"); header != nil && header.Kind == document.String && !headerName().MatchString(header.Text) {
			c.Wrong("canary.header", header, "the name of a header: letters, digits, - and _")
		}
		unlessGiven(n, "share", &k.Share, share)
		unlessGiven(n, "duration", &k.Duration, Duration(5*time.Minute))
		unlessGiven(n, "min_requests", &k.MinRequests, least)
	}
}

func headerName() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_-]+$`) }
