package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"verge/client"
	"verge/internal/fault"
)

type shadowCommand struct {
	Model        modelArg      `arg:"" help:"The version that is compared, which is loaded at another stage: NAME.STAGE or NAME@N."`
	Sample       string        `default:"10%" placeholder:"SHARE" help:"How much of what clients ask is asked of it too, such as 10%; 10% unless given."`
	For          time.Duration `default:"1m" placeholder:"TIME" help:"How long; 1m unless given."`
	MinAgreement string        `default:"99%" placeholder:"SHARE" help:"Least share of answers that agree; 99% unless given."`
	Tolerance    float64       `placeholder:"NUMBER" help:"How far floats may be off, absolute and relative; at the least what the deployment file says."`
	JSON         bool          `help:"Print events, one JSON object a line."`

	sample, least float64 // from Validate
}

// Validate is called by kong.
func (s *shadowCommand) Validate() error {
	sample, wrong := share(s.Sample)
	least, alsoWrong := share(s.MinAgreement)
	switch {
	case wrong != nil || sample == 0:
		return fmt.Errorf("--sample is %s, want a share above 0 and up to 100%%, such as 10%%", fault.Quote(s.Sample))
	case alsoWrong != nil:
		return fmt.Errorf("--min-agreement is %s, want a share of 0 to 100%%, such as 99%%", fault.Quote(s.MinAgreement))
	case !(s.Tolerance >= 0 && s.Tolerance <= 1):
		return fmt.Errorf("--tolerance is %g, want a number from 0 to 1", s.Tolerance)
	case s.For <= 0 || s.For > time.Hour:
		return fmt.Errorf("--for is %v, want a time above 0 and up to 1h", s.For)
	}
	s.sample, s.least = sample, least
	return nil
}

// share reads a share of 0 to 1, or in percent.
func share(text string) (float64, error) {
	const percent = 100
	number, isPercent := strings.CutSuffix(text, "%")
	part, err := strconv.ParseFloat(number, 64)
	if isPercent {
		part /= percent
	}
	if err == nil && !(part >= 0 && part <= 1) {
		err = errors.New("out of range")
	}
	return part, err
}

// Run compares, and shows the verdict.
func (s *shadowCommand) Run(c *call) error {
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	req := client.ShadowRequest{Sample: s.sample, Seconds: s.For.Seconds(), MinAgreement: s.least, Tolerance: s.Tolerance}
	shown := newView(c.std, s.JSON)
	defer shown.close()
	return c.verdicts(node.Shadow(c, string(s.Model), req), shown, s.JSON)
}
