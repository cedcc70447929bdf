"""Makes the half case: a model that computes y = 2 x in 16-bit floats."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

half = TensorProto.FLOAT16
graph = helper.make_graph(
    [helper.make_node("Mul", ["x", "two"], ["y"])],
    "half",
    [helper.make_tensor_value_info("x", half, ["N", 2])],
    [helper.make_tensor_value_info("y", half, ["N", 2])],
    [numpy_helper.from_array(np.array(2, np.float16), "two")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
checker.check_model(model)
(Path(__file__).resolve().parent / "model.onnx").write_bytes(model.SerializeToString())
