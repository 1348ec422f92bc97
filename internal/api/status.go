package api

import (
	"net/http"

	"verge/internal/fault"
)

// StatusClientClosedRequest is nginx's status for a client that went away.
const StatusClientClosedRequest = 499

// statuses is what a kind of error becomes.
type statuses struct {
	inference  int // on /v2
	management int // on /v1
}

// statusesOf is the one table from kinds to statuses.
func statusesOf(kind fault.Kind) statuses {
	same := func(status int) statuses { return statuses{status, status} }
	switch kind {
	case fault.Invalid:
		return same(http.StatusBadRequest)
	case fault.Unauthenticated:
		return same(http.StatusUnauthorized)
	case fault.Denied:
		return same(http.StatusForbidden)
	case fault.NotFound:
		return same(http.StatusNotFound)
	case fault.Conflict:
		return statuses{inference: http.StatusBadRequest, management: http.StatusConflict}
	case fault.TooLarge:
		return same(http.StatusRequestEntityTooLarge)
	case fault.Quota:
		return same(http.StatusTooManyRequests)
	case fault.Unavailable:
		return same(http.StatusServiceUnavailable)
	case fault.Deadline:
		return same(http.StatusGatewayTimeout)
	case fault.Canceled:
		return same(StatusClientClosedRequest)
	case fault.Unsupported:
		return same(http.StatusNotImplemented)
	case fault.Corrupt:
		return statuses{inference: http.StatusInternalServerError, management: http.StatusUnprocessableEntity}
	case fault.Exhausted:
		return statuses{inference: http.StatusServiceUnavailable, management: http.StatusInsufficientStorage}
	case fault.Internal:
	}
	return same(http.StatusInternalServerError)
}
