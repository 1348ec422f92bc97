package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"
)

// Events returns what happens in a deployment, from the event with number from
// (0 and 1 are the first) until the one of type EventEnd. What has already
// happened comes at once, the rest as it happens:
//
//	for event, err := range node.Events(ctx, id, 0) {
//
// The sequence ends after an error, which is the last element, or after
// EventEnd. A connection that breaks before that is an error of kind
// "unavailable"; go on with from = the last Seq + 1.
func (c *Client) Events(ctx context.Context, id string, from uint64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		stream, cancel := context.WithCancel(ctx)
		defer cancel() // ends the stream when the caller stops early
		path := route("v1", "deployments", id, "events")
		if from > 0 {
			path += "?from=" + strconv.FormatUint(from, 10)
		}
		c.follow(stream, http.MethodGet, path, nil, yield)
	}
}

// Test tests what serves under a name as its deployment did, and returns what happens until
// the event of type EventEnd, whose phase is PhaseCommitted where all tests passed and
// PhaseFailed else. What the tests ask counts as requests of the version. The first error
// may be of kind "not_found".
func (c *Client) Test(ctx context.Context, name string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		stream, cancel := context.WithCancel(ctx)
		defer cancel() // ends the tests when the caller stops early
		c.follow(stream, http.MethodPost, route("v1", "models", name, "test"), nil, yield)
	}
}

// Shadow copies a share of what clients ask of a model to another version of it that is
// loaded, "digits.staging" or "digits@4", and compares the answers, which nobody else gets.
// It returns progress, one verdict, and the event of type EventEnd, whose phase is
// PhaseCommitted where the answers agree as far as is wanted. The first error may be of kind
// "not_found", "conflict" or "invalid".
func (c *Client) Shadow(ctx context.Context, name string, req ShadowRequest) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		stream, cancel := context.WithCancel(ctx)
		defer cancel() // ends the comparison when the caller stops early
		body, err := json.Marshal(req)
		if err != nil {
			yield(Event{}, err)
			return
		}
		c.follow(stream, http.MethodPost, route("v1", "models", name, "shadow"), bytes.NewReader(body), yield)
	}
}

// follow asks for a stream of events, and passes them on.
func (c *Client) follow(ctx context.Context, method, path string, body io.Reader, yield func(Event, error) bool) {
	resp, err := c.send(ctx, method, path, body, func(req *http.Request) {
		req.Header.Set("Accept", "application/x-ndjson")
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		}
	})
	if err != nil {
		yield(Event{}, err)
		return
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	c.readEvents(ctx, resp, yield)
}

// readEvents passes one event for each line on. Empty lines keep the
// connection alive.
func (c *Client) readEvents(ctx context.Context, resp *http.Response, yield func(Event, error) bool) {
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 4096), eventLimit)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var event Event
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			yield(Event{}, c.badAnswer("event: %v", err))
			return
		}
		if !yield(event, nil) || event.Type == EventEnd {
			return
		}
	}
	err := lines.Err()
	switch {
	case errors.Is(err, bufio.ErrTooLong):
		err = c.badAnswer("an event of more than %d bytes", eventLimit)
	case err != nil:
		err = c.transportError(ctx, err)
	default:
		err = &Error{Kind: "unavailable", Message: c.address + " ended the events before the deployment ended", uploadOffset: -1}
	}
	yield(Event{}, err)
}
