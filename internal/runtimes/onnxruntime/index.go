package onnxruntime

// entry is the index of a function in the library's table, OrtApi. The table is
// only ever appended to, so an index holds for every release from the one that
// brought it. Source: the order of the members of struct OrtApi in
// include/onnxruntime/core/session/onnxruntime_c_api.h of release 1.29,
// computed with offsetof, and each called against release 1.30.0, but for those of
// CUDA and TensorRT, against release 1.31.1 for GPUs.
type entry int

const (
	getErrorCode                   entry = 1 // (status) → code
	getErrorMessage                entry = 2 // (status) → text, owned by the status
	createEnvWithCustomLogger      entry = 4
	createSession                  entry = 7
	createSessionFromArray         entry = 8
	runSession                     entry = 9
	createSessionOptions           entry = 10
	setOptimizedModelFilePath      entry = 11
	enableProfiling                entry = 14
	setSessionLogID                entry = 20
	setSessionLogSeverityLevel     entry = 22
	setGraphOptimizationLevel      entry = 23
	setIntraOpNumThreads           entry = 24
	setInterOpNumThreads           entry = 25
	sessionGetInputCount           entry = 30
	sessionGetOutputCount          entry = 31
	sessionGetInputTypeInfo        entry = 33
	sessionGetOutputTypeInfo       entry = 34
	sessionGetInputName            entry = 36
	sessionGetOutputName           entry = 37
	createRunOptions               entry = 39
	runOptionsSetRunTag            entry = 42
	runOptionsSetTerminate         entry = 46
	runOptionsUnsetTerminate       entry = 47
	createTensor                   entry = 48 // CreateTensorAsOrtValue
	createTensorWithData           entry = 49 // CreateTensorWithDataAsOrtValue
	getTensorMutableData           entry = 51
	getStringTensorDataLength      entry = 53
	getStringTensorContent         entry = 54
	castTypeInfoToTensorInfo       entry = 55
	getONNXTypeFromTypeInfo        entry = 56
	getTensorElementType           entry = 60
	getDimensionsCount             entry = 61
	getDimensions                  entry = 62
	getSymbolicDimensions          entry = 63
	getTensorTypeAndShape          entry = 65
	createCPUMemoryInfo            entry = 69
	allocatorFree                  entry = 76
	getAllocatorWithDefaultOptions entry = 78 // not to be released
	releaseStatus                  entry = 93 // this and the other releases return nothing
	releaseSession                 entry = 95
	releaseValue                   entry = 96
	releaseRunOptions              entry = 97
	releaseTypeInfo                entry = 98
	releaseTensorTypeAndShapeInfo  entry = 99
	releaseSessionOptions          entry = 100
	sessionEndProfiling            entry = 110
	sessionGetModelMetadata        entry = 111
	metadataProducerName           entry = 112
	metadataGraphName              entry = 113
	metadataDomain                 entry = 114
	metadataDescription            entry = 115
	metadataLookup                 entry = 116
	metadataVersion                entry = 117
	releaseModelMetadata           entry = 118
	metadataKeys                   entry = 123
	getAvailableProviders          entry = 125
	releaseAvailableProviders      entry = 126
	addSessionConfigEntry          entry = 130
	addTensorRT                    entry = 170 // SessionOptionsAppendExecutionProvider_TensorRT_V2
	createTensorRTOptions          entry = 171
	updateTensorRTOptions          entry = 172
	releaseTensorRTOptions         entry = 174
	addCUDA                        entry = 204 // SessionOptionsAppendExecutionProvider_CUDA_V2
	createCUDAOptions              entry = 205
	updateCUDAOptions              entry = 206
	releaseCUDAOptions             entry = 208
	addProvider                    entry = 216 // SessionOptionsAppendExecutionProvider
	getStringTensorElementBuffer   entry = 252 // GetResizedStringTensorElementBuffer
	getBuildInfoString             entry = 254 // () → text
	setLoadCancellationFlag        entry = 293 // SessionOptionsSetLoadCancellationFlag
	registerProviderLibrary        entry = 301 // RegisterExecutionProviderLibrary
	getProviderDevices             entry = 303 // GetEpDevices; the array belongs to the environment
	addProviderDevices             entry = 304 // SessionOptionsAppendExecutionProvider_V2
	hardwareType                   entry = 307 // HardwareDevice_Type (hardware) → 0 CPU, 1 GPU, 2 NPU
	providerDeviceName             entry = 312 // EpDevice_EpName (device) → text
	providerDeviceHardware         entry = 316 // EpDevice_Device (device) → hardware
	hasShape                       entry = 390 // TensorTypeAndShape_HasShape (info) → bool
	sessionAssignments             entry = 407 // Session_GetEpGraphAssignmentInfo; the array belongs to the session
	assignmentProvider             entry = 408 // EpAssignedSubgraph_GetEpName

	entries = assignmentProvider + 1
)

// apiVersion is the version of the table that is asked for: the first that has
// every entry above.
const apiVersion = 24

// MinimumVersion is the lowest release of the library that has that table.
const MinimumVersion = "1.24.0"

// Constants of the header.
const (
	errorCodeInvalidArgument = 2
	errorCodeInvalidProtobuf = 7
	errorCodeNotImplemented  = 9
	errorCodeInvalidGraph    = 10
	errorCodeLoadCanceled    = 12

	onnxTypeTensor = 1

	severityInfo    = 1
	severityWarning = 2
	severityError   = 3

	optimizationOff = 0
	optimizationAll = 99
)
