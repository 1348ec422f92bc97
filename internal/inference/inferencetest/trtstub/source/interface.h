// The virtual functions of TensorRT's runtime interface, in the order that the header
// NvInferImpl.h has them: of 10.3 to 10.16 where MAJOR is 10, of 11.0 and 11.1 where
// it is 11. What the adapter does not call is a NOT that only says that it was called.
//
// EXTRA_RUNTIME, EXTRA_ENGINE and EXTRA_CONTEXT shift the functions of a class by one,
// as another version might; LESS_RUNTIME, LESS_ENGINE and LESS_CONTEXT the other way.
#pragma once
#include "cuda.h"

#define NOT(name)                                         \
    virtual int64_t name() {                              \
        stub_violation("the adapter called %s", #name);   \
        return 0;                                         \
    }

struct Dims {
    int32_t rank;
    int64_t d[8];
};

// A public object: its own table has the destructors only.
template <class V> struct Public {
    V *impl;
    explicit Public(V *v) : impl(v) {}
    virtual ~Public() { delete impl; }
};

struct InterfaceInfo {
    const char *kind;
    int32_t major, minor;
};

struct Logger {
#if MAJOR >= 11
    virtual int32_t getAPILanguage() const = 0;
    virtual InterfaceInfo getInterfaceInfo() const = 0;
    virtual ~Logger() {}
    virtual void log(int32_t severity, const char *text) = 0;
#else
    virtual void log(int32_t severity, const char *text) = 0;
    virtual ~Logger() {}
#endif
};

struct VEngine;
struct VContext;
struct VInspector;

struct VRuntime {
    virtual ~VRuntime() {}
#if EXTRA_RUNTIME
    NOT(extra)
#endif
#if !LESS_RUNTIME
    NOT(getPImpl)
#endif
    virtual Public<VEngine> *deserializeCudaEngine(const void *data, size_t size) = 0;
#if MAJOR < 11
    NOT(deserializeCudaEngineOfStream)
#endif
    NOT(setDLACore) NOT(getDLACore)
    virtual int32_t getNbDLACores() const = 0;
    NOT(setGpuAllocator) NOT(setErrorRecorder)
    virtual void *getErrorRecorder() const = 0;
    virtual Logger *getLogger() const = 0;
    NOT(setMaxThreads) NOT(getMaxThreads) NOT(setTemporaryDirectory) NOT(getTemporaryDirectory) NOT(setTempfileControlFlags)
    NOT(getTempfileControlFlags) NOT(getPluginRegistry) NOT(setPluginRegistryParent) NOT(loadRuntime) NOT(setEngineHostCodeAllowed)
    NOT(getEngineHostCodeAllowed) NOT(deserializeCudaEngineV2)
};

struct VEngine {
    virtual ~VEngine() {}
#if EXTRA_ENGINE
    NOT(extra)
#endif
#if !LESS_ENGINE
    NOT(getPImpl)
#endif
    virtual int32_t getNbLayers() const = 0;
    NOT(serialize)
    virtual Public<VContext> *createExecutionContext(int32_t strategy) = 0;
#if MAJOR < 11
    NOT(createExecutionContextWithoutDeviceMemory) NOT(getDeviceMemorySize)
#endif
    NOT(isRefittable)
    virtual const char *getName() const = 0;
    virtual int32_t getNbOptimizationProfiles() const = 0;
#if MAJOR < 11
    NOT(getProfileTensorValues)
#endif
    NOT(getEngineCapability) NOT(setErrorRecorder) NOT(getErrorRecorder)
#if MAJOR < 11
    NOT(hasImplicitBatchDimension)
#endif
    NOT(getTacticSources) NOT(getProfilingVerbosity)
    virtual Public<VInspector> *createEngineInspector() const = 0;
    virtual Dims getTensorShape(const char *name) const = 0;
    virtual int32_t getTensorDataType(const char *name) const = 0;
    virtual int32_t getTensorLocation(const char *name) const = 0;
    NOT(isShapeInferenceIO)
    virtual int32_t getTensorIOMode(const char *name) const = 0;
    NOT(getTensorBytesPerComponent) NOT(getTensorComponentsPerElement)
    virtual int32_t getTensorFormat(const char *name) const = 0;
    NOT(getTensorFormatDesc) NOT(getTensorVectorizedDim)
    virtual Dims getProfileShape(const char *name, int32_t profile, int32_t select) const = 0;
    virtual int32_t getNbIOTensors() const = 0;
    virtual const char *getIOTensorName(int32_t index) const = 0;
    NOT(getHardwareCompatibilityLevel) NOT(getNbAuxStreams) NOT(getTensorBytesPerComponentV2) NOT(getTensorComponentsPerElementV2)
    NOT(getTensorFormatV2) NOT(getTensorFormatDescV2) NOT(getTensorVectorizedDimV2) NOT(createSerializationConfig) NOT(serializeWithConfig)
#if MAJOR < 11
    NOT(getDeviceMemorySizeForProfile)
#endif
    NOT(createRefitter)
#if MAJOR < 11
    NOT(setWeightStreamingBudget) NOT(getWeightStreamingBudget) NOT(getMinimumWeightStreamingBudget)
#endif
    NOT(getStreamableWeightsSize) NOT(isDebugTensor) NOT(setWeightStreamingBudgetV2) NOT(getWeightStreamingBudgetV2)
    NOT(getWeightStreamingAutomaticBudget) NOT(getWeightStreamingScratchMemorySize)
    virtual int64_t getDeviceMemorySizeV2() const = 0;
};

struct VContext {
    virtual ~VContext() {}
#if EXTRA_CONTEXT
    NOT(extra)
#endif
#if !LESS_CONTEXT
    NOT(getPImpl)
#endif
    NOT(setDebugSync) NOT(getDebugSync) NOT(setProfiler) NOT(getProfiler)
    virtual const Public<VEngine> &getEngine() const = 0;
    NOT(setName) NOT(getName) NOT(setDeviceMemory)
    virtual int32_t getOptimizationProfile() const = 0;
    NOT(allInputDimensionsSpecified)
#if MAJOR < 11
    NOT(allInputShapesSpecified)
#endif
    NOT(setErrorRecorder) NOT(getErrorRecorder) NOT(executeV2)
    virtual bool setOptimizationProfileAsync(int32_t profile, void *stream) = 0;
    NOT(setEnqueueEmitsProfile) NOT(getEnqueueEmitsProfile) NOT(reportToProfiler)
    virtual bool setInputShape(const char *name, const Dims &dims) = 0;
    virtual Dims getTensorShape(const char *name) const = 0;
    NOT(getTensorStrides)
    virtual bool setTensorAddress(const char *name, void *data) = 0;
    NOT(getTensorAddress) NOT(setInputTensorAddress) NOT(setOutputTensorAddress)
    virtual int32_t inferShapes(int32_t most, const char **names) = 0;
    NOT(setInputConsumedEvent) NOT(getInputConsumedEvent) NOT(getOutputTensorAddress) NOT(setOutputAllocator) NOT(getOutputAllocator)
    NOT(getMaxOutputSize) NOT(setTemporaryStorageAllocator) NOT(getTemporaryStorageAllocator)
    virtual bool enqueueV3(void *stream) = 0;
};

struct VInspector {
    virtual ~VInspector() {}
    NOT(getPImpl) NOT(setExecutionContext) NOT(getExecutionContext)
    virtual const char *getLayerInformation(int32_t layer, int32_t format) const = 0;
};
