"""Cases of SVMClassifier and SVMRegressor."""

import numpy as np
from common import write
from linear import node
from onnx import TensorProto
from skl2onnx import to_onnx
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

EXPORTED, ATTRIBUTES = "ml/svm/exported", "ml/svm/attributes"
X, y = load_iris(return_X_y=True)
X = (X - X.mean(0)).astype(np.float32)
BINARY = y > 1
NAMES = load_iris().target_names
ROWS = [[X[:1]], [X[::7]]]
TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]


def classifier(name, estimator, target, zipmap=False):
    options = {} if zipmap else {"zipmap": False}
    write(EXPORTED, name, to_onnx(estimator.fit(X, target), X[:1], options=options), ROWS)


def exported():
    """Writes cases of scikit-learn's exports."""
    for kernel in ["linear", "poly", "rbf", "sigmoid"]:
        parameters = {"kernel": kernel, "gamma": 0.02, "coef0": 0.1, "random_state": 0}
        for probability in [False, True]:
            suffix = f"{kernel}_probability" if probability else kernel
            svc = SVC(probability=probability, **parameters)
            classifier(f"svc_{suffix}", svc, y)
            classifier(f"svc_binary_{suffix}", svc, NAMES[1 + BINARY])
    classifier("svc_strings", SVC(), NAMES[y])
    classifier("svc_poly_2", SVC(kernel="poly", degree=2), y)
    classifier("svc_poly_4", SVC(kernel="poly", degree=4), y)
    classifier("svc_zipmap", SVC(probability=True, random_state=0), NAMES[y], zipmap=True)
    classifier("svc_binary_zipmap", SVC(probability=True, random_state=0), 5 - BINARY, zipmap=True)
    classifier("svc_one_vs_one", SVC(decision_function_shape="ovo"), y)
    classifier("svc_break_ties", SVC(break_ties=True), y)
    classifier("nu_svc", NuSVC(nu=0.2), y)
    classifier("nu_svc_probability", NuSVC(nu=0.2, probability=True, random_state=0), y)
    classifier("nu_svc_binary", NuSVC(nu=0.2), BINARY.astype(int))
    six = 2 * y + (X[:, 1] > 3)
    classifier("svc_six_classes", SVC(C=10), six)
    classifier("svc_six_classes_probability", SVC(C=10, probability=True, random_state=0), six)

    D, target = load_diabetes(return_X_y=True)
    D, target = D[::8].astype(np.float32) * 10, target[::8]
    rows = [[D[:1]], [D[::3]]]
    for kernel in ["linear", "poly", "rbf", "sigmoid"]:
        svr = SVR(kernel=kernel, gamma=0.2, coef0=0.1)
        write(EXPORTED, f"svr_{kernel}", to_onnx(svr.fit(D, target / 100), D[:1]), rows)
    write(EXPORTED, "nu_svr", to_onnx(NuSVR(C=50).fit(D, target), D[:1]), rows)
    for kernel in ["linear", "poly", "rbf", "sigmoid"]:
        detector = OneClassSVM(kernel=kernel, nu=0.3).fit(X[::3])
        write(EXPORTED, f"one_class_svm_{kernel}", to_onnx(detector, X[:1]), ROWS)

    W, kind = load_wine(return_X_y=True)
    W = ((W - W.mean(0)) / W.std(0)).astype(np.float32)
    svc = SVC(probability=True, random_state=0).fit(W, kind)
    wine = to_onnx(svc, W[:1], options={"zipmap": False})
    write(EXPORTED, "svc_wine", wine, [[W[:1]], [W[::5]]])


def attributes_of_nodes():
    """Writes cases of single nodes with attributes that scikit-learn's exports do not have."""
    random = np.random.default_rng(0)
    x = random.normal(size=(6, 2)).astype(np.float32)
    x[0] = 0
    sets = [[x[:1]], [x]]
    parameters = [0.5, 0.25, 3.0]

    def svc(classes, strings=False, probabilities=False):
        per_class = [2, 1, 3][:classes]
        vectors = sum(per_class)
        pairs = classes * (classes - 1) // 2
        draw = np.random.default_rng(10 + classes)
        labels = [8, -3, 2][:classes]
        attributes = {
            "vectors_per_class": per_class,
            "support_vectors": draw.normal(size=vectors * 2).astype(np.float32).tolist(),
            "coefficients": draw.normal(size=vectors * (classes - 1)).astype(np.float32).tolist(),
            "rho": draw.normal(size=pairs).astype(np.float32).tolist(),
            "kernel_params": parameters,
        }
        if probabilities:
            attributes["prob_a"] = draw.normal(size=pairs).astype(np.float32).tolist()
            attributes["prob_b"] = draw.normal(size=pairs).astype(np.float32).tolist()
        if strings:
            return TensorProto.STRING, attributes | {"classlabels_strings": list(map(str, labels))}
        return TensorProto.INT64, attributes | {"classlabels_ints": labels}

    for transform in TRANSFORMS:
        suffix = transform.lower()
        for classes in [2, 3]:
            for probabilities in [False, True]:
                if transform == "PROBIT" and classes == 2 and not probabilities:
                    continue  # ONNX Runtime does not write the second score.
                labels, attributes = svc(classes, probabilities, probabilities)
                name = f"svm_{suffix}_{classes}" + "_probabilities" * probabilities
                attributes["post_transform"] = transform
                attributes["kernel_type"] = "RBF"
                node(ATTRIBUTES, name, "SVMClassifier", sets, labels, **attributes)
        for name, labels, coefficients in [
            ("positive", [4, 5], [0.5, 0.1, 0.2, 0.3]),
            ("mixed", [4, 5], [0.5, -0.1, 0.2, 0.3]),
            ("three", [4, 5, 6], [0.5, -0.1, 0.2, 0.3, -0.7, 0.1]),
        ]:
            node(
                ATTRIBUTES,
                f"svm_linear_{name}_{suffix}",
                "SVMClassifier",
                sets,
                TensorProto.INT64,
                classlabels_ints=labels,
                coefficients=coefficients,
                rho=[0.1],
                kernel_type="RBF",
                kernel_params=parameters,
                post_transform=transform,
            )
        node(
            ATTRIBUTES,
            f"svm_regressor_{suffix}",
            "SVMRegressor",
            sets,
            coefficients=[0.5, -0.25],
            rho=[0.3],
            n_supports=0,
            kernel_params=parameters,
            post_transform=transform,
        )
    node(
        ATTRIBUTES,
        "svm_linear_probabilities",
        "SVMClassifier",
        sets,
        TensorProto.STRING,
        classlabels_strings=["a", "b"],
        coefficients=[0.5, -0.1, 0.2, 0.3],
        rho=[0.1],
        prob_a=[1.0],
        prob_b=[0.5],
        kernel_params=parameters,
    )
    node(
        ATTRIBUTES,
        "svm_regressor_one_class_linear",
        "SVMRegressor",
        sets,
        coefficients=[0.5, -0.25],
        rho=[0.1],
        one_class=1,
        kernel_params=parameters,
    )
    for kernel in ["LINEAR", "POLY", "RBF", "SIGMOID"]:
        labels, attributes = svc(3)
        name = f"svm_{kernel.lower()}_kernel"
        node(ATTRIBUTES, name, "SVMClassifier", sets, labels, kernel_type=kernel, **attributes)
    for dtype in [np.float64, np.int32, np.int64]:
        labels, attributes = svc(3)
        data = [[np.array([[1, -1], [2, 0]], dtype)]]
        node(ATTRIBUTES, f"svm_{dtype.__name__}", "SVMClassifier", data, labels, **attributes)


if __name__ == "__main__":
    exported()
    attributes_of_nodes()
