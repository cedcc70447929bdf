"""The model that all serve, its rows with the answers that are right, and how each protocol puts them."""

import csv
import json
import pickle
import re
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from sklearn.linear_model import LogisticRegression

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-4


@dataclass
class Model:
    path: Path
    name: str
    input: str
    rows: np.ndarray
    """Of the largest body, as they are asked; smaller ones have the first of them."""
    labels: np.ndarray
    scores: np.ndarray
    files: dict[str, Path]
    """The same model in other forms: `pickle` and `coefficients`, of the default model."""

    def check(self, labels, scores) -> None:
        """Raises ValueError where these are not the answers to the first rows."""
        scores = np.asarray(scores, np.float64)
        expected = self.scores[: len(scores)]
        if scores.shape != expected.shape:
            raise ValueError(f"expected scores of the shape {expected.shape}, but found {scores.shape}")
        furthest = np.abs(scores - expected) / np.maximum(1, np.abs(expected))
        if not furthest.max() <= TOLERANCE:
            row = furthest.max(axis=1).argmax()
            raise ValueError(f"row {row + 1}: expected {expected[row]}, but found {scores[row]}")
        wrong = [] if labels is None else np.flatnonzero(np.ravel(labels) != self.labels[: len(scores)])
        # Where two classes are as likely, either will do.
        for row in wrong:
            first, second = np.sort(expected[row])[[-1, -2]]
            if first - second > TOLERANCE * max(1, abs(first)):
                raise ValueError(f"row {row + 1}: expected {self.labels[row]}, but found {np.ravel(labels)[row]}")


def default_model(folder: Path, most: int) -> Model:
    """model.onnx, asked for the visitors of its golden file, to whom scikit-learn's answers are known."""
    path = ROOT / "model.onnx"
    with (ROOT / "tests/cases/online-sales/golden.csv").open() as file:
        golden = list(islice(cycle(csv.DictReader(file)), most))
    model = onnx.load(path)
    folder.mkdir(parents=True, exist_ok=True)
    features = [feature["name"] for feature in json.loads(metadata(model)["ml_app.features"])]
    linear = next(node for node in model.graph.node if node.op_type == "LinearClassifier")
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in linear.attribute}
    classes = attributes["classlabels_ints"]
    coef = np.array(attributes["coefficients"][len(features) :], np.float64)
    intercept = attributes["intercepts"][1]

    classifier = LogisticRegression()
    classifier.classes_, classifier.coef_ = np.array(classes), coef[np.newaxis]
    classifier.intercept_, classifier.n_features_in_ = np.array([intercept]), len(features)
    files = {"pickle": folder / "model.joblib", "coefficients": folder / "coefficients.json"}
    files["pickle"].write_bytes(pickle.dumps(classifier))
    files["coefficients"].write_text(json.dumps({"coef": coef.tolist(), "intercept": intercept}))
    return Model(
        without_zip_map(path, folder),
        model.graph.name,
        model.graph.input[0].name,
        np.array([[int(row[feature]) for feature in features] for row in golden]),
        np.array([int(row["prediction"]) for row in golden]),
        np.array([[float(row[f"probability_{label}"]) for label in classes] for row in golden]),
        files,
    )


def any_model(path: Path, folder: Path, most: int) -> Model:
    """A model of one float input, asked for random rows; the answers are ONNX Runtime's."""
    path = without_zip_map(path, folder)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (tensor,) = session.get_inputs()
    shape = (most, *tensor.shape[1:])
    rows = np.random.default_rng(0).standard_normal(shape).astype(np.float32).round(4)
    *labels, scores = session.run(None, {tensor.name: rows})
    labels = labels[0] if labels else scores.argmax(axis=1)
    # As ml-app calls a model whose name does not suit a path.
    name = re.sub("[^A-Za-z0-9._~-]+", "-", onnx.load(path, load_external_data=False).graph.name).strip("-")
    return Model(path, name, tensor.name, rows, labels, scores, {})


def without_zip_map(path: Path, folder: Path) -> Path:
    """The model with scores as a tensor. A list of dictionaries, the converter's default for a classifier,
    costs a server in Python more, and whoever goes by speed turns it off."""
    model = onnx.load(path, load_external_data=False)
    for node in [node for node in model.graph.node if node.op_type == "ZipMap"]:
        (output,) = (output for output in model.graph.output if output.name == node.output[0])
        scores = onnx.helper.make_tensor_value_info(node.input[0], onnx.TensorProto.FLOAT, None)
        output.CopyFrom(scores)
        model.graph.node.remove(node)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "model.onnx"
        onnx.save(model, path)
    return path


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


@dataclass
class Question:
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def compact(value) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def plain(rows: np.ndarray) -> list:
    """Numbers as a client would write them, in their shortest form."""
    if rows.dtype == np.float32:
        rows = np.array([float(str(value)) for value in rows.ravel()]).reshape(rows.shape)
    return rows.tolist()


class Instances:
    """`{"instances": [[…], …]}`, answered by `predictions`, and `probabilities` beside them."""

    def ask(self, model: Model, rows: np.ndarray) -> Question:
        return Question(compact({"instances": plain(rows)}))

    def read(self, model: Model, answer: bytes):
        answer = json.loads(answer)
        return answer["predictions"], answer["probabilities"]


class Objects(Instances):
    """As TensorFlow Serving answers them: a prediction has the outputs by their names."""

    def read(self, model: Model, answer: bytes):
        predictions = json.loads(answer)["predictions"]
        if not isinstance(predictions[0], dict):
            return None, predictions
        *label, scores = predictions[0]
        labels = [prediction[label[0]] for prediction in predictions] if label else None
        return labels, [prediction[scores] for prediction in predictions]


class Scores(Instances):
    """`predictions` are the probabilities."""

    def read(self, model: Model, answer: bytes):
        return None, json.loads(answer)["predictions"]


class OpenInference:
    """The Open Inference Protocol in JSON."""

    def __init__(self, tensor: str | None = None, outputs: tuple[str, ...] = ()):
        self.tensor, self.outputs = tensor, outputs

    def ask(self, model: Model, rows: np.ndarray) -> Question:
        tensor = {"name": self.tensor or model.input, "shape": rows.shape, "datatype": "FP32"}
        question = {"inputs": [{**tensor, "data": plain(rows.ravel())}]}
        if self.outputs:
            question["outputs"] = [{"name": name} for name in self.outputs]
        return Question(compact(question))

    def read(self, model: Model, answer: bytes):
        return answers([(output, output["data"]) for output in json.loads(answer)["outputs"]])


class OpenInferenceBinary:
    """The Open Inference Protocol with tensors as bytes, both ways, as Triton's clients have them."""

    LENGTH = "Inference-Header-Content-Length"

    def ask(self, model: Model, rows: np.ndarray) -> Question:
        data = rows.astype(np.float32).tobytes()
        tensor = {"name": model.input, "shape": rows.shape, "datatype": "FP32"}
        tensor["parameters"] = {"binary_data_size": len(data)}
        head = compact({"inputs": [tensor], "parameters": {"binary_data_output": True}})
        return Question(head + data, "application/octet-stream", ((self.LENGTH, str(len(head))),))

    def read(self, model: Model, answer: bytes):
        # The head is an object, and what comes after it no JSON.
        head, end = json.JSONDecoder().raw_decode(answer.decode("latin-1"))
        outputs = []
        for output in head["outputs"]:
            size = output["parameters"]["binary_data_size"]
            kind = {"FP32": np.float32, "INT64": np.int64}[output["datatype"]]
            outputs.append((output, np.frombuffer(answer[end : end + size], kind)))
            end += size
        return answers(outputs)


class RawBinary:
    """The float32 of one row after another, answered in the same way by the scores."""

    def ask(self, model: Model, rows: np.ndarray) -> Question:
        return Question(rows.astype(np.float32).tobytes(), "application/octet-stream")

    def read(self, model: Model, answer: bytes):
        return None, np.frombuffer(answer, np.float32).reshape(-1, model.scores.shape[1])


def answers(outputs):
    """Labels, if there are any, and scores: tensors of one and of more elements a row."""
    labels, scores = None, None
    for output, data in outputs:
        if output["datatype"].startswith("FP"):
            scores = np.asarray(data, np.float64).reshape(output["shape"])
        else:
            labels = data
    return labels, scores
