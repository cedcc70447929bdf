"""Makes the image case: the mean of each channel of an image, an input with many elements."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

float32 = TensorProto.FLOAT
# The mean of the 256 elements of a channel, as a product with a matrix.
means = np.repeat(np.eye(3, dtype=np.float32), 256, axis=0) / np.float32(256)
graph = helper.make_graph(
    [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("MatMul", ["flat", "channels"], ["means"])],
    "image",
    [helper.make_tensor_value_info("image", float32, ["N", 3, 16, 16])],
    [helper.make_tensor_value_info("means", float32, ["N", 3])],
    [numpy_helper.from_array(means, "channels")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
checker.check_model(model)
(Path(__file__).resolve().parent / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
