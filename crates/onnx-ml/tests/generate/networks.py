"""Cases of small networks like those that PyTorch exports. Each network has a case with a symbolic batch size and a
case with batch size 1."""

import numpy as np
from common import write
from onnx import numpy_helper, parser

RANDOM = np.random.default_rng(12)
HEADER = '<ir_version: 9, opset_import: ["": 18]>'


def floats(*shape):
    return (0.5 * RANDOM.normal(size=shape)).astype(np.float32)


def case(name, graph, rows_of, **weights):
    """Writes a case with a symbolic batch size and a case with batch size 1. `rows_of` returns inputs with a given
    number of rows."""
    for suffix, batch, sizes in (("", "N", (1, 7)), ("_single", "1", (1, 1))):
        model = parser.parse_model(f"{HEADER} {name} {graph.replace('BATCH', batch)}")
        tensors = [numpy_helper.from_array(np.array(value), key) for key, value in weights.items()]
        model.graph.initializer.extend(tensors)
        write("networks", f"network_{name}{suffix}", model, [[rows_of(rows)] for rows in sizes])


case(
    "convolutions",
    """(float[BATCH, 2, 6, 6] X) => (float[BATCH, 3] Y) {
        wide = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (X, W1, B1)
        gate = Sigmoid (wide)
        bent = Mul (wide, gate)
        each = Conv <group = 8, pads = [1, 1, 1, 1]> (bent, W2, B2)
        narrow = Conv (each, W3, B3)
        sum = Conv (narrow, W4)
        scaled = Mul (narrow, sum)
        means = GlobalAveragePool (scaled)
        flat = Flatten (means)
        hidden = Gemm <transB = 1> (flat, W5, B5)
        above = Relu (hidden)
        scores = Gemm <transB = 1> (above, W6, B6)
        Y = Softmax (scores)
    }""",
    lambda rows: floats(rows, 2, 6, 6),
    W1=floats(8, 2, 3, 3),
    B1=floats(8),
    W2=floats(8, 1, 3, 3),
    B2=floats(8),
    W3=floats(5, 8, 1, 1),
    B3=floats(5),
    W4=floats(1, 5, 1, 1),
    W5=floats(20, 5),
    B5=floats(20),
    W6=floats(3, 20),
    B6=floats(3),
)
case(
    "enlarged",
    """(float[BATCH, 2, 4, 4] X) => (float[BATCH, 1, 8, 8] Y) {
        learned = ConvTranspose <strides = [2, 2]> (X, W1, B1)
        plain = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric",
                        nearest_mode = "floor"> (X, , scales)
        both = Add (learned, plain)
        Y = Conv (both, W2)
    }""",
    lambda rows: floats(rows, 2, 4, 4),
    W1=floats(2, 2, 2, 2),
    B1=floats(2),
    W2=floats(1, 2, 1, 1),
    scales=np.array([1, 1, 2, 2], np.float32),
)
case(
    "attention",
    """(int64[BATCH, 5] X) => (float[BATCH, 4] Y) {
        rows = Gather (table, X)
        mean = ReduceMean <keepdims = 1> (rows, last)
        centered = Sub (rows, mean)
        squares = Pow (centered, two)
        variance = ReduceMean <keepdims = 1> (squares, last)
        above = Add (variance, epsilon)
        deviation = Sqrt (above)
        normal = Div (centered, deviation)
        all = MatMul (normal, W1)
        biased = Add (all, B1)
        parts = Reshape (biased, heads)
        query, key, value = Split <axis = 2, num_outputs = 3> (parts)
        q = Squeeze (query, second)
        k = Squeeze (key, second)
        v = Squeeze (value, second)
        by_head = Transpose <perm = [0, 2, 1, 3]> (q)
        transposed = Transpose <perm = [0, 2, 3, 1]> (k)
        values = Transpose <perm = [0, 2, 1, 3]> (v)
        scores = MatMul (by_head, transposed)
        shares = Softmax (scores)
        mixed = MatMul (shares, values)
        ordered = Transpose <perm = [0, 2, 1, 3]> (mixed)
        whole = Reshape (ordered, joined)
        seen = MatMul (whole, W2)
        halved = Div (seen, root)
        error = Erf (halved)
        more = Add (error, one)
        times = Mul (seen, more)
        bent = Mul (times, half)
        sum = ReduceSum <keepdims = 0> (bent, second_last)
        Y = Gemm <transB = 1> (sum, W3, B3)
    }""",
    lambda rows: RANDOM.integers(0, 9, (rows, 5)),
    table=floats(9, 8),
    last=np.array([-1]),
    two=np.array(2, np.float32),
    epsilon=np.array(1e-5, np.float32),
    W1=floats(8, 24),
    B1=floats(24),
    heads=np.array([0, 5, 3, 2, 4]),
    second=np.array([2]),
    joined=np.array([0, 5, 8]),
    W2=floats(8, 8),
    root=np.array(2**0.5, np.float32),
    one=np.array(1, np.float32),
    half=np.array(0.5, np.float32),
    second_last=np.array([1]),
    W3=floats(4, 8),
    B3=floats(4),
)
for name, gates in ("LSTM", 4), ("GRU", 3), ("RNN", 1):
    case(
        name.lower(),
        f"""(float[BATCH, 5, 3] X) => (float[BATCH, 2] Y) {{
            steps = Transpose <perm = [1, 0, 2]> (X)
            all, state = {name} <hidden_size = 6, direction = "bidirectional"> (steps, W, R, B)
            batch = Transpose <perm = [1, 0, 2]> (state)
            flat = Flatten (batch)
            Y = Gemm (flat, W1)
        }}""",
        lambda rows: floats(rows, 5, 3),
        W=floats(2, gates * 6, 3),
        R=floats(2, gates * 6, 6),
        B=floats(2, gates * 12),
        W1=floats(12, 2),
    )
# The Transpose moves the rows to the second axis of the indices.
case(
    "words",
    """(int64[BATCH, 3] X) => (float[BATCH, 4] Y) {
        words = Transpose <perm = [1, 0]> (X)
        each = Gather (table, words)
        Y = ReduceSum <keepdims = 0> (each, first)
    }""",
    lambda rows: RANDOM.integers(0, 9, (rows, 3)),
    table=floats(9, 4),
    first=np.array([0]),
)
