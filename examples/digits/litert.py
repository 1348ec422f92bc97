"""Writes the networks of the examples as TensorFlow Lite files, from their ONNX files.

It knows the operators that train.py and ../mid/build.py write, in the way in which they write
them, and refuses all others. A picture is [n, channels, rows, columns] in ONNX and
[n, rows, columns, channels] in TensorFlow Lite: the first operator turns it over, so that the
input of both files is the same.

Tables and numbers: tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import helper, numpy_helper

ALIGNMENT = 16  # bytes, of the weights in the file
NO_ACTIVATION = schema.ActivationFunctionType.NONE


class Builder(flatbuffers.Builder):
    """Keeps to the alignment that the schema asks of weights, which flatbuffers' Python does not."""

    def CreateNumpyVector(self, x):
        self.Prep(ALIGNMENT, x.nbytes)
        return super().CreateNumpyVector(x)


class Translation:
    """One graph: what has been translated so far.

    known maps names of the ONNX graph to indexes of tensors, each of which has at most one
    producer in producers.
    """

    def __init__(self, graph):
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = graph.name
        self.model.buffers = [schema.BufferT()]  # the first is what every tensor without data has
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.name = "main"
        self.graph.tensors, self.graph.operators = [], []
        self.weights = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self.uses = [name for node in graph.node for name in node.input]
        self.known, self.producers = {}, {}

    def tensor(self, name, shape, data=None):
        """Adds a tensor and returns its index. One without data has a batch in front."""
        t = schema.TensorT()
        t.name = name
        t.shape = list(shape)
        t.hasRank = True
        t.buffer = 0
        t.type = schema.TensorType.FLOAT32
        if data is None:
            t.shapeSignature = [-1, *shape[1:]]
        else:
            if data.dtype == np.int32:
                t.type = schema.TensorType.INT32
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            t.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(t)
        return len(self.graph.tensors) - 1

    def constant(self, name, data):
        return self.tensor(name, data.shape, data)

    def shape(self, name):
        return self.graph.tensors[self.known[name]].shape

    def code(self, kind):
        """Returns the index of an operator's kind among those that the file uses."""
        number = getattr(schema.BuiltinOperator, kind)
        for i, code in enumerate(self.model.operatorCodes):
            if code.builtinCode == number:
                return i
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = number
        code.version = 1
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def operator(self, kind, inputs, output, shape, options):
        """Adds an operator and its one output, which has the batch in front."""
        op = schema.OperatorT()
        op.opcodeIndex = self.code(kind)
        op.inputs = inputs
        op.outputs = [self.tensor(output, shape)]
        op.builtinOptions = options
        op.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self.graph.operators.append(op)
        self.known[output] = op.outputs[0]
        self.producers[output] = op

    def turn(self, name):
        """Turns a picture over, and calls the result by its name."""
        n, channels, rows, columns = self.shape(name)
        order = self.constant("order", np.array([0, 2, 3, 1], np.int32))
        turned, shape = name + ".turned", [n, rows, columns, channels]
        self.operator("TRANSPOSE", [self.known[name], order], turned, shape, schema.TransposeOptionsT())
        self.known[name] = self.known[turned]

    def conv(self, node):
        given = attributes(node)
        strides, group = given.get("strides", [1, 1]), given.get("group", 1)
        x, weight, bias = node.input
        n, rows, columns, channels = self.shape(x)
        w = self.weights[weight]
        require_same(node, given.get("pads", [0, 0, 0, 0]), (rows, columns), w.shape[2:], strides)
        if group == 1:
            kind, options, w = "CONV_2D", schema.Conv2DOptionsT(), w.transpose(0, 2, 3, 1)
        elif group == channels:
            kind, options = "DEPTHWISE_CONV_2D", schema.DepthwiseConv2DOptionsT()
            w = w.transpose(1, 2, 3, 0)
            options.depthMultiplier = w.shape[3] // channels
        else:
            raise ValueError(f"{node.name} has {group} groups, want 1 or the {channels} of its channels")
        options.padding = schema.Padding.SAME
        options.strideH, options.strideW = strides
        options.dilationHFactor = options.dilationWFactor = 1
        options.fusedActivationFunction = NO_ACTIVATION
        b = self.weights[bias]
        inputs = [self.known[x], self.constant(weight, w), self.constant(bias, b)]
        shape = [n, -(-rows // strides[0]), -(-columns // strides[1]), len(b)]
        self.operator(kind, inputs, node.output[0], shape, options)

    def activate(self, node, function):
        """Has the operator before apply the function; its output takes the name."""
        x, y = node.input[0], node.output[0]
        op = self.producers.get(x)
        done = getattr(op and op.builtinOptions, "fusedActivationFunction", None)
        if done != NO_ACTIVATION or self.uses.count(x) != 1:
            raise ValueError(f"{node.name} does not follow an operator that nothing else follows")
        op.builtinOptions.fusedActivationFunction = function
        self.graph.tensors[op.outputs[0]].name = y
        self.known[y], self.producers[y] = self.known[x], op

    def relu(self, node):
        self.activate(node, schema.ActivationFunctionType.RELU)

    def clip(self, node):
        limits = [float(self.weights[name]) for name in node.input[1:]]
        if limits != [0, 6]:
            raise ValueError(f"{node.name} clips to {limits}, want [0.0, 6.0]")
        self.activate(node, schema.ActivationFunctionType.RELU6)

    def pool(self, node):
        given = attributes(node)
        if given != {"kernel_shape": [2, 2], "strides": [2, 2]}:
            raise ValueError(f"{node.name} pools by {given}, want squares of 2x2 side by side")
        options = schema.Pool2DOptionsT()
        options.padding = schema.Padding.VALID
        options.strideH = options.strideW = options.filterHeight = options.filterWidth = 2
        options.fusedActivationFunction = NO_ACTIVATION
        n, rows, columns, channels = self.shape(node.input[0])
        shape = [n, rows // 2, columns // 2, channels]
        self.operator("MAX_POOL_2D", [self.known[node.input[0]]], node.output[0], shape, options)

    def add(self, node):
        options = schema.AddOptionsT()
        options.fusedActivationFunction = NO_ACTIVATION
        x, y = node.input
        self.operator("ADD", [self.known[x], self.known[y]], node.output[0], self.shape(x), options)

    def mean(self, node):
        """The mean over rows and columns, which are then gone: what ONNX needs Flatten for."""
        n, _, _, channels = self.shape(node.input[0])
        axes = self.constant("axes", np.array([1, 2], np.int32))
        options = schema.ReducerOptionsT()
        options.keepDims = False
        self.operator("MEAN", [self.known[node.input[0]], axes], node.output[0], [n, channels], options)

    def flatten(self, node):
        if len(self.shape(node.input[0])) != 2:
            raise ValueError(f"{node.name} does not follow the mean of the picture")
        self.known[node.output[0]] = self.known[node.input[0]]

    def dense(self, node):
        if attributes(node) != {"transB": 1}:
            raise ValueError(f"{node.name} has {attributes(node)}, want weights [out, in] alone")
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = NO_ACTIVATION
        x, weight, bias = node.input
        w, b = self.weights[weight], self.weights[bias]
        inputs = [self.known[x], self.constant(weight, w), self.constant(bias, b)]
        self.operator("FULLY_CONNECTED", inputs, node.output[0], [self.shape(x)[0], len(b)], options)

    def softmax(self, node):
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        x = node.input[0]
        self.operator("SOFTMAX", [self.known[x]], node.output[0], self.shape(x), options)

    def finish(self, inputs, outputs):
        """Declares what the graph takes and gives, and returns the file."""
        signature = schema.SignatureDefT()
        signature.signatureKey = "serving_default"
        signature.subgraphIndex = 0
        signature.inputs = [tensor_map(name, i) for name, i in inputs.items()]
        signature.outputs = [tensor_map(name, i) for name, i in outputs.items()]
        self.graph.inputs, self.graph.outputs = list(inputs.values()), list(outputs.values())
        self.model.subgraphs, self.model.signatureDefs = [self.graph], [signature]
        builder = Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def tensor_map(name, index):
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry


def attributes(node):
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def require_same(node, pads, size, kernel, strides):
    """Raises unless the pads are those of the padding SAME: ceil(size/stride) results, and
    where the pads before and after differ, more after."""
    total = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, kernel, strides)]
    want = [t // 2 for t in total] + [t - t // 2 for t in total]
    if list(pads) != want:
        raise ValueError(f"{node.name} has the pads {list(pads)}, want {want}, the padding SAME")


OPERATORS = {
    "Conv": Translation.conv,
    "Relu": Translation.relu,
    "Clip": Translation.clip,
    "MaxPool": Translation.pool,
    "Add": Translation.add,
    "GlobalAveragePool": Translation.mean,
    "Flatten": Translation.flatten,
    "Gemm": Translation.dense,
    "Softmax": Translation.softmax,
}


def from_onnx(path):
    """Returns the bytes of the TensorFlow Lite file for the ONNX file at path."""
    graph = onnx.load(path).graph
    t = Translation(graph)
    inputs = {}
    for value in graph.input:
        shape = [1] + [d.dim_value for d in value.type.tensor_type.shape.dim[1:]]
        inputs[value.name] = t.known[value.name] = t.tensor(value.name, shape)
        t.turn(value.name)
    for node in graph.node:
        if node.op_type not in OPERATORS:
            raise ValueError(f"{node.name} is a {node.op_type}, want one of {', '.join(OPERATORS)}")
        OPERATORS[node.op_type](t, node)
    return t.finish(inputs, {value.name: t.known[value.name] for value in graph.output})
