package manage

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"verge/internal/artifact"
	"verge/internal/fault"
)

// uploadOffset tells how many bytes of an artifact are here from an upload that
// was cut.
const uploadOffset = "Upload-Offset"

// headArtifact has no body to say anything in: its statuses and headers do.
func (a *API) headArtifact(w http.ResponseWriter, r *http.Request) error {
	digest := r.PathValue("digest")
	size, err := a.node.Artifacts.Size(digest)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		w.Header().Set(uploadOffset, strconv.FormatInt(a.node.Artifacts.Received(digest), 10))
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w.WriteHeader(http.StatusOK)
	return nil
}

// putArtifact takes all bytes of an artifact, or with Content-Range the last ones.
func (a *API) putArtifact(w http.ResponseWriter, r *http.Request) error {
	digest := r.PathValue("digest")
	offset, total, err := contentRange(r)
	if err != nil {
		return err
	}
	err = a.node.Artifacts.Put(r.Context(), digest, r.Body, offset, total)
	if other, ok := errors.AsType[*artifact.OffsetError](err); ok {
		w.Header().Set(uploadOffset, strconv.FormatInt(other.Received, 10))
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

// contentRange returns where the bytes of a body begin and how many there are in
// all. The body has all from there to the end (RFC 9110, section 14.4).
func contentRange(r *http.Request) (offset, total int64, err error) {
	const op = "manage.upload"
	if r.ContentLength < 1 { // or not known
		return 0, 0, fault.New(fault.Invalid, op, "an upload names its length (Content-Length), and it is 1 byte or more")
	}
	header := r.Header.Get("Content-Range")
	if header == "" {
		return 0, r.ContentLength, nil
	}
	rest, unit := strings.CutPrefix(header, "bytes ")
	first, rest, dash := strings.Cut(rest, "-")
	last, all, slash := strings.Cut(rest, "/")
	from, err1 := strconv.ParseUint(first, 10, 63)
	to, err2 := strconv.ParseUint(last, 10, 63)
	size, err3 := strconv.ParseUint(all, 10, 63)
	if !unit || !dash || !slash || errors.Join(err1, err2, err3) != nil || to+1 != size || from > to || to-from+1 != uint64(r.ContentLength) {
		return 0, 0, fault.New(fault.Invalid, op, "Content-Range is %.80q for %d bytes, want bytes FIRST-LAST/TOTAL that ends with the last byte", header, r.ContentLength)
	}
	return int64(from), int64(size), nil
}
