"""Writes cases with the outputs of ONNX Runtime as expected outputs.

A case is a folder `../cases/<topic>/<name>` with two files: `model.onnx`, and `data.json` with the data
sets. ../case/data_sets.rs describes the format of `data.json`. The output of a ZipMap is a list of maps.
It is stored as the matrix of the maps' values.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

CASES = Path(__file__).resolve().parent.parent / "cases"
LINE = 100
"""Maximum number of characters in a line of elements."""


def write(
    topic: str,
    name: str,
    model: onnx.ModelProto,
    data_sets: list[list[np.ndarray]],
    tolerance: float | None = None,
    options: onnxruntime.SessionOptions | None = None,
) -> None:
    """Writes the case `name` below the folder `topic`: `model`, and its outputs for each list of inputs.

    `tolerance` is the maximum difference of an element. With `None`, the usual tolerance of all cases applies.
    `options` are the session options of ONNX Runtime.
    """
    # Some exporters write the entries in the order of a hash table.
    model.opset_import.sort(key=lambda opset: opset.domain)
    folder = CASES / topic / name
    folder.mkdir(parents=True, exist_ok=True)
    content = model.SerializeToString(deterministic=True)
    (folder / "model.onnx").write_bytes(content)
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [spec.name for spec in session.get_inputs()]
    results = []
    for inputs in data_sets:
        outputs = session.run(None, dict(zip(names, inputs, strict=True)))
        results.append((list(map(np.asarray, inputs)), list(map(array, outputs))))
    (folder / "data.json").write_text(serialized(results, tolerance), encoding="utf-8")
    print("wrote", f"{topic}/{name}")


def array(output) -> np.ndarray:
    """Returns an output of ONNX Runtime as an array."""
    if isinstance(output, list):
        return np.array([list(row.values()) for row in output], np.float32)
    return np.asarray(output)


def serialized(
    data_sets: list[tuple[list[np.ndarray], list[np.ndarray]]], tolerance: float | None = None
) -> str:
    """Returns the text of `data.json` for data sets of inputs and outputs."""
    return "[\n" + ",\n".join(data_set(*each, tolerance) for each in data_sets) + "\n]\n"


def data_set(inputs: list[np.ndarray], outputs: list[np.ndarray], tolerance: float | None = None) -> str:
    members = [] if tolerance is None else [f'    "tolerance": {float(tolerance):.6g}']
    members += [f'    "{kind}": {tensors(arrays)}' for kind, arrays in (("inputs", inputs), ("outputs", outputs))]
    return "  {\n" + ",\n".join(members) + "\n  }"


def tensors(arrays: list[np.ndarray]) -> str:
    return "[\n" + ",\n".join(f"      {tensor(each)}" for each in arrays) + "\n    ]"


def tensor(elements: np.ndarray) -> str:
    kind = "string" if elements.dtype.kind in "OU" else elements.dtype.name
    texts = [element(each) for each in elements.ravel()]
    start = f'{{"type": "{kind}", "shape": {list(elements.shape)}, "data": ['
    if sum(len(text) + 2 for text in texts) + len(start) <= LINE:
        return start + ", ".join(texts) + "]}"
    width = elements.shape[-1] if elements.ndim else 1
    rows = [texts[begin : begin + width] for begin in range(0, len(texts), width)]
    lines = [line for row in rows for line in wrapped(row)]
    return start + "\n        " + ",\n        ".join(lines) + "\n      ]}"


def wrapped(texts: list[str]) -> list[str]:
    """Returns the elements of a row, wrapped to lines of at most `LINE` characters."""
    lines = [texts[0]]
    for text in texts[1:]:
        if len(lines[-1]) + len(text) + 2 <= LINE:
            lines[-1] += ", " + text
        else:
            lines.append(text)
    return lines


def element(value) -> str:
    """Returns an element as JSON. A float has as few digits as its type needs."""
    if isinstance(value, (str, bytes)):
        return json.dumps(value if isinstance(value, str) else value.decode(), ensure_ascii=False)
    if isinstance(value, (bool, np.bool_)):
        return json.dumps(bool(value))
    if isinstance(value, np.integer):
        return str(int(value))
    if not isinstance(value, np.floating):
        raise TypeError(f"expected a string, boolean or number, found {value!r}")
    if np.isnan(value):
        return '"NaN"'
    if np.isinf(value):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    return str(value)
