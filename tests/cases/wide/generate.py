"""Make the wide case: 2,000 numbers in, their sum out; to see what very many features cost."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

graph = helper.make_graph(
    [helper.make_node("ReduceSum", ["x", "axes"], ["sum"])],
    "wide",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2000])],
    [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["N", 1])],
    [numpy_helper.from_array(np.array([1]), "axes")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
checker.check_model(model)
(Path(__file__).resolve().parent / "model.onnx").write_bytes(model.SerializeToString())
