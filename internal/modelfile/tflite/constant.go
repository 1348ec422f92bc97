package tflite

// Slots of the tables Buffer, SparsityParameters and DimensionMetadata.
const (
	bufferData   = 0
	bufferOffset = 1
	bufferSize   = 2

	sparsityOrder      = 0
	sparsityBlockMap   = 1
	sparsityDimensions = 2

	dimensionFormat   = 0
	dimensionDense    = 1
	dimensionSegments = 2 // a union: its number, then its table
	dimensionIndices  = 4

	formatSparse = 1
)

// buffer is a Buffer. Its data lie in the flatbuffer, or after it in a model
// of more than 2 GB.
type buffer struct {
	data    span
	counted bool // in Model.Parameters
}

// readBuffers reads Model.buffers.
func (p *parser) readBuffers(root table) {
	p.tables(root, modelBuffers, p.lim.Buffers, "Buffer", "buffers", func(i int, t table) {
		b := buffer{data: p.vector(t, bufferData, 1, "bytes of a buffer").span()}
		offset, size := p.scalar(t, bufferOffset, 8, 0), p.scalar(t, bufferSize, 8, 0)
		if b.data.pos == 0 && offset > 1 { // 1 is what a writer puts before it knows
			if offset > uint64(p.size) || size > uint64(p.size)-offset { //nolint:gosec // not negative
				p.corrupt(t.pos, "buffer %d would lie at byte %d with %d bytes, the file has %d", i, offset, size, p.size)
				return
			}
			b.data = span{int64(offset), int64(offset + size)} //nolint:gosec // inside the file
		}
		p.buffers = append(p.buffers, b)
	})
}

// checkConstant refuses a constant whose buffer is not what its type and its
// shape, which is in p.dims, claim, and counts it with the parameters.
func (p *parser) checkConstant(f *tensorFacts, t table) {
	b := &p.buffers[f.buffer]
	stored := f.elements
	sparsity, sparse := p.child(t, tensorSparsity, "SparsityParameters")
	switch {
	case f.element == elementString:
		p.strings(f, b.data)
	case sparse:
		stored = p.sparse(f, sparsity)
		fallthrough
	default:
		info, _ := elementOf(f.element)
		if want := info.bytes(stored); b.data.len() < want {
			p.corrupt(f.at, "%s claims %d elements of %s in %d bytes, its buffer %d has %d",
				p.describe(f), stored, info.name, want, f.buffer, b.data.len())
		}
	}
	if p.err == nil && !b.counted {
		b.counted = true
		if f.elements > maxElements-p.m.Parameters { // sparse tensors alone can come to this
			p.tooLarge("the tensors together claim more than %d elements", int64(maxElements))
		}
		p.m.Parameters += f.elements
		p.m.ParameterBytes += b.data.len()
	}
}

// strings checks the layout of a constant of strings: their number, the offset
// of each and the end, as 32-bit numbers, then the bytes
// (tensorflow/lite/string_util.h).
func (p *parser) strings(f *tensorFacts, data span) {
	if data.len() < 4 {
		p.corrupt(f.at, "%s has %d bytes, too few for strings", p.describe(f), data.len())
		return
	}
	n := int64(int32(p.number(data.pos, 4))) //nolint:gosec // as the library reads it
	if n < 0 || n > data.len()/4-2 || n < f.elements {
		p.corrupt(f.at, "%s has %d strings in %d bytes for %d elements", p.describe(f), n, data.len(), f.elements)
		return
	}
	last := 4 * (n + 2)
	for i := int64(0); i <= n && p.err == nil; i++ {
		offset := int64(p.number(data.pos+4*(i+1), 4)) //nolint:gosec // 32 bits
		if offset < last || offset > data.len() {
			p.corrupt(f.at, "string %d of %s ends at byte %d of %d", i-1, p.describe(f), offset, data.len())
		}
		last = offset
	}
}

// sparse checks how a sparse tensor's elements are laid out, and returns how
// many are stored. The dimensions of the tensor, and then those of its blocks,
// form the levels of a tree (tensorflow/lite/schema/schema.fbs, "Sparse tensors").
func (p *parser) sparse(f *tensorFacts, t table) int64 {
	order := p.vector(t, sparsityOrder, 4, "traversal order of a sparse tensor")
	blocks := p.vector(t, sparsityBlockMap, 4, "block map of a sparse tensor")
	dimensions := p.vector(t, sparsityDimensions, 4, "dimensions of a sparse tensor")
	rank := int64(len(p.dims))
	if p.err == nil && (order.n < rank || order.n > 2*rank || dimensions.n != order.n || blocks.n != order.n-rank) {
		p.corrupt(f.at, "%s with %d dimensions has %d sparse dimensions in an order of %d with %d blocks",
			p.describe(f), rank, dimensions.n, order.n, blocks.n)
	}
	if p.err != nil {
		return 0
	}
	levels := make([]int64, 0, order.n) // the dimension of each level
	seen := make([]bool, order.n)
	p.int32s(order, func(d int64) {
		i := int64(len(levels))
		if d < 0 || d >= order.n || seen[d] || (i < rank) != (d < rank) {
			p.corrupt(f.at, "level %d of %s is dimension %d, which is not possible", i, p.describe(f), d)
			return
		}
		seen[d] = true
		levels = append(levels, d)
	})
	sizes := p.levelSizes(f, levels, blocks, dimensions)
	stored := int64(1)
	for i := 0; i < len(levels) && p.err == nil; i++ {
		if level := p.level(dimensions, i); p.int8(level, dimensionFormat) == formatSparse {
			stored = p.compressed(f, level, stored, sizes[levels[i]])
		} else if n := p.int32(level, dimensionDense, 0); n != sizes[levels[i]] {
			p.corrupt(f.at, "level %d of %s has %d entries, want %d", i, p.describe(f), n, sizes[levels[i]])
		} else if n > 0 && stored > maxElements/n {
			p.corrupt(f.at, "%s %w", p.describe(f), errTooMany)
		} else {
			stored *= n
		}
	}
	return stored
}

// level returns the DimensionMetadata of a level.
func (p *parser) level(dimensions vector, i int) table {
	const what = "DimensionMetadata"
	return p.table(dimensions.in, p.follow(dimensions.in, dimensions.pos+4*int64(i), what), what)
}

// levelSizes returns the size of each dimension: those of the tensor, divided
// by the blocks that map to them, and those of the blocks.
func (p *parser) levelSizes(f *tensorFacts, levels []int64, blocks, dimensions vector) []int64 {
	rank := len(p.dims)
	sizes := make([]int64, len(levels))
	copy(sizes, p.dims)
	next := rank
	p.int32s(blocks, func(to int64) {
		if next >= len(levels) {
			return
		}
		size := p.int32(p.level(dimensions, next), dimensionDense, 0)
		if p.err == nil && (size <= 0 || to < 0 || to >= int64(rank)) {
			p.corrupt(f.at, "block %d of %s has size %d in dimension %d", next-rank, p.describe(f), size, to)
		}
		if p.err == nil {
			sizes[levels[next]] = size
			sizes[to] /= size
		}
		next++
	})
	return sizes
}

// compressed checks a level in the compressed sparse row format: the segments
// say where the indices of each entry of the level above begin and end. It
// returns the number of indices.
func (p *parser) compressed(f *tensorFacts, level table, above, size int64) int64 {
	segments := p.indexVector(level, dimensionSegments)
	indices := p.indexVector(level, dimensionIndices)
	if p.err == nil && segments.n-1 != above {
		p.corrupt(f.at, "%s has %d sparse segments, want %d", p.describe(f), segments.n-1, above)
	}
	last := int64(0)
	for i := int64(0); i < segments.n && p.err == nil; i++ {
		at := p.index(segments, i)
		if at < last || at > indices.n || i == segments.n-1 && at != indices.n {
			p.corrupt(f.at, "sparse segment %d of %s ends at %d of %d indices", i-1, p.describe(f), at, indices.n)
		}
		last = at
	}
	for i := int64(0); i < indices.n && p.err == nil; i++ {
		if n := p.index(indices, i); n < 0 || n >= size {
			p.corrupt(f.at, "sparse index %d of %s is %d, want 0 to %d", i, p.describe(f), n, size-1)
		}
	}
	return indices.n
}

// indexVector returns the numbers of a SparseIndexVector, whose union begins in
// a slot.
func (p *parser) indexVector(level table, slot int) vector {
	width := 0
	switch p.scalar(level, slot, 1, 0) {
	case 1: // Int32Vector
		width = 4
	case 2: // Uint16Vector
		width = 2
	case 3: // Uint8Vector
		width = 1
	}
	t, ok := p.child(level, slot+1, "SparseIndexVector")
	if p.err == nil && (!ok || width == 0) {
		p.corrupt(level.pos, "a sparse dimension has no indices of a known kind")
	}
	if p.err != nil {
		return vector{}
	}
	return p.vector(t, 0, width, "indices of a sparse dimension")
}

// index returns a number of an indexVector.
func (p *parser) index(v vector, i int64) int64 {
	n := p.number(v.pos+i*v.width, int(v.width))
	if v.width == 4 {
		return int64(int32(n)) //nolint:gosec // two's complement
	}
	return int64(n) //nolint:gosec // 16 bits at most
}
