"""Cases of LinearClassifier and LinearRegressor."""

import numpy as np
from common import write
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.datasets import load_diabetes, load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import (
    ElasticNet,
    LinearRegression,
    LogisticRegression,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.svm import LinearSVC

EXPORTED, ATTRIBUTES = "ml/linear/exported", "ml/linear/attributes"
X, y = load_iris(return_X_y=True)
X = X.astype(np.float32)
BINARY = y > 0
NAMES = load_iris().target_names
ROWS = [[X[:1]], [X[::13]]]
TYPES = {
    np.float32: TensorProto.FLOAT,
    np.float64: TensorProto.DOUBLE,
    np.int32: TensorProto.INT32,
    np.int64: TensorProto.INT64,
}


def classifier(name, estimator, target, zipmap=False):
    # The export of LinearSVC has no ZipMap, and does not accept the option `zipmap`.
    options = {} if zipmap or isinstance(estimator, LinearSVC) else {"zipmap": False}
    fitted = estimator.fit(X, target)
    write(EXPORTED, name, to_onnx(fitted, X[:1], options=options), ROWS)


def node(topic, name, operator, data_sets, labels=None, **attributes):
    """Writes a case of a single node whose input has the type of the data."""
    x = data_sets[0][0]
    outputs = [helper.make_tensor_value_info("Y", labels or TensorProto.FLOAT, None)]
    if labels:
        outputs.append(helper.make_tensor_value_info("Z", TensorProto.FLOAT, None))
    columns = list(x.shape[1:]) if x.ndim > 1 else list(x.shape)
    shape = [None, *columns] if x.ndim > 1 else columns
    graph = helper.make_graph(
        [
            helper.make_node(
                operator, ["X"], [o.name for o in outputs], domain="ai.onnx.ml", **attributes
            )
        ],
        name,
        [helper.make_tensor_value_info("X", TYPES[x.dtype.type], shape)],
        outputs,
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    write(topic, name, helper.make_model(graph, opset_imports=opsets, ir_version=9), data_sets)


def main():
    logistic = LogisticRegression(max_iter=1000)
    classifier("logistic_regression", logistic, y)
    classifier("logistic_regression_binary", logistic, BINARY.astype(int))
    classifier("logistic_regression_bool", logistic, BINARY)
    classifier("logistic_regression_strings", logistic, NAMES[y])
    classifier("logistic_regression_strings_zipmap", logistic, NAMES[y], zipmap=True)
    classifier("logistic_regression_binary_zipmap", logistic, 7 - 3 * BINARY, zipmap=True)
    classifier("logistic_regression_no_intercept", LogisticRegression(fit_intercept=False), y)
    classifier("linear_svc", LinearSVC(random_state=0), y)
    classifier("linear_svc_binary", LinearSVC(random_state=0), NAMES[1 * BINARY])
    classifier("sgd_hinge", SGDClassifier(random_state=0), y)
    classifier("sgd_log_loss_binary", SGDClassifier("log_loss", random_state=0), NAMES[y // 2])
    classifier("ridge_classifier", RidgeClassifier(), y)
    classifier("ridge_classifier_binary", RidgeClassifier(), BINARY.astype(int))
    classifier("linear_discriminant_analysis", LinearDiscriminantAnalysis(), NAMES[y])

    D, target = load_diabetes(return_X_y=True)
    D = D.astype(np.float32)
    targets = np.stack([target, target**2 / 1000, -target, D.sum(1), D[:, 2]], axis=1)
    rows = [[D[:1]], [D[::40]]]
    regressor = LinearRegression()
    write(EXPORTED, "linear_regression", to_onnx(regressor.fit(D, target), D[:1]), rows)
    write(EXPORTED, "linear_regression_two", to_onnx(regressor.fit(D, targets[:, :2]), D[:1]), rows)
    write(EXPORTED, "linear_regression_five", to_onnx(regressor.fit(D, targets), D[:1]), rows)
    write(EXPORTED, "elastic_net", to_onnx(ElasticNet(0.01).fit(D, target), D[:1]), rows)

    random = np.random.default_rng(0)
    small = random.uniform(0.1, 0.4, (5, 3)).astype(np.float32)
    small[1] = 0  # A row of zeros, whose scores are the intercepts.
    sets = [[small[:1]], [small]]
    three = {
        "coefficients": [0.1, 0.2, 0.3, 0.5, -0.1, 0.2, 0.3, 0.3, 0.1],
        "intercepts": [0.1, 0.2, 0.0],
    }
    shared = {"coefficients": [0.9, -2.0, 0.6], "intercepts": [0.05]}
    for transform in ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]:
        suffix = transform.lower()
        one = {"post_transform": transform}
        node(
            ATTRIBUTES,
            f"linear_classifier_{suffix}",
            "LinearClassifier",
            sets,
            TensorProto.INT64,
            classlabels_ints=[3, -1, 9],
            **three,
            **one,
        )
        node(ATTRIBUTES, f"linear_regressor_{suffix}", "LinearRegressor", sets, targets=3, **three, **one)
        node(ATTRIBUTES, f"linear_regressor_single_{suffix}", "LinearRegressor", sets, **shared, **one)
        if transform != "PROBIT":  # ONNX Runtime does not write the second score, so there is no case for it.
            node(
                ATTRIBUTES,
                f"linear_classifier_shared_{suffix}",
                "LinearClassifier",
                sets,
                TensorProto.STRING,
                classlabels_strings=["no", "yes"],
                **shared,
                **one,
            )
    large = np.array([[100.0], [-100.0], [1e30], [0.0]], np.float32)
    saturated = {"coefficients": [1.0, -1.0], "intercepts": [0.0, 0.0], "multi_class": 1}
    for transform in ["SOFTMAX", "LOGISTIC"]:
        node(
            ATTRIBUTES,
            f"linear_classifier_saturated_{transform.lower()}",
            "LinearClassifier",
            [[large]],
            TensorProto.INT64,
            classlabels_ints=[0, 1],
            post_transform=transform,
            **saturated,
        )
    for dtype in [np.float64, np.int32, np.int64]:
        node(
            ATTRIBUTES,
            f"linear_classifier_{dtype.__name__}",
            "LinearClassifier",
            [[np.array([[1, -2, 3], [4, 0, -6]], dtype)]],
            TensorProto.STRING,
            classlabels_strings=["a", "b", "c"],
            **three,
        )
    wide = random.normal(size=(6, 37)).astype(np.float32)
    node(
        ATTRIBUTES,
        "linear_classifier_wide",
        "LinearClassifier",
        [[wide[:1]], [wide]],
        TensorProto.INT64,
        classlabels_ints=list(range(11)),
        coefficients=random.normal(size=11 * 37).astype(np.float32).tolist(),
        intercepts=random.normal(size=11).astype(np.float32).tolist(),
        post_transform="SOFTMAX",
    )


if __name__ == "__main__":
    main()
