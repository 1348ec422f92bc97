package openvino

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	"verge/internal/inference"
	"verge/internal/inference/prepared"
)

// cacheDir is the property that names the directory in which the library keeps what it
// has compiled.
const cacheDir = "CACHE_DIR"

// minCached is the size in bytes of the smallest model that is worth it.
const minCached = 1 << 20

// compile makes an ov_compiled_model for a target, of what the cache has of it, which it
// leaves there where there is nothing.
func (s *session) compile(ctx context.Context, env *environment, model uintptr, m inference.Model, o inference.Options, t target) (handle uintptr, err error) {
	set := properties(t, o)
	if o.Cache == "" || size(m) < minCached || set[cacheDir] != "" || ctx.Err() != nil {
		return s.api.compileFor(env.core, model, t.device, set)
	}
	compile := func(folder string) error {
		with := maps.Clone(set)
		with[cacheDir] = folder
		var failure error
		handle, failure = s.api.compileFor(env.core, model, t.device, with)
		return failure
	}
	entry := prepared.Entry(o.Cache, m, Name, s.api.version+"-"+variant(m, t.device, set))
	entry.Use(ctx, o.Log, compile, func() error {
		if handle != 0 { // it was compiled just now
			return nil
		}
		return compile(entry.Path(""))
	})
	if handle != 0 {
		return handle, nil
	}
	return s.api.compileFor(env.core, model, t.device, set)
}

// variant is a short text that is another one for other weights, another device, or
// other properties: with the model and the library, all that the result depends on.
func variant(m inference.Model, device string, set map[string]string) string {
	hash := sha256.New()
	if m.Weights != nil {
		weights := sha256.Sum256(m.Weights.Data)
		hash.Write(weights[:])
	}
	text, err := json.Marshal(set) // with its keys in order
	if err != nil {
		panic(fmt.Sprintf("openvino: a map of strings: %v", err)) // cannot be
	}
	fmt.Fprintf(hash, "%q %s", device, text)
	const digits = 8
	return hex.EncodeToString(hash.Sum(nil))[:digits]
}
