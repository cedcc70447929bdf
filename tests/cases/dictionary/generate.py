"""Makes the dictionary case: a classifier whose rows are dictionaries. The value of a missing key is zero.

Writes model.onnx, whose input is a map, and golden.json with ONNX Runtime's prediction for each row.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DictionaryType, FloatTensorType, StringTensorType
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

HERE = Path(__file__).resolve().parent
CITIES = ["Paris", "São Paulo", "Oslo"]

random = np.random.default_rng(0)
rows = []
for _ in range(100):
    row = {f"city={random.choice(CITIES)}": 1.0}
    if random.random() < 0.8:
        row["temp"] = float(random.integers(-10, 35))
    rows.append(row)
labels = np.array(["warm" if row.get("temp", 0) + 10 * ("city=Oslo" in row) > 15 else "cold" for row in rows])
model = make_pipeline(DictVectorizer(sparse=False), LogisticRegression()).fit(rows, labels)
inputs = [("row", DictionaryType(StringTensorType([1]), FloatTensorType([1])))]
exported = to_onnx(model, initial_types=inputs, name="dictionary")
exported.opset_import.sort(key=lambda opset: opset.domain)  # the exporter writes a random order
content = exported.SerializeToString(deterministic=True)
(HERE / "model.onnx").write_bytes(content)

session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
golden = []
for row in rows[:20]:
    (label,), (probabilities,) = session.run(None, {"row": row})
    probabilities = {name: float(str(probabilities[name])) for name in sorted(probabilities)}
    golden.append({"input": row, "output": {"prediction": label, "probabilities": probabilities}})
lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in golden)
(HERE / "golden.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
