package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// Limits on what a node may send. A node that is right never meets them but
// for the first, which WithAnswerLimit moves.
const (
	defaultAnswerLimit = 1 << 30  // bytes of an inference answer
	documentLimit      = 64 << 20 // bytes of a management answer, and of the JSON part of an inference answer
	errorLimit         = 1 << 20  // bytes of an error body that are read
	eventLimit         = 1 << 20  // bytes of one event
)

// Client is a connection to one node. It is safe for concurrent use.
type Client struct {
	address     string // as it was given, for messages
	base        string // "http://host:port"
	http        *http.Client
	answerLimit int64

	mu     sync.Mutex               // guards models
	models map[string]ModelMetadata // "model" or "model/version" → metadata, for inputs without names
}

// Option changes a Client that New makes.
type Option func(*Client)

// WithAnswerLimit bounds an inference answer to n bytes, 1 GiB unless given.
func WithAnswerLimit(n int64) Option {
	return func(c *Client) { c.answerLimit = n }
}

// New returns a client of the node at address: "http://host:port", or
// "unix:/path/to/verge.sock". It opens no connection.
func New(address string, options ...Option) (*Client, error) {
	network, target, base, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	c := &Client{
		address:     address,
		base:        base,
		http:        &http.Client{Transport: newTransport(network, target), CheckRedirect: refuseRedirect},
		answerLimit: defaultAnswerLimit,
		models:      map[string]ModelMetadata{},
	}
	for _, option := range options {
		option(c)
	}
	return c, nil
}

// Address returns the address that New was given.
func (c *Client) Address() string { return c.address }

// Close closes the connections that no call is using. The Client may be used
// again after it.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// route joins path segments to a path, each quoted.
func route(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// send makes one request. The caller closes the body of the answer, whose
// status is 2xx; any other answer is an *Error.
func (c *Client) send(ctx context.Context, method, path string, body io.Reader, prepare func(*http.Request)) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("User-Agent", "verge-client")
	if prepare != nil {
		prepare(req)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.transportError(ctx, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer resp.Body.Close() //nolint:errcheck // it was only read
		return nil, errorOf(resp)
	}
	return resp, nil
}

// call sends in as JSON, unless it is nil, and decodes the answer into out,
// unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: encode: %w", method, path, err)
		}
		body = strings.NewReader(string(text))
	}
	resp, err := c.send(ctx, method, path, body, func(req *http.Request) {
		req.Header.Set("Accept", "application/json")
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		}
	})
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	text, err := c.readAll(ctx, resp, documentLimit)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(text, out); err != nil {
		return c.badAnswer("%s %s: %v", method, path, err)
	}
	return nil
}

// readAll reads a body of at most limit bytes. Its memory follows what
// arrives, not what the header claims.
func (c *Client) readAll(ctx context.Context, resp *http.Response, limit int64) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, c.badAnswer("%d bytes, at most %d are taken", resp.ContentLength, limit)
	}
	const trust = 1 << 20 // bytes that a claim alone may take
	buf := make([]byte, 0, max(512, min(resp.ContentLength, trust)))
	body := io.LimitReader(resp.Body, limit+1)
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return nil, c.badAnswer("more than %d bytes", limit)
		case err == io.EOF: // io.Reader's contract: EOF itself
			return buf, nil
		case err != nil:
			return nil, c.transportError(ctx, err)
		}
	}
}
