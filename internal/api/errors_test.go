package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"verge/internal/api"
	"verge/internal/fault"
)

func TestEveryKindHasItsStatuses(t *testing.T) {
	want := map[fault.Kind][2]int{ // on /v2, on /v1
		fault.Internal: {500, 500}, fault.Invalid: {400, 400}, fault.Unauthenticated: {401, 401}, fault.Denied: {403, 403},
		fault.NotFound: {404, 404}, fault.Conflict: {400, 409}, fault.TooLarge: {413, 413}, fault.Quota: {429, 429},
		fault.Unavailable: {503, 503}, fault.Deadline: {504, 504}, fault.Canceled: {499, 499}, fault.Unsupported: {501, 501},
		fault.Corrupt: {500, 422}, fault.Exhausted: {503, 507},
	}
	for _, kind := range fault.Kinds() {
		err := fault.New(kind, "x.y", "no").On("thing").WithHint("Do.")
		v2, v1 := httptest.NewRecorder(), httptest.NewRecorder()
		api.WriteError(v2, err)
		api.WriteManagementError(v1, err)
		if got := [2]int{v2.Code, v1.Code}; got != want[kind] {
			t.Errorf("%v becomes %v, want %v", kind, got, want[kind])
		}
		if got, want := v2.Body.String(), `{"error":"thing: no. Do."}`; got != want {
			t.Errorf("%v on /v2: %s, want %s", kind, got, want)
		}
		if got, want := v1.Body.String(), `{"error":"thing: no","kind":"`+kind.String()+`","hint":"Do."}`; got != want {
			t.Errorf("%v on /v1: %s, want %s", kind, got, want)
		}
		for _, w := range []*httptest.ResponseRecorder{v1, v2} {
			retry := w.Code == http.StatusTooManyRequests || w.Code == http.StatusServiceUnavailable
			if got := w.Header().Get("Retry-After"); (got == "1") != retry {
				t.Errorf("%v: Retry-After is %q with status %d", kind, got, w.Code)
			}
			if got := w.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("%v: Content-Type is %q", kind, got)
			}
		}
	}
}

func TestErrorBodies(t *testing.T) {
	problems := fault.Problems{{Path: "a.b", Line: 3, Message: "is 1, want 2", Hint: "Do."}, {Path: "c", Message: "is missing"}}
	for name, row := range map[string]struct {
		err    error
		status int
		v2, v1 string
		header string // "Name: value"
	}{
		"nobody classified it": {
			errors.New("open /secret: no"), 500, `{"error":"internal error"}`, `{"error":"internal error","kind":"internal"}`, "",
		},
		"classified within": {
			fmt.Errorf("open /x: %w", fault.New(fault.NotFound, "x", "no")), 404,
			`{"error":"open /x: x: no"}`, `{"error":"open /x: x: no","kind":"not_found"}`, "",
		},
		"context": {context.Canceled, 499, `{"error":"context canceled"}`, `{"error":"context canceled","kind":"canceled"}`, ""},
		"problems": {
			&fault.Error{Kind: fault.Invalid, Op: "x", Err: problems}, 400,
			`{"error":"line 3: a.b: is 1, want 2\nc: is missing"}`,
			`{"error":"line 3: a.b: is 1, want 2\nc: is missing","kind":"invalid","problems":[{"path":"a.b","line":3,"message":"is 1, want 2","hint":"Do."},{"path":"c","message":"is missing"}]}`, "",
		},
		"path":   {api.NoSuchPath(), 404, `{"error":"no such path"}`, `{"error":"no such path","kind":"not_found"}`, ""},
		"method": {api.MethodNotAllowed("GET, HEAD"), 405, `{"error":"method not allowed, want GET, HEAD"}`, `{"error":"method not allowed, want GET, HEAD","kind":"invalid"}`, "Allow: GET, HEAD"},
		"status of its own": {
			fmt.Errorf("read: %w", api.Refuse(408, fault.Deadline, "after %d s", 3).WithHint("Hurry.")), 408,
			`{"error":"after 3 s. Hurry."}`, `{"error":"after 3 s","kind":"deadline","hint":"Hurry."}`, "Connection: close",
		},
	} {
		v2, v1 := httptest.NewRecorder(), httptest.NewRecorder()
		api.WriteError(v2, row.err)
		api.WriteManagementError(v1, row.err)
		if v2.Code != row.status || v1.Code != row.status || v2.Body.String() != row.v2 || v1.Body.String() != row.v1 {
			t.Errorf("%s:\n%d %s\n%d %s\nwant %d\n%s\n%s", name, v2.Code, v2.Body, v1.Code, v1.Body, row.status, row.v2, row.v1)
		}
		for _, header := range []string{"Allow", "Connection"} {
			got := v2.Header().Get(header)
			if (header+": "+got != row.header) == (got != "") {
				t.Errorf("%s: header %s is %q, want %q", name, header, got, row.header)
			}
		}
	}
}

func TestOnlyWhatNobodyClassifiedIsKeptBack(t *testing.T) {
	for _, row := range []struct {
		err  error
		want bool
	}{
		{errors.New("x"), false},
		{context.DeadlineExceeded, true},
		{fault.New(fault.Internal, "x", "y"), true},
		{fmt.Errorf("x: %w", fault.New(fault.Invalid, "x", "y")), true},
	} {
		if got := api.Classified(row.err); got != row.want {
			t.Errorf("Classified(%v) = %t, want %t", row.err, got, row.want)
		}
	}
}
