"""Makes inputs for any ONNX model, and computes its outputs with ONNX Runtime.

Dynamic axes are either *rows* or *lengths*. Axes named like a batch, and unnamed first axes, are rows. All rows of a
model have the same size; lengths are equal for equal symbols. Sizes are tried in the order of LENGTHS until ONNX
Runtime runs the model. A model gets up to four data sets: one row and several rows, each with two lengths.
"""

import re
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

ROWS = (1, 3)
LENGTHS = (8, 13, 16, 24, 32, 48, 64, 96, 128, 160, 224, 256, 320, 384, 512, 1024, 4096, 16000, 17600)
HIGHS = (100, 10, 4, 2)
BATCH = re.compile(r"batch|^(n|b|bs|rows)$", re.IGNORECASE)
ANONYMOUS = re.compile(r"^$|^\?$|^unk__|DynamicDimension|^(input|x)?_?(dim|axis)?_?\d+$", re.IGNORECASE)
DTYPES = {"float": np.float32, "double": np.float64}


class NoReference(Exception):
    """ONNX Runtime returns no outputs to compare with."""


def open_session(model: Path | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of ONNX Runtime's own types
        raise NoReference(brief(error)) from error


def data_sets(session: onnxruntime.InferenceSession, hints: dict) -> list[tuple[str, dict, dict]]:
    """Returns data sets: the sizes as text, inputs by name, and outputs by name."""
    axes = dynamic_axes(session, hints)
    lengths = {key: hint for key, hint in axes.items() if hint != "rows"}
    first, high = find_lengths(session, axes, lengths, hints)
    second = next_lengths(session, axes, lengths, first, high, hints) if lengths else None
    sets = []
    for sizes, rows in product([first, second], ROWS if "rows" in axes.values() else ROWS[:1]):
        if sizes is None:
            continue
        inputs = make_inputs(session, axes, sizes, rows, high, hints)
        try:
            outputs = run(session, inputs)
        except NoReference:
            if not sets:
                raise
            continue  # for example, a graph that only runs one row although its batch is dynamic
        again = run(session, inputs)
        if not all(same(outputs[name], again[name]) for name in outputs):
            raise NoReference("ONNX Runtime's outputs are random")
        parts = [f"{rows} rows"] * ("rows" in axes.values()) + [f"{k} {v}" for k, v in sizes.items()]
        sets.append((", ".join(parts) or "fixed shapes", inputs, outputs))
    return sets


def dynamic_axes(session, hints: dict) -> dict[str, object]:
    """Returns the dynamic axes by key: "rows", or a list of lengths to try. The key is a symbol, or INPUT.AXIS."""
    axes = {}
    for spec in session.get_inputs():
        for axis, size in enumerate(spec.shape):
            if not isinstance(size, int):
                key = axis_key(spec.name, axis, size, hints)
                by_name = BATCH.search(size or "") or axis == 0 and ANONYMOUS.search(size or "")
                default = "rows" if by_name and key != "seq_len" else list(LENGTHS)
                axes[key] = hints.get("axes", {}).get(key, default)
    return axes


def axis_key(name: str, axis: int, size: str | None, hints: dict) -> str:
    place = f"{name}.{axis}"
    return place if size in (None, "", "?") or place in hints.get("axes", {}) else size


def find_lengths(session, axes, lengths, hints) -> tuple[dict[str, int], int]:
    """Returns the first lengths, and the first maximum of integers, that ONNX Runtime accepts with one row."""
    error = None
    images = any(len(spec.shape) == 4 for spec in session.get_inputs())
    for index in range(len(LENGTHS)):
        if images and lengths and not hints.get("axes") and LENGTHS[index] < 64:
            continue
        sizes = {key: choices[min(index, len(choices) - 2)] for key, choices in lengths.items()}
        for high in [hints["high"]] if "high" in hints else HIGHS:
            try:
                run(session, make_inputs(session, axes, sizes, 1, high, hints))
                return sizes, high
            except NoReference as found:
                error = error or found
        if all(len(choices) <= 2 for choices in lengths.values()):
            break
    raise error


def next_lengths(session, axes, lengths, first, high, hints) -> dict[str, int] | None:
    """Returns other lengths that ONNX Runtime accepts. Changes all lengths if possible, and otherwise one of them."""
    def changed(keys, step):
        return first | {
            key: choices[min(choices.index(first[key]) + step, len(choices) - 1)]
            for key, choices in lengths.items()
            if key in keys
        }

    def runs(sizes):
        try:
            run(session, make_inputs(session, axes, sizes, 1, high, hints))
        except NoReference:
            return False
        return True

    for keys in [set(lengths)] + [{key} for key in lengths]:
        for step in (1, 2, 3):
            sizes = changed(keys, step)
            if sizes != first and runs(sizes):
                return sizes
    return None


def make_inputs(session, axes, sizes, rows, high, hints) -> dict[str, np.ndarray]:
    random = np.random.default_rng(rows)
    inputs = {}
    for spec in session.get_inputs():
        shape = []
        for axis, size in enumerate(spec.shape):
            key = axis_key(spec.name, axis, size, hints)
            shape.append(size if isinstance(size, int) else rows if axes[key] == "rows" else sizes[key])
        constant = hints.get("values", {}).get(spec.name)
        if constant == "length":
            constant = max(sizes.values(), default=1)
        inputs[spec.name] = values(random, spec, shape, high, constant)
    return inputs


def values(random, spec, shape, high, constant) -> np.ndarray:
    """Returns an array that looks like real data: ones for masks, and images between 0 and 1."""
    if not spec.type.startswith("tensor("):
        raise NoReference(f"input {spec.name} has the type {spec.type}")
    kind = spec.type[7:-1]
    if kind == "bfloat16":
        raise NoReference("numpy lacks the type bfloat16")
    if kind == "string":
        return random.choice(["red", "green", "blue", ""], shape).astype(object)
    dtype = np.dtype(DTYPES.get(kind, kind))
    if constant is not None:
        return np.full(shape, constant, dtype)
    if "mask" in spec.name:
        mask = np.ones(shape, dtype)
        if len(shape) == 2 and shape[0] > 1 and shape[1] > 2:
            mask[-1, -2:] = 0  # the last row is padded
        return mask
    if dtype.kind == "f":
        return (random.random(shape) if len(shape) == 4 else random.normal(size=shape)).astype(dtype)
    if kind == "bool":
        return random.integers(0, 2, shape).astype(bool)
    return random.integers(0, 2 if "type" in spec.name else min(high, np.iinfo(dtype).max), shape).astype(dtype)


def run(session: onnxruntime.InferenceSession, inputs: dict) -> dict[str, np.ndarray]:
    names = [spec.name for spec in session.get_outputs()]
    try:
        return dict(zip(names, map(array_of, session.run(None, inputs)), strict=True))
    except Exception as error:  # of ONNX Runtime's own types
        raise NoReference(brief(error)) from error


def sensitivity(path: Path, sets: list[tuple[str, dict, dict]]) -> dict[str, float]:
    """Returns by how much each float output changes if all float weights change by about a millionth.

    In networks that compute with 8-bit integers, a difference in the last bit of a float can round a value to the
    next integer, and later layers amplify it. So ONNX Runtime's own outputs are only known up to this change.
    """
    model = onnx.load(path)
    random = np.random.default_rng(0)
    constants = [attribute.t for node in model.graph.node for attribute in node.attribute if attribute.HasField("t")]
    for tensor in [*model.graph.initializer, *constants]:
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.dims:
            array = numpy_helper.to_array(tensor)
            array = array * (1 + random.normal(size=array.shape) * 1e-6)
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))
    session = open_session(model.SerializeToString())
    changes = {}
    for _, given, expected in sets:
        for name, array in run(session, given).items():
            if array.dtype.kind == "f" and array.shape == expected[name].shape and array.size:
                change = float(np.nanmax(np.abs(array - expected[name])))
                if change > np.ptp(array) / 10:
                    raise NoReference(f"a change of the weights by a millionth changes `{name}` by {change}")
                changes[name] = max(change, changes.get(name, 0.0))
    return changes


def array_of(output) -> np.ndarray:
    """Returns an output as an array: a list of maps as the matrix of their values, a sequence's values in one row."""
    if isinstance(output, list) and output and isinstance(output[0], dict):
        return np.array([list(row.values()) for row in output])
    if isinstance(output, list):
        return np.concatenate([np.ravel(part) for part in output]) if output else np.zeros(0)
    return np.asarray(output)


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return left.shape == right.shape and np.array_equal(left, right, equal_nan=left.dtype.kind == "f")


def brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
