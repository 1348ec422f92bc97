// A stand-in for libnvinfer.so: the runtime part of TensorRT's interface over the
// stand-in for the CUDA driver. It computes little, and minds the interface's rules:
// which order calls come in, which thread has the context, which memory is whose.
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <atomic>

#include "engine.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

static std::atomic<int64_t> live; // objects that were not deleted
static Logger *logger;
static const uint32_t tag = MAJOR == 10 ? 237 : 240;

static void say(int32_t severity, const std::string &text) { logger->log(severity, text.c_str()); }

// Entry says so when a function is entered without the context, or by two threads.
struct Entry {
    std::atomic<int> *inside;
    Entry(const char *function, std::atomic<int> *counter = nullptr) : inside(counter) {
        if (!stub_current())
            stub_violation("%s: the context is not current on this thread", function);
        if (inside && inside->fetch_add(1))
            stub_violation("%s: another thread is in the same execution context", function);
    }
    ~Entry() {
        if (inside)
            inside->fetch_sub(1);
    }
};

struct Engine;

// Job is one run: what enqueueV3 leaves on the stream.
struct Job {
    const Description *d;
    std::vector<Dims> shapes;
    std::vector<void *> data;
    const float *weights;
};

struct Context : VContext {
    Engine *engine;
    const Description &d;
    Public<VEngine> &owner;
    mutable std::atomic<int> inside{0};
    int32_t profile = 0;
    std::vector<Dims> set; // of the inputs; rank -1 where it was not set
    std::vector<void *> addresses;
    uint64_t scratch = 0;

    Context(Engine *e, Public<VEngine> &o);
    ~Context();
    const Public<VEngine> &getEngine() const { return owner; }
    int32_t getOptimizationProfile() const { return profile; }
    bool setOptimizationProfileAsync(int32_t index, void *stream);
    bool setInputShape(const char *name, const Dims &dims);
    Dims getTensorShape(const char *name) const;
    bool setTensorAddress(const char *name, void *data);
    int32_t inferShapes(int32_t most, const char **names);
    bool enqueueV3(void *stream);

    int32_t infer() const;
    Dims input(size_t i) const;
    Dims output(size_t i) const;
};

struct Inspector : VInspector {
    const Description &d;
    mutable std::string text;
    explicit Inspector(const Description &of) : d(of) { live++; }
    ~Inspector() { live--; }
    const char *getLayerInformation(int32_t layer, int32_t) const {
        text = "layer " + std::to_string(layer) + "\n";
        return layer < d.layers ? text.c_str() : "";
    }
};

struct Engine : VEngine {
    Description d;
    Public<VEngine> *owner = nullptr;
    uint64_t weights = 0;
    mutable std::atomic<int> contexts{0};

    Engine() { live++; }
    ~Engine() {
        Entry entry("delete of an engine");
        if (contexts)
            stub_violation("an engine was deleted before its execution contexts");
        if (weights)
            cuMemFree_v2(weights);
        live--;
    }
    int32_t getNbLayers() const { return d.layers; }
    Public<VContext> *createExecutionContext(int32_t strategy) {
        Entry entry("createExecutionContext");
        if (strategy)
            stub_violation("createExecutionContext: strategy %d", strategy);
        Context *c = new Context(this, *owner);
        if (d.memory && !c->scratch) {
            say(1, "[defaultAllocator.cpp::allocate::20] Error Code 1: Cuda Runtime (out of memory)");
            delete c;
            return nullptr;
        }
        return new Public<VContext>(c);
    }
    const char *getName() const { return d.name.c_str(); }
    int32_t getNbOptimizationProfiles() const { return (int32_t)d.profiles.size(); }
    Public<VInspector> *createEngineInspector() const { return new Public<VInspector>(new Inspector(d)); }
    Dims getTensorShape(const char *name) const {
        const Tensor *t = d.find(name);
        return t ? t->shape : Dims{-1, {}};
    }
    int32_t getTensorDataType(const char *name) const { return d.find(name)->type; }
    int32_t getTensorLocation(const char *name) const { return d.find(name)->location; }
    int32_t getTensorIOMode(const char *name) const { return d.find(name)->mode; }
    int32_t getTensorFormat(const char *name) const { return d.find(name)->format; }
    Dims getProfileShape(const char *name, int32_t profile, int32_t select) const {
        const Tensor *t = d.find(name);
        if (!t || t->mode != INPUT || profile < 0 || (size_t)profile >= d.profiles.size() || select < 0 || select > 2)
            return Dims{-1, {}};
        return d.profiles[(size_t)profile][3 * (size_t)(t - d.tensors.data()) + (size_t)select];
    }
    int32_t getNbIOTensors() const { return (int32_t)d.tensors.size(); }
    const char *getIOTensorName(int32_t index) const { return index < getNbIOTensors() ? d.tensors[(size_t)index].name.c_str() : nullptr; }
    int64_t getDeviceMemorySizeV2() const { return d.memory; }
};

Context::Context(Engine *e, Public<VEngine> &o) : engine(e), d(e->d), owner(o), set(d.tensors.size(), Dims{-1, {}}), addresses(d.tensors.size()) {
    engine->contexts++;
    live++;
    if (d.memory)
        cuMemAlloc_v2(&scratch, (size_t)d.memory);
}

Context::~Context() {
    Entry entry("delete of an execution context", &inside);
    if (scratch)
        cuMemFree_v2(scratch);
    engine->contexts--;
    live--;
}

bool Context::setOptimizationProfileAsync(int32_t index, void *) {
    Entry entry("setOptimizationProfileAsync", &inside);
    if (index < 0 || (size_t)index >= d.profiles.size())
        return false;
    profile = index;
    for (Dims &shape : set)
        shape.rank = -1;
    return true;
}

bool Context::setInputShape(const char *name, const Dims &dims) {
    Entry entry("setInputShape", &inside);
    const Tensor *t = d.find(name);
    if (!t || t->mode != INPUT)
        return false;
    size_t i = (size_t)(t - d.tensors.data());
    for (int32_t k = 0; k < dims.rank; k++) {
        if (t->shape.d[k] >= 0 && t->shape.d[k] != dims.d[k]) {
            say(1, "IExecutionContext::setInputShape: Error Code 3: API Usage Error (Parameter check failed, condition: engineDims.d[i] == dims.d[i]. Static dimension mismatch while setting input shape.)");
            return false;
        }
        if (t->location == DEVICE && (dims.d[k] < d.profiles[(size_t)profile][3 * i].d[k] || dims.d[k] > d.profiles[(size_t)profile][3 * i + 2].d[k])) {
            stub_violation("setInputShape: dimension %d of %s is %lld, which profile %d does not have", k, name, (long long)dims.d[k], profile);
            return false;
        }
    }
    set[i] = dims;
    return dims.rank == t->shape.rank;
}

Dims Context::input(size_t i) const {
    if (set[i].rank >= 0)
        return set[i];
    return d.tensors[i].shape;
}

Dims Context::output(size_t i) const {
    Dims shape = d.tensors[i].shape, in = input(d.at(INPUT, 0));
    switch (d.operation) {
    case JOIN:
        if (i == d.at(OUTPUT, 0))
            shape.d[0] = in.d[0];
        if (in.d[0] != input(d.at(INPUT, 1)).d[0])
            shape.rank = -1;
        break;
    case REPEAT:
        if (void *times = addresses[d.at(INPUT, 1)])
            shape.d[0] = *(int64_t *)times;
        break;
    case NONZERO:
    case SHAPE:
        break;
    default:
        shape = in;
    }
    return shape;
}

Dims Context::getTensorShape(const char *name) const {
    Entry entry("getTensorShape", &inside);
    const Tensor *t = d.find(name);
    if (!t)
        return Dims{-1, {}};
    size_t i = (size_t)(t - d.tensors.data());
    return t->mode == INPUT ? input(i) : output(i);
}

bool Context::setTensorAddress(const char *name, void *data) {
    Entry entry("setTensorAddress", &inside);
    const Tensor *t = d.find(name);
    if (!t || (uintptr_t)data % 256 || !data) {
        stub_violation("setTensorAddress: %s does not begin at a multiple of 256", name);
        return false;
    }
    if ((t->location == DEVICE) != stub_inside((uint64_t)(uintptr_t)data, 1))
        stub_violation("setTensorAddress: the memory of %s is on the wrong side", name);
    addresses[(size_t)(t - d.tensors.data())] = data;
    return true;
}

int32_t Context::inferShapes(int32_t most, const char **names) {
    Entry entry("inferShapes", &inside);
    return most || names ? -1 : infer();
}

int32_t Context::infer() const {
    int32_t missing = 0;
    for (size_t i = 0; i < d.tensors.size(); i++) {
        const Tensor &t = d.tensors[i];
        if (t.mode == INPUT && t.location == HOST && !addresses[i])
            missing++;
        for (int32_t k = 0; t.mode == INPUT && k < t.shape.rank; k++)
            if (input(i).d[k] < 0) {
                missing++;
                break;
            }
    }
    if (missing)
        return missing;
    for (size_t i = 0; i < d.tensors.size(); i++) {
        Dims shape = d.tensors[i].mode == OUTPUT ? output(i) : input(i);
        bool negative = shape.rank < 0;
        for (int32_t k = 0; k < shape.rank; k++)
            negative = negative || (shape.d[k] < 0 && d.operation != NONZERO);
        if (negative) {
            say(1, "IExecutionContext::inferShapes: Error Code 7: Internal Error (IConcatenationLayer join: dimensions not compatible for concatenation)");
            return -1;
        }
    }
    return 0;
}

static void compute(void *argument) {
    Job *j = (Job *)argument;
    const Description &d = *j->d;
    size_t x = d.at(INPUT, 0), y = d.at(OUTPUT, 0);
    int64_t n = elements(j->shapes[y]);
    switch (d.operation) {
    case WAIT:
        stub_wait(); // and as IDENTITY
    case IDENTITY:
        memcpy(j->data[y], j->data[x], (size_t)n * width(d.tensors[x].type));
        break;
    case JOIN: {
        size_t b = d.at(INPUT, 1);
        int64_t left = j->shapes[x].d[1], right = j->shapes[b].d[1];
        float *to = (float *)j->data[y], *a = (float *)j->data[x], *c = (float *)j->data[b];
        for (int64_t row = 0; row < j->shapes[x].d[0]; row++) {
            memcpy(to + row * (left + right), a + row * left, (size_t)left * 4);
            memcpy(to + row * (left + right) + left, c + row * right, (size_t)right * 4);
        }
        int64_t *count = (int64_t *)j->data[d.at(OUTPUT, 1)];
        count[0] = j->shapes[x].d[0];
        count[1] = left;
        break;
    }
    case ADD:
        for (int64_t i = 0; i < n; i++)
            ((float *)j->data[y])[i] = ((float *)j->data[x])[i] + j->weights[i];
        break;
    case REPEAT:
        for (int64_t i = 0; i < n; i++)
            ((float *)j->data[y])[i] = ((float *)j->data[x])[0];
        break;
    case SHAPE:
        for (int64_t i = 0; i < n; i++)
            ((int64_t *)j->data[y])[i] = j->shapes[x].d[i];
        break;
    }
    delete j;
}

bool Context::enqueueV3(void *stream) {
    Entry entry("enqueueV3", &inside);
    if (infer())
        return false;
    if (stub_clear("fail_enqueue")) {
        say(1, "IExecutionContext::enqueueV3: Error Code 1: Cuda Driver (invalid resource handle)");
        return false;
    }
    Job *j = new Job{&d, {}, addresses, (const float *)(uintptr_t)engine->weights};
    for (size_t i = 0; i < d.tensors.size(); i++) {
        const Tensor &t = d.tensors[i];
        j->shapes.push_back(t.mode == OUTPUT ? output(i) : input(i));
        if (!addresses[i] || (t.location == DEVICE && !stub_inside((uint64_t)(uintptr_t)addresses[i], (size_t)elements(j->shapes[i]) * width(t.type))))
            stub_violation("enqueueV3: %s has no room", t.name.c_str());
    }
    if (stub_push(stream, compute, j))
        return true;
    stub_violation("enqueueV3: no such stream");
    delete j;
    return false;
}

struct Runtime : VRuntime {
    Runtime() { live++; }
    ~Runtime() { live--; }
    int32_t getNbDLACores() const { return 0; }
    void *getErrorRecorder() const { return nullptr; }
    Logger *getLogger() const { return logger; }
    Public<VEngine> *deserializeCudaEngine(const void *data, size_t size) {
        Entry entry("deserializeCudaEngine");
        say(3, "Loaded engine size: " + std::to_string(size >> 20) + " MiB");
        Engine *e = new Engine;
        std::string wrong = parse(data, size, tag, e->d);
        size_t bytes = 4 * e->d.weights.size();
        if (wrong.empty() && bytes && cuMemAlloc_v2(&e->weights, bytes))
            wrong = "[defaultAllocator.cpp::allocate::20] Error Code 1: Cuda Runtime (out of memory)";
        if (!wrong.empty()) {
            say(1, wrong);
            say(1, "[runtime.cpp::deserializeCudaEngine::50] Error Code 4: Internal Error (Engine deserialization failed.)");
            delete e;
            return nullptr;
        }
        if (bytes)
            memcpy((void *)(uintptr_t)e->weights, e->d.weights.data(), bytes);
        std::vector<float>().swap(e->d.weights);
        return e->owner = new Public<VEngine>(e);
    }
};

#ifndef VERSION
#define VERSION (MAJOR == 10 ? 101600 : 110100)
#endif

EXPORT int32_t getInferLibVersion() { return VERSION; }

EXPORT int64_t stub_objects() { return live; }

EXPORT void *createInferRuntime_INTERNAL(void *given, int32_t version) {
    logger = (Logger *)given;
    if (version != VERSION)
        stub_violation("createInferRuntime: version %d, want %d", version, VERSION);
#if MAJOR >= 11
    InterfaceInfo info = logger->getInterfaceInfo();
    if (strcmp(info.kind, "ILogger") || info.major != 1 || info.minor != 0 || logger->getAPILanguage() != 0)
        stub_violation("the logger is %s %d.%d in language %d", info.kind, info.major, info.minor, logger->getAPILanguage());
#endif
    if (stub_clear("fail_create")) {
        say(0, "CUDA initialization failure with error: 35. Please check your CUDA installation: http://docs.nvidia.com/cuda/cuda-installation-guide-linux/index.html");
        return (void *)0x228; // as the library does
    }
    Entry entry("createInferRuntime");
    return new Public<VRuntime>(new Runtime);
}
