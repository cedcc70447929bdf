"""Cases of the tree ensembles: scikit-learn's exports, and attributes that no exporter uses."""

import itertools

import numpy as np
from common import write
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

EXPORTED, CLASSIFIER, REGRESSOR = "ml/trees/exported", "ml/trees/classifier", "ml/trees/regressor"
float32, float64, int64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64


def exported() -> None:
    binary, multi, regression = (
        (data.data.astype(np.float32), data.target)
        for data in (load_breast_cancer(), load_iris(), load_diabetes())
    )
    names = np.array(["setosa", "versicolor", "virginica"])
    small = {"random_state": 0, "max_depth": 3}
    for name, model, (X, y) in [
        ("decision_tree_binary", DecisionTreeClassifier(**small), binary),
        ("random_forest_binary", RandomForestClassifier(10, **small), binary),
        ("random_forest_multi", RandomForestClassifier(11, **small), multi),
        ("random_forest_names", RandomForestClassifier(5, **small), (multi[0], names[multi[1]])),
        ("extra_trees_multi", ExtraTreesClassifier(10, **small), multi),
        ("gradient_boosting_binary", GradientBoostingClassifier(n_estimators=9, **small), binary),
        ("gradient_boosting_multi", GradientBoostingClassifier(n_estimators=5, **small), multi),
        ("ada_boost_multi", AdaBoostClassifier(n_estimators=4, random_state=0), multi),
        ("decision_tree_regressor", DecisionTreeRegressor(**small), regression),
        ("random_forest_regressor", RandomForestRegressor(7, **small), regression),
        ("gradient_boosting_regressor", GradientBoostingRegressor(n_estimators=9, **small), regression),
        ("decision_tree_targets", DecisionTreeRegressor(**small), (regression[0], regression[0][:, :3])),
    ]:
        model.fit(X, y)
        rows = [[X[:1]], [X[::25]]]
        write(EXPORTED, name, to_onnx(model, X[:1]), rows)
        if name == "random_forest_binary":
            double = to_onnx(model, X[:1].astype(np.float64), options={id(model): {"zipmap": False}})
            write(EXPORTED, f"{name}_double", double, [[X[:1].astype(np.float64)], [X[::25].astype(np.float64)]])


# Two trees over two features. The first tree has two levels of branches, the second tree has one. Some inputs equal a
# threshold.
SHAPE = {
    "nodes_treeids": [0] * 5 + [1] * 3,
    "nodes_nodeids": [0, 1, 2, 3, 4, 0, 1, 2],
    "nodes_featureids": [0, 1, 0, 0, 0, 1, 0, 0],
    "nodes_values": [0.5, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0],
    "nodes_truenodeids": [1, 3, 0, 0, 0, 1, 0, 0],
    "nodes_falsenodeids": [2, 4, 0, 0, 0, 2, 0, 0],
}
LEAVES = {"treeids": [0, 0, 0, 1, 1], "nodeids": [2, 3, 4, 1, 2]}
GRID = [-np.inf, -1.0, -0.0, 0.5, np.nextafter(np.float32(0.5), np.float32(0)), 1.0, 2.0, np.inf, np.nan]
X = np.array(list(itertools.product(GRID, GRID)), np.float32)


def node(op_type: str, prefix: str, mode="BRANCH_LEQ", missing=0, weights=None, ids=None, **attributes):
    modes = [mode, mode, "LEAF", "LEAF", "LEAF", mode, "LEAF", "LEAF"]
    values = {
        f"{prefix}_treeids": LEAVES["treeids"],
        f"{prefix}_nodeids": LEAVES["nodeids"],
        f"{prefix}_ids": ids or [0] * 5,
        f"{prefix}_weights": weights or [0.25, 0.5, 0.125, 0.0625, 0.375],
        "nodes_modes": modes,
        "nodes_missing_value_tracks_true": [missing] * 8,
        **SHAPE,
        **attributes,
    }
    outputs = ["label", "scores"] if prefix == "class" else ["scores"]
    return helper.make_node(op_type, ["X"], outputs, domain="ai.onnx.ml", **values)


def model(made, classes_type=int64, input_type=float32):
    outputs = [helper.make_tensor_value_info(made.output[-1], float32, None)]
    if len(made.output) == 2:
        outputs.insert(0, helper.make_tensor_value_info("label", classes_type, None))
    graph = helper.make_graph(
        [made], "case", [helper.make_tensor_value_info("X", input_type, ["N", 2])], outputs
    )
    opsets = [helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def attributes() -> None:
    regressor = ("TreeEnsembleRegressor", "target")
    for mode in ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ"):
        for missing in (0, 1):
            made = node(*regressor, mode=f"BRANCH_{mode}", missing=missing, n_targets=1)
            write(REGRESSOR, f"mode_{mode.lower()}_{missing}", model(made), [[X], [X[5:6]]])
    made = node(*regressor, mode="BRANCH_LT", n_targets=1)
    write(REGRESSOR, "mode_lt_double", model(made, input_type=float64), [[X.astype(np.float64)]])
    made = node("TreeEnsembleClassifier", "class", mode="BRANCH_LT", classlabels_int64s=[7, -2])
    write(CLASSIFIER, "mode_lt_int64", model(made, input_type=int64), [[np.array([[0, 1], [1, -1], [0, -2]])]])
    finite = X[np.isfinite(X).all(axis=1)]
    for aggregate in ("SUM", "AVERAGE", "MIN", "MAX"):
        made = node(*regressor, aggregate_function=aggregate, n_targets=1, base_values=[0.5])
        write(REGRESSOR, f"aggregate_{aggregate.lower()}", model(made), [[finite]])
        made = node(
            *regressor, aggregate_function=aggregate, n_targets=3, ids=[0, 1, 2, 1, 0], base_values=[1.0, -1.0, 0.5]
        )
        write(REGRESSOR, f"aggregate_{aggregate.lower()}_targets", model(made), [[finite]])
    for transform in ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"):
        for targets, ids in ((1, None), (3, [0, 1, 2, 1, 0])):
            made = node(*regressor, post_transform=transform, n_targets=targets, ids=ids)
            write(REGRESSOR, f"regressor_{transform.lower()}_{targets}", model(made), [[finite]])
        for classes, ids in ((2, [0] * 5), (2, [1] * 5), (2, [0, 1, 0, 1, 1]), (3, [0, 1, 2, 1, 0])):
            for sign, weights in (("positive", None), ("mixed", [0.25, -0.5, 0.125, -0.0625, 0.375])):
                made = node(
                    "TreeEnsembleClassifier",
                    "class",
                    post_transform=transform,
                    ids=ids,
                    weights=weights,
                    # If both of two classes have weights, ONNX Runtime returns 0 and 1 instead of the labels.
                    classlabels_int64s=[0, 1] if len(set(ids)) == classes == 2 else [7, -2, 5][:classes],
                )
                kind = f"{classes}_{''.join(map(str, sorted(set(ids))))}"
                # With PROBIT and weights for one class, ONNX Runtime leaves a score unwritten.
                if transform != "PROBIT" or len(set(ids)) > 1 and sign == "positive":
                    write(CLASSIFIER, f"classifier_{transform.lower()}_{kind}_{sign}", model(made), [[finite]])
    for name, ids, base_values in [
        ("one", [0] * 5, [0.25]),
        ("two", [0] * 5, [0.25, -0.5]),
        ("two_second", [1] * 5, [0.25, -0.5]),
        ("two_both", [0, 1, 0, 1, 1], [0.25, -0.5]),
        ("three", [0, 1, 2, 1, 0], [0.25, -0.5, 0.5]),
    ]:
        labels = ["no", "yes", "maybe"][: 3 if name == "three" else 2]
        made = node("TreeEnsembleClassifier", "class", ids=ids, base_values=base_values, classlabels_strings=labels)
        write(CLASSIFIER, f"classifier_base_{name}", model(made, TensorProto.STRING), [[finite]])
    made = node(*regressor, n_targets=1)
    for name in ("nodes_values", "target_weights"):
        others = [attribute for attribute in made.attribute if attribute.name != name]
        values = next(attribute for attribute in made.attribute if attribute.name == name).floats
        tensor = numpy_helper.from_array(np.array(values, np.float64) / 3, name)
        del made.attribute[:]
        made.attribute.extend([*others, helper.make_attribute(f"{name}_as_tensor", tensor)])
    write(REGRESSOR, "double_attributes", model(made, input_type=float64), [[finite.astype(np.float64) / 3]])


def repeated_weights() -> None:
    """Leaves with several weights for a target. If there is one target, ONNX Runtime uses the first weight."""
    again = {
        "treeids": [0, 0, 0, 0, 1, 0, 1, 0],
        "nodeids": [2, 3, 2, 4, 1, 3, 2, 3],
    }
    weights = [0.25, 0.5, 2.0, 0.125, 0.0625, -4.0, 0.375, 8.0]
    finite = X[np.isfinite(X).all(axis=1)]

    def repeated(op_type, prefix, ids, **attributes):
        lists = {f"{prefix}_{name}": values for name, values in again.items()}
        return model(node(op_type, prefix, ids=ids, weights=weights, **lists, **attributes))

    regressor = ("TreeEnsembleRegressor", "target")
    for aggregate in ("SUM", "AVERAGE", "MIN", "MAX"):
        made = repeated(*regressor, [0] * 8, aggregate_function=aggregate, n_targets=1)
        write(REGRESSOR, f"repeated_{aggregate.lower()}", made, [[finite[:1]], [finite]])
        made = repeated(*regressor, [0, 1, 0, 1, 1, 0, 0, 1], aggregate_function=aggregate, n_targets=2)
        write(REGRESSOR, f"repeated_{aggregate.lower()}_targets", made, [[finite[:1]], [finite]])
    for name, ids in [("two_first", [0] * 8), ("two_second", [1] * 8), ("three", [0, 1, 0, 1, 1, 1, 2, 0])]:
        labels = list(range(3 if name == "three" else 2))
        made = repeated("TreeEnsembleClassifier", "class", ids, classlabels_int64s=labels)
        write(CLASSIFIER, f"repeated_{name}", made, [[finite[:1]], [finite]])
    binary = load_breast_cancer()
    multi = load_iris()
    for name, estimator, data in [
        ("decision_tree", DecisionTreeClassifier(max_depth=3, random_state=0), multi),
        ("extra_trees", ExtraTreesClassifier(3, max_depth=3, random_state=0), binary),
    ]:
        features = data.data.astype(np.float32)
        estimator.fit(features, data.target)
        for option in ("decision_leaf", "decision_path"):
            exported = to_onnx(estimator, features[:1], options={id(estimator): {"zipmap": False, option: True}})
            write(EXPORTED, f"{name}_{option}", exported, [[features[:1]], [features[::25]]])


def shared_branches() -> None:
    """Branches that share a child, as in exports of categorical splits. Two branches share the third.

    ONNX Runtime merges branches that share a child. If the feature is missing, it evaluates only the first branch.
    """
    shape = {
        "nodes_treeids": [0] * 7,
        "nodes_nodeids": list(range(7)),
        "nodes_featureids": [0, 0, 1, 0, 0, 0, 0],
        "nodes_modes": ["BRANCH_EQ", "BRANCH_EQ", "BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"],
        "nodes_values": [1.0, 2.0, 0.5, -0.5, 0.0, 0.0, 0.0],
        "nodes_truenodeids": [2, 2, 4, 4, 0, 0, 0],
        "nodes_falsenodeids": [1, 3, 5, 6, 0, 0, 0],
        "nodes_missing_value_tracks_true": [1, 1, 0, 0, 0, 0, 0],
    }
    for op_type, prefix, name, ids, extra in [
        ("TreeEnsembleRegressor", "target", "shared", [0, 0, 0], {"n_targets": 1}),
        ("TreeEnsembleRegressor", "target", "shared_targets", [0, 2, 1], {"n_targets": 3}),
        ("TreeEnsembleClassifier", "class", "shared", [0, 1, 2], {"classlabels_int64s": [3, 4, 5]}),
    ]:
        weights = {"treeids": [0] * 3, "nodeids": [4, 5, 6], "ids": ids, "weights": [0.25, -0.5, 0.125]}
        lists = {f"{prefix}_{key}": values for key, values in weights.items()}
        for trees in (1, 6):
            many = {}
            for key, values in {**shape, **lists}.items():
                ids_of_trees = key.endswith("_treeids")
                many[key] = [tree if ids_of_trees else value for tree in range(trees) for value in values]
            outputs = ["label", "scores"] if prefix == "class" else ["scores"]
            made = helper.make_node(op_type, ["X"], outputs, domain="ai.onnx.ml", **many, **extra)
            topic = CLASSIFIER if prefix == "class" else REGRESSOR
            write(topic, f"{name}_{trees}", model(made), [[X[:1]], [X]])


exported()
attributes()
repeated_weights()
shared_branches()
