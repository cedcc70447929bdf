"""Cases of models whose weights or values are `float16`, `bfloat16` or 4-bit integers."""

import numpy as np
from common import write
from onnx import TensorProto, helper, numpy_helper
from qdq import plain_options

random = np.random.default_rng(7)
HALF, FLOAT, BFLOAT = TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.BFLOAT16


def info(name, kind, *shape):
    return helper.make_tensor_value_info(name, kind, shape)


def half(name, *shape, scale=1.0):
    return numpy_helper.from_array((scale * random.standard_normal(shape)).astype(np.float16), name)


def bfloat(name, *shape):
    return helper.make_tensor(name, BFLOAT, shape, random.standard_normal(shape).ravel().tolist())


def case(name, nodes, inputs, outputs, initializers, data_sets, opset=21):
    graph = helper.make_graph(nodes, name, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    write("element_types", name, model, data_sets, options=plain_options())


def values(*shape, kind=np.float16):
    return random.standard_normal(shape).astype(kind)


def half_networks():
    node = helper.make_node
    x, y = [info("x", HALF, "N", 4)], [info("y", HALF, "N", 3)]
    sets = [[values(1, 4)], [values(3, 4)]]
    case("half_gemm", [node("Gemm", ["x", "w", "b"], ["y"])], x, y, [half("w", 4, 3), half("b", 3)], sets)
    nodes = [
        node("LayerNormalization", ["x", "g", "b"], ["n"]),
        node("Gelu", ["n"], ["a"]),
        node("MatMul", ["a", "w"], ["m"]),
        node("Softmax", ["m"], ["y"]),
    ]
    case("half_normalization", nodes, x, y, [half("g", 4), half("b", 4), half("w", 4, 3)], sets)
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "g", "h", "m", "v"], ["n"]),
        node("Relu", ["n"], ["r"]),
        node("Resize", ["r", "", "s"], ["u"]),
        node("GlobalAveragePool", ["u"], ["y"]),
    ]
    variance = numpy_helper.from_array(np.full(2, 0.5, np.float16), "v")
    scales = numpy_helper.from_array(np.float32([1, 1, 2, 2]), "s")
    weights = [half("w", 2, 3, 3, 3), *(half(name, 2) for name in "bghm"), variance, scales]
    images = [[values(n, 3, 6, 6)] for n in (1, 2)]
    case("half_convolution", nodes, [info("x", HALF, "N", 3, 6, 6)], [info("y", HALF, "N", 2, 1, 1)], weights, images)
    nodes = [
        node("Cast", ["x"], ["h"], to=HALF),
        node("Mul", ["h", "w"], ["m"]),
        node("Cast", ["m"], ["y"], to=FLOAT),
    ]
    # Whole numbers, so that rounding is exact. 2049 is not a float16.
    rows = np.float32([[2049, 1, -3, 70000]])
    weight = numpy_helper.from_array(np.float16([1, 2, 0.5, 1]), "w")
    case("half_between_casts", nodes, [info("x", FLOAT, "N", 4)], [info("y", FLOAT, "N", 4)], [weight], [[rows]])
    nodes = [
        node("LSTM", ["t", "w", "r"], ["s", "", ""], hidden_size=2),
        node("Squeeze", ["s", "a"], ["q"]),
        node("Transpose", ["q"], ["y"], perm=[1, 0, 2]),
    ]
    nodes.insert(0, node("Transpose", ["x"], ["t"], perm=[1, 0, 2]))
    axes = numpy_helper.from_array(np.int64([1]), "a")
    weights = [half("w", 1, 8, 3), half("r", 1, 8, 2), axes]
    case(
        "half_lstm",
        nodes,
        [info("x", HALF, "N", 5, 3)],
        [info("y", HALF, "N", 5, 2)],
        weights,
        [[values(n, 5, 3)] for n in (1, 2)],
    )
    branches = [
        helper.make_graph([node(operator, ["x", "w"], [operator])], operator, [], [info(operator, HALF, None, 4)])
        for operator in ("Add", "Mul")
    ]
    nodes = [
        node("ReduceSum", ["x"], ["t"], keepdims=0),
        node("Greater", ["t", "zero"], ["c"]),
        node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    zero = numpy_helper.from_array(np.float16(0), "zero")
    rows = [[np.abs(values(2, 4))], [-np.abs(values(2, 4))]]
    case("half_branches", nodes, x, [info("y", HALF, "N", 4)], [half("w", 4), zero], rows)
    nodes = [node("Abs", ["x"], ["a"]), node("Neg", ["a"], ["b"])]
    case("half_outputs_used_twice", nodes, x, [info(name, HALF, "N", 4) for name in "ab"], [], sets)


def small_weights():
    node = helper.make_node
    x, y = [info("x", FLOAT, "N", 4)], [info("y", FLOAT, "N", 3)]
    sets = [[values(1, 4, kind=np.float32)], [values(3, 4, kind=np.float32)]]
    product = [node("Cast", ["w"], ["f"], to=FLOAT), node("MatMul", ["x", "f"], ["y"])]
    case("bfloat16_weights", product, x, y, [bfloat("w", 4, 3)], sets)
    nodes = [
        node("Cast", ["x"], ["n"], to=BFLOAT),
        node("Cast", ["n"], ["f"], to=FLOAT),
        node("MatMul", ["f", "i"], ["y"]),
    ]
    identity = numpy_helper.from_array(np.eye(4, dtype=np.float32)[:, :3], "i")
    case("bfloat16_rounding", nodes, x, y, [identity], sets)
    product = [node("DequantizeLinear", ["w", "s"], ["f"], axis=1), node("MatMul", ["x", "f"], ["y"])]
    scales = numpy_helper.from_array(np.float32([0.5, 0.25, 2]), "s")
    codes = [random.integers(-8, 8, 12), random.integers(0, 16, 12)]
    int4 = helper.make_tensor("w", TensorProto.INT4, [4, 3], codes[0])
    case("int4_weights", product, x, y, [int4, scales], sets)
    product = [
        node("DequantizeLinear", ["w", "s", "z"], ["f"], axis=0, block_size=2),
        node("MatMul", ["x", "f"], ["y"]),
    ]
    scales = numpy_helper.from_array(np.float32(random.integers(1, 5, (2, 3)) / 8), "s")
    zeros = helper.make_tensor("z", TensorProto.UINT4, [2, 3], random.integers(0, 16, 6))
    uint4 = helper.make_tensor("w", TensorProto.UINT4, [4, 3], codes[1])
    case("uint4_weights_in_blocks", product, x, y, [uint4, scales, zeros], sets)
    fp8 = helper.make_tensor("w", TensorProto.FLOAT8E4M3FN, [4, 3], random.standard_normal(12).tolist())
    product = [node("Cast", ["w"], ["f"], to=FLOAT), node("MatMul", ["x", "f"], ["y"])]
    case("float8_weights", product, x, y, [fp8], sets)


def blocks():
    """Writes products with weights in blocks of 16, each with a scale and an optional zero point."""
    for name, bits, kind, has_zeros, has_bias in [
        ("4_bits", 4, np.float32, False, False),
        ("4_bits_zero_points", 4, np.float32, True, True),
        ("8_bits_half", 8, np.float16, False, True),
        ("8_bits_zero_points", 8, np.float32, True, False),
    ]:
        columns, rows, block = 40, 3, 16
        count = -(-columns // block)
        codes = random.integers(0, 256, (rows, count, block * bits // 8)).astype(np.uint8)
        scales = (random.integers(1, 9, (rows, count)) / 64).astype(kind)
        inputs = {"w": codes, "s": scales}
        if has_zeros:
            inputs["z"] = random.integers(0, 256, (rows, -(-count * bits // 8))).astype(np.uint8)
        if has_bias:
            inputs["b"] = values(rows, kind=kind)
        names = ["x", "w", "s", "z" if has_zeros else "", "", "b" if has_bias else ""]
        while not names[-1]:
            names.pop()
        sizes = {"K": columns, "N": rows, "bits": bits, "block_size": block}
        node = helper.make_node("MatMulNBits", names, ["y"], domain="com.microsoft", **sizes)
        element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        graph = helper.make_graph(
            [node],
            name,
            [info("x", element, "N", columns)],
            [info("y", element, "N", rows)],
            [numpy_helper.from_array(value, key) for key, value in inputs.items()],
        )
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        sets = [[values(n, columns, kind=kind)] for n in (1, 3)]
        write("element_types", f"mat_mul_{name}", model, sets)


if __name__ == "__main__":
    half_networks()
    small_weights()
    blocks()
