"""The model that all servers load, rows with their expected predictions, and the encodings of the protocols."""

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
    """The rows of the largest body. A smaller body contains the first of these rows."""
    labels: np.ndarray
    """The expected label of each row."""
    scores: np.ndarray
    """The expected scores of each row."""
    files: dict[str, Path]
    """The default model in two other formats, `pickle` and `coefficients`. Empty for any other model."""

    def check(self, labels, scores) -> None:
        """Raises ValueError if `labels` and `scores` differ from the predictions for the first rows."""
        scores = np.asarray(scores, np.float64)
        expected = self.scores[: len(scores)]
        if scores.shape != expected.shape:
            raise ValueError(f"expected scores of the shape {expected.shape}, found {scores.shape}")
        differences = np.abs(scores - expected) / np.maximum(1, np.abs(expected))
        if not differences.max() <= TOLERANCE:
            row = differences.max(axis=1).argmax()
            raise ValueError(f"row {row + 1}: expected {expected[row]}, found {scores[row]}")
        wrong = [] if labels is None else np.flatnonzero(np.ravel(labels) != self.labels[: len(scores)])
        # If the two largest scores are nearly equal, either label is correct.
        for row in wrong:
            first, second = np.sort(expected[row])[[-1, -2]]
            if first - second > TOLERANCE * max(1, abs(first)):
                raise ValueError(f"row {row + 1}: expected {self.labels[row]}, found {np.ravel(labels)[row]}")


def default_model(folder: Path, count: int) -> Model:
    """Returns model.onnx with `count` rows. The rows and the predictions come from its golden file, which contains the
    predictions of scikit-learn."""
    path = ROOT / "model.onnx"
    with (ROOT / "tests/cases/online-sales/golden.csv").open() as file:
        golden = list(islice(cycle(csv.DictReader(file)), count))
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


def any_model(path: Path, folder: Path, count: int) -> Model:
    """Returns a model that has one float input, with `count` random rows. ONNX Runtime computes the predictions."""
    path = without_zip_map(path, folder)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (tensor,) = session.get_inputs()
    shape = (count, *tensor.shape[1:])
    rows = np.random.default_rng(0).standard_normal(shape).astype(np.float32).round(4)
    *labels, scores = session.run(None, {tensor.name: rows})
    labels = labels[0] if labels else scores.argmax(axis=1)
    # ml-app replaces the characters of the name that a URL path would have to escape.
    name = re.sub("[^A-Za-z0-9._~-]+", "-", onnx.load(path, load_external_data=False).graph.name).strip("-")
    return Model(path, name, tensor.name, rows, labels, scores, {})


def without_zip_map(path: Path, folder: Path) -> Path:
    """Returns the path of a model whose scores are a tensor: a copy without the operator ZipMap, or the model itself.

    By default, the converter from scikit-learn adds a ZipMap to classifiers. The scores are then a list of
    dictionaries, which makes Python servers slower. Users who need speed turn the ZipMap off.
    """
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
class Request:
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def compact(value) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def shortest_numbers(rows: np.ndarray) -> list:
    """Returns the rows as a list. JSON then contains each number in its shortest form, as a client writes it."""
    if rows.dtype == np.float32:
        rows = np.array([float(str(value)) for value in rows.ravel()]).reshape(rows.shape)
    return rows.tolist()


class Instances:
    """A request `{"instances": [[…], …]}` and a response with `predictions` and `probabilities`."""

    def encode(self, model: Model, rows: np.ndarray) -> Request:
        return Request(compact({"instances": shortest_numbers(rows)}))

    def decode(self, model: Model, response: bytes):
        response = json.loads(response)
        return response["predictions"], response["probabilities"]


class Objects(Instances):
    """The protocol of TensorFlow Serving. Each prediction in a response is an object from output to value."""

    def decode(self, model: Model, response: bytes):
        predictions = json.loads(response)["predictions"]
        if not isinstance(predictions[0], dict):
            return None, predictions
        *label, scores = predictions[0]
        labels = [prediction[label[0]] for prediction in predictions] if label else None
        return labels, [prediction[scores] for prediction in predictions]


class Scores(Instances):
    """The protocol of KServe v1, with a response whose `predictions` are the probabilities."""

    def decode(self, model: Model, response: bytes):
        return None, json.loads(response)["predictions"]


class OpenInference:
    """The Open Inference Protocol in JSON."""

    def __init__(self, tensor: str | None = None, outputs: tuple[str, ...] = ()):
        self.tensor, self.outputs = tensor, outputs

    def encode(self, model: Model, rows: np.ndarray) -> Request:
        tensor = {"name": self.tensor or model.input, "shape": rows.shape, "datatype": "FP32"}
        request = {"inputs": [{**tensor, "data": shortest_numbers(rows.ravel())}]}
        if self.outputs:
            request["outputs"] = [{"name": name} for name in self.outputs]
        return Request(compact(request))

    def decode(self, model: Model, response: bytes):
        return labels_and_scores([(output, output["data"]) for output in json.loads(response)["outputs"]])


class OpenInferenceBinary:
    """The Open Inference Protocol with binary tensors in the request and the response, as Triton's clients use it by
    default."""

    JSON_SIZE_HEADER = "Inference-Header-Content-Length"

    def encode(self, model: Model, rows: np.ndarray) -> Request:
        data = rows.astype(np.float32).tobytes()
        tensor = {"name": model.input, "shape": rows.shape, "datatype": "FP32"}
        tensor["parameters"] = {"binary_data_size": len(data)}
        json_part = compact({"inputs": [tensor], "parameters": {"binary_data_output": True}})
        size = (self.JSON_SIZE_HEADER, str(len(json_part)))
        return Request(json_part + data, "application/octet-stream", (size,))

    def decode(self, model: Model, response: bytes):
        # The response is a JSON object, followed by binary data. Latin-1 decodes each byte to one character, so `end`
        # is a position in both the string and the bytes.
        json_part, end = json.JSONDecoder().raw_decode(response.decode("latin-1"))
        outputs = []
        for output in json_part["outputs"]:
            size = output["parameters"]["binary_data_size"]
            kind = {"FP32": np.float32, "INT64": np.int64}[output["datatype"]]
            outputs.append((output, np.frombuffer(response[end : end + size], kind)))
            end += size
        return labels_and_scores(outputs)


class RawBinary:
    """A request with the float32 values of all rows, and a response with the float32 values of all scores."""

    def encode(self, model: Model, rows: np.ndarray) -> Request:
        return Request(rows.astype(np.float32).tobytes(), "application/octet-stream")

    def decode(self, model: Model, response: bytes):
        return None, np.frombuffer(response, np.float32).reshape(-1, model.scores.shape[1])


def labels_and_scores(outputs):
    """Returns the labels and the scores. The scores are the output with a float type. Without another output, the
    labels are None."""
    labels, scores = None, None
    for output, data in outputs:
        if output["datatype"].startswith("FP"):
            scores = np.asarray(data, np.float64).reshape(output["shape"])
        else:
            labels = data
    return labels, scores
