"""Writes the cases in `signature/`, with ONNX Runtime's outputs.

In each case, some inputs or outputs have no batch axis, a batch axis that is not the first axis, or a fixed batch. A
case has the two files that crates/onnx-ml/tests/generate/common.py describes. `signature.rs` runs the cases.
"""

import json
import sys
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, checker, helper, numpy_helper

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1] / "onnx-ml/tests/generate"))
import common  # noqa: E402

common.CASES = HERE
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
node = helper.make_node
random = np.random.default_rng(25)


def value(name: str, *shape, kind: int = FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def case(name: str, nodes, inputs, outputs, data_sets, *, axes=None, **weights) -> None:
    """Writes a case. `axes` is the metadata entry `ml_app.axes`, and `weights` are initializers."""
    initializers = [numpy_helper.from_array(np.asarray(array), key) for key, array in weights.items()]
    graph: GraphProto = helper.make_graph(nodes, name, inputs, outputs, initializers)
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if axes is not None:
        helper.set_model_props(model, {"ml_app.axes": json.dumps(axes)})
    checker.check_model(model)
    common.write("signature", name, model, [list(map(np.asarray, data_set)) for data_set in data_sets])


def floats(*shape) -> np.ndarray:
    return random.uniform(-2, 2, shape).round(2).astype(np.float32)


def i64(*elements) -> np.ndarray:
    return np.array(elements, np.int64)


X, Y = value("x", "N", 4), value("y", "N", 4)

# Inputs that have no batch axis: one value for the whole request.
scale = [node("Mul", ["x", "t"], ["y"])]
case("scalar_input", scale, [X, value("t")], [Y], [[floats(n, 4), np.float32(2)] for n in (1, 3)])
case("scalar_first", scale, [value("t"), X], [Y], [[np.float32(2), floats(n, 4)] for n in (1, 3)])
case("vector_input", scale, [X, value("t", 4)], [Y], [[floats(n, 4), floats(4)] for n in (1, 3)])
case("one_element_input", scale, [X, value("t", 1)], [Y], [[floats(n, 4), floats(1)] for n in (1, 3)])
case("one_row_beside_rows", scale, [X, value("t", 1, 4)], [Y], [[floats(n, 4), floats(1, 4)] for n in (1, 3)])
case(
    "integer_input",
    [node("Gather", ["x", "column"], ["y"], axis=1)],
    [X, value("column", kind=INT64)],
    [value("y", "N")],
    [[floats(n, 4), np.int64(2)] for n in (1, 3)],
)
case(
    "matrix_input",
    [node("MatMul", ["x", "w"], ["y"])],
    [X, value("w", 4, "M")],
    [value("y", "N", "M")],
    [[floats(n, 4), floats(4, m)] for n, m in ((1, 1), (3, 5))],
)
case(
    "graph_network",
    [
        node("Gather", ["edges", "zero"], ["from"], axis=0),
        node("Gather", ["x", "from"], ["messages"], axis=0),
        node("ReduceMean", ["messages"], ["mean"], axes=[0], keepdims=1),
        node("Add", ["x", "mean"], ["y"]),
    ],
    [value("x", "nodes", 4), value("edges", 2, "edges", kind=INT64)],
    [value("y", "nodes", 4)],
    [[floats(n, 4), np.zeros((2, e), np.int64)] for n, e in ((1, 1), (3, 2), (2, 5))],
    zero=np.int64(0),
)

# Inputs and outputs whose batch axis is not the first axis. In the last case, the metadata states the batch axes.
layers = [node("ReduceSum", ["h", "zero"], ["sum"], keepdims=0), node("Add", ["x", "sum"], ["y"])]
case(
    "state_layers_first",
    layers,
    [value("x", "batch", 4), value("h", 2, "batch", 4)],
    [value("y", "batch", 4)],
    [[floats(n, 4), floats(2, n, 4)] for n in (1, 3)],
    zero=i64(0),
)
case(
    "state_without_names",
    layers,
    [value("x", None, 4), value("h", 2, None, 4)],
    [value("y", None, 4)],
    [[floats(n, 4), floats(2, n, 4)] for n in (1, 3)],
    zero=i64(0),
)
case(
    "gru_with_state",
    [node("GRU", ["x", "w", "r", "", "", "h"], ["y", "h_out"], hidden_size=2)],
    [value("x", "time", "batch", 3), value("h", 1, "batch", 2)],
    [value("y", "time", 1, "batch", 2), value("h_out", 1, "batch", 2)],
    [[floats(t, n, 3), floats(1, n, 2)] for t, n in ((4, 1), (4, 3), (2, 2))],
    w=floats(1, 6, 3),
    r=floats(1, 6, 2),
)
case(
    "columns_first",
    [node("Transpose", ["x"], ["y"])],
    [value("x", 4, "batch")],
    [value("y", "batch", 4)],
    [[floats(4, n)] for n in (1, 3)],
)
case(
    "stated_axes",
    scale + [node("Identity", ["t"], ["t_out"])],
    [value("x", "N", "M"), value("t", "N", 1)],
    [value("y", "N", "M"), value("t_out", "N", 1)],
    [[floats(4, n), floats(4, 1)] for n in (1, 3)],
    axes={"x": 1, "t": None, "y": 1, "t_out": None},
)

# Outputs that have no batch axis: one value for the whole request.
relu = [node("Relu", ["x"], ["y"])]
case(
    "scalar_output",
    [node("ReduceMean", ["x"], ["loss"], keepdims=0), *relu],
    [X],
    [Y, value("loss")],
    [[floats(n, 4)] for n in (1, 3)],
)
case(
    "means_of_rows",
    [node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1)],
    [X],
    [value("mean", 1, 4)],
    [[floats(n, 4)] for n in (1, 3)],
)
case(
    "constant_output",
    [node("ReduceMax", ["w"], ["largest"], keepdims=0), node("MatMul", ["x", "w"], ["y"])],
    [X],
    [value("largest"), value("y", "N", 2)],
    [[floats(n, 4)] for n in (1, 3)],
    w=floats(4, 2),
)
case(
    "echoed_parameter",
    [*scale, node("Identity", ["t"], ["echo"])],
    [X, value("t", 3, 1, 4)],
    [value("y", 3, "N", 4), value("echo", 3, 1, 4)],
    [[floats(n, 4), floats(3, 1, 4)] for n in (1, 3)],
)
case(
    "covariance",
    [node("Transpose", ["x"], ["xt"]), node("MatMul", ["xt", "x"], ["y"])],
    [X],
    [value("y", 4, 4)],
    [[floats(n, 4)] for n in (1, 3)],
)

# Each row runs alone: the batch is fixed at 1, there is no batch, or the graph accepts a single row only. The exception
# is `time_first`, which accepts several rows.
case(
    "boxes_of_one_row",
    [node("Squeeze", ["x", "zero"], ["s"]), node("TopK", ["s", "k"], ["y", "i"], axis=0)],
    [value("x", 1, 10)],
    [value("y", 3)],
    [[floats(1, 10)]],
    zero=i64(0),
    k=i64(3),
)
case(
    "time_first_of_one_row",
    [node("Transpose", ["x"], ["y"], perm=[2, 0, 1])],
    [value("x", 1, 4, "width")],
    [value("y", "width", 1, 4)],
    [[floats(1, 4, n)] for n in (1, 5)],
)
case(
    "time_first",
    [node("Transpose", ["x"], ["y"], perm=[2, 0, 1])],
    [value("x", "batch", 4, "width")],
    [value("y", "width", "batch", 4)],
    [[floats(n, 4, 5)] for n in (1, 3)],
)
case(
    "state_of_one_row",
    layers + [node("Identity", ["h"], ["h_out"])],
    [value("x", 1, 4), value("h", 2, 1, 4)],
    [value("y", 1, 4), value("h_out", 2, 1, 4)],
    [[floats(1, 4), floats(2, 1, 4)]],
    zero=i64(0),
)
case(
    "image_without_a_batch",
    [node("ReduceMax", ["x"], ["y"], axes=[0, 1], keepdims=0)],
    [value("x", 3, 4, 5)],
    [value("y", 5)],
    [[floats(3, 4, 5)]],
)
case(
    "only_scalars",
    [node("Add", ["a", "b"], ["y"])],
    [value("a"), value("b")],
    [value("y")],
    [[np.float32(1), np.float32(2)]],
)
case(
    "traced_with_one_row",
    [node("Reshape", ["x", "shape"], ["y"])],
    [value("x", "batch", "sequence", 6)],
    [value("y", 1, "sequence", 2, 3)],
    [[floats(1, n, 6)] for n in (1, 5)],
    shape=i64(1, -1, 2, 3),
)

# A batch that is fixed at 3 rows.
case(
    "three_rows",
    [node("MatMul", ["x", "w"], ["s"]), node("Softmax", ["s"], ["y"], axis=1)],
    [value("x", 3, 4)],
    [value("y", 3, 2)],
    [[floats(3, 4)]],
    w=floats(4, 2),
)
case(
    "three_rows_and_a_parameter",
    scale,
    [value("x", 3, 4), value("t")],
    [value("y", 3, 4)],
    [[floats(3, 4), np.float32(2)]],
)
case(
    "three_rows_that_depend_on_each_other",
    [node("Softmax", ["x"], ["y"], axis=0)],
    [value("x", 3, 4)],
    [value("y", 3, 4)],
    [[floats(3, 4)]],
)
case(
    "three_rows_with_positions",
    [node("Add", ["x", "position"], ["y"])],
    [value("x", 3, 4)],
    [value("y", 3, 4)],
    [[floats(3, 4)]],
    position=floats(3, 1),
)
