"""Cases of Imputer, Binarizer, Normalizer, ArrayFeatureExtractor and FeatureVectorizer."""

import numpy as np
from common import write
from nodes import node
from skl2onnx import to_onnx
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import Binarizer, Normalizer

TOPIC = "ml/features"
GAPS = np.array([[1, np.nan, -3], [np.nan, 5, 2], [7, np.nan, np.nan]], np.float32)
CODES = np.array([[1, -1, 3], [-1, 5, -1], [2, 5, 2**40]], np.int64)
# Includes a row of zeros, and rows whose largest value is negative or zero.
ROWS = np.array([[3, -4], [0, 0], [-1, -2], [-3, 0], [1e-20, 1e-21], [0.5, 8]], np.float32)
NORMS = ("MAX", "L1", "L2")


def imputers():
    rows = [[GAPS[:1]], [GAPS]]
    for strategy in ("mean", "most_frequent"):
        imputer = SimpleImputer(strategy=strategy).fit(GAPS)
        write(TOPIC, f"imputer_{strategy}", to_onnx(imputer, GAPS[:1]), rows)
    node(
        TOPIC,
        "imputer_int64",
        "Imputer",
        [[CODES[:1]], [CODES]],
        np.int64,
        imputed_value_int64s=[2, 3, 4],
        replaced_value_int64=-1,
    )
    zeros = np.array([[0, -0.0, 3]], np.float32)
    node(TOPIC, "imputer_zero", "Imputer", [[zeros]], imputed_value_floats=[1.0, 2.0, 3.0])
    single = {"imputed_value_floats": [9.5], "replaced_value_float": np.nan}
    node(TOPIC, "imputer_single", "Imputer", rows, **single)
    node(TOPIC, "imputer_vector", "Imputer", [[GAPS[0]]], **single)
    node(TOPIC, "imputer_cube", "Imputer", [[GAPS[None]]], **single)
    node(
        TOPIC,
        "imputer_int64_single",
        "Imputer",
        [[CODES]],
        np.int64,
        imputed_value_int64s=[2**60],
        replaced_value_int64=2**40,
    )


def binarizers():
    x = np.array([[0.5, 0.0, 1.0], [-2.0, 0.50001, np.inf]], np.float32)
    write(TOPIC, "binarizer", to_onnx(Binarizer(threshold=0.5), x[:1]), [[x[:1]], [x]])
    node(TOPIC, "binarizer_default", "Binarizer", [[x]])
    node(TOPIC, "binarizer_vector", "Binarizer", [[x[0]]], threshold=-3.0)


def normalizers():
    for norm in NORMS:
        name = f"normalizer_{norm.lower()}"
        rows = [[ROWS[:1]], [ROWS]]
        write(TOPIC, name, to_onnx(Normalizer(norm=norm.lower()), ROWS[:1]), rows)
        node(TOPIC, f"{name}_node", "Normalizer", rows, norm=norm)
        node(TOPIC, f"{name}_vector", "Normalizer", [[ROWS[0]]], norm=norm)
        node(TOPIC, f"{name}_nan", "Normalizer", [[GAPS]], norm=norm)
        node(TOPIC, f"{name}_large", "Normalizer", [[np.array([[1e30, 1e30]], np.float32)]], norm=norm)
        for kind in (np.int32, np.int64, np.float64):
            node(TOPIC, f"{name}_{kind.__name__}", "Normalizer", [[ROWS.astype(kind)]], norm=norm)
    node(TOPIC, "normalizer_default", "Normalizer", [[ROWS]])


def extractors():
    matrix = np.arange(12).reshape(4, 3)
    indices = {
        "scalar": np.array(1),
        "vector": np.array([2, 0, 0]),
        "row": np.array([[1, 0]]),
        "column": np.array([[1], [0]]),
    }
    for name, index in indices.items():
        constants = [index.astype(np.int64)]
        name = f"extractor_{name}"
        operator = "ArrayFeatureExtractor"
        x = matrix.astype(np.float32)
        node(TOPIC, name, operator, [[x[:1]], [x]], constants=constants)
        node(TOPIC, f"{name}_of_vector", operator, [[x[0]]], constants=constants)
        node(TOPIC, f"{name}_of_cube", operator, [[x[None]]], constants=constants)
    constants = [np.array([2, 0])]
    for kind in (np.float64, np.int32, np.int64):
        name = f"extractor_{kind.__name__}"
        node(TOPIC, name, operator, [[matrix.astype(kind)]], kind, constants=constants)
    x = matrix.astype(str).astype(object)
    node(TOPIC, "extractor_string", operator, [[x]], x.dtype, constants=constants)


def vectorizers():
    left = np.arange(6).reshape(2, 3)
    right = 10 + np.arange(4).reshape(2, 2)
    operator = "FeatureVectorizer"
    for kind in (np.float32, np.float64, np.int32, np.int64):
        inputs = [left.astype(kind), right.astype(kind)]
        node(TOPIC, f"vectorizer_{kind.__name__}", operator, [inputs], inputdimensions=[3, 2])
    inputs = [left.astype(np.float32), right.astype(np.float32)]
    one = [x[:1] for x in inputs]
    node(TOPIC, "vectorizer_cut", operator, [one, inputs], inputdimensions=[2, 0])
    node(TOPIC, "vectorizer_filled", operator, [one, inputs], inputdimensions=[5, 3])
    node(TOPIC, "vectorizer_vectors", operator, [[x[0][:2] for x in inputs]], inputdimensions=[2, 2])
    node(TOPIC, "vectorizer_single", operator, [inputs[:1]], inputdimensions=[3])
    cube = inputs[0].reshape(2, 1, 3)
    node(TOPIC, "vectorizer_cube", operator, [[cube]], inputdimensions=[3])


imputers()
binarizers()
normalizers()
extractors()
vectorizers()
