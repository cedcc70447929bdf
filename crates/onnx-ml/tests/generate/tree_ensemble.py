"""Cases of TreeEnsemble, which replaces TreeEnsembleClassifier and TreeEnsembleRegressor in version 5 of ai.onnx.ml."""

import numpy as np
from common import write
from onnx import TensorProto, helper, numpy_helper

LEQ, LT, GTE, GT, EQ, NEQ, MEMBER = range(7)
X = np.array([[0, 1], [0.5, -1], [1, 0.5], [3, 2], [7, np.nan], [np.nan, 3], [-0.0, 7]])

# Two trees over two features. The first tree has two levels of branches, the second tree has one.
SHAPE = {
    "tree_roots": [0, 2],
    "nodes_featureids": [0, 1, 1],
    "nodes_truenodeids": [1, 1, 3],
    "nodes_trueleafs": [0, 1, 1],
    "nodes_falsenodeids": [0, 2, 4],
    "nodes_falseleafs": [1, 1, 1],
}
WEIGHTS = [0.25, -0.5, 0.125, 2.0, -0.0625]


def case(name, modes, kind=np.float32, members=None, missing=None, targets=1, data=X, **attributes):
    tensors = {
        "nodes_modes": np.array(modes, np.uint8),
        "nodes_splits": np.array([0.5, 1, 3], kind),
        "leaf_weights": np.array(WEIGHTS, kind),
    }
    if members is not None:
        tensors["membership_values"] = np.array(members, kind)
    made = helper.make_node(
        "TreeEnsemble",
        ["X"],
        ["Y"],
        domain="ai.onnx.ml",
        n_targets=targets,
        leaf_targetids=[leaf % targets for leaf in range(5)],
        **SHAPE,
        **{key: numpy_helper.from_array(value, key) for key, value in tensors.items()},
        **({"nodes_missing_value_tracks_true": missing} if missing else {}),
        **attributes,
    )
    data = data.astype(kind)
    element = helper.np_dtype_to_tensor_dtype(data.dtype)
    graph = helper.make_graph(
        [made],
        name,
        [helper.make_tensor_value_info("X", element, [None, 2])],
        [helper.make_tensor_value_info("Y", element, None)],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 5)]
    write("ml/trees/ensemble", f"tree_ensemble_{name}", helper.make_model(graph, opset_imports=opsets, ir_version=10), [[data[:1]], [data]])


case("modes", [LEQ, LT, GTE])
case("modes_double", [GT, EQ, NEQ], np.float64)
case("missing", [LEQ, GT, EQ], missing=[1, 0, 1])
for kind in (np.float32, np.float64):
    case(f"sets_{kind.__name__}", [MEMBER, LEQ, MEMBER], kind, [0, 7, 1, np.nan, 3, -1, np.nan], [1, 0, 0])
for index, aggregate in enumerate(("average", "sum", "min", "max")):
    case(aggregate, [LEQ, LEQ, LEQ], aggregate_function=index, targets=2)
finite = X[:4]
for index, transform in enumerate(("none", "softmax", "logistic", "softmax_zero", "probit")):
    # ONNX Runtime 1.32 confuses the numbers that stand for softmax and logistic.
    if transform in ("none", "softmax_zero"):
        case(f"{transform}_2", [LEQ, LEQ, LEQ], targets=2, post_transform=index, data=finite)
    case(f"{transform}_1", [LEQ, LEQ, LEQ], post_transform=index, data=finite)
