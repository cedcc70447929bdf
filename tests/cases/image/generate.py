"""Makes the image case: the mean of each channel of an image, an input with many elements."""

from pathlib import Path

from onnx import TensorProto, checker, helper

float32 = TensorProto.FLOAT
graph = helper.make_graph(
    [helper.make_node("GlobalAveragePool", ["image"], ["pooled"]), helper.make_node("Flatten", ["pooled"], ["means"])],
    "image",
    [helper.make_tensor_value_info("image", float32, ["N", 3, 16, 16])],
    [helper.make_tensor_value_info("means", float32, ["N", 3])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
checker.check_model(model)
(Path(__file__).resolve().parent / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
