"""Makes small models that are valid ONNX, but that a server cannot serve, or can serve only for some rows.

    ragged    for each row, returns as many numbers as the row has features that are not zero
    foreign   has an operator of the domain com.example with the name of an ONNX operator
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent


def write(name: str, nodes, rows, out_type, out_shape, initializers=(), domain: str = "") -> None:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 4])],
        [helper.make_tensor_value_info("y", out_type, out_shape)],
        list(initializers),
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


write(
    "ragged",
    [
        helper.make_node("NonZero", ["x"], ["indices"]),
        helper.make_node("Gather", ["indices", "columns"], ["y"], axis=0),
    ],
    1,
    TensorProto.INT64,
    [1, None],
    [numpy_helper.from_array(np.array([1], np.int64), "columns")],
)
write(
    "foreign",
    [helper.make_node("Add", ["x", "x"], ["y"], name="sum", domain="com.example")],
    "N",
    TensorProto.FLOAT,
    ["N", 4],
    domain="com.example",
)
