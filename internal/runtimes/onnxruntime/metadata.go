package onnxruntime

import (
	"math"
	"strconv"
	"unsafe"

	"verge/internal/native"
)

// maxMetadata is how many of the model's own keys are read.
const maxMetadata = 256

// metadata reads what a model says about itself: the standard fields that are not
// empty as producer, graph, domain, description and version, and the model's own keys.
// A standard field hides an own key of the same name.
func (a *api) metadata(session uintptr) (map[string]string, *statusError) {
	var md uintptr
	if err := a.call(sessionGetModelMetadata, session, uintptr(unsafe.Pointer(&md))); err != nil {
		return nil, err
	}
	defer a.release(releaseModelMetadata, md)
	all := map[string]string{}
	if err := a.ownMetadata(md, all); err != nil {
		return nil, err
	}
	for _, field := range []struct {
		name  string
		entry entry
	}{
		{"producer", metadataProducerName},
		{"graph", metadataGraphName},
		{"domain", metadataDomain},
		{"description", metadataDescription},
	} {
		var text uintptr
		if err := a.call(field.entry, md, a.allocator, uintptr(unsafe.Pointer(&text))); err != nil {
			return nil, err
		}
		if s := a.take(text); s != "" {
			all[field.name] = s
		}
	}
	var version int64
	if err := a.call(metadataVersion, md, uintptr(unsafe.Pointer(&version))); err != nil {
		return nil, err
	}
	if version > 0 && version < math.MaxInt64 { // which stands for none
		all["version"] = strconv.FormatInt(version, 10)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, nil
}

// ownMetadata adds the model's own keys to all.
func (a *api) ownMetadata(md uintptr, all map[string]string) *statusError {
	var keys, count uintptr
	if err := a.call(metadataKeys, md, a.allocator, uintptr(unsafe.Pointer(&keys)), uintptr(unsafe.Pointer(&count))); err != nil {
		return err
	}
	defer a.free(keys)
	for i, key := range native.Words(keys, int(count)) { // as many as the file has
		if i < maxMetadata {
			var value uintptr
			if err := a.call(metadataLookup, md, a.allocator, key, uintptr(unsafe.Pointer(&value))); err != nil {
				return err
			}
			all[native.String(key, maxText)] = a.take(value)
		}
		a.free(key)
	}
	return nil
}
