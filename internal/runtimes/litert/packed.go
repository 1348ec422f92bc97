package litert

import (
	"context"
	"os"
	"path/filepath"

	"verge/internal/inference"
	"verge/internal/inference/prepared"
)

// packedWeights is a file with a model's weights in the order in which the kernels of
// XNNPACK read them. The library maps it, so that what is compiled of the same model
// shares the memory, in one process and in several.
const packedWeights = "weights.xnnpack"

// minPacked is the size in bytes of the smallest model that is worth it.
const minPacked = 1 << 20

// packs reports whether the place reads packed weights.
func (p place) packs() bool { return p.name == providerXNNPACK }

// prepare implements model: it finds the packed weights in the cache, or leaves them
// there, and begins a profile.
func (m *liteModel) prepare(ctx context.Context, p place, source inference.Model, o inference.Options) {
	if o.Profile != "" && m.api.measures() {
		m.profile = &profile{prefix: o.Profile}
	}
	if o.Cache == "" || !p.packs() || len(m.data) < minPacked || ctx.Err() != nil {
		return
	}
	compile := func(folder string) error {
		s := p.settings(max(o.Threads, 1))
		s.cache = filepath.Join(folder, packedWeights)
		c, f := m.compileWith(m.env.handle, s)
		if f != nil {
			return f
		}
		c.close()
		return nil
	}
	entry := prepared.Entry(o.Cache, source, Name, m.api.version)
	file := entry.Path(packedWeights)
	if entry.Use(ctx, o.Log, compile, func() error { return compile(filepath.Dir(file)) }) {
		m.packed = file
	}
}

// weights returns the file with the packed weights that a place reads; "" for none.
// Without this look, XNNPACK would complain about a file that is no longer there.
func (m *liteModel) weights(p place) string {
	if !p.packs() || m.packed == "" {
		return ""
	}
	if _, err := os.Stat(m.packed); err != nil {
		return ""
	}
	return m.packed
}
