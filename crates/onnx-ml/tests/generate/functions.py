"""A case of model-local functions: nested calls, calls in a subgraph, attributes."""

import numpy as np
from common import write
from onnx import parser

RANDOM = np.random.default_rng(11)
X = [RANDOM.normal(size=(rows, 3)).astype(np.float32) for rows in (1, 5)]

write(
    "functions",
    "local_functions",
    parser.parse_model(
        """<ir_version: 9, opset_import: ["": 18, "local": 1]>
        local_functions (float[N, 3] X) => (float[N, 3] Y, float[N, 3] Z) <float[3] W = {1, 2, 3}> {
            x = Mul (X, W)
            y, sum = local.shifted <slope = 0.25> (x, W)
            Y = local.signed (y, sum)
            Z, unused = local.shifted <slope = 2.0> (Y)
        }
        <domain: "local", opset_import: ["": 18, "local": 1]>
        shifted <slope> (x, w) => (y, sum) {
            axes = Constant <value_ints = [0, 1]> ()
            sum = ReduceSum <keepdims = 0> (x, axes)
            y = local.leaky <alpha: float = @slope> (x)
        }
        <domain: "local", opset_import: ["": 18]>
        leaky <alpha> (x) => (y) { y = LeakyRelu <alpha: float = @alpha> (x) }
        <domain: "local", opset_import: ["": 18, "local": 1]>
        signed (x, sum) => (y) {
            zero = Constant <value_float = 0.0> ()
            positive = Greater (sum, zero)
            y = If (positive) <
                then_branch = then () => (float[N, 3] a) { a = Add (x, sum) },
                else_branch = otherwise () => (float[N, 3] b) { b = local.leaky <alpha = -1.0> (x) }
            >
        }"""
    ),
    [[abs(x)] for x in X] + [[-abs(x)] for x in X],
)
