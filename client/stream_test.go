package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var digest = "sha256:" + strings.Repeat("ab", 32)

// store takes one artifact as a node does, and can break an upload.
type store struct {
	size int

	mu   sync.Mutex // guards what follows: the connection of an upload that was cut ends beside the next one
	cut  int        // bytes after which the next upload is cut; 0 for none
	held []byte
	puts []string // Content-Range of each
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Upload-Offset", fmt.Sprint(len(s.held)))
	switch {
	case r.Method == http.MethodHead && len(s.held) < s.size:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodPut:
		s.puts = append(s.puts, r.Header.Get("Content-Range"))
		if !strings.HasPrefix(r.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", len(s.held))) {
			w.WriteHeader(http.StatusConflict)
			return
		}
		if s.cut > 0 {
			part, _ := io.ReadAll(io.LimitReader(r.Body, int64(s.cut)))
			s.held, s.cut = append(s.held, part...), 0
			panic(http.ErrAbortHandler)
		}
		part, _ := io.ReadAll(r.Body)
		s.held = append(s.held, part...)
		w.WriteHeader(http.StatusCreated)
	}
}

func TestAnUploadGoesOnWhereItWasCut(t *testing.T) {
	content := strings.Repeat("0123456789", 1000)
	s := &store{size: len(content), held: []byte(content[:7]), cut: 100}
	c := node(t, s.ServeHTTP)
	var sent []int64
	progress := func(n, total int64) {
		if total != int64(len(content)) {
			t.Errorf("total %d, want %d", total, len(content))
		}
		sent = append(sent, n)
	}
	if err := c.PutArtifact(t.Context(), digest, strings.NewReader(content), int64(len(content)), progress); err != nil {
		t.Fatal(err)
	}
	want := []string{"bytes 7-9999/10000", "bytes 107-9999/10000"}
	if diff := cmp.Diff(want, s.puts); diff != "" || string(s.held) != content {
		t.Errorf("held %d bytes, uploads (-want +got):\n%s", len(s.held), diff)
	}
	if sent[len(sent)-1] != int64(len(content)) {
		t.Errorf("progress ended with %d", sent[len(sent)-1])
	}
	s.puts = nil
	if err := c.PutArtifact(t.Context(), digest, strings.NewReader(content), int64(len(content)), nil); err != nil || len(s.puts) != 0 {
		t.Errorf("what the node holds was sent again: %v, %v", s.puts, err)
	}
	if has, err := c.HasArtifact(t.Context(), digest); !has || err != nil {
		t.Errorf("HasArtifact = %t, %v", has, err)
	}
}

func TestAnUploadHeedsTheOffsetThatTheNodeNames(t *testing.T) {
	content := "0123456789"
	s := &store{size: len(content)}
	first := true
	c := node(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && first { // another client was faster
			first = false
			s.held = []byte(content[:4])
		}
		s.ServeHTTP(w, r)
	})
	if err := c.PutArtifact(t.Context(), digest, strings.NewReader(content), int64(len(content)), nil); err != nil || string(s.held) != content {
		t.Errorf("held %q, %v", s.held, err)
	}
}

// failing is a file that cannot be read.
type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errors.New("bad sector") }

func TestWhyAnUploadFails(t *testing.T) {
	content := "0123456789"
	upload := func(handler http.HandlerFunc, r io.ReaderAt, digest string, size int64) string {
		c := node(t, handler)
		return explain(c, c.PutArtifact(t.Context(), digest, r, size, nil))
	}
	good := strings.NewReader(content)
	head := func(put http.HandlerFunc, offset string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.Header().Set("Upload-Offset", offset)
				w.WriteHeader(http.StatusNotFound)
				return
			}
			put(w, r)
		}
	}
	abort := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		panic(http.ErrAbortHandler)
	}
	tests := []struct{ name, got, want string }{
		{"empty", upload(abort, good, digest, 0), "invalid: artifact " + digest + " has 0 bytes, want 1 or more"},
		{"no digest", upload(abort, good, "sha1:ab", 10), `invalid: artifact "sha1:ab": want sha256: and 64 hexadecimal digits`},
		{"no room", upload(head(answer(507, `{"error":"full","kind":"exhausted","hint":"Free some."}`), "0"), good, digest, 10), "exhausted: full | Free some."},
		{"other bytes", upload(head(answer(422, `{"error":"other bytes","kind":"corrupt"}`), "0"), good, digest, 10), "corrupt: other bytes"},
		{"always cut", upload(head(abort, "0"), good, digest, 10), "unavailable: the upload to NODE was cut 4 times at byte 0"},
		{"an offset past the end", upload(head(abort, "11"), good, digest, 10), "corrupt: the answer of NODE is not valid: it holds 11 bytes of an artifact of 10 | Check that a Verge node listens there."},
		{"a file that cannot be read", upload(head(abort, "0"), failing{}, digest, 10), "no *client.Error: read artifact " + digest + ": bad sector"},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, test.got, test.want)
		}
	}
}

func TestEventsEndWithTheDeployment(t *testing.T) {
	tests := []struct {
		name, body, end string
		seqs            []uint64
	}{
		{"whole", "{\"seq\":1,\"type\":\"phase\"}\n\n{\"seq\":2,\"type\":\"end\"}\n{\"seq\":3}\n", "<nil>", []uint64{1, 2}},
		{"cut", "{\"seq\":1,\"type\":\"phase\"}\n", "unavailable: NODE ended the events before the deployment ended", []uint64{1}},
		{"not JSON", "{\"seq\":1}\nx\n", "corrupt: the answer of NODE is not valid: event: invalid character 'x' looking for beginning of value | Check that a Verge node listens there.", []uint64{1}},
		{"too long", `{"seq":1,"message":"` + strings.Repeat("x", 1<<20) + "\"}\n", "corrupt: the answer of NODE is not valid: an event of more than 1048576 bytes | Check that a Verge node listens there.", nil},
	}
	for _, test := range tests {
		c := node(t, func(w http.ResponseWriter, r *http.Request) {
			if r.RequestURI != "/v1/deployments/d-1/events?from=1" {
				t.Errorf("asked for %s", r.RequestURI)
			}
			fmt.Fprint(w, test.body)
		})
		var seqs []uint64
		var end error
		for event, err := range c.Events(t.Context(), "d-1", 1) {
			if end = err; err == nil {
				seqs = append(seqs, event.Seq)
			}
		}
		if got := explain(c, end); got != test.end || !slices.Equal(seqs, test.seqs) {
			t.Errorf("%s: events %v and %s\nwant %v and %s", test.name, seqs, got, test.seqs, test.end)
		}
	}
	c := node(t, answer(404, `{"error":"no such deployment","kind":"not_found"}`))
	for _, err := range c.Events(t.Context(), "d-1", 0) {
		if got := explain(c, err); got != "not_found: no such deployment" {
			t.Error(got)
		}
	}
}

func TestWhoStopsListeningEndsTheStream(t *testing.T) {
	gone := make(chan struct{})
	c := node(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "{\"seq\":1,\"type\":\"phase\"}\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	})
	for event, err := range c.Events(t.Context(), "d-1", 0) {
		if err != nil || event.Seq != 1 {
			t.Errorf("event %+v, %v", event, err)
		}
		break
	}
	<-gone
}
