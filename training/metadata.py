"""Write ml-app's description of a model into an ONNX file.

Every entry is optional, and any exporter can write it. README.md in this folder
documents the entries.
"""

import json
import re

import onnx
import pandas as pd
from pandas.api import types

FIELDS = {"name", "type", "description", "unit", "minimum", "maximum", "example"}
TYPES = {"number", "integer", "boolean", "string"}


def describe(
    model: onnx.ModelProto,
    *,
    name: str,
    description: str,
    version: int,
    features: list[dict],
    classes: dict | None = None,
    metrics: dict[str, float] | None = None,
    golden: list[dict] | None = None,
) -> onnx.ModelProto:
    """Write the description into `model`, replace an earlier one, and return the model.

    `name` is part of a URL: letters, digits, `.`, `_` and `-` only. `features`
    has one entry per column of the graph's inputs, in order. `classes` maps each
    label to its meaning. `metrics` were measured on held-out data. `golden` has rows
    for which the server must give the same predictions as the trained model, each with
    "inputs" by feature and "outputs". Raises ValueError, and leaves `model` unchanged,
    if the description is malformed.
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise ValueError(f"model name: expected letters, digits, '.', '_' and '-', found {name!r}")
    _check(features)
    sections = {"features": features}
    if classes is not None:
        sections["classes"] = {str(label): meaning for label, meaning in classes.items()}
    if metrics is not None:
        sections["metrics"] = metrics
    if golden is not None:
        _check_golden(golden, features)
        sections["golden"] = golden
    props = {prop.key: prop.value for prop in model.metadata_props if not prop.key.startswith("ml_app.")}
    for key, value in sections.items():
        props[f"ml_app.{key}"] = json.dumps(value, ensure_ascii=False, allow_nan=False)

    model.graph.name = name
    model.doc_string = description
    model.model_version = version
    onnx.helper.set_model_props(model, props)
    return model


def features_of(frame: pd.DataFrame, /, **overrides: dict) -> list[dict]:
    """Describe each column of `frame`, the rows a model was trained on, in order.

    Type, range and example come from the column: the example is the median of a
    numeric column, and the most frequent value of other columns. An override, keyed
    by column, adds or replaces fields: `age={"unit": "years"}`.
    """
    unknown = overrides.keys() - set(frame.columns)
    if unknown:
        raise ValueError(f"unknown columns: {', '.join(sorted(unknown))}")
    return [_feature(frame[name]) | overrides.get(name, {}) for name in frame.columns]


def _feature(column: pd.Series) -> dict:
    values = column.dropna()
    if types.is_bool_dtype(column):
        kind, cast = "boolean", bool
    elif types.is_integer_dtype(column):
        kind, cast = "integer", int
    elif types.is_numeric_dtype(column):
        kind, cast = "number", float
    else:
        kind, cast = "string", str
    feature = {"name": str(column.name), "type": kind}
    if values.empty:
        return feature
    if kind in ("integer", "number"):
        median = values.median()
        return feature | {
            "minimum": cast(values.min()),
            "maximum": cast(values.max()),
            "example": cast(round(median) if kind == "integer" else median),
        }
    return feature | {"example": cast(values.mode()[0])}


def _check(features: list[dict]) -> None:
    seen = set()
    for feature in features:
        name = feature.get("name")
        if not isinstance(name, str) or not name:
            raise ValueError(f"feature without a name: {feature}")
        if name in seen:
            raise ValueError(f"feature {name!r} is described twice")
        if feature.keys() - FIELDS:
            raise ValueError(f"feature {name!r} has unknown fields: {sorted(feature.keys() - FIELDS)}")
        if feature.get("type", "number") not in TYPES:
            raise ValueError(f"feature {name!r}: type must be one of {sorted(TYPES)}")
        seen.add(name)


def _check_golden(golden: list[dict], features: list[dict]) -> None:
    names = {feature["name"] for feature in features}
    for number, row in enumerate(golden, 1):
        if row.keys() != {"inputs", "outputs"}:
            raise ValueError(f"golden row {number}: expected inputs and outputs only, found {row}")
        if row["inputs"].keys() - names:
            raise ValueError(f"golden row {number}: unknown features: {sorted(row['inputs'].keys() - names)}")
        if not row["outputs"]:
            raise ValueError(f"golden row {number}: no output")
