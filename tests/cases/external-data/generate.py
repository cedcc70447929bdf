"""Makes the external-data case: a model whose weights are in a separate file, as torch.onnx.export writes them."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, external_data_helper, helper, numpy_helper

HERE = Path(__file__).resolve().parent

weights = numpy_helper.from_array(np.array([[2], [-1]], np.float32), "weights")
(HERE / "weights.bin").write_bytes(weights.raw_data)
external_data_helper.set_external_data(weights, location="weights.bin")
weights.ClearField("raw_data")

graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "weights"], ["y"])],
    "external-data",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
    [weights],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
(HERE / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
