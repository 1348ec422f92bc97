package client

import (
	"context"
	"net/http"
)

// ServerMetadata is what a node says about itself over the Open Inference Protocol.
type ServerMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

// ModelMetadata is a model's signature.
type ModelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []TensorMetadata `json:"inputs"`
	Outputs  []TensorMetadata `json:"outputs"`
}

// TensorMetadata is one input or output of a model.
type TensorMetadata struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"` // "FP32"; see Tensor
	Shape    []int64 `json:"shape"`    // -1 is a dynamic dimension
}

// Live returns nil where the node's process answers.
func (c *Client) Live(ctx context.Context) error {
	return c.call(ctx, http.MethodGet, "/v2/health/live", nil, nil)
}

// Ready returns nil where the node can serve, and else an *Error with the reason.
func (c *Client) Ready(ctx context.Context) error {
	return c.call(ctx, http.MethodGet, "/v2/health/ready", nil, nil)
}

// ModelReady returns nil where the model can answer, and else an *Error with
// the reason. An empty version means the one that serves.
func (c *Client) ModelReady(ctx context.Context, model, version string) error {
	return c.call(ctx, http.MethodGet, modelRoute(model, version)+"/ready", nil, nil)
}

// ServerMetadata returns the node's name, version and protocol extensions.
func (c *Client) ServerMetadata(ctx context.Context) (*ServerMetadata, error) {
	var m ServerMetadata
	if err := c.call(ctx, http.MethodGet, "/v2", nil, &m); err != nil {
		return nil, err
	}
	return &m, nil
}

// ModelMetadata returns a model's signature. An empty version means the one
// that serves.
func (c *Client) ModelMetadata(ctx context.Context, model, version string) (*ModelMetadata, error) {
	var m ModelMetadata
	if err := c.call(ctx, http.MethodGet, modelRoute(model, version), nil, &m); err != nil {
		return nil, err
	}
	return &m, nil
}

func modelRoute(model, version string) string {
	if version == "" {
		return route("v2", "models", model)
	}
	return route("v2", "models", model, "versions", version)
}
