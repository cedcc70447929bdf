"""Cases of operators with indices, and of Cast.

Indices count from both ends of an axis, in operators that gather, scatter or slice, and in OneHot. Cast gets numbers
inside and outside the range of the target type.
"""

import numpy as np
from common import write
from onnx import parser

RANDOM = np.random.default_rng(3)
HEADER = '<ir_version: 9, opset_import: ["": 18]>'


def case(name, graph, data_sets):
    """Writes a case of a graph in ONNX's text format."""
    write("tensor", name, parser.parse_model(f"{HEADER} {name} {graph}"), data_sets)


def floats(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def indices(size, *shape):
    return RANDOM.integers(-size, size, shape)


case(
    "gather_table",
    """(int64[N, 4] I) => (float[N, 4, 2] Y)
    <float[5, 2] T = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}> { Y = Gather (T, I) }""",
    [[indices(5, rows, 4)] for rows in (1, 6)],
)
case(
    "gather_axes",
    """(float[N, 3, 2] X, int64[N, 3, 1] I, int32[N, 2] P)
    => (float[N, N, 2, 2] A, float[N, 3, 1] B, float[N, 3, 1] C, float[N] D) {
        A = Gather <axis = 1> (X, P)
        B = GatherElements <axis = 2> (X, I)
        C = GatherElements <axis = -1> (X, I)
        pair = Cast <to = 7> (P)
        D = GatherND <batch_dims = 1> (X, pair)
    }""",
    [
        [floats(rows, 3, 2), indices(2, rows, 3, 1), indices(2, rows, 2).astype(np.int32)]
        for rows in (1, 6)
    ],
)
case(
    "scatter",
    """(float[N, 3] X, int64[N, 2] I, float[N, 2] U) => (float[N, 3] A, float[N, 3] B, float[N, 3] C) {
        A = ScatterElements <axis = 1> (X, I, U)
        B = ScatterElements <axis = -1, reduction = "add"> (X, I, U)
        zero = Constant <value_ints = [0]> ()
        column = Constant <value = int64[1, 1] {-1}> ()
        turned = Transpose (X)
        row = Transpose (U)
        first = Gather (row, zero)
        replaced = ScatterND (turned, column, first)
        C = Transpose (replaced)
    }""",
    [
        [floats(rows, 3), np.array([[-1, 0]] * rows), floats(rows, 2)]
        for rows in (1, 6)
    ],
)
case(
    "slice_computed",
    """(float[N, 5] X, int64[N] I) => (float[A, 5] Y, float[N, B] Z, float[C, 5] S, float[N, 5] R) {
        axis = Constant <value_ints = [-1]> ()
        first = Constant <value_ints = [0]> ()
        two = Constant <value_ints = [2]> ()
        back = Constant <value_ints = [-1]> ()
        most = Constant <value_ints = [9223372036854775807]> ()
        least = Constant <value_ints = [-9223372036854775807]> ()
        from = Gather (I, first)
        to = Gather (I, back)
        Y = Slice (X, from, to)
        Z = Slice (X, to, from, axis, back)
        S = Slice (X, first, most, first, two)
        R = Slice (X, back, least, first, back)
    }""",
    [
        [floats(rows, 5), np.resize([first, last], rows)]
        for rows in (2, 6)
        for first, last in ((0, -1), (-2, 4), (3, 1), (-99, 99))
    ],
)
case(
    "one_hot",
    """(int64[N] I) => (int64[N, 4] A, float[4, N] B) {
        depth = Constant <value_int = 4> ()
        ints = Constant <value_ints = [2, 7]> ()
        halves = Constant <value_floats = [0.5, 1.5]> ()
        A = OneHot (I, depth, ints)
        B = OneHot <axis = 0> (I, depth, halves)
    }""",
    [[np.arange(-6, 6)[:rows]] for rows in (1, 12)],
)
NUMBERS = [0.0, 1.9, -1.9, 127.5, 128, 255.5, -300.7, 70000, 2.0**31, -3e9, 1e19, -1e19, np.nan]
CASTS = {"INT8": 3, "UINT8": 2, "INT16": 5, "UINT16": 4, "INT32": 6, "INT64": 7, "BOOL": 9}
for source, dtype in (("float", np.float32), ("double", np.float64)):
    outputs = ", ".join(f"{name.lower()}[N] Y{name}" for name in CASTS)
    nodes = "\n".join(f"Y{name} = Cast <to = {to}> (X)" for name, to in CASTS.items())
    case(
        f"cast_{source}",
        f"({source}[N] X) => ({outputs}) {{ {nodes} }}",
        [[np.array(NUMBERS[1:2], dtype)], [np.array(NUMBERS, dtype)]],
    )
LARGE = np.array([2**53 + 1, -(2**62) - 1, 2**31, -(2**31) - 1, 7])
case(
    "cast_large_integers",
    """(float[N] X, int64[N] I) => (int64[N] A, int64[N] B, int32[N] C, int64[N] D, int64[N] E) {
        factor = Constant <value_int = 1000003> ()
        number = Cast <to = 7> (X)
        A = Mul (number, factor)
        same = Cast <to = 7> (I)
        B = Add (same, factor)
        C = Cast <to = 6> (I)
        small = Cast <to = 6> (X)
        D = CastLike (small, I)
        positive = Greater (I, D)
        E = Cast <to = 7> (positive)
    }""",
    [[np.array([3e9], np.float32), LARGE[:1]], [np.float32([3e9, -2e9, 1.5, -1.5, 0]), LARGE]],
)
case(
    "cast_shapes",
    """(float[N, 6] X) => (float[N, 2, 3] Y, int64[2] S, float[N, 1] M) {
        zero = Constant <value_ints = [0]> ()
        rest = Constant <value_ints = [-1, 3]> ()
        axis = Constant <value_ints = [1]> ()
        S = Shape (X)
        rows = Gather (S, zero)
        whole = Cast <to = 7> (rows)
        shape = Concat <axis = 0> (whole, rest)
        Y = Reshape (X, shape)
        count = Cast <to = 1> (rows)
        sum = ReduceSum (X, axis)
        M = Div (sum, count)
    }""",
    [[floats(rows, 6)] for rows in (1, 5)],
)
case(
    "expand_product",
    """(float[N, 3] X) => (float[N, 2] A, float[1, N, 3] B, float[N, 2] C) {
        first = Constant <value_ints = [0]> ()
        one = Constant <value_ints = [1]> ()
        width = Constant <value_ints = [2]> ()
        half = Constant <value = float {0.5}> ()
        weights = Constant <value = float[2, 2] {1, 2, 3, 5}> ()
        shape = Shape (X)
        rows = Gather (shape, first)
        halves = Concat <axis = 0> (rows, width)
        filled = Expand (half, halves)
        A = MatMul (filled, weights)
        squares = Concat <axis = 0> (one, rows, rows)
        ones = ConstantOfShape <value = float[1] {1}> (squares)
        B = MatMul (ones, X)
        times = Concat <axis = 0> (rows, one)
        line = Constant <value = float[1, 2] {1, 2}> ()
        tiled = Tile (line, times)
        C = MatMul (tiled, weights)
    }""",
    [[floats(rows, 3)] for rows in (1, 5)],
)
case(
    "extracted_labels",
    """(float[N, 3] X) => (int64[1, N] L, float[N, 3] Y) {
        labels = Constant <value_ints = [7, 2, 5]> ()
        winner = ArgMax <axis = 1, keepdims = 1> (X)
        L = ai.onnx.ml.ArrayFeatureExtractor (labels, winner)
        Y = Softmax <axis = 1> (X)
    }""",
    [[floats(rows, 3)] for rows in (1, 5)],
)
