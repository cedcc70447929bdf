"""Random graphs of QuantizeLinear, DequantizeLinear and operators between them, as quantizers write them.

`quantized.py` keeps a few of them as cases. Run this file to compare many:

    python qdq.py FOLDER COUNT [FIRST_SEED]
    CASES=FOLDER cargo test -p onnx-ml --test cases

Each value between two operators is quantized with the range that it has for the example input. The
expected outputs come from ONNX Runtime with graph optimizations disabled. It then computes each node as
the specification defines it. With optimizations, ONNX Runtime replaces Softmax, Sigmoid and other
operators between DequantizeLinear and QuantizeLinear by integer operators, whose results differ by up to
one quantization step.
"""

import sys
from pathlib import Path

import common
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

OPSET = 21
BATCHES = (1, 3)

ELEMENT_WISE = [
    ("Sigmoid", {}), ("Tanh", {}), ("Relu", {}), ("LeakyRelu", {"alpha": 0.2}), ("HardSwish", {}),
    ("HardSigmoid", {}), ("Elu", {}), ("Softplus", {}), ("Gelu", {}), ("Abs", {}), ("Erf", {}), ("Identity", {}),
    ("Clip", {}),
]  # fmt: skip


class Graph:
    """A graph under construction, and the value of each tensor for the example input."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights, self.values, self.scales = [], [], {}, {}

    def name(self):
        return f"v{len(self.nodes) + len(self.weights)}"

    def chance(self, probability):
        return self.random.random() < probability

    def pick(self, choices):
        return choices[self.random.integers(len(choices))]

    def weight(self, array):
        name = self.name()
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, operator, inputs, domain="", **attributes):
        """Adds a node and computes its output for the example input."""
        output = self.name()
        made = helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes)
        self.nodes.append(made)
        known = {name: self.values[name] for name in inputs if name in self.values}
        used = [weight for weight in self.weights if weight.name in inputs]
        infos = [helper.make_tensor_value_info(n, kind(x), x.shape) for n, x in known.items()]
        outputs = [onnx.ValueInfoProto(name=output)]
        graph = helper.make_graph([made], "one", infos, outputs, used)
        self.values[output] = session(graph).run(None, known)[0]
        return output

    def quantize(self, name, integer=None):
        """Quantizes a value, with a scale for the whole tensor."""
        integer = integer or self.pick([np.uint8, np.int8])
        limits = np.iinfo(integer)
        value = self.values[name]
        has_zero_point = integer == np.int8 or self.chance(0.8)
        low, high = min(float(value.min()), 0.0), max(float(value.max()), 1e-3)
        symmetric = integer == np.int8 and self.chance(0.5)
        if not has_zero_point or symmetric:
            zero, scale = 0, max(high, -low) / limits.max
        else:
            scale = (high - low) / 255
            zero = int(np.clip(round(limits.min - low / scale), limits.min, limits.max))
        inputs = [self.weight(np.float32(scale))]
        if has_zero_point:
            inputs.append(self.weight(integer(zero)))
        quantized = self.node("QuantizeLinear", [name, *inputs])
        self.scales[quantized] = (inputs, float(np.float32(scale)))
        return quantized

    def dequantize(self, name):
        inputs, scale = self.scales[name]
        value = self.node("DequantizeLinear", [name, *inputs])
        self.scales[value] = (inputs, scale)
        return value

    def requantize(self, name):
        return self.dequantize(self.quantize(name))

    def quantized_weight(self, array, axis=None):
        """A constant of 8-bit integers and its DequantizeLinear."""
        integer = self.pick([np.int8, np.int8, np.uint8])
        limits = np.iinfo(integer)
        per_axis = axis is not None and self.chance(0.5)
        others = tuple(i for i in range(array.ndim) if i != axis) if per_axis else None
        low, high = np.minimum(array.min(others), 0), np.maximum(array.max(others), 0)
        if integer == np.int8 and self.chance(0.7):
            scale, zero = np.maximum(np.maximum(high, -low), 1e-3) / 127, np.zeros_like(low)
        else:
            scale = np.maximum(high - low, 1e-3) / 255
            zero = np.clip(np.round(limits.min - low / scale), limits.min, limits.max)
        shape = [-1 if i == axis else 1 for i in range(array.ndim)] if per_axis else ()
        wide = np.round(array / scale.reshape(shape)) + zero.reshape(shape)
        integers = np.clip(wide, limits.min, limits.max).astype(integer)
        parts = [self.weight(each) for each in (integers, scale.astype(np.float32), zero.astype(integer))]
        attributes = {"axis": axis} if per_axis else {}
        return self.node("DequantizeLinear", parts, **attributes), scale

    def bias(self, length, scale):
        """A constant of 32-bit integers and its DequantizeLinear."""
        integers = self.weight(self.random.integers(-99, 99, length).astype(np.int32))
        scales = np.broadcast_to(np.float32(scale), (length,)) if np.ndim(scale) else np.float32(scale)
        attributes = {"axis": 0} if np.ndim(scale) else {}
        return self.node("DequantizeLinear", [integers, self.weight(np.array(scales))], **attributes)


def kind(array):
    return helper.np_dtype_to_tensor_dtype(array.dtype)


def session(graph):
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), plain_options())


def plain_options():
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # DynamicQuantizeLSTM has a scale for the rows of each thread.
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return options


def any_rank(graph, x):
    """Adds an operator that supports every rank."""
    value = graph.values[x]
    axis = int(graph.random.integers(1, value.ndim))
    choice = graph.random.integers(12)
    if choice < 4:
        operator, attributes = graph.pick(ELEMENT_WISE)
        limits = [graph.weight(np.float32(limit)) for limit in (-0.5, 0.7)] if operator == "Clip" else []
        return graph.node(operator, [x, *limits], **attributes)
    if choice == 4:
        return graph.node(graph.pick(["Softmax", "LogSoftmax"]), [x], axis=axis)
    if choice == 5:
        other = graph.requantize(graph.node("Mul", [x, graph.weight(np.float32(-0.7))]))
        return graph.node(graph.pick(["Add", "Sub", "Mul", "Max", "Min"]), [x, other])
    if choice == 6:
        constant, _ = graph.quantized_weight(graph.random.normal(size=value.shape[1:]))
        return graph.node(graph.pick(["Add", "Mul", "Sub"]), graph.pick([[x, constant], [constant, x]]))
    if choice == 7:
        operator = graph.pick(["ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum"])
        axes = graph.weight(np.array([axis], np.int64))
        return graph.node(operator, [x, axes], keepdims=1)
    if choice == 8:
        other = graph.requantize(graph.node("Sigmoid", [x]))
        return graph.node("Concat", [x, other], axis=axis)
    if choice == 9:
        starts, ends = (graph.weight(np.array([bound], np.int64)) for bound in (0, max(1, value.shape[axis] - 1)))
        return graph.node("Slice", [x, starts, ends, graph.weight(np.array([axis], np.int64))])
    if choice == 10:
        indices = graph.random.integers(value.shape[axis], size=value.shape[axis])
        return graph.node("Gather", [x, graph.weight(indices.astype(np.int64))], axis=axis)
    width = value.shape[-1]
    parts = [graph.weight(graph.random.normal(size=width).astype(np.float32)) for _ in range(2)]
    return graph.node("LayerNormalization", [x, *parts], axis=-1)


def matrix(graph, x):
    """Adds an operator on matrices."""
    value = graph.values[x]
    width, outputs = value.shape[-1], int(graph.random.integers(2, 20))
    matrix = graph.random.normal(size=(width, outputs))
    if value.ndim == 2 and graph.chance(0.6):
        transposed = graph.chance(0.5)
        weight, scale = graph.quantized_weight(matrix.T if transposed else matrix, 0 if transposed else 1)
        inputs = [x, weight]
        if graph.chance(0.7):
            inputs.append(graph.bias(outputs, scale * graph.scales[x][1]))
        return graph.node("Gemm", inputs, transB=int(transposed))
    weight, _ = graph.quantized_weight(matrix, 1)
    product = graph.node("MatMul", [x, weight])
    if graph.chance(0.4):
        bias = graph.weight(graph.random.normal(size=outputs).astype(np.float32))
        if graph.chance(0.5):
            product = graph.requantize(product)
        return graph.node("Add", [product, bias])
    if value.ndim == 3 and graph.chance(0.3):
        left = graph.requantize(product)
        right = graph.requantize(graph.node("Transpose", [left], perm=[0, 2, 1]))
        return graph.node("MatMul", [left, right])
    return product


def image(graph, x):
    """Adds an operator on images."""
    value = graph.values[x]
    channels, size = value.shape[1], value.shape[2]
    choice = graph.random.integers(9)
    if choice < 4:
        groups = channels if graph.chance(0.3) else 1
        outputs = channels if groups > 1 else int(graph.random.integers(1, 9))
        length = 3 if min(value.shape[2:]) > 2 else 1
        shape = (outputs, channels // groups, length, length)
        weight, scale = graph.quantized_weight(graph.random.normal(size=shape), 0)
        inputs = [x, weight]
        if graph.chance(0.7):
            inputs.append(graph.bias(outputs, scale * graph.scales[x][1]))
        stride = graph.pick([1, 1, 2])
        pads = [length // 2] * 4 if graph.chance(0.6) else [0] * 4
        return graph.node("Conv", inputs, group=groups, pads=pads, strides=[stride, stride])
    if choice == 4 and size > 1:
        operator, attributes = graph.pick([("MaxPool", {}), ("AveragePool", {"count_include_pad": 1})])
        pads = graph.pick([[0, 0, 0, 0], [1, 1, 1, 1]])
        return graph.node(operator, [x], kernel_shape=[2, 2], strides=[2, 2], pads=pads, **attributes)
    if choice == 5:
        return graph.node("GlobalAveragePool", [x])
    if choice == 6:
        scales = graph.weight(np.array([1, 1, 2, 2], np.float32))
        mode = graph.pick(["nearest", "linear"])
        return graph.node("Resize", [x, "", scales], mode=mode, coordinate_transformation_mode="asymmetric")
    if choice == 7:
        pads = graph.weight(np.array([0, 0, 1, 1, 0, 0, 0, 1], np.int64))
        return graph.node("Pad", [x, pads, graph.weight(np.float32(0.25))])
    return graph.node("Transpose", [x], perm=[0, 1, 3, 2])


def make_model(seed):
    """Returns the model of `seed`, its inputs, and the tolerance: the largest quantization step of an output."""
    graph = Graph(seed)
    shape = graph.pick([(8,), (5, 6), (3, 6, 6)])
    inputs = [graph.random.normal(size=(rows, *shape)).astype(np.float32) for rows in BATCHES]
    graph.values["x"] = inputs[-1]
    x = graph.requantize("x") if graph.chance(0.9) else "x"
    earlier = []
    for _ in range(graph.random.integers(1, 4)):
        rank = graph.values[x].ndim
        adds = [any_rank] if x not in graph.scales else [any_rank, image if rank == 4 else matrix]
        y = graph.pick(adds)(graph, x)
        if graph.values[y].size > 2000 or not np.isfinite(graph.values[y]).all():
            y = x
        earlier.append(x)
        x = graph.requantize(y)
    outputs = [x]
    if graph.chance(0.3):  # the integers themselves
        outputs = [graph.quantize(x)]
    if graph.chance(0.3):  # a value with two readers
        outputs.append(graph.node("Relu", [earlier[-1]]))
    outputs = list(dict.fromkeys(outputs))
    info = helper.make_tensor_value_info
    infos = [info("x", TensorProto.FLOAT, ["N", *shape])]
    results = [info(name, kind(graph.values[name]), None) for name in outputs]
    onnx_graph = helper.make_graph(graph.nodes, f"qdq_{seed}", infos, results, graph.weights)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(onnx_graph, opset_imports=opsets, ir_version=10)
    steps = [1.0 if graph.values[name].dtype.kind in "iu" else graph.scales.get(name, (0, 0.0))[1] for name in outputs]
    return model, [[x] for x in inputs], max(*steps, 1e-5) * 1.001


def write(topic, name, seed):
    """Writes the graph of `seed` as a case."""
    model, inputs, tolerance = make_model(seed)
    common.write(topic, name, model, inputs, tolerance=tolerance, options=plain_options())


if __name__ == "__main__":
    common.CASES = Path(sys.argv[1])
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    for seed in range(first, first + int(sys.argv[2])):
        write("qdq", f"seed_{seed}", seed)
