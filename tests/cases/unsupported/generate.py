"""Makes the unsupported case: a model whose only operator exists in no runtime. Writes model.onnx."""

from pathlib import Path

from onnx import TensorProto, helper

HERE = Path(__file__).resolve().parent

rows = ["N", 2]
graph = helper.make_graph(
    [helper.make_node("NonExistent", ["x"], ["y"], name="mystery", domain="com.example")],
    "unsupported",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, rows)],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, rows)],
)
model = helper.make_model(
    graph,
    opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("com.example", 1)],
    ir_version=8,
)
(HERE / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
