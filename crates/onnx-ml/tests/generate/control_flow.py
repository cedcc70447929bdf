"""Cases of If and Loop: conditions and trip counts that are constant or computed, nested graphs, values that grow."""

import numpy as np
from common import write
from onnx import parser

RANDOM = np.random.default_rng(2)
HEADER = '<ir_version: 9, opset_import: ["": 18]>'
X = [RANDOM.normal(size=(rows, 3)).astype(np.float32) for rows in (1, 5)]


def case(name, graph, data_sets=None, topic="control"):
    """Writes a case of a graph in ONNX's text format, by default with positive and negative inputs."""
    model = parser.parse_model(f"{HEADER} {name} {graph}")
    write(topic, name, model, data_sets or [[abs(x)] for x in X] + [[-abs(x)] for x in X])


case(
    "if_computed",
    """(float[N, 3] X) => (float[N, 3] Y) <float[3] W = {1, 2, 3}> {
        axes = Constant <value_ints = [0, 1]> ()
        zero = Constant <value_float = 0.0> ()
        sum = ReduceSum <keepdims = 0> (X, axes)
        positive = Greater (sum, zero)
        scaled = Mul (X, W)
        Y = If (positive) <
            then_branch = then () => (float[N, 3] a) { a = Add (scaled, sum) },
            else_branch = otherwise () => (float[N, 3] b) { b = Sub (X, W) }
        >
    }""",
)
case(
    "if_sizes_differ",
    """(float[N, 3] X) => (float[M, K] Y, float[K] S) {
        axes = Constant <value_ints = [0, 1]> ()
        first = Constant <value_ints = [0]> ()
        zero = Constant <value_float = 0.0> ()
        one = Constant <value_ints = [1]> ()
        sum = ReduceSum <keepdims = 0> (X, axes)
        positive = Greater (sum, zero)
        Y = If (positive) <
            then_branch = then () => (float[N, 1] a) { a = Slice (X, first, one, one) },
            else_branch = otherwise () => (float[N2, 3] b) { b = Concat <axis = 0> (X, X) }
        >
        S = ReduceSum <keepdims = 0> (Y, first)
    }""",
)
# skl2onnx exports this form of If for KNNImputer.
case(
    "if_ranks_differ",
    """(float[N, 3] X) => (float[N, 3] Y) {
        axes = Constant <value_ints = [0, 1]> ()
        middle = Constant <value_ints = [1]> ()
        columns = Constant <value_ints = [-1, 3]> ()
        zero = Constant <value_float = 0.0> ()
        sum = ReduceSum <keepdims = 0> (X, axes)
        positive = Greater (sum, zero)
        either = If (positive) <
            then_branch = then () => (float[N, 1, 3] a) { a = Unsqueeze (X, middle) },
            else_branch = otherwise () => (float[N, 3] b) { b = Neg (X) }
        >
        Y = Reshape (either, columns)
    }""",
)
case(
    "compress_known",
    """(float[N, 3] X) => (float[N, 2] Y) <bool[3] kept = {1, 0, 1}, float[2] W = {1, 2}> {
        some = Compress <axis = 1> (X, kept)
        Y = Mul (some, W)
    }""",
    topic="tensor",
)
case(
    "pow_integers",
    """(float[N, 3] X) => (float[N, 3] Y, float[N, 3] Z, float[N, 3] S)
    <int64 three = {3}, int64[3] each = {0, 1, 2}, int64[1] two = {2}> {
        Y = Pow (X, three)
        Z = Pow (X, each)
        S = Pow (X, two)
    }""",
    topic="tensor",
)
case(
    "if_known",
    """(float[N, K] X) => (float[M] Y) {
        one = Constant <value_int = 1> ()
        axis = Constant <value_ints = [1]> ()
        shape = Shape (X)
        columns = Gather (shape, one)
        single = Equal (columns, one)
        Y = If (single) <
            then_branch = then () => (float[N] a) { a = Squeeze (X, axis) },
            else_branch = otherwise () => (float[N] b) { b = ReduceMax <keepdims = 0> (X, axis) }
        >
    }""",
)
case(
    "loop_trips",
    """(float[N, 3] X) => (float[N, 3] Y, float[4, N, 3] S) <float[3] W = {0.5, 0.1, -0.2}> {
        trips = Constant <value_int = 4> ()
        going = Constant <value = bool {1}> ()
        Y, S = Loop (trips, going, X) <
            body = step (int64 i, bool c, float[N, 3] y) => (bool c2, float[N, 3] y2, float[N, 3] s) {
                c2 = Identity (c)
                number = Cast <to = 1> (i)
                moved = Add (y, W)
                y2 = Tanh (moved)
                s = Mul (moved, number)
            }
        >
    }""",
)
case(
    "loop_while",
    """(float[N, 3] X) => (float[N, 3] Y, int64 steps) {
        going = Constant <value = bool {1}> ()
        half = Constant <value_float = 0.5> ()
        limit = Constant <value_float = 0.1> ()
        axes = Constant <value_ints = [0, 1]> ()
        zero = Constant <value_int = 0> ()
        one = Constant <value_int = 1> ()
        Y, steps = Loop ("", going, X, zero) <
            body = step (int64 i, bool c, float[N, 3] y, int64 k) => (bool c2, float[N, 3] y2, int64 k2) {
                y2 = Mul (y, half)
                size = Abs (y2)
                most = ReduceMax <keepdims = 0> (size, axes)
                c2 = Greater (most, limit)
                k2 = Add (k, one)
            }
        >
    }""".replace('""', ""),
)
case(
    "loop_rows",
    """(float[N, 3] X) => (float[M, 3] Y, float[N, 3] S) {
        going = Constant <value = bool {1}> ()
        zero = Constant <value_int = 0> ()
        first = Constant <value_ints = [0]> ()
        shape = Shape (X)
        rows = Gather (shape, zero)
        Y, S = Loop (rows, going, X) <
            body = step (int64 i, bool c, float[M, 3] y) => (bool c2, float[M2, 3] y2, float[3] s) {
                c2 = Identity (c)
                s = Gather (X, i)
                row = Unsqueeze (s, first)
                y2 = Concat <axis = 0> (y, row)
            }
        >
    }""",
)
case(
    "loop_early_end",
    """(float[N, 3] X, int64[N] trips) => (float[N, 3] Y, float[K, N, 3] S) {
        going = Constant <value = bool {1}> ()
        zero = Constant <value_int = 0> ()
        two = Constant <value_int = 2> ()
        count = Gather (trips, zero)
        Y, S = Loop (count, going, X) <
            body = step (int64 i, bool c, float[N, 3] y) => (bool c2, float[N, 3] y2, float[N, 3] s) {
                c2 = Less (i, two)
                y2 = Add (y, X)
                s = Identity (y2)
            }
        >
    }""",
    [[x, np.full(len(x), trips)] for x in X for trips in (1, 9)],
)
case(
    "loop_of_branches",
    """(float[N, 3] X) => (float[N, 3] Y) <float[3] W = {0.5, 0.1, -0.2}> {
        trips = Constant <value_int = 3> ()
        going = Constant <value = bool {1}> ()
        one = Constant <value_int = 1> ()
        Y = Loop (trips, going, X) <
            body = step (int64 i, bool c, float[N, 3] y) => (bool c2, float[N, 3] y2) {
                c2 = Identity (c)
                early = Less (i, one)
                y2 = If (early) <
                    then_branch = then () => (float[N, 3] a) { a = Mul (X, W) },
                    else_branch = otherwise () => (float[N, 3] b) {
                        b = Loop (one, c, y) <
                            body = inner (int64 j, bool d, float[N, 3] z) => (bool d2, float[N, 3] z2) {
                                d2 = Identity (d)
                                z1 = Add (z, W)
                                z2 = Sub (z1, X)
                            }
                        >
                    }
                >
            }
        >
    }""",
)
