"""Cases of the matrix products and convolutions that ONNX Runtime's optimizer fuses with an activation."""

import numpy as np
from common import write
from onnx import numpy_helper, parser

RANDOM = np.random.default_rng(4)
HEADER = '<ir_version: 9, opset_import: ["": 18, "com.microsoft": 1]>'


def case(name, graph, data_sets, **weights):
    """Writes a case of a graph in ONNX's text format, with random weights of the given shapes."""
    model = parser.parse_model(f"{HEADER} {name} {graph}")
    tensors = [numpy_helper.from_array(floats(*shape), key) for key, shape in weights.items()]
    model.graph.initializer.extend(tensors)
    write("nn", name, model, data_sets)


def floats(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


case(
    "fused_conv",
    """(float[N, 2, 5, 5] X) => (float[N, 3, 3, 3] A, float[N, 3, 5, 5] B, float[N, 3, 3, 3] C) {
        A = com.microsoft.FusedConv <activation = "Relu"> (X, W, V)
        B = com.microsoft.FusedConv <activation = "LeakyRelu", activation_params = [0.2],
                                     pads = [1, 1, 1, 1]> (X, W)
        C = com.microsoft.FusedConv <activation = "Clip", activation_params = [-0.5, 1.5]>
            (X, W, V, A)
    }""",
    [[floats(rows, 2, 5, 5)] for rows in (1, 4)],
    W=(3, 2, 3, 3),
    V=(3,),
)
case(
    "fused_gemm",
    """(float[N, 4] X) => (float[N, 3] A, float[N, 3] B, float[N, 3] C) {
        A = com.microsoft.FusedGemm <activation = "Relu", transB = 1> (X, W, V)
        B = com.microsoft.FusedGemm <activation = "Tanh", transB = 1, alpha = 0.5> (X, W, V)
        C = com.microsoft.FusedGemm <activation = "HardSigmoid", activation_alpha = 0.3,
                                     activation_beta = 0.4, transB = 1> (X, W, V)
    }""",
    [[floats(rows, 4)] for rows in (1, 6)],
    W=(3, 4),
    V=(3,),
)
case(
    "fused_mat_mul",
    """(float[N, 3, 4] X) => (float[N, 3, 2] A, float[N, 4, 4] B, float[N, 3, 3] C) {
        A = com.microsoft.FusedMatMul <alpha = 0.5, transB = 1> (X, W)
        B = com.microsoft.FusedMatMul <transA = 1> (X, X)
        C = com.microsoft.FusedMatMul <transB = 1, alpha = -2.0> (X, X)
    }""",
    [[floats(rows, 3, 4)] for rows in (1, 5)],
    W=(2, 4),
)
