package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// Deploy begins a deployment and returns it as it stands; Events tells how it
// goes on. It fails with kind "invalid", and all Problems at once, for a
// deployment file that cannot be used, and with "conflict" while another
// deployment of the model is under way.
func (c *Client) Deploy(ctx context.Context, req DeploymentRequest) (*Deployment, error) {
	var d Deployment
	if err := c.call(ctx, http.MethodPost, "/v1/deployments", req, &d); err != nil {
		return nil, err
	}
	return &d, nil
}

// Deployment returns one deployment with its verdicts.
func (c *Client) Deployment(ctx context.Context, id string) (*Deployment, error) {
	var d Deployment
	if err := c.call(ctx, http.MethodGet, route("v1", "deployments", id), nil, &d); err != nil {
		return nil, err
	}
	return &d, nil
}

// Deployments returns a page of deployments, the newest first.
func (c *Client) Deployments(ctx context.Context, q DeploymentQuery) (*DeploymentList, error) {
	query := url.Values{}
	if q.Model != "" {
		query.Set("model", q.Model)
	}
	if q.Limit > 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.After != "" {
		query.Set("after", q.After)
	}
	path := "/v1/deployments"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	var list DeploymentList
	if err := c.call(ctx, http.MethodGet, path, nil, &list); err != nil {
		return nil, err
	}
	return &list, nil
}

// Cancel ends a deployment that has not switched yet. It fails with kind
// "conflict" for one that has, or that has ended.
func (c *Client) Cancel(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, route("v1", "deployments", id, "cancel"), nil, nil)
}

// Models returns the status of every model.
func (c *Client) Models(ctx context.Context) ([]ModelStatus, error) {
	var list ModelList
	if err := c.call(ctx, http.MethodGet, "/v1/models", nil, &list); err != nil {
		return nil, err
	}
	return list.Models, nil
}

// Model returns the status of one model.
func (c *Client) Model(ctx context.Context, name string) (*ModelStatus, error) {
	var m ModelStatus
	if err := c.call(ctx, http.MethodGet, route("v1", "models", name), nil, &m); err != nil {
		return nil, err
	}
	return &m, nil
}

// Undeploy takes a model out of service: requests in flight end, the worker
// goes, and it does not come back when the node starts again.
func (c *Client) Undeploy(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, route("v1", "models", name), nil, nil)
}

// Rollback begins to serve an earlier version of a model again, as a deployment of its
// own; Events follows it. The deployment of the version that serves is rolled back with the
// switch, and its bytes are refused from then on unless a request says Retry. It fails with
// kind "not_found" for a version that the node does not keep, and with "conflict" while a
// deployment of the model is under way.
func (c *Client) Rollback(ctx context.Context, name string, req RollbackRequest) (*Deployment, error) {
	var d Deployment
	if err := c.call(ctx, http.MethodPost, route("v1", "models", name, "rollback"), req, &d); err != nil {
		return nil, err
	}
	return &d, nil
}

// Promote deploys the version that serves at the highest stage below another to that one:
// the same bytes, with their number, through the gates as that stage has them. name may ask
// for the stage that it comes from, as in "digits.testing". It fails with kind "not_found"
// where no lower stage has a version, and with "conflict" where the stage has that version
// already, or while a deployment to it is under way.
func (c *Client) Promote(ctx context.Context, name string, req PromoteRequest) (*Deployment, error) {
	var d Deployment
	if err := c.call(ctx, http.MethodPost, route("v1", "models", name, "promote"), req, &d); err != nil {
		return nil, err
	}
	return &d, nil
}

// Pin has the node keep a version with all its files whatever is deployed after it, or no
// longer. It fails with kind "not_found" for a version that the node does not keep.
func (c *Client) Pin(ctx context.Context, name string, req PinRequest) error {
	return c.call(ctx, http.MethodPost, route("v1", "models", name, "pin"), req, nil)
}

// Device returns what the node runs on.
func (c *Client) Device(ctx context.Context) (*Device, error) {
	var d Device
	if err := c.call(ctx, http.MethodGet, "/v1/device", nil, &d); err != nil {
		return nil, err
	}
	return &d, nil
}

// Runtimes returns the inference libraries that the node found.
func (c *Client) Runtimes(ctx context.Context) ([]Runtime, error) {
	var list RuntimeList
	if err := c.call(ctx, http.MethodGet, "/v1/runtimes", nil, &list); err != nil {
		return nil, err
	}
	return list.Runtimes, nil
}

// Health returns the last result of the node's health checks.
func (c *Client) Health(ctx context.Context) (*HealthStatus, error) {
	var h HealthStatus
	if err := c.call(ctx, http.MethodGet, "/v1/health", nil, &h); err != nil {
		return nil, err
	}
	return &h, nil
}

// Status returns everything that the node tells about itself.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	var s Status
	if err := c.call(ctx, http.MethodGet, "/v1/status", nil, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// Export writes a version that the node keeps to w, as one tar archive with its deployment
// file, its files and the report of its deployment, for another node; version 0 is the one
// that serves. It fails with kind "not_found" for a version that is not kept, and with
// "unavailable" where the archive was cut: then w has only a part of it.
func (c *Client) Export(ctx context.Context, name string, version int, w io.Writer) error {
	path := route("v1", "models", name, "export")
	if version != 0 {
		path += "?" + url.Values{"version": {strconv.Itoa(version)}}.Encode()
	}
	resp, err := c.send(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	local := &writeError{w: w}
	if _, err = io.Copy(local, resp.Body); err != nil && local.err == nil {
		return c.transportError(ctx, err)
	}
	return err
}

// writeError remembers whether it was writing that failed.
type writeError struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (w *writeError) Write(p []byte) (n int, err error) {
	n, w.err = w.w.Write(p)
	return n, w.err
}
