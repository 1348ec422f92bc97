package strictjson

import (
	"bytes"
	"fmt"
)

// fewKeys are compared one by one; more are kept in a map.
const fewKeys = 16

// Keys remembers the keys of one object. The zero value is ready.
type Keys struct {
	few  [][]byte
	many map[string]struct{}
}

// Add fails for a key that was added before, and for one more than MaxKeys. It
// keeps key, which must not change.
func (k *Keys) Add(key []byte) error {
	for _, known := range k.few {
		if bytes.Equal(known, key) {
			return fmt.Errorf("the key %s comes twice", clip(key))
		}
	}
	if _, known := k.many[string(key)]; known {
		return fmt.Errorf("the key %s comes twice", clip(key))
	}
	switch {
	case len(k.few) < fewKeys:
		k.few = append(k.few, key)
		return nil
	case len(k.few)+len(k.many) >= MaxKeys:
		return fmt.Errorf("an object of more than %d members", MaxKeys)
	case k.many == nil:
		k.many = map[string]struct{}{}
	}
	k.many[string(key)] = struct{}{}
	return nil
}

// clip quotes foreign text for a message.
func clip(b []byte) string {
	const limit = 64
	if len(b) > limit {
		return fmt.Sprintf("%q…", b[:limit])
	}
	return fmt.Sprintf("%q", b)
}
