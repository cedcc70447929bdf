"""Cases of OneHotEncoder, LabelEncoder and CategoryMapper."""

import numpy as np
from common import write
from nodes import node
from onnx import numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, OneHotEncoder, OrdinalEncoder, StandardScaler

TOPIC = "ml/categories"
CITIES = np.array([["Basel", "a"], ["Genève", "b"], ["Zürich", "a"], ["", "c"]], object)
UNKNOWN = np.array([["Basel", "c"], ["Bern", "b"], ["Zürich", "z"]], object)
CODES = np.array([[3, -1], [7, 2**40], [5, 0], [3, 2]], np.int64)
NUMBERS = np.array([[0.5, -1.0], [7.25, 2.0], [0.0, 1e6], [0.5, 2.0]], np.float32)


def strings(*values):
    return np.array(values, object)


def exports():
    ignore = {"handle_unknown": "ignore", "sparse_output": False}
    text = [("X", StringTensorType([None, 2]))]
    rows = [[CITIES[:1]], [CITIES], [UNKNOWN]]
    encoder = OneHotEncoder(**ignore).fit(CITIES)
    write(TOPIC, "one_hot_strings", to_onnx(encoder, initial_types=text), rows)
    encoder = OneHotEncoder(drop="first", sparse_output=False).fit(CITIES)
    write(TOPIC, "one_hot_drop_first", to_onnx(encoder, initial_types=text), rows[:2])
    encoder = OneHotEncoder(**ignore).fit(CODES)
    codes = [[CODES[:1]], [CODES + [[0, 1]]]]
    integers = [("X", Int64TensorType([None, 2]))]
    write(TOPIC, "one_hot_int64", to_onnx(encoder, initial_types=integers), codes)
    encoder = OneHotEncoder(**ignore).fit(np.round(NUMBERS))
    numbers = [[NUMBERS[:1]], [np.round(NUMBERS)]]
    floats = [("X", FloatTensorType([None, 2]))]
    write(TOPIC, "one_hot_float", to_onnx(encoder, initial_types=floats), numbers)

    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(CITIES)
    write(TOPIC, "ordinal_strings", to_onnx(encoder, initial_types=text), rows)
    encoder = OrdinalEncoder(dtype=np.int64).fit(CODES)
    write(TOPIC, "ordinal_int64", to_onnx(encoder, initial_types=integers), codes[:1])
    names = CITIES[:, 0]
    encoder = LabelEncoder().fit(names)
    write(
        TOPIC,
        "label_encoder",
        to_onnx(encoder, initial_types=[("X", StringTensorType([None]))]),
        [[names[:1]], [names]],
    )
    columns = ColumnTransformer(
        [
            ("number", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1]),
            ("text", OneHotEncoder(handle_unknown="ignore"), [2, 3]),
        ]
    )
    columns_classifier(make_pipeline(columns, LogisticRegression()))


def columns_classifier(pipeline):
    """Writes a case of `pipeline` on numbers with missing values and on strings. Each column is a separate input."""
    numbers = NUMBERS.copy()
    numbers[1, 0] = np.nan
    pipeline.fit(np.hstack([numbers.astype(object), CITIES]), ["no", "yes", "yes", "no"])
    kinds = [FloatTensorType] * 2 + [StringTensorType] * 2
    names = ["height", "weight", "city", "kind"]
    types = [(name, kind([None, 1])) for name, kind in zip(names, kinds, strict=True)]
    inputs = [matrix[:, [column]] for matrix in (numbers, CITIES) for column in (0, 1)]
    write(
        "ml/models",
        "columns_logistic_regression",
        to_onnx(pipeline, initial_types=types, options={"zipmap": False}),
        [[column[:1] for column in inputs], inputs],
    )


def one_hot():
    texts = strings("b", "x", "a")
    for name, x in (
        ("vector", texts),
        ("cube", np.array(texts, object).reshape(3, 1, 1)),
        ("empty", texts[:0].reshape(0, 2)),
    ):
        node(TOPIC, f"one_hot_{name}", "OneHotEncoder", [[x]], cats_strings=["a", "b"])
    node(TOPIC, "one_hot_repeated", "OneHotEncoder", [[texts]], cats_strings=["a", "b", "a"])
    node(TOPIC, "one_hot_strict", "OneHotEncoder", [[texts[:1]]], cats_strings=["a", "b"], zeros=0)
    x = np.array([1.7, 2.0, -1.5, 3e38, -0.5], np.float32)
    node(TOPIC, "one_hot_truncated", "OneHotEncoder", [[x]], cats_int64s=[2, 1, 0, -1])
    x = x.astype(np.float64)
    node(TOPIC, "one_hot_float64", "OneHotEncoder", [[x]], cats_int64s=[2, 1, 0, -1])


def label_encoders():
    lists = {
        "strings": strings("a", "b", "a"),
        "int64s": np.array([2**53 + 1, -5, 2**53 + 1], np.int64),
        "floats": np.array([0.1, 2.5, 0.1], np.float32),
    }
    others = {"strings": "x", "int64s": 2**53, "floats": 0.10001}
    for version in (2, 4):
        for keys, data in lists.items():
            x = np.append(data, others[keys]).astype(data.dtype)
            for values, mapped in lists.items():
                node(
                    TOPIC,
                    f"label_encoder_{version}_{keys}_{values}",
                    "LabelEncoder",
                    [[x[:1]], [x], [x.reshape(2, 2)]],
                    mapped.dtype,
                    version=version,
                    **{f"keys_{keys}": data.tolist(), f"values_{values}": mapped[::-1].tolist()},
                )
        x = np.array([np.nan, -0.0, 0.0, 9.0], np.float32)
        node(
            TOPIC,
            f"label_encoder_{version}_nan",
            "LabelEncoder",
            [[x]],
            x.dtype,
            version=version,
            keys_floats=[0.0, np.nan],
            values_floats=[1.0, 2.0],
            default_float=7.5,
        )
    defaults = {"strings": "none", "int64s": 12, "floats": 1.5}
    for values, default in defaults.items():
        node(
            TOPIC,
            f"label_encoder_default_{values}",
            "LabelEncoder",
            [[strings("a", "x")]],
            lists[values].dtype,
            keys_strings=["a", "b", "c"],
            **{f"values_{values}": lists[values].tolist()},
            **{"default_" + values.removesuffix("s"): default},
        )


def label_encoder_tensors():
    texts = strings("é", "b")
    doubles = np.array([0.1, np.nan])
    longs = np.array([7, -9], np.int64)
    shorts = np.array([7, -9], np.int16)
    floats = np.array([0.1, np.nan], np.float32)
    for keys, values in (
        (texts, doubles),
        (texts, shorts),
        (texts, texts),
        (doubles, texts),
        (doubles, doubles),
        (doubles, longs),
        (longs, doubles),
        (longs, longs),
        (floats, longs),
    ):
        other = np.array(["x"] if keys.dtype == object else [3], keys.dtype)
        x = np.append(keys, other)
        for suffix, default in (("", {}), ("_default", {"default_tensor": tensor(values[:1])})):
            node(
                TOPIC,
                f"label_encoder_{label(keys)}_{label(values)}{suffix}",
                "LabelEncoder",
                [[x[:1]], [x]],
                values.dtype,
                keys_tensor=tensor(keys),
                values_tensor=tensor(values),
                **default,
            )
    node(
        TOPIC,
        "label_encoder_mixed",
        "LabelEncoder",
        [[strings("x", "b")]],
        longs.dtype,
        keys_strings=["b"],
        values_int64s=[4],
        default_tensor=tensor(longs[:1]),
    )


def tensor(values):
    return numpy_helper.from_array(values, "list")


def label(values):
    return "string" if values.dtype == object else values.dtype.name


def two_way_operators():
    """Writes cases of operators that map strings to integers, and integers to strings."""
    texts = strings("b", "x", "a").reshape(3, 1)
    ints = np.array([[1, 7, -1, 0, 2]], np.int64)
    classes = {"classes_strings": ["a", "b", "a"], "version": 1}
    mapper = {"cats_strings": ["a", "b", "c", "a"], "cats_int64s": [1, 2, 1, 9]}
    for operator, name, attributes in (
        ("LabelEncoder", "label_encoder_1", classes),
        ("CategoryMapper", "category_mapper", mapper),
    ):
        node(TOPIC, f"{name}_strings", operator, [[texts]], ints.dtype, **attributes)
        node(TOPIC, f"{name}_ints", operator, [[ints]], texts.dtype, **attributes)
        defaults = {"default_string": "?", "default_int64": 70}
        node(TOPIC, f"{name}_strings_default", operator, [[texts]], ints.dtype, **attributes, **defaults)
        node(TOPIC, f"{name}_ints_default", operator, [[ints]], texts.dtype, **attributes, **defaults)


exports()
one_hot()
label_encoders()
label_encoder_tensors()
two_way_operators()
