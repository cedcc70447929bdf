"""Makes the parameters case: y = x t, where t is one number for all rows. The mean of y belongs to all rows too."""

from pathlib import Path

from onnx import TensorProto, checker, helper

float32 = TensorProto.FLOAT
graph = helper.make_graph(
    [helper.make_node("Mul", ["x", "t"], ["y"]), helper.make_node("ReduceMean", ["y"], ["mean"], keepdims=0)],
    "parameters",
    [helper.make_tensor_value_info("x", float32, ["N", 1]), helper.make_tensor_value_info("t", float32, [])],
    [helper.make_tensor_value_info("y", float32, ["N", 1]), helper.make_tensor_value_info("mean", float32, [])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
checker.check_model(model)
(Path(__file__).resolve().parent / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
