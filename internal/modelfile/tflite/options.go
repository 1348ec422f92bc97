package tflite

// The options of operators are tables of the unions BuiltinOptions and
// BuiltinOptions2. A library follows their offsets, so their fields are checked,
// each by its kind:
//
//	1 2 4 8  a number of so many bytes
//	b i l    a vector of numbers of 1, 4 or 8 bytes
//	s        a string
//	g G      the index of a subgraph that the operator runs, a vector of such
//	_        a field that is no longer used
//
// A table without an entry has no fields that are known.

// builtinOptions is indexed by the number in the union BuiltinOptions.
var builtinOptions = [...]string{ //nolint:gochecknoglobals // a constant table
	1:   "1441441",  // Conv2DOptions
	2:   "1444144",  // DepthwiseConv2DOptions
	3:   "4ii",      // ConcatEmbeddingsOptions
	4:   "1",        // LSHProjectionOptions
	5:   "144441",   // Pool2DOptions
	6:   "411",      // SVDFOptions
	7:   "11",       // RNNOptions
	8:   "11111b",   // FullyConnectedOptions
	9:   "4",        // SoftmaxOptions
	10:  "41",       // ConcatenationOptions
	11:  "11",       // AddOptions
	12:  "1",        // L2NormOptions
	13:  "4444",     // LocalResponseNormalizationOptions
	14:  "14411",    // LSTMOptions
	15:  "__11",     // ResizeBilinearOptions
	16:  "g",        // CallOptions
	17:  "i",        // ReshapeOptions
	18:  "441",      // SkipGramOptions
	19:  "4",        // SpaceToDepthOptions
	20:  "1",        // EmbeddingLookupSparseOptions
	21:  "1",        // MulOptions
	23:  "44",       // GatherOptions
	27:  "1",        // ReducerOptions
	28:  "11",       // SubOptions
	29:  "1",        // DivOptions
	30:  "i",        // SqueezeOptions
	31:  "111",      // SequenceRNNOptions
	32:  "444441",   // StridedSliceOptions
	35:  "4",        // SplitOptions
	37:  "11",       // CastOptions
	40:  "1",        // ArgMaxOptions
	49:  "14411",    // TransposeConvOptions
	50:  "1",        // SparseToDenseOptions
	55:  "1",        // ShapeOptions
	57:  "1",        // ArgMinOptions
	58:  "4441",     // FakeQuantOptions
	59:  "44",       // PackOptions
	61:  "4",        // OneHotOptions
	64:  "44",       // UnpackOptions
	69:  "144111",   // BidirectionalSequenceLSTMOptions
	70:  "1111",     // BidirectionalSequenceRNNOptions
	71:  "144111",   // UnidirectionalSequenceLSTMOptions
	74:  "11",       // ResizeNearestNeighborOptions
	75:  "4",        // LeakyReluOptions
	77:  "1",        // MirrorPadOptions
	79:  "4",        // SplitVOptions
	80:  "1",        // UniqueOptions
	87:  "44",       // ReverseSequenceOptions
	92:  "gg",       // IfOptions
	93:  "gg",       // WhileOptions
	94:  "4",        // DepthToSpaceOptions
	101: "111",      // BatchMatMulOptions
	102: "11",       // CumsumOptions
	103: "g",        // CallOnceOptions
	106: "14441444", // Conv3DOptions
	107: "411",      // HashtableOptions
	111: "ss",       // VarHandleOptions
	114: "88",       // RandomOptions
	115: "i",        // BucketizeOptions
	116: "1",        // GeluOptions
}

// builtinOptions2 is indexed by the number in the union BuiltinOptions2.
var builtinOptions2 = [...]string{ //nolint:gochecknoglobals // a constant table
	1:  "8",                 // StablehloConcatenateOptions
	2:  "l",                 // StablehloBroadcastInDimOptions
	3:  "lll",               // StablehloSliceOptions
	4:  "llllb88l88l88l88i", // StablehloConvolutionOptions
	5:  "s1s4ib",            // StablehloCustomCallOptions
	6:  "l4",                // StablehloReduceOptions
	7:  "1lll814",           // StablehloScatterOptions
	8:  "44",                // StablehloCompareOptions
	9:  "l",                 // StablehloDynamicSliceOptions
	10: "lll",               // StablehloPadOptions
	11: "8",                 // StablehloIotaOptions
	12: "lllli",             // StablehloDotGeneralOptions
	13: "lllll4",            // StablehloReduceWindowOptions
	14: "814",               // StablehloSortOptions
	15: "gg",                // StablehloWhileOptions
	16: "lll8l1",            // StablehloGatherOptions
	17: "l",                 // StablehloTransposeOptions
	19: "1",                 // StablehloRngBitGeneratorOptions
	20: "4",                 // ReduceWindowOptions
	21: "sgb14",             // StableHLOCompositeOptions
	23: "G",                 // StablehloCaseOptions
}

// quantizationDetails is indexed by the number in the union QuantizationDetails.
var quantizationDetails = [...]string{ //nolint:gochecknoglobals // a constant table
	1: "b",    // CustomQuantization
	2: "444i", // BlockwiseQuantization
	3: "444i", // MultiAxisQuantization
}

// union checks the table of a union: its number is in one slot, the table in
// the next. Calls is told the indices of the subgraphs that it names.
func (r *reader) union(t table, slot int, known []string, what string, calls func(int64)) {
	number := r.scalar(t, slot, 1, 0)
	c, ok := r.child(t, slot+1, what)
	if !ok || number >= uint64(len(known)) {
		return
	}
	for i, kind := range known[number] {
		switch kind {
		case '1', '2', '4', '8':
			r.field(c, i, int(kind-'0'))
		case 'b':
			r.vector(c, i, 1, "entries of options")
		case 'i':
			r.vector(c, i, 4, "entries of options")
		case 'l':
			r.vector(c, i, 8, "entries of options")
		case 's':
			r.string(c, i, "bytes of a string in options")
		case 'g':
			calls(r.int32(c, i, 0))
		case 'G':
			r.int32s(r.vector(c, i, 4, "entries of options"), calls)
		}
	}
}
