"""Makes the pipeline case: a forest that predicts names from numbers (imputed and scaled) and strings (encoded).

Writes model.onnx, with one input per column, and golden.csv with scikit-learn's predictions. The rows of golden.csv
have missing values, and colors that do not occur in the training data.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = Path(__file__).resolve().parent
COLOURS = ["blue", "red", "dark blue"]


def table(rows: int, seed: int, colours: list[str]) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    lengths = load_iris().data[random.integers(0, 150, rows), 0].astype(np.float32)
    widths = random.normal(3, 1, rows).astype(np.float32)
    lengths[random.random(rows) < 0.1] = np.nan
    return pd.DataFrame({"length": lengths, "width": widths, "colour": random.choice(colours, rows)})


train = table(400, 0, COLOURS)
kinds = np.where(train["colour"] == "red", "rose", np.where(train["width"] > 3, "tulip", "iris"))
numbers = make_pipeline(SimpleImputer(), StandardScaler())
columns = ColumnTransformer(
    [("numbers", numbers, ["length", "width"]), ("colour", OneHotEncoder(handle_unknown="ignore"), ["colour"])]
)
model = make_pipeline(columns, RandomForestClassifier(10, max_depth=4, random_state=0)).fit(train, kinds)
inputs = [("length", FloatTensorType([None, 1])), ("width", FloatTensorType([None, 1])), ("colour", StringTensorType([None, 1]))]
exported = to_onnx(model, initial_types=inputs, name="pipeline")
exported.opset_import.sort(key=lambda opset: opset.domain)  # the exporter writes a random order
(HERE / "model.onnx").write_bytes(exported.SerializeToString(deterministic=True))

golden = table(200, 1, [*COLOURS, "green"])
probabilities = model.predict_proba(golden)
for index, name in enumerate(model.classes_):
    golden[f"probability_{name}"] = probabilities[:, index]
golden.insert(3, "prediction", model.predict(golden[["length", "width", "colour"]]))
golden.to_csv(HERE / "golden.csv", index=False, lineterminator="\n")
