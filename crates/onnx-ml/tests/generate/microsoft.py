"""Cases of the operators of `com.microsoft` that ONNX Runtime's quantizer and its optimizer of transformers write."""

import numpy as np
from common import write
from onnx import numpy_helper, parser
from qdq import plain_options

RANDOM = np.random.default_rng(8)
HEADER = '<ir_version: 9, opset_import: ["": {}, "com.microsoft": 1]>'
STEP = 1.0
"""Tolerance of a quantized output."""


def case(name, graph, data_sets, tolerance=None, opset=18, **weights):
    """Writes a case of a graph in ONNX's text format with the given weights."""
    model = parser.parse_model(f"{HEADER.format(opset)} {name} {graph}")
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(each), key) for key, each in weights.items())
    write("microsoft", name, model, data_sets, tolerance, plain_options())


def floats(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def integers(*shape, kind=np.uint8):
    limits = np.iinfo(kind)
    return RANDOM.integers(limits.min, limits.max + 1, shape).astype(kind)


S = {key: np.float32(value) for key, value in {"s": 0.02, "t": 0.03, "u": 0.05}.items()}
U8 = {"z": np.uint8(120), "o": np.uint8(7)}
I8 = {"z": np.int8(-5), "o": np.int8(12)}

for kind, zeros in (("uint8", U8), ("int8", I8)):
    dtype = np.dtype(kind).type

    def batches(*shape):
        return [[integers(rows, *shape, kind=dtype)] for rows in (1, 3)]

    two = [[integers(rows, 3, 4, kind=dtype), integers(rows, 3, 4, kind=dtype)] for rows in (1, 3)]
    # With the scale `v`, many results are between two integers.
    case(
        f"q_linear_binary_{kind}",
        f"""({kind}[N, 3, 4] A, {kind}[N, 3, 4] B) => ({kind}[N, 3, 4] X, {kind}[N, 3, 4] Y, {kind}[N, 3, 4] Z) {{
            X = com.microsoft.QLinearAdd (A, s, z, B, t, o, v, z)
            Y = com.microsoft.QLinearMul (A, s, z, B, t, o, v, o)
            Z = com.microsoft.QLinearAdd (A, s, z, C, t, o, u, z)
        }}""",
        two,
        C=integers(4, kind=dtype),
        v=np.float32(0.04),
        **S,
        **zeros,
    )
    case(
        f"q_linear_unary_{kind}",
        f"""({kind}[N, 3, 6] A) => ({kind}[N, 3, 6] X, {kind}[N, 3, 6] Y, {kind}[N, 3, 6] Z,
                {kind}[N, 3, 6] V, {kind}[N, 3, 6] W) {{
            X = com.microsoft.QLinearSigmoid (A, s, z, p, o)
            Y = com.microsoft.QLinearLeakyRelu <alpha = 0.3> (A, s, z, t, o)
            Z = com.microsoft.QLinearSoftmax <axis = -1, opset = 13> (A, s, z, p, q)
            V = com.microsoft.QLinearSoftmax <axis = 1, opset = 13> (A, s, z, r, q)
            W = com.microsoft.QLinearSoftmax <opset = 11> (A, s, z, r, q)
        }}""",
        batches(3, 6),
        r=np.float32(0.0045),
        p=np.float32(1 / 256),
        q=dtype(np.iinfo(dtype).min),
        **S,
        **zeros,
    )
    case(
        f"q_linear_pool_{kind}",
        f"""({kind}[N, 3, 6, 6] A) => ({kind}[N, 3, 3, 3] X, {kind}[N, 3, 1, 1] Y, {kind}[N, 6, 6, 6] Z) {{
            X = com.microsoft.QLinearAveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]>
                (A, s, z, t, o)
            Y = com.microsoft.QLinearGlobalAveragePool (A, s, z, t, o)
            Z = com.microsoft.QLinearConcat <axis = 1> (u, o, A, s, z, A, t, o)
        }}""",
        batches(3, 6, 6),
        STEP,
        **S,
        **zeros,
    )
    case(
        f"q_linear_where_{kind}",
        f"""({kind}[N, 4] A) => ({kind}[N, 4] X) {{
            F = DequantizeLinear (A, s, z)
            P = Greater (F, zero)
            X = com.microsoft.QLinearWhere (P, A, s, z, C, t, o, u, o)
        }}""",
        batches(4),
        STEP,
        C=integers(4, kind=dtype),
        zero=np.float32(0),
        **S,
        **zeros,
    )
    rows = [[integers(count, 9, kind=dtype)] for count in (1, 7)]
    case(
        f"q_gemm_{kind}",
        f"""({kind}[N, 9] A) => ({kind}[N, 5] X, float[N, 5] Y, {kind}[N, 5] Z) {{
            X = com.microsoft.QGemm <transB = 1> (A, s, z, B, ws, wz, C, t, o)
            Y = com.microsoft.QGemm <alpha = 0.5> (A, s, z, D, t, o)
            Z = com.microsoft.QGemm (A, s, z, D, t, o, C, u, z)
        }}""",
        rows,
        STEP,
        B=integers(5, 9, kind=np.int8),
        C=RANDOM.integers(-999, 999, 5).astype(np.int32),
        D=integers(9, 5, kind=dtype),
        ws=np.abs(floats(5)) / 40,
        wz=np.zeros(5, np.int8),
        **S,
        **zeros,
    )

case(
    "mat_mul_integer_to_float",
    """(uint8[N, 3, 20] A) => (float[N, 3, 18] X, float[N, 3, 18] Y) {
        X = com.microsoft.MatMulIntegerToFloat (A, s, B, t, z, bz, C)
        Y = com.microsoft.MatMulIntegerToFloat (A, s, D, dt)
    }""".replace("(A, s, B, t, z, bz, C)", "(A, B, s, t, z, bz, C)").replace("(A, s, D, dt)", "(A, D, s, dt)"),
    [[integers(rows, 3, 20)] for rows in (1, 4)],
    1e-4,
    B=integers(20, 18),
    bz=np.uint8(100),
    C=floats(18),
    D=integers(20, 18, kind=np.int8),
    dt=np.abs(floats(18)) / 50,
    **S,
    **U8,
)
case(
    "dynamic_quantize_mat_mul",
    """(float[N, 3, 20] A) => (float[N, 3, 18] X, float[N, 3, 18] Y) {
        X = com.microsoft.DynamicQuantizeMatMul (A, B, t, bz, C)
        Y = com.microsoft.DynamicQuantizeMatMul (A, D, dt)
    }""",
    [[floats(rows, 3, 20)] for rows in (1, 4)],
    1e-4,
    B=integers(20, 18),
    bz=np.uint8(100),
    C=floats(18),
    D=integers(20, 18, kind=np.int8),
    dt=np.abs(floats(18)) / 50,
    **S,
)
case(
    "nhwc_max_pool",
    """(uint8[N, 5, 6, 3] A) => (uint8[N, 2, 3, 3] X) {
        X = com.microsoft.NhwcMaxPool <kernel_shape = [2, 2], strides = [2, 2]> (A)
    }""",
    [[integers(rows, 5, 6, 3)] for rows in (1, 2)],
)

LSTM = {"W": integers(1, 5, 16, kind=np.int8), "R": integers(1, 4, 16, kind=np.int8), "B": floats(1, 32) / 4}
BOTH = np.random.default_rng(9)
case(
    "dynamic_quantize_lstm",
    """(float[N, 2, 5] A) => (float[N, 1, 2, 4] X, float[1, 2, 4] H, float[N, 2, 2, 4] Y, float[2, 2, 4] C) {
        X, H = com.microsoft.DynamicQuantizeLSTM <hidden_size = 4> (A, W, R, B, , , , , ws, wz, rs, rz)
        Y, K, C = com.microsoft.DynamicQuantizeLSTM <hidden_size = 4, direction = "bidirectional">
            (A, V, S, , lengths, h, c, P, vs, vz, ss, sz)
    }""",
    [[floats(length, 2, 5)] for length in (1, 3)],
    ws=np.float32([0.01]),
    wz=np.int8([0]),
    rs=(np.abs(floats(1, 16)) / 99),
    rz=np.zeros((1, 16), np.int8),
    V=BOTH.integers(0, 256, (2, 5, 16)).astype(np.uint8),
    S=BOTH.integers(0, 256, (2, 4, 16)).astype(np.uint8),
    lengths=np.int32([1, 1]),
    h=BOTH.normal(size=(2, 2, 4)).astype(np.float32),
    c=BOTH.normal(size=(2, 2, 4)).astype(np.float32),
    P=BOTH.normal(size=(2, 12)).astype(np.float32),
    vs=np.float32([0.01, 0.02]),
    vz=np.uint8([120, 130]),
    ss=np.float32([0.02, 0.01]),
    sz=np.uint8([128, 90]),
    **LSTM,
)

WORDS = {
    "words": floats(11, 8), "positions": floats(6, 8), "segments": floats(2, 8), "g": floats(8), "b": floats(8),
}  # fmt: skip


def ids(rows, length, most):
    return RANDOM.integers(0, most, (rows, length)).astype(np.int32)


case(
    "embed_layer_normalization",
    """(int32[N, 5] I, int32[N, 5] G, int32[N, 5] M) => (float[N, 5, 8] X, int32[N] L, float[N, 5, 8] E, float[N, 5, 8] Y) {
        X, L, E = com.microsoft.EmbedLayerNormalization <epsilon = 0.001>
            (I, G, words, positions, segments, g, b, M)
        Y, K = com.microsoft.EmbedLayerNormalization (I, , words, positions, , g, b)
    }""",
    [[ids(rows, 5, 11), ids(rows, 5, 2), ids(rows, 5, 2)] for rows in (1, 3)],
    **WORDS,
)
case(
    "skip_layer_normalization",
    """(float[N, 3, 8] A, float[N, 3, 8] B) => (float[N, 3, 8] X, float[N, 3, 8] S, float[N, 3, 8] Y, float[N, 3, 8] Z) {
        X, m, v, S = com.microsoft.SkipLayerNormalization <epsilon = 0.001> (A, B, g, b, c)
        Y = com.microsoft.SkipLayerNormalization (A, B, g)
        Z = com.microsoft.SkipSimplifiedLayerNormalization (A, B, g)
    }""",
    [[floats(rows, 3, 8), floats(rows, 3, 8)] for rows in (1, 3)],
    g=floats(8),
    b=floats(8),
    c=floats(8),
)
case(
    "gelus",
    """(float[N, 3, 8] A) => (float[N, 3, 8] W, float[N, 3, 8] X, float[N, 3, 8] Y, float[N, 3, 8] Z) {
        W = com.microsoft.Gelu (A)
        X = com.microsoft.BiasGelu (A, c)
        Y = com.microsoft.FastGelu (A, c)
        Z = com.microsoft.QuickGelu (A)
    }""",
    [[floats(rows, 3, 8)] for rows in (1, 3)],
    c=floats(8),
)

HIDDEN = {"W": floats(8, 24), "B": floats(24)}
case(
    "attention_of_com_microsoft",
    """(float[N, 5, 8] A, int32[N, 5] M) => (float[N, 5, 8] X, float[N, 5, 8] Y, float[N, 5, 8] Z, float[N, 5, 8] U) {
        X = com.microsoft.Attention <num_heads = 2> (A, W, B)
        Y = com.microsoft.Attention <num_heads = 2, unidirectional = 1> (A, W, B)
        Z = com.microsoft.Attention <num_heads = 4, scale = 0.3> (A, W, B, M)
        axes = Constant <value = int64[1] {1}> ()
        L = ReduceSum <keepdims = 0> (M, axes)
        U = com.microsoft.Attention <num_heads = 2> (A, W, B, L)
    }""",
    [[floats(rows, 5, 8), (np.arange(5) < np.arange(3, 3 + rows)[:, None]).astype(np.int32)] for rows in (1, 3)],
    **HIDDEN,
)
case(
    "attention_of_com_microsoft_sizes",
    """(float[N, 5, 8] A, float[N, 2, 5, 5] P) => (float[N, 5, 6] X) {
        X = com.microsoft.Attention <num_heads = 2, qkv_hidden_sizes = [8, 8, 6]> (A, V, C, , , P)
    }""",
    [[floats(rows, 5, 8), floats(rows, 2, 5, 5)] for rows in (1, 3)],
    V=floats(8, 22),
    C=floats(22),
)
case(
    "attention_of_com_microsoft_past",
    """(float[N, 2, 8] A, float[N, 2, 3, 4] K, float[N, 2, 3, 4] V) => (float[N, 2, 8] X, float[2, N, 2, 5, 4] Q) {
        axes = Constant <value = int64[1] {0}> ()
        K1 = Unsqueeze (K, axes)
        V1 = Unsqueeze (V, axes)
        P = Concat <axis = 0> (K1, V1)
        X, Q = com.microsoft.Attention <num_heads = 2, unidirectional = 1> (A, W, B, , P)
    }""",
    [[floats(rows, 2, 8), floats(rows, 2, 3, 4), floats(rows, 2, 3, 4)] for rows in (1, 3)],
    **HIDDEN,
)
case(
    "multi_head_attention",
    """(float[N, 4, 8] A, float[N, 6, 8] C, int32[N, 6] M) => (float[N, 4, 8] X, float[N, 4, 8] Y, float[N, 4, 8] Z) {
        X = com.microsoft.MultiHeadAttention <num_heads = 2> (A, C, C)
        Y = com.microsoft.MultiHeadAttention <num_heads = 2> (A, C, C, B, M)
        Z = com.microsoft.MultiHeadAttention <num_heads = 4, scale = 0.2> (A, C, C, , , P)
    }""",
    [
        [floats(rows, 4, 8), floats(rows, 6, 8), (np.arange(6) < np.arange(3, 3 + rows)[:, None]).astype(np.int32)]
        for rows in (1, 3)
    ],
    B=floats(24),
    P=floats(1, 4, 4, 6),
)
case(
    "q_attention",
    """(uint8[N, 5, 8] A, int32[N, 5] M) => (float[N, 5, 8] X) {
        X = com.microsoft.QAttention <num_heads = 2> (A, V, B, s, t, M, z, wz)
    }""",
    [[integers(rows, 5, 8), np.ones((rows, 5), np.int32)] for rows in (1, 3)],
    1e-4,
    V=integers(8, 24, kind=np.int8),
    B=floats(24),
    wz=np.int8(0),
    **S,
    **U8,
)
case(
    "q_embed_layer_normalization",
    """(int32[N, 5] I, int32[N, 5] G, int32[N, 5] M) => (float[N, 5, 8] X, int32[N] L) {
        X, L = com.microsoft.QEmbedLayerNormalization
            (I, G, w, p, q, g, b, M, s, t, u, s, t, z, o, z, o, z)
    }""",
    [[ids(rows, 5, 11), ids(rows, 5, 2), ids(rows, 5, 2)] for rows in (1, 3)],
    w=integers(11, 8),
    p=integers(6, 8),
    q=integers(2, 8),
    g=integers(8),
    b=integers(8),
    **S,
    **U8,
)
ANGLES = np.outer(np.arange(10), 1 / 100 ** (np.arange(2) / 2)).astype(np.float32)
case(
    "rotary_embedding_of_com_microsoft",
    """(float[N, 3, 8] A, int64[N, 3] P) => (float[N, 3, 8] X, float[N, 3, 8] Y) {
        X = com.microsoft.RotaryEmbedding <num_heads = 2> (A, P, cosines, sines)
        Y = com.microsoft.RotaryEmbedding <num_heads = 2, interleaved = 1> (A, P, cosines, sines)
    }""",
    [[floats(rows, 3, 8), RANDOM.integers(0, 10, (rows, 3))] for rows in (1, 2)],
    cosines=np.cos(ANGLES),
    sines=np.sin(ANGLES),
)
