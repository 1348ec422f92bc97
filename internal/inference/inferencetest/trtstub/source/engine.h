// The engine files of the stand-in: a plan header, then a description that package
// trtstub writes. Numbers are little-endian.
#pragma once
#include <string>
#include <vector>

#include "interface.h"

enum Operation { IDENTITY, JOIN, ADD, REPEAT, NONZERO, SHAPE, WAIT };
enum { INPUT = 1, OUTPUT = 2, DEVICE = 0, HOST = 1 };

struct Tensor {
    std::string name;
    int32_t mode, type, location, format;
    Dims shape;
};

struct Description {
    int32_t capability = 0; // 100 * major + minor
    uint32_t tag = 0;
    uint8_t version[4] = {};
    int32_t operation = 0, layers = 0;
    int64_t memory = 0; // of a context, in bytes
    std::string name, plugin;
    std::vector<Tensor> tensors;
    std::vector<std::vector<Dims>> profiles; // each: of every tensor the least, best and most
    std::vector<float> weights;

    const Tensor *find(const char *name) const {
        for (const Tensor &t : tensors)
            if (name && t.name == name)
                return &t;
        stub_violation("there is no tensor %s", name ? name : "(null)");
        return nullptr;
    }
    // at returns the tensor of that number on a side.
    size_t at(int32_t mode, size_t number) const {
        for (size_t i = 0; i < tensors.size(); i++)
            if (tensors[i].mode == mode && number-- == 0)
                return i;
        return 0;
    }
};

// Reader takes numbers from a file; whole says whether they were all there.
struct Reader {
    const uint8_t *data;
    size_t size, position = 0;
    bool whole = true;

    int64_t number(size_t bytes) {
        uint64_t value = 0;
        if (!whole || bytes > size - position) {
            whole = false;
            return 0;
        }
        for (size_t i = 0; i < bytes; i++)
            value |= (uint64_t)data[position++] << (8 * i);
        return (int64_t)value;
    }
    std::string text() {
        size_t n = (size_t)number(2);
        if (!whole || n > size - position) {
            whole = false;
            return "";
        }
        position += n;
        return std::string((const char *)data + position - n, n);
    }
    Dims dims() {
        Dims shape = {(int32_t)number(1), {}};
        if (shape.rank > 8)
            whole = false;
        for (int32_t i = 0; whole && i < shape.rank; i++)
            shape.d[i] = number(8);
        return shape;
    }
};

// parse reads a file; it returns what is wrong, as TensorRT says it, or "".
inline std::string parse(const void *data, size_t size, uint32_t tag, Description &d) {
    Reader r{(const uint8_t *)data, size};
    if (r.number(4) != 0x74727466)
        return "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion magicTagRead == kMAGIC_TAG failed.Magic tag does not match)";
    r.number(4);
    d.tag = (uint32_t)r.number(4);
    if (d.tag != tag)
        return "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed.Version tag does not match. Note: Current Version: " +
               std::to_string(tag) + ", Serialized Engine Version: " + std::to_string(d.tag) + ")";
    r.number(4);
    if ((size_t)r.number(8) != size - 24)
        return "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion size >= bufferSize failed.)";
    for (uint8_t &v : d.version)
        v = (uint8_t)r.number(1);
    d.capability = (int32_t)r.number(2);
    d.operation = (int32_t)r.number(1);
    d.layers = (int32_t)r.number(2);
    d.memory = r.number(8);
    d.name = r.text();
    d.plugin = r.text();
    d.tensors.resize((size_t)r.number(2));
    for (Tensor &t : d.tensors) {
        t.name = r.text();
        t.mode = (int32_t)r.number(1);
        t.type = (int32_t)r.number(1);
        t.location = (int32_t)r.number(1);
        t.format = (int32_t)r.number(1);
        t.shape = r.dims();
    }
    d.profiles.resize((size_t)r.number(2));
    for (std::vector<Dims> &p : d.profiles) {
        p.resize(3 * d.tensors.size());
        for (Dims &shape : p)
            shape = r.dims();
    }
    d.weights.resize((size_t)r.number(4));
    for (float &w : d.weights) {
        uint32_t bits = (uint32_t)r.number(4);
        static_assert(sizeof w == sizeof bits, "FP32");
        __builtin_memcpy(&w, &bits, sizeof w);
    }
    if (!r.whole || r.position != size)
        return "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion size >= bufferSize failed.)";
    int32_t here = stub_capability();
    if (d.capability != here) {
        char text[256];
        snprintf(text, sizeof text,
                 "IRuntime::deserializeCudaEngine: Error Code 6: API Usage Error (The engine plan file is generated on an incompatible device, expecting compute %d.%d got compute %d.%d, please rebuild.)",
                 here / 100, here % 100, d.capability / 100, d.capability % 100);
        return text;
    }
    if (!d.plugin.empty())
        return "IPluginRegistry::getCreator: Error Code 4: API Usage Error (Cannot find plugin: " + d.plugin + ", version: 1, namespace:.)";
    return "";
}

inline int64_t elements(const Dims &shape) {
    int64_t n = 1;
    for (int32_t i = 0; i < shape.rank; i++)
        n *= shape.d[i];
    return n;
}

inline size_t width(int32_t type) {
    static const size_t widths[] = {4, 2, 1, 4, 1, 1, 1, 2, 8};
    return type < 9 ? widths[type] : 1;
}
