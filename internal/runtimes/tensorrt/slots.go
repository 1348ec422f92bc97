package tensorrt

// method is a virtual function that is called, by its place in a layout.
type method int

// The methods: of IRuntime, ICudaEngine, IExecutionContext and IEngineInspector.
const (
	deserializeEngine method = iota // (data, size) → engine
	getNbDLACores                   // () → int32
	getLogger                       // () → logger

	getNbLayers           // () → int32
	createContext         // (strategy) → execution context
	getName               // () → text
	getNbProfiles         // () → int32
	createInspector       // () → inspector
	getEngineShape        // (name) → dims
	getDataType           // (name) → int32
	getLocation           // (name) → int32
	getIOMode             // (name) → int32
	getFormat             // (name) → int32
	getProfileShape       // (name, profile, selector) → dims
	getNbTensors          // () → int32
	getTensorName         // (index) → text
	getDeviceMemorySizeV2 // () → int64

	getContextEngine // () → engine
	getProfile       // () → int32
	setProfile       // (profile, stream) → bool
	setInputShape    // (name, dims) → bool
	getContextShape  // (name) → dims
	setTensorAddress // (name, address) → bool
	inferShapes      // (0, 0) → int32: 0, how many inputs are not set, or -1
	enqueue          // (stream) → bool
	getLayerInfo     // (layer, format) → text; of an inspector

	methods // how many there are
)

// destructorOfOwner is the position of the destructor that frees, in the table of a
// public object.
const destructorOfOwner = 1

// layout says where a major version of the library has its functions. Position 0 is
// the first entry of a class's table; 0 and 1 are the destructors.
type layout struct {
	major               int
	firstMinor, minor   int // the lowest and highest minor version whose headers were read
	log                 int // the entry of log in the table of an ILogger
	language, versioned int // of getAPILanguage and getInterfaceInfo in it; -1 for none
	destructors         [2]int
	slots               [methods]int
}

// layouts were read off the classes VRuntime, VCudaEngine, VExecutionContext and
// VEngineInspector of NvInferImpl.h and ILogger of NvInferRuntime.h, by a program that
// asked the compiler for the position of each, in every release that NVIDIA published
// at github.com/NVIDIA/TensorRT, branches release/10.3 to release/10.16 (all alike),
// release/11.0 and release/11.1 (alike).
var layouts = [...]layout{ //nolint:gochecknoglobals // a constant table
	{
		major: 10, firstMinor: 3, minor: 16,
		log: 0, language: -1, versioned: -1, destructors: [2]int{1, 2},
		slots: [methods]int{
			deserializeEngine: 3, getNbDLACores: 7, getLogger: 11,
			getNbLayers: 3, createContext: 5, getName: 9, getNbProfiles: 10, createInspector: 18, getEngineShape: 19,
			getDataType: 20, getLocation: 21, getIOMode: 23, getFormat: 26, getProfileShape: 29, getNbTensors: 30,
			getTensorName: 31, getDeviceMemorySizeV2: 52,
			getContextEngine: 7, getProfile: 11, setProfile: 17, setInputShape: 21, getContextShape: 22,
			setTensorAddress: 24, inferShapes: 28, enqueue: 37,
			getLayerInfo: 5,
		},
	},
	{
		major: 11, firstMinor: 0, minor: 1,
		log: 4, language: 0, versioned: 1, destructors: [2]int{2, 3},
		slots: [methods]int{
			deserializeEngine: 3, getNbDLACores: 6, getLogger: 10,
			getNbLayers: 3, createContext: 5, getName: 7, getNbProfiles: 8, createInspector: 14, getEngineShape: 15,
			getDataType: 16, getLocation: 17, getIOMode: 19, getFormat: 22, getProfileShape: 25, getNbTensors: 26,
			getTensorName: 27, getDeviceMemorySizeV2: 44,
			getContextEngine: 7, getProfile: 11, setProfile: 16, setInputShape: 20, getContextShape: 21,
			setTensorAddress: 23, inferShapes: 27, enqueue: 36,
			getLayerInfo: 5,
		},
	},
}

// class is one of the library's classes, whose methods follow each other.
type class struct {
	name        string // of its objects, for messages
	first, next method
}

var (
	runtimeClass   = class{"runtime", deserializeEngine, getNbLayers}           //nolint:gochecknoglobals // a constant
	engineClass    = class{"engine", getNbLayers, getContextEngine}             //nolint:gochecknoglobals // a constant
	contextClass   = class{"execution context", getContextEngine, getLayerInfo} //nolint:gochecknoglobals // a constant
	inspectorClass = class{"engine inspector", getLayerInfo, methods}           //nolint:gochecknoglobals // a constant
)
