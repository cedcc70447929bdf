"""Writes ONNX's own backend node tests to a folder. Each case is a folder with the model, its inputs and outputs as
protobuf files, and the tolerance in case.json.

    generate.py FOLDER
"""

import json
import sys
import warnings
from pathlib import Path

import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

# The newest released version of ONNX's operators. Tests of operators of later versions are left out.
NEWEST_OPSET = 28


def serialized(value, info):
    if isinstance(value, onnx.TensorProto):
        return value.SerializeToString()
    kind = info.type.WhichOneof("value")
    convert = {
        "tensor_type": numpy_helper.from_array,
        "sequence_type": numpy_helper.from_list,
        "optional_type": numpy_helper.from_optional,
        "map_type": numpy_helper.from_dict,
    }[kind]
    return convert(value, info.name).SerializeToString()


def write(case, folder):
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    (folder / "case.json").write_text(json.dumps({"rtol": case.rtol, "atol": case.atol}))
    graph = case.model.graph
    for number, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{number}"
        data.mkdir()
        for kind, values, infos in (("input", inputs, graph.input), ("output", outputs, graph.output)):
            if isinstance(values, dict):
                values = [values.get(info.name) for info in infos]
            for index, (value, info) in enumerate(zip(values, infos)):
                if value is not None:
                    (data / f"{kind}_{index}.pb").write_bytes(serialized(value, info))


def main():
    warnings.simplefilter("ignore")
    root = Path(sys.argv[1])
    root.mkdir(parents=True)
    written = 0
    for case in collect_testcases(None):
        opset = max((o.version for o in case.model.opset_import if o.domain in ("", "ai.onnx")), default=0)
        # A case with _expanded in its name does not contain the operator, but the function that defines it.
        if opset > NEWEST_OPSET or "_expanded" in case.name:
            continue
        write(case, root / case.name)
        written += 1
    print(f"{written} cases in {root}")


main()
