"""Makes the wide case: a model that multiplies each of 2,000 features by its index, and adds the products.

Writes model.onnx.
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "places"], ["sum"])],
    "wide",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2000])],
    [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["N", 1])],
    [numpy_helper.from_array(np.arange(2000, dtype=np.float32)[:, None], "places")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
checker.check_model(model)
(Path(__file__).resolve().parent / "model.onnx").write_bytes(model.SerializeToString())
