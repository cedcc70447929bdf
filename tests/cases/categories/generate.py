"""Makes the categories case: a forest that predicts two labels from two categorical features.

The encoder rejects categories that it does not know, which is scikit-learn's default. Writes model.onnx, with one
input per column, and golden.json: rows with scikit-learn's labels and probabilities.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from skl2onnx import to_onnx
from skl2onnx.common.data_types import Int64TensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

HERE = Path(__file__).resolve().parent
ROWS = 20


def table(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame({"city": random.choice(["Lisbon", "Porto", "東京"], rows), "rooms": random.integers(2, 5, rows)})


train = table(200, 0)
labels = np.stack([train["rooms"] > 3, train["city"] == "Porto"], axis=1).astype(int)
columns = make_column_transformer((OneHotEncoder(), ["city", "rooms"]))
model = make_pipeline(columns, RandomForestClassifier(3, max_depth=2, random_state=0)).fit(train, labels)
inputs = [("city", StringTensorType([None, 1])), ("rooms", Int64TensorType([None, 1]))]
options = {id(model): {"zipmap": False}}
exported = to_onnx(model, initial_types=inputs, options=options, name="categories")
exported.opset_import.sort(key=lambda opset: opset.domain)  # the exporter writes a random order
(HERE / "model.onnx").write_bytes(exported.SerializeToString(deterministic=True))

golden = table(ROWS, 1)
rows = [{"city": city, "rooms": int(rooms)} for city, rooms in golden.itertuples(index=False)]
predictions = {
    "label": model.predict(golden).tolist(),
    "probabilities": np.stack(model.predict_proba(golden), axis=1).tolist(),
}
(HERE / "golden.json").write_text(json.dumps({"instances": rows, "predictions": predictions}, ensure_ascii=False, indent=1) + "\n")
