"""Makes the diabetes case: a regression with one input per feature and no metadata.

Writes model.onnx, and golden.csv with scikit-learn's predictions for random patients.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

HERE = Path(__file__).resolve().parent
FEATURES = ["age", "sex", "bmi", "bp"]
ROWS = 240

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
X = X[FEATURES]
regression = make_pipeline(ColumnTransformer([("keep", "passthrough", FEATURES)]), LinearRegression()).fit(X, y)

model = to_onnx(regression, X[:1].astype(np.float32))
model.opset_import.sort(key=lambda opset: opset.domain)  # the exporter writes a random order
content = model.SerializeToString(deterministic=True)

random = np.random.default_rng(555)
patients = pd.DataFrame(
    {
        "age": random.integers(0, 110, ROWS),
        "sex": random.integers(1, 3, ROWS),
        "bmi": random.uniform(12, 55, ROWS).round(1),
        "bp": random.uniform(40, 180, ROWS).round(1),
    }
)
golden = patients.assign(prediction=regression.predict(patients))

session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
[predictions] = session.run(None, {name: patients[[name]].to_numpy(np.float32) for name in FEATURES})
print("largest difference between ONNX and scikit-learn:", np.abs(predictions[:, 0] - golden["prediction"]).max())

(HERE / "model.onnx").write_bytes(content)
golden.to_csv(HERE / "golden.csv", index=False, lineterminator="\n")
