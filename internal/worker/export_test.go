package worker

import (
	"io"
	"log/slog"
	"time"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/tensor"
)

// What a worker that lies needs to speak the protocol, and the parsers of what it says.

const (
	OpRun, OpGrow, OpDone, OpError = opRun, opGrow, opDone, opError
	OpLoaded, OpFailed, OpPong     = opLoaded, opFailed, opPong
	OpCancel, OpPing, OpStop       = opCancel, opPing, opStop
	MaxMessage, HeaderSize         = maxMessage, headerSize
	KeptOutput                     = keptOutput
)

type (
	Op       = op
	Restarts = restarts
	Output   = output
)

// Fields are those of a header.
type Fields struct {
	Op            op
	Slot          uint32
	Sequence      uint64
	Status, Count uint32
	Size          uint64
}

func (f Fields) Append(b []byte) []byte {
	return header{f.Op, f.Slot, f.Sequence, f.Status, f.Count, f.Size}.append(b)
}

func Parse(message []byte) (Fields, []byte, error) {
	h, body, err := parse(message)
	return Fields{h.op, h.slot, h.sequence, h.status, h.count, h.size}, body, err
}

func NewOutput(log *slog.Logger, records int) *Output { return &output{log: log, records: records} }

func (o *output) Read(r io.Reader) { o.read(r) }

func (o *output) Tell() { o.tell(false) }

func (o *output) Crash() string { return o.crash() }

func NewRestarts(cfg Config) *Restarts { return &restarts{cfg: cfg} }

func (r *restarts) Died(now, ready time.Time) (time.Duration, bool) { return r.died(now, ready) }

func ParseError(status uint32, body []byte) (*fault.Error, error) {
	return parseError(header{status: status}, body, "test")
}

func AppendError(err error) []byte { return appendError(nil, err) }

func ParseReport(text []byte) (inference.Signature, inference.SessionInfo, error) {
	r, err := parseReport(text)
	if err != nil {
		return inference.Signature{}, inference.SessionInfo{}, err
	}
	return r.Signature, r.Session, nil
}

func AppendOutputs(specs []inference.Spec, out []tensor.Tensor, offsets []int) []byte {
	return appendOutputs(nil, specs, out, offsets)
}

func ParseOutputs(body []byte, specs []inference.Spec, region []byte) ([]tensor.Tensor, error) {
	return parseOutputs(body, specs, region, nil)
}

func AppendInputs(specs []inference.Spec, in []inference.Input) []byte {
	return appendInputs(nil, specs, in)
}

func ParseInputs(body []byte, specs []inference.Spec) ([]inference.Input, error) {
	return parseInputs(body, specs, nil)
}

var (
	Receive = receive
	Post    = post
	OOBSize = oobSize
)

// Process returns the process id of a session's worker.
func (s *Session) Process() int { return s.current().pid }
