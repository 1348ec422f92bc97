package cli

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"verge/client"
)

type shadowCommand struct {
	Model        string        `arg:"" help:"The version that is compared, which is loaded at another stage: NAME.STAGE or NAME@N."`
	Sample       string        `default:"10%" placeholder:"SHARE" help:"How much of what clients ask is asked of it too, such as 10%; 10% unless given."`
	For          time.Duration `default:"1m" placeholder:"TIME" help:"How long; 1m unless given."`
	MinAgreement float64       `default:"0.99" placeholder:"SHARE" help:"Least share of answers that agree; 0.99 unless given."`
	Tolerance    float64       `placeholder:"NUMBER" help:"How far floats may be off, absolute and relative; at the least what the deployment file says."`
	JSON         bool          `help:"Print events, one JSON object a line."`
}

// Validate is called by kong.
func (s *shadowCommand) Validate() error {
	if _, err := s.share(); err != nil {
		return err
	}
	if s.For <= 0 || s.For > time.Hour {
		return errors.New("--for wants a time above 0 and up to 1h")
	}
	return nil
}

// share is --sample as a number.
func (s *shadowCommand) share() (float64, error) {
	const percent = 100
	text, isPercent := strings.CutSuffix(s.Sample, "%")
	share, err := strconv.ParseFloat(text, 64)
	if isPercent {
		share /= percent
	}
	if err != nil || !(share > 0 && share <= 1) {
		return 0, errors.New("--sample wants a share above 0 and up to 100%, such as 10%")
	}
	return share, nil
}

// Run compares, and shows the verdict.
func (s *shadowCommand) Run(c *call) error {
	share, err := s.share()
	if err != nil {
		return err
	}
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	req := client.ShadowRequest{Sample: share, Seconds: s.For.Seconds(), MinAgreement: s.MinAgreement, Tolerance: s.Tolerance}
	shown := newView(c.std, s.JSON)
	defer shown.close()
	return c.verdicts(node.Shadow(c, s.Model, req), shown, s.JSON)
}
