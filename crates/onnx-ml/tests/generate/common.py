"""Writes cases in the layout of ONNX's own backend tests, answered by ONNX Runtime.

A case is a folder of ../cases: model.onnx, and per data set input_I.pb and output_I.pb. The maps
that ZipMap makes are stored as the matrix of their values.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

CASES = Path(__file__).resolve().parent.parent / "cases"


def write(name: str, model: onnx.ModelProto, data_sets: list[list[np.ndarray]]) -> None:
    """Write the case `name`: `model`, and what it answers to each list of inputs."""
    model.opset_import.sort(key=lambda opset: opset.domain)  # some exporters write hash order
    folder = CASES / name
    folder.mkdir(parents=True, exist_ok=True)
    content = model.SerializeToString(deterministic=True)
    (folder / "model.onnx").write_bytes(content)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [spec.name for spec in session.get_inputs()]
    for number, inputs in enumerate(data_sets):
        outputs = session.run(None, dict(zip(names, inputs, strict=True)))
        data = folder / f"test_data_set_{number}"
        data.mkdir(exist_ok=True)
        for kind, tensors in (("input", inputs), ("output", map(plain, outputs))):
            for index, tensor in enumerate(tensors):
                proto = numpy_helper.from_array(np.asarray(tensor), f"{kind}_{index}")
                (data / f"{kind}_{index}.pb").write_bytes(proto.SerializeToString())
    print("wrote", name)


def plain(output) -> np.ndarray:
    """A tensor; of a sequence of maps, the matrix of their values."""
    if isinstance(output, list):
        return np.array([list(row.values()) for row in output], np.float32)
    return output
