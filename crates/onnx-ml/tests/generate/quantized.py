"""Cases of quantized graphs: each operator between DequantizeLinear and QuantizeLinear, and some random graphs."""

import common
import numpy as np
from onnx import TensorProto, helper, numpy_helper, parser
from qdq import OPSET, Graph, kind, plain_options, write

SEEDS = [3, 14, 27, 42, 58, 79, 93, 118, 137, 149]
"""Seeds of the random graphs of qdq.py that are kept as cases."""

OPERATORS = {
    "softmax": ("Softmax", {"axis": -1}),
    "softmax_channels": ("Softmax", {"axis": 1}),
    "log_softmax": ("LogSoftmax", {"axis": -1}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.1}),
    "hard_swish": ("HardSwish", {}),
    "transpose": ("Transpose", {"perm": [0, 2, 1]}),
    "lp_normalization": ("LpNormalization", {"axis": -1}),
    "reduce_mean": ("ReduceMean", {"keepdims": 1}),
}
"""Operators with one input. Some of these operators combine several elements, but keep the shape of the input. tract's
optimizer treats such an operator as a function of single elements, which is wrong."""

TYPES = [(np.uint8, np.uint8), (np.int8, np.int8), (np.uint8, np.int8), (np.int8, np.uint8)]
"""Types before and after the operator."""


def between(name, operator, attributes):
    """Writes a model that has the operator between each pair of types, and twice in a row."""
    graph = Graph(1)
    inputs = [graph.random.normal(size=(rows, 3, 4)).astype(np.float32) * 3 for rows in (1, 2)]
    graph.values["x"] = inputs[-1]
    extra = [graph.weight(np.array([-1], np.int64))] if operator == "ReduceMean" else []
    outputs = []
    for before, after in TYPES:
        x = graph.dequantize(graph.quantize("x", before))
        y = graph.quantize(graph.node(operator, [x, *extra], **attributes), after)
        again = graph.dequantize(y)
        outputs += [y, again]
        if operator != "ReduceMean":
            outputs.append(graph.quantize(graph.node(operator, [again], **attributes), after))
    info = helper.make_tensor_value_info
    results = [info(name, kind(graph.values[name]), None) for name in outputs]
    made = helper.make_graph(
        graph.nodes, name, [info("x", TensorProto.FLOAT, ["N", 3, 4])], results, graph.weights
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    common.write("quantized", f"between_{name}", model, [[x] for x in inputs], 1.0, plain_options())


def case(name, graph, data_sets, tolerance=None, **weights):
    """Writes a case of a graph in ONNX's text format with the given weights."""
    model = parser.parse_model(f'<ir_version: 9, opset_import: ["": 21]> {name} {graph}')
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(each), key) for key, each in weights.items())
    common.write("quantized", name, model, data_sets, tolerance, plain_options())


for name, (operator, attributes) in OPERATORS.items():
    between(name, operator, attributes)
for seed in SEEDS:
    write("quantized", f"random_{seed}", seed)

RANDOM = np.random.default_rng(3)


def integers(*shape, kind=np.uint8):
    limits = np.iinfo(kind)
    return RANDOM.integers(limits.min, limits.max + 1, shape).astype(kind)


def floats(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


case(
    "mat_mul_integer",
    """(uint8[N, 7, 33] A, uint8[N, 33, 5] C)
        => (int32[N, 7, 40] W, int32[N, 7, 40] X, int32[N, 7, 5] Y, int32[N, 7, 40] Z) {
        W = MatMulInteger (A, U, a, u)
        X = MatMulInteger (A, I)
        Y = MatMulInteger (A, C, a, c)
        Z = MatMulInteger (A, I, a, zeros)
    }""",
    [[integers(rows, 7, 33), integers(rows, 33, 5)] for rows in (1, 3)],
    U=integers(33, 40),
    I=integers(33, 40, kind=np.int8),
    a=np.uint8(200),
    c=np.uint8(3),
    u=np.uint8(255),
    zeros=integers(40, kind=np.int8),
)
case(
    "mat_mul_integer_extremes",
    """(uint8[N, 300] A) => (int32[N, 17] X, int32[N, 17] Y) {
        X = MatMulInteger (A, I)
        Y = MatMulInteger (A, J)
    }""",
    [[np.full((rows, 300), 255, np.uint8)] for rows in (1, 2)],
    I=np.full((300, 17), -128, np.int8),
    J=np.full((300, 17), 127, np.int8),
)
case(
    "dynamic_quantize",
    """(float[N, 3, 20] A) => (uint8[N, 3, 20] Q, float S, uint8 Z, float[N, 3, 24] Y) {
        Q, S, Z = DynamicQuantizeLinear (A)
        I = MatMulInteger (Q, W, Z, w)
        F = Cast <to = 1> (I)
        T = Mul (S, s)
        M = Mul (F, T)
        Y = Add (bias, M)
    }""",
    [[floats(1, 3, 20)], [floats(2, 3, 20) + 9], [np.zeros((1, 3, 20), np.float32)], [-np.abs(floats(1, 3, 20))]],
    1e-4,
    W=integers(20, 24, kind=np.int8),
    w=np.zeros(24, np.int8),
    s=np.abs(floats(24)) / 99,
    bias=floats(24),
)
for kind_of, zero in (("uint8", np.uint8(131)), ("int8", np.int8(-7))):
    dtype = np.dtype(kind_of).type
    scales = {"s": np.float32(0.02), "t": np.float32(0.6), "z": zero, "y": dtype(60)}
    case(
        f"q_linear_conv_{kind_of}",
        f"""({kind_of}[N, 6, 9, 10] A) => ({kind_of}[N, 5, 9, 10] W, {kind_of}[N, 5, 4, 5] X, {kind_of}[N, 6, 5, 5] Y,
            {kind_of}[N, 4, 9, 10] Z) {{
            W = QLinearConv <pads = [1, 1, 1, 1]> (A, s, z, w3, ws, wz, t, y, bias)
            X = QLinearConv <strides = [2, 2], dilations = [1, 1]> (A, s, z, w3, ws, wz, t, y)
            Y = QLinearConv <group = 6, auto_pad = "SAME_UPPER", strides = [2, 2]> (A, s, z, wd, s, dz, t, y)
            Z = QLinearConv <group = 2> (A, s, z, w1, s, dz, t, y)
        }}""",
        [[integers(rows, 6, 9, 10, kind=dtype)] for rows in (1, 2)],
        1.0,
        w3=integers(5, 6, 3, 3, kind=np.int8),
        ws=(np.abs(floats(5)) + 0.1) / 40,
        wz=np.zeros(5, np.int8),
        wd=integers(6, 1, 3, 3, kind=np.int8),
        w1=integers(4, 3, 1, 1, kind=np.int8),
        dz=np.int8(0),
        bias=RANDOM.integers(-999, 999, 5).astype(np.int32),
        **scales,
    )
case(
    "conv_integer",
    """(uint8[N, 2, 7, 8] A) => (int32[N, 3, 9, 8] X, int32[N, 4, 3, 4] Y) {
        X = ConvInteger <pads = [2, 1, 2, 1]> (A, W, a, w)
        Y = ConvInteger <group = 2, strides = [2, 2]> (A, V, a)
    }""",
    [[integers(rows, 2, 7, 8)] for rows in (1, 2)],
    W=integers(3, 2, 3, 3),
    V=integers(4, 1, 2, 2),
    a=np.uint8(77),
    w=np.uint8(9),
)
