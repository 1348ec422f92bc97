package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"
)

// headerLength is where a message's JSON ends and its binary tensors begin; a
// message without it is all JSON.
const headerLength = "Inference-Header-Content-Length"

// InferRequest asks a model for an answer.
type InferRequest struct {
	Model   string
	Version string // "" for the one that serves
	ID      string // comes back in the answer; may be ""

	// Inputs are matched by name. Where none has a name, they are matched by
	// position, with the names that the model's metadata has in that order.
	Inputs []Tensor

	// Outputs are what is to be returned; none means all.
	Outputs []Output

	// Timeout is how long the node may take, in whole microseconds; 0 leaves it
	// to the node. It is apart from ctx, which bounds the call as a whole.
	Timeout time.Duration

	// Header is sent with the request, such as the one by which a canary knows its clients
	// again. What Infer sets itself goes before it.
	Header http.Header

	// JSON sends and asks for tensors as JSON numbers, for looking at by eye.
	// Without it they are binary, which is faster and exact; FP16 and BF16, and
	// answers with NaN or infinities, exist in binary only.
	JSON bool
}

// Output is one output to be returned.
type Output struct {
	Name    string
	Classes int // over 0: the best so many classes as strings "value:index[:label]" instead of the tensor
}

// InferResponse is a model's answer.
type InferResponse struct {
	Model   string
	Version string
	ID      string
	Outputs []Tensor // their Data are parts of one piece of memory that the caller owns
}

// Output returns the output with that name, or nil.
func (r *InferResponse) Output(name string) *Tensor {
	for i := range r.Outputs {
		if r.Outputs[i].Name == name {
			return &r.Outputs[i]
		}
	}
	return nil
}

// Infer asks a model for an answer. A request that contradicts itself fails
// with kind "invalid" and is not sent.
func (c *Client) Infer(ctx context.Context, req InferRequest) (*InferResponse, error) {
	if req.Model == "" {
		return nil, invalid("the request names no model")
	}
	inputs, byPosition, err := c.nameInputs(ctx, &req)
	if err != nil {
		return nil, err
	}
	req.Inputs = inputs
	header, blobs, err := encodeRequest(&req)
	if err != nil {
		return nil, err
	}
	body, length := joinParts(header, blobs)
	resp, err := c.send(ctx, http.MethodPost, modelRoute(req.Model, req.Version)+"/infer", nil, func(r *http.Request) {
		for name, values := range req.Header {
			r.Header[http.CanonicalHeaderKey(name)] = values
		}
		r.Body, r.ContentLength = io.NopCloser(body()), length
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(body()), nil }
		r.Header["Idempotency-Key"] = []string{} // not sent: lets net/http repeat it where an idle connection was closed
		if req.JSON {
			r.Header.Set("Content-Type", "application/json")
			return
		}
		r.Header.Set("Content-Type", "application/octet-stream")
		r.Header.Set(headerLength, strconv.Itoa(len(header)))
	})
	if err != nil {
		if byPosition {
			c.forget(req.Model, req.Version) // the names may have changed with the version
		}
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	text, err := c.readAll(ctx, resp, c.answerLimit)
	if err != nil {
		return nil, err
	}
	answer, err := decodeAnswer(text, resp.Header.Values(headerLength))
	if err == nil {
		err = answer.fits(&req)
	}
	if err != nil {
		return nil, c.badAnswer("%v", err)
	}
	return answer, nil
}

// joinParts returns a maker of readers over a header and the blobs behind it,
// and their length together, without copying them.
func joinParts(header []byte, blobs [][]byte) (body func() io.Reader, length int64) {
	length = int64(len(header))
	for _, b := range blobs {
		length += int64(len(b))
	}
	return func() io.Reader {
		parts := []io.Reader{bytes.NewReader(header)}
		for _, b := range blobs {
			parts = append(parts, bytes.NewReader(b))
		}
		return io.MultiReader(parts...)
	}, length
}

// nameInputs returns the inputs with their names.
func (c *Client) nameInputs(ctx context.Context, req *InferRequest) (inputs []Tensor, byPosition bool, err error) {
	named := 0
	for i := range req.Inputs {
		if req.Inputs[i].Name != "" {
			named++
		}
	}
	switch {
	case named == len(req.Inputs):
		return req.Inputs, false, nil
	case named > 0:
		return nil, false, invalid("%d of %d inputs have a name: name all, or none", named, len(req.Inputs))
	}
	metadata, err := c.knownModel(ctx, req.Model, req.Version)
	if err != nil {
		return nil, false, err
	}
	if len(req.Inputs) != len(metadata.Inputs) {
		return nil, false, invalid("got %d inputs, model %q has %d", len(req.Inputs), req.Model, len(metadata.Inputs))
	}
	inputs = append(inputs, req.Inputs...)
	for i := range inputs {
		inputs[i].Name = metadata.Inputs[i].Name
	}
	return inputs, true, nil
}

// knownModel returns a model's metadata, asking for it once.
func (c *Client) knownModel(ctx context.Context, model, version string) (ModelMetadata, error) {
	key := modelRoute(model, version)
	c.mu.Lock()
	metadata, ok := c.models[key]
	c.mu.Unlock()
	if ok {
		return metadata, nil
	}
	m, err := c.ModelMetadata(ctx, model, version)
	if err != nil {
		return ModelMetadata{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.models) >= knownModels {
		clear(c.models)
	}
	c.models[key] = *m
	return *m, nil
}

func (c *Client) forget(model, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.models, modelRoute(model, version))
}

// wireRequest is the JSON part of a request.
type wireRequest struct {
	ID         string         `json:"id,omitempty"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Inputs     []wireTensor   `json:"inputs"`
	Outputs    []wireOutput   `json:"outputs,omitempty"`
}

type wireTensor struct {
	Name       string          `json:"name"`
	Shape      []int64         `json:"shape"`
	Datatype   string          `json:"datatype"`
	Parameters map[string]any  `json:"parameters,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"`
}

type wireOutput struct {
	Name       string         `json:"name"`
	Parameters map[string]any `json:"parameters,omitempty"`
}

// encodeRequest returns the JSON part and what follows it.
func encodeRequest(req *InferRequest) (header []byte, blobs [][]byte, err error) {
	wire := wireRequest{ID: req.ID, Inputs: make([]wireTensor, len(req.Inputs)), Parameters: map[string]any{}}
	if req.Timeout < 0 {
		return nil, nil, invalid("timeout is %s, want 0 or more", req.Timeout)
	}
	if us := req.Timeout.Microseconds(); us > 0 {
		wire.Parameters["timeout"] = us
	}
	if !req.JSON {
		wire.Parameters["binary_data_output"] = true
	}
	for i := range req.Inputs {
		in := &req.Inputs[i]
		if err = in.check(); err != nil {
			return nil, nil, invalid("input %q: %v", in.Name, err)
		}
		wire.Inputs[i] = wireTensor{Name: in.Name, Shape: append([]int64{}, in.Shape...), Datatype: in.Datatype}
		if req.JSON {
			if wire.Inputs[i].Data, err = encodeData(in); err != nil {
				return nil, nil, invalid("input %q: %v", in.Name, err)
			}
			continue
		}
		wire.Inputs[i].Parameters = map[string]any{"binary_data_size": len(in.Data)}
		blobs = append(blobs, in.Data)
	}
	for _, out := range req.Outputs {
		parameters := map[string]any{}
		if out.Classes > 0 {
			parameters["classification"] = out.Classes
		}
		if !req.JSON { // some servers heed only this once outputs are listed
			parameters["binary_data"] = true
		}
		wire.Outputs = append(wire.Outputs, wireOutput{Name: out.Name, Parameters: parameters})
	}
	header, err = json.Marshal(wire)
	return header, blobs, err
}
