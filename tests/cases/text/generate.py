"""Makes the text case: a classifier of sentences by topic.

Writes model.onnx, and golden.csv with ONNX Runtime's predictions. ONNX Runtime needs the locale en_US.UTF-8
for this model.
"""

import csv
from pathlib import Path

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

HERE = Path(__file__).resolve().parent
SENTENCES = {
    "pets": ["the cat sat on the mat", "a dog barked at the cat", "my dog likes the park", "lazy cats and quick dogs"],
    "markets": ["stock markets fell sharply", "the market rallied on Friday", "shares of the bank rose", "investors sold stock"],
}
GOLDEN = ["The dog sat in the park", "bank shares fell", "STOCK, stock and markets!", "unseen words only", "a cat", "my bank's dog"]

texts = [text for topic in SENTENCES.values() for text in topic]
topics = [topic for topic, texts in SENTENCES.items() for _ in texts]
model = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10)).fit(texts, topics)
exported = to_onnx(model, initial_types=[("text", StringTensorType([None]))], name="text")
exported.opset_import.sort(key=lambda opset: opset.domain)  # the exporter writes a random order
content = exported.SerializeToString(deterministic=True)
(HERE / "model.onnx").write_bytes(content)

session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
labels, scores = session.run(None, {"text": np.array(GOLDEN, object)})
with open(HERE / "golden.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["text", "prediction", *(f"probability_{topic}" for topic in scores[0])])
    for text, label, row in zip(GOLDEN, labels, scores, strict=True):
        writer.writerow([text, label, *row.values()])
