"""Writes the model zoo: models that are exported as users export them, and the outputs of ONNX Runtime.

    generate.py FOLDER [--only REGEX] [--families NAMES]

Each model has a folder in the layout of ONNX's own backend tests: model.onnx, and for each number of rows a
folder test_data_set_I with input_J.pb and output_J.pb. The output of a ZipMap is a list of maps; it is stored
as the matrix of the maps' values. index.json has the family, the tolerance and the operators of each model. If
the export of a model failed, index.json has the error instead.
"""

import argparse
import contextlib
import importlib
import io
import json
import logging
import re
import shutil
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from model import Model
from onnx import numpy_helper

MODULES = {
    "scikit-learn": "estimators",
    "LightGBM": "boosters",
    "XGBoost": "boosters",
    "CatBoost": "boosters",
    "PyTorch": "networks",
    "Keras": "networks",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", metavar="REGEX", help="only models whose name matches")
    parser.add_argument("--families", default=",".join(MODULES), help="[default: %(default)s]")
    arguments = parser.parse_args()
    families = arguments.families.split(",")
    if unknown := set(families) - set(MODULES):
        parser.error(f"expected families of {', '.join(MODULES)}, found {', '.join(unknown)}")
    warnings.simplefilter("ignore")
    logging.disable()
    onnxruntime.set_default_logger_severity(3)
    index_file = arguments.folder / "index.json"
    arguments.folder.mkdir(parents=True, exist_ok=True)
    index = json.loads(index_file.read_text()) if index_file.exists() else {}
    for module in dict.fromkeys(MODULES[family] for family in families):
        for model in importlib.import_module(module).models():
            if model.family not in families or not re.search(arguments.only, model.name):
                continue
            index[model.name] = entry = write(arguments.folder / model.name, model)
            print(model.name, entry.get("error", entry["rows"]), flush=True)
            index_file.write_text(json.dumps(index, indent=1))


def write(folder: Path, model: Model) -> dict:
    """Writes the folder of a model and returns its entry for the index."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file = folder / "model.onnx"
    entry = {"family": model.family, "tolerance": model.tolerance, "reason": model.reason, "rows": []}
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            model.export(file)
        operators = Counter(node.op_type for node in onnx.load(file, load_external_data=False).graph.node)
        entry["operators"] = dict(operators.most_common())
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        for number, rows in enumerate(model.rows):
            write_data_set(session, model.inputs(rows), folder / f"test_data_set_{number}")
            entry["rows"].append(rows)
    except Exception as error:  # an error of a converter or of ONNX Runtime
        entry["error"] = f"{type(error).__name__}: {error}"[:500]
    return entry


def write_data_set(session: onnxruntime.InferenceSession, inputs: dict, folder: Path) -> None:
    folder.mkdir()
    names = [spec.name for spec in session.get_inputs()]
    named = {name: inputs[name] for name in names} if None not in inputs else {names[0]: inputs[None]}
    outputs = session.run(None, named)
    for kind, arrays in [("input", named.values()), ("output", map(array_of, outputs))]:
        for number, array in enumerate(arrays):
            tensor = numpy_helper.from_array(np.asarray(array), f"{kind}_{number}")
            (folder / f"{kind}_{number}.pb").write_bytes(tensor.SerializeToString())


def array_of(output) -> np.ndarray:
    """Returns an output of ONNX Runtime as an array."""
    if isinstance(output, list):
        return np.array([list(row.values()) for row in output], np.float32)
    return output


if __name__ == "__main__":
    main()
